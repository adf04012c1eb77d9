// A followed shard on this device: its tables and the cursor up to which they are folded. The cursor moves in the transaction that folds what it
// covers, never before (the rule that peers break). Pulls, verifies everything itself, folds in slices.

import { isSameBytes } from '../../kernel/bytes.ts';
import { type CommitGroup, lastSeqOf } from '../../kernel/commit-group.ts';
import { type ControlState, cutAbove, type ShardEntry, shardOf, signatoryOf } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { type FenceObject, openingOf, verifyFence } from '../../kernel/fence.ts';
import { sliceMsMax } from '../../kernel/limits.ts';
import type { Clock, Deflate, Scheduler, Verifier } from '../../kernel/ports.ts';
import { requireRebases } from '../../kernel/rebase-proof.ts';
import { isSameHead, type PackedRun, type Run, unpackRun, verifyRun } from '../../kernel/run.ts';
import { decodeSlotObject, type SlotObject, verifySlotObject } from '../../kernel/segment.ts';
import {
  chainStart,
  type Epoch,
  epoch,
  type Hash,
  type Head,
  hash,
  noHash,
  type PublicKey,
  type Slot,
  seq,
  short,
  slot,
  type TimeMs,
  timeMs,
} from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { hashInSlices } from './audit.ts';
import type { Database } from './database.ts';
import { Folder } from './fold.ts';
import { type MoveCheck, type MoveReport, noteReport, noteWriter, readCheck, writeCheck } from './move-check.ts';
import { Mutex } from './mutex.ts';
import { Meta, type ShardIdentity } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

export interface ReplicaPorts {
  readonly verifier: Verifier;
  readonly deflate: Deflate;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** How far a replica is: last slot wholly folded, and the head reached (which may lie inside the slot after it). */
export interface Cursor {
  readonly slot: Slot;
  readonly objectHash: Hash;
  readonly slotTime: TimeMs;
  readonly head: Head;
  /** The epoch reached: after a fence its new one. */
  readonly epoch: Epoch;
  /** Whether the last slot is a fence: then nothing follows but the epoch that its cut opens, or another fence. */
  readonly isFenced: boolean;
}

export const cursorAtGenesis: Cursor = {
  slot: slot(0),
  objectHash: noHash,
  slotTime: timeMs(0),
  head: chainStart,
  epoch: epoch(1),
  isFenced: false,
};

export class Replica {
  readonly identity: ShardIdentity;
  readonly definition: ShardDefinition;
  readonly file: string;
  readonly mutex = new Mutex();
  readonly #ports: ReplicaPorts;
  readonly #pool: StoragePool;
  readonly #db: Database;
  readonly #folder: Folder;
  readonly #meta: Meta;
  #cursor: Cursor;
  /** A head at which this state is to be compared with a checkpoint, since the schema moved (move-check.ts). */
  #check: MoveCheck | undefined;
  #isPaused = false;
  #version = 0;
  /** Why folding stopped for good with this app version; reading goes on as of the cursor. */
  #stopped: FoldlogError | undefined;

  constructor(
    ports: ReplicaPorts,
    pool: StoragePool,
    at: { readonly file: string; readonly definition: ShardDefinition; readonly identity: ShardIdentity; readonly db: Database },
  ) {
    this.#ports = ports;
    this.#pool = pool;
    this.file = at.file;
    this.definition = at.definition;
    this.identity = at.identity;
    this.#db = at.db;
    this.#folder = new Folder(at.definition, at.db);
    this.#meta = new Meta(at.db);
    this.#cursor = readCursor(this.#meta);
    this.#check = readCheck(this.#meta);
  }

  /** For the audit, in a turn of the mutex. */
  get db(): Database {
    return this.#db;
  }

