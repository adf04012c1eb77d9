// The control log as a relay instance sees it: slots read from the store, folded by the kernel, kept for a few seconds; and
// appending to it. The fold decides everything but what only slots can say (fences.ts); a failed entry never occupies a slot (decision 0005).
// What a crash leaves: nothing or the slot object. The same entry sent again is answered with the slot that holds it.

import { type Bytes, bytesToHex, isSameBytes } from '../kernel/bytes.ts';
import {
  type ControlEntry,
  decodeControlEntry,
  decodeControlSlot,
  makeControlSlot,
  workspaceIdOfGenesis,
} from '../kernel/control/entry.ts';
import { type ControlState, foldControl, judgeEntry } from '../kernel/control/fold.ts';
import { keyIdOf } from '../kernel/digest.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { controlCacheMsMax } from '../kernel/limits.ts';
import type { Deflate, Signer, Verifier } from '../kernel/ports.ts';
import { type Hash, isNoHash, type PublicKey, type Slot, short, slot, timeMs, type WorkspaceId } from '../kernel/units.ts';
import { objectKeys } from '../shards/object-keys.ts';
import { requireFences } from './fences.ts';
import { framedBytes } from './log-reads.ts';
import { ifAbsent } from './object-store.ts';
import { rolledBack, storeTrouble, storeUnknown, unknownWorkspace } from './refusals.ts';
import { putUntilDecided, type SettlePorts, untilKnown } from './settle.ts';

export interface ControlPorts extends SettlePorts {
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
}

/** A workspace's control log, folded. */
export interface ControlView {
  readonly state: ControlState;
  /** Object hash of each slot from 1. */
  readonly heads: readonly Hash[];
}

interface CacheEntry {
  readonly view: ControlView;
  readonly readAtTicks: number;
}

/** Workspaces kept folded by one instance: a few MB; an evicted one is read again. */
const cachedWorkspacesMax = 1_000;
/** Slots asked for at once while reading on; starts at 1 because most reads find nothing new. */
const readAheadMax = 16;
/** Rounds of a lost race for a control slot before the author is told to come again. */
const appendRoundsMax = 4;

export class ControlLogs {
  readonly #ports: ControlPorts;
  readonly #cache = new Map<string, CacheEntry>();

  constructor(ports: ControlPorts) {
    this.#ports = ports;
  }

  /** The log as of at most `controlCacheMsMax` ago; undefined before genesis. @throws {FoldlogError} `unavailable`, `corrupt` */
  async recent(workspace: WorkspaceId): Promise<ControlView | undefined> {
    const cached = this.#cache.get(bytesToHex(workspace));
    if (cached !== undefined && this.#ports.clock.ticks() - cached.readAtTicks <= controlCacheMsMax) return cached.view;
    return this.current(workspace);
  }

  /** The log as the store has it now. @throws {FoldlogError} `unavailable`, `corrupt` */
  async current(workspace: WorkspaceId): Promise<ControlView | undefined> {
    const readAtTicks = this.#ports.clock.ticks();
    const name = bytesToHex(workspace);
    const known = await this.#stillStanding(workspace, this.#cache.get(name)?.view);
    const view = await this.#readOn(workspace, known);
    this.#keep(name, view, readAtTicks);
    return view;
  }

  #keep(name: string, view: ControlView | undefined, readAtTicks: number): void {
    const kept = this.#cache.get(name);
    if (kept !== undefined && kept.readAtTicks > readAtTicks) return; // a later read ended first
    this.#cache.delete(name);
    if (view === undefined) return;
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size < cachedWorkspacesMax) break;
      this.#cache.delete(oldest);
    }
    this.#cache.set(name, { view, readAtTicks });
  }

  /**
   * Judges by the recent log, and once more by the current one when it refuses: an instance's copy may be seconds old.
   * `current` asks the store at once, for answers that must hold the newest slot.
   * @throws {FoldlogError} `unknownWorkspace`, and what `rule` throws
   */
  async judge<T>(
    workspace: WorkspaceId,
    age: 'recent' | 'current',
    rule: (view: ControlView) => T,
  ): Promise<{ readonly view: ControlView; readonly value: T }> {
    const recent = age === 'recent' ? await this.recent(workspace) : undefined;
    if (recent !== undefined) {
      try {
        return { view: recent, value: rule(recent) };
      } catch (refusal) {
        if (!(refusal instanceof FoldlogError)) throw refusal;
      }
    }
    const current = await this.current(workspace);
    if (current === undefined) throw unknownWorkspace(workspace);
    return { view: current, value: rule(current) };
  }

  /** Framed slot objects after `after` up to what the view covers: at least one when there is one, then as many as fit in `bytesMax`. */
  async objectsAfter(workspace: WorkspaceId, view: ControlView, after: Slot, bytesMax: number): Promise<readonly Bytes[]> {
    const objects: Bytes[] = [];
    let bytes = 0;
    for (let number = after + 1; number <= view.state.slot; number++) {
      const object = await this.#readObject(workspace, slot(number));
      if (object === undefined) throw lostSlot(workspace, slot(number));
      bytes += framedBytes(object);
      if (objects.length > 0 && bytes > bytesMax) break;
      objects.push(object);
    }
    return objects;
  }

  /**
   * Appends an entry and returns the slot object that holds it, also when an earlier attempt had put it there.
   * @throws {FoldlogError} `unavailable` `staleHead` · `misuse` with the fold's reason · `unknown`
   */
  async append(workspace: WorkspaceId, encoded: Bytes): Promise<Bytes> {
    const entry = decodeControlEntry(encoded, 'control entry');
    requireWorkspace(workspace, entry);
    for (let round = 0; round < appendRoundsMax; round++) {
      const view = await this.current(workspace);
      const held = await this.#slotHolding(workspace, view, entry);
      if (held !== undefined) return held;
      const object = await this.#judgeAndSeal(workspace, view, encoded, entry);
      const key = objectKeys.controlSlot(workspace, slot((view?.state.slot ?? 0) + 1));
      const outcome = await putUntilDecided(this.#ports, key, object, ifAbsent);
      if (outcome.kind === 'unknown') throw storeUnknown('control log', outcome.cause);
      if (outcome.kind === 'written') {
        // The copy kept by this instance includes the entry before its author hears of it.
        await this.current(workspace);
        return object;
      }
      // Lost: to another author, or to this entry landing late. The next round tells which.
    }
    throw staleHead('a control log that keeps moving');
  }

  async #judgeAndSeal(workspace: WorkspaceId, view: ControlView | undefined, encoded: Bytes, entry: ControlEntry): Promise<Bytes> {
    const { verifier, clock, signer } = this.#ports;
    const state = view?.state;
    if (state?.relay !== undefined) requireOurs(state.relay.key, signer);
    if (state === undefined && !isNoHash(entry.workspace)) throw unknownWorkspace(workspace);
    const at = { slot: slot((state?.slot ?? 0) + 1), time: timeMs(Math.max(clock.now(), state?.time ?? 0)) };
    const verdict = await judgeEntry(verifier, state, entry, at);
    if (verdict.kind === 'staleHead') throw staleHead(`an entry over control head ${short(entry.prev)}`, verdict.head);
    if (verdict.kind === 'refused') {
      const { reason, found, expected } = verdict;
      throw FoldlogError.misuse({ where: `control slot ${at.slot}`, reason, found, expected, todo: 'make another entry' });
    }
    if (view !== undefined && state?.relay !== undefined) {
      const { incarnation } = state.relay;
      await requireFences(this.#ports, { view, placeOf: (shard) => ({ workspace, incarnation, shard }) }, entry);
    }
    // The first declared key signs its own slot and those before it, and only the key at hand can.
    if (state?.relay === undefined && verdict.next.relay !== undefined) requireOurs(verdict.next.relay.key, signer);
    return makeControlSlot(signer, { workspace, ...at }, encoded);
  }

  /** The slot that already holds exactly this entry: it can only stand right after the head it was signed over. */
  async #slotHolding(workspace: WorkspaceId, view: ControlView | undefined, entry: ControlEntry): Promise<Bytes | undefined> {
    if (view === undefined) return undefined;
    const seen = isNoHash(entry.prev) ? 0 : view.heads.findIndex((head) => isSameBytes(head, entry.prev)) + 1;
    if ((seen === 0 && !isNoHash(entry.prev)) || seen >= view.state.slot) return undefined;
    const next = slot(seen + 1);
    const object = await this.#readObject(workspace, next);
    if (object === undefined) throw lostSlot(workspace, next);
    const held = decodeControlSlot(object, `control slot ${next}`).entry;
    return isSameBytes(held.signed, entry.signed) && isSameBytes(held.signature, entry.signature) ? object : undefined;
  }

  /** The copy at hand, unless the store lost what it rests on. */
  async #stillStanding(workspace: WorkspaceId, view: ControlView | undefined): Promise<ControlView | undefined> {
    if (view === undefined) return undefined;
    const key = objectKeys.controlSlot(workspace, view.state.slot);
    const head = await untilKnown(this.#ports, () => this.#ports.store.head(key));
    if (head.kind === 'unknown') throw storeTrouble(key, head.cause);
    return head.kind === 'found' && isSameBytes(head.digest, view.state.head) ? view : undefined;
  }

  async #readOn(workspace: WorkspaceId, from: ControlView | undefined): Promise<ControlView | undefined> {
    const objects: Bytes[] = [];
    const first = (from?.state.slot ?? 0) + 1;
    for (let ahead = 1; ; ahead = Math.min(2 * ahead, readAheadMax)) {
      const next = first + objects.length;
      const read = await Promise.all(Array.from({ length: ahead }, (_, i) => this.#readObject(workspace, slot(next + i))));
      for (const object of read) {
        if (object === undefined) return this.#foldOn(workspace, from, objects);
        objects.push(object);
      }
    }
  }

  async #foldOn(workspace: WorkspaceId, from: ControlView | undefined, objects: readonly Bytes[]): Promise<ControlView | undefined> {
    const first = (from?.state.slot ?? 0) + 1;
    const slots = objects.map((bytes, i) => decodeControlSlot(bytes, `control slot ${first + i}`));
    const state = await foldControl(this.#ports.verifier, workspace, from?.state, slots);
    if (state === undefined) return undefined;
    return {
      state,
      heads: [...(from?.heads ?? []), ...slots.map(({ objectHash }) => objectHash)],
    };
  }

  async #readObject(workspace: WorkspaceId, number: Slot): Promise<Bytes | undefined> {
    const key = objectKeys.controlSlot(workspace, number);
    const found = await untilKnown(this.#ports, () => this.#ports.store.get(key));
    if (found.kind === 'unknown') throw storeTrouble(key, found.cause);
    return found.kind === 'absent' ? undefined : found.bytes;
  }
}