  /** Its share of what all replicas may cache. Over IndexedDB all pages are in memory anyway. */
  shareCache(kib: number): Promise<void> {
    return this.mutex.own('other', () => {
      if (this.#pool.backend === 'opfs-pool') this.#db.exec(`PRAGMA cache_size=-${kib}`);
    });
  }

  /** Rows inserted, changed or deleted on this connection. */
  get rowsTouched(): number {
    return this.#db.rowsTouched;
  }

  get cursor(): Cursor {
    return this.#cursor;
  }

  get version(): number {
    return this.#version;
  }

  get check(): MoveCheck | undefined {
    return this.#check;
  }

  /** Whether the last slot was left at the head of a check, so that somebody may look before it goes on. */
  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Compare at another head, or nowhere any more, and what came of it. */
  setCheck(check: MoveCheck | undefined, report?: MoveReport): Promise<void> {
    return this.mutex.own('other', () => {
      this.#db.transaction(() => {
        writeCheck(this.#meta, this.#db, check);
        if (report !== undefined) noteReport(this.#meta, report);
      });
      this.#check = check;
    });
  }

  get stopped(): FoldlogError | undefined {
    return this.#stopped;
  }

  /**
   * Verifies one slot object and folds what the cursor does not cover yet. Interrupted anywhere, it goes on from the stored cursor.
   * @returns groups folded; fewer than the object has when it paused
   * @throws {FoldlogError} `corrupt` when the object does not verify; nothing of it is folded then · `unavailable` `noCutYet`, `unknownAuthor`: the
   *   control log known here does not reach as far as the object
   */
  async take(bytes: Uint8Array, state: ControlState): Promise<number> {
    const at = this.#cursor;
    const where = `slot ${at.slot + 1} of ${this.identity.kind}/${this.identity.name}`;
    const object = decodeSlotObject(bytes, where);
    const binding = { shard: this.identity.id, slot: slot(at.slot + 1), prevObject: at.objectHash };
    // A slot from before a key rotation stays signed by the key of its time.
    const relay = state.relayKeys.find((key) => isSameBytes(keyIdOf(key), object.relayKey));
    if (relay === undefined) {
      throw FoldlogError.corrupt({
        where,
        reason: 'wrongRelaySignature',
        found: `relay key ${short(object.relayKey)}`,
        expected: 'a relay key that the control log declared',
      });
    }
    await verifySlotObject(this.#ports.verifier, { ...binding, relay, timeMin: at.slotTime }, object, where);
    const shard = requireEntry(state, this.identity, where);
    if (object.kind === 'fence') {
      await verifyFence(this.#ports.verifier, { state, shard }, at, object, where);
      openingOf(shard, object, where); // a cut that is there already names this fence, or the log is not the one it was made for
      await this.#passFence(object);
      return 0;
    }
    const writer = this.#writerOf(state, shard, object.run, where);
    const run = await unpackRun(this.#ports.deflate, this.identity.id, object.run, where);
    // The cursor may stand inside this run: its start is checked against the chain, its end by the seal.
    const start = this.#startOf(run, where);
    await verifyRun(this.#ports.verifier, { head: run.after, writer }, run, where);
    requireBelowCut(shard, run, where);
    await requireRebases(this.#ports.verifier, state, { shard: this.identity.id, writer: run.seal.key }, run.groups, where);
    return this.#foldFrom(run, start, object);
  }

  /**
   * Whether groups are folded here that a cut left out: read before the cut was known, from a relay that hid its fence. Nothing can take them out of the
   * tables again.
   */
  isAboveCut(state: ControlState): boolean {
    const cut = cutAbove(state, this.identity.id, this.#cursor.epoch)?.cut;
    return cut !== undefined && this.#cursor.head.seq > cut.seq;
  }

  /** Why the next run cannot be taken yet, while that is so: a fence stands and this control log has no cut for it. */
  waiting(state: ControlState): FoldlogError | undefined {
    if (!this.#cursor.isFenced || writerOpen(shardOf(state, this.identity.id), this.#cursor.epoch)) return undefined;
    return noCutYet(`${this.identity.kind}/${this.identity.name}`, this.#cursor.epoch);
  }

  /** Key of the one device whose runs are taken in the epoch reached. @throws {FoldlogError} `corrupt` `wrongEpoch`, `wrongCut` · `unavailable` */
  #writerOf(state: ControlState, shard: ShardEntry, run: PackedRun, where: string): PublicKey {
    const at = this.#cursor;
    const bad = (reason: string, found: string, expected: string) => FoldlogError.corrupt({ where, reason, found, expected });
    if (run.epoch !== at.epoch) throw bad('wrongEpoch', `a run of epoch ${run.epoch}`, `epoch ${at.epoch}, which was reached`);
    const opened = shard.epochs.find((known) => known.epoch === at.epoch);
    if (opened === undefined) throw noCutYet(where, at.epoch);
    if (at.isFenced && !(isSameBytes(opened.fence, at.objectHash) && isSameHead(opened.cut, at.head))) {
      throw bad('wrongCut', `a cut at seq ${opened.cut.seq} that names fence ${short(opened.fence)}`, `fence ${short(at.objectHash)}`);
    }
    const writer = opened.writer === undefined ? undefined : signatoryOf(state, opened.writer);
    if (writer === undefined) throw bad('wrongSeal', `a run in epoch ${at.epoch}`, 'none: nobody writes it');
    return writer.key;
  }

  async #passFence(object: FenceObject): Promise<void> {
    const cursor: Cursor = {
      slot: object.slot,
      objectHash: object.objectHash,
      slotTime: object.time,
      head: this.#cursor.head,
      epoch: object.fence.newEpoch,
      isFenced: true,
    };
    await this.mutex.own('other', () => this.#db.transaction(() => writeCursor(this.#meta, cursor)));
    this.#cursor = cursor;
  }

  query<R>(work: (db: Database) => R): Promise<R> {
    return this.mutex.own('other', () => work(this.#db));
  }

  checkpointWal(): void {
    if (this.#pool.backend !== 'opfs-pool') return;
    try {
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      throw this.#db.failure(error, this.file);
    }
  }

  close(): void {
    this.#db.close();
  }

  /** Index of the first group the cursor does not cover. @throws {FoldlogError} `corrupt` `brokenLink` */
  #startOf(run: Run, where: string): number {
    const { head } = this.#cursor;
    if (run.after.seq === head.seq && isSameBytes(run.after.hash, head.hash)) return 0;
    const covered = run.groups.findIndex((group) => lastSeqOf(group.header) === head.seq && isSameBytes(group.hash, head.hash));
    if (covered >= 0) return covered + 1;
    throw FoldlogError.corrupt({
      where,
      reason: 'brokenLink',
      found: `a run after seq ${run.after.seq} (${short(run.after.hash)})`,
      expected: `one that continues seq ${head.seq} (${short(head.hash)})`,
    });
  }

  async #foldFrom(run: Run, start: number, object: SlotObject): Promise<number> {
    let next = start;
    this.#isPaused = false;
    while (next < run.groups.length) {
      if (await this.#hashCheck()) {
        this.#isPaused = true;
        break;
      }
      await this.mutex.own('other', () => {
        next = this.#slice(run, next, object);
      });
      if (this.#stopped !== undefined) throw this.#stopped;
      if (next < run.groups.length) await this.#ports.scheduler.yield();
    }
    if (!this.#isPaused) await this.#hashCheck();
    return next - start;
  }

  /** True when the head of a check is reached and its state hash was taken just now. */
  async #hashCheck(): Promise<boolean> {
    const check = this.#check;
    if (check === undefined || check.hash !== undefined || check.atSeq !== this.#cursor.head.seq) return false;
    const found = await hashInSlices(this.#ports, this);
    if (found === undefined) return false;
    await this.setCheck({ atSeq: check.atSeq, hash: found });
    return true;
  }

  /** Folds groups for up to a slice and moves the cursor, in one transaction. */
  #slice(run: Run, from: number, object: SlotObject): number {
    const until = this.#ports.clock.ticks() + sliceMsMax;
    let next = from;
    let cursor = this.#cursor;
    let stopped: FoldlogError | undefined;
    let check = this.#check;
    this.#db.transaction(() => {
      do {
        const group = run.groups[next] as CommitGroup;
        try {
          if (this.#foldGroup(group)) check = { atSeq: lastSeqOf(group.header), hash: undefined };
        } catch (error) {
          if (!(error instanceof FoldlogError)) throw error;
          stopped = error;
          break;
        }
        next++;
        // In the epoch of the cut from here on, though the last whole slot is still the fence: this may be left inside the run.
        cursor = { ...cursor, head: { seq: lastSeqOf(group.header), hash: group.hash }, isFenced: false };
        if (check !== undefined && check.hash === undefined && cursor.head.seq >= check.atSeq) break;
      } while (next < run.groups.length && this.#ports.clock.ticks() < until);
      if (next === run.groups.length) cursor = { ...cursor, slot: object.slot, objectHash: object.objectHash, slotTime: object.time };
      writeCursor(this.#meta, cursor);
      if (check !== this.#check) writeCheck(this.#meta, this.#db, check);
    });
    this.#cursor = cursor;
    this.#check = check;
    this.#version++;
    if (stopped !== undefined) this.#stopped = stopped;
    return next;
  }

  /** True when the writer moved to the fold this device has: its checkpoint there can be compared. */
  #foldGroup(group: CommitGroup): boolean {
    const where = `group at seq ${group.header.firstSeq} of ${this.identity.kind}/${this.identity.name}`;
    if (group.content.kind === 'erased') {
      throw FoldlogError.corrupt({ where, reason: 'erased', found: 'an erased body', expected: 'a start from a checkpoint above it' });
    }
    // The writer's time, as the writer folded it: state is a function of the chain, not of when the relay saw it.
    const folded = this.#folder.foldGroup(group.header, group.content.body, where);
    let isOurFold = false;
    for (const each of folded.kind === 'void' ? [] : folded.ops) {
      if (each.kind !== 'system' || each.system.kind !== 'schemaMoved') continue;
      noteWriter(this.#meta, this.definition, { version: each.system.to, foldId: each.system.foldId });
      isOurFold = isSameBytes(each.system.foldId, this.definition.foldId);
    }
    return isOurFold;
  }
}

function requireEntry(state: ControlState, identity: ShardIdentity, where: string): ShardEntry {
  const entry = shardOf(state, identity.id);
  if (entry !== undefined) return entry;
  throw new FoldlogError('unavailable', {
    where,
    reason: 'noControl',
    found: 'a shard this control log does not name',
    expected: 'its entry',
  });
}

const writerOpen = (shard: ShardEntry | undefined, at: Epoch): boolean => shard?.epochs.some((known) => known.epoch === at) === true;

const noCutYet = (where: string, at: Epoch): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'noCutYet',
    retry: 'later',
    found: `a fence that begins epoch ${at}`,
    expected: 'its cut in the control log, which says who writes on',
    todo: 'wait: whoever put the fence, or an admin, completes it; what was committed can be read',
  });

/** A relay that hides a fence could still hand out what the old writer made after it: the cut says where that ends. */
function requireBelowCut(shard: ShardEntry, run: Run, where: string): void {
  const cut = shard.epochs.find((known) => known.epoch > run.epoch)?.cut;
  if (cut === undefined || run.head.seq < cut.seq || isSameHead(run.head, cut)) return;
  throw FoldlogError.corrupt({
    where,
    reason: 'aboveCut',
    found: `a run of epoch ${run.epoch} up to seq ${run.head.seq} (${short(run.head.hash)})`,
    expected: `at most seq ${cut.seq} (${short(cut.hash)}), where that epoch was cut`,
  });
}

export function readCursor(meta: Meta): Cursor {
  const objectHash = meta.bytes('cursorObject');
  const headHash = meta.bytes('cursorHash');
  if (objectHash === undefined || headHash === undefined) return cursorAtGenesis;
  return {
    slot: slot(meta.number('cursorSlot') ?? 0),
    objectHash: hash(objectHash),
    slotTime: timeMs(meta.number('cursorSlotTime') ?? 0),
    head: { seq: seq(meta.number('cursorSeq') ?? 0), hash: hash(headHash) },
    epoch: epoch(meta.number('cursorEpoch') ?? meta.number('epoch') ?? 1),
    isFenced: meta.number('cursorFenced') === 1,
  };
}

export function writeCursor(meta: Meta, cursor: Cursor): void {
  meta.set('cursorSlot', cursor.slot);
  meta.set('cursorObject', cursor.objectHash);
  meta.set('cursorSlotTime', cursor.slotTime);
  meta.set('cursorSeq', cursor.head.seq);
  meta.set('cursorHash', cursor.head.hash);
  meta.set('cursorEpoch', cursor.epoch);
  meta.set('cursorFenced', cursor.isFenced ? 1 : 0);
}