function requireWorkspace(workspace: WorkspaceId, entry: ControlEntry): void {
  const named = isNoHash(entry.workspace) ? workspaceIdOfGenesis(entry) : entry.workspace;
  if (isSameBytes(named, workspace)) return;
  throw FoldlogError.misuse({
    where: 'control entry',
    reason: 'wrongWorkspace',
    found: `an entry of workspace ${short(named)}`,
    expected: `one of workspace ${short(workspace)}`,
  });
}

/** A workspace under another relay's key is that relay's: what this one signed, nobody would accept. */
export function requireOurs(declared: PublicKey, signer: Signer): void {
  if (isSameBytes(declared, signer.publicKey)) return;
  throw FoldlogError.misuse({
    where: 'relay key',
    reason: 'otherRelay',
    found: `relay key ${short(keyIdOf(declared))} in the control log`,
    expected: `this relay's key ${short(keyIdOf(signer.publicKey))}`,
    todo: 'use the relay that the workspace names, or have an owner declare this one',
  });
}

const staleHead = (found: string, head?: Hash): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'control log',
    reason: 'staleHead',
    retry: 'later',
    found,
    expected: head === undefined ? 'a head that stands still' : `the head ${short(head)}`,
    todo: 'pull the control log, sign the entry again over its head and send that',
  });

const lostSlot = (workspace: WorkspaceId, number: Slot): FoldlogError =>
  rolledBack(`control slot ${number} of workspace ${short(workspace)}`, 'nothing', 'the slot object that was read before');
