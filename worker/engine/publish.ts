// Publishes a checkpoint of an own shard: copy the state at a saved head, make the push loop end a run exactly there, and only once a receipt covers that
// head upload chunks and statement. Dropped without harm at any step; the next try starts over (decision 0012, steps p1 to p6).

import { type Bytes, bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { type Checkpoint, type Chunk, decodeCheckpoint, signCheckpoint, verifyCheckpoint } from '../../kernel/checkpoint.ts';
import { objectHash } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { chunkBytes, copySpareBytes, frozenWalBytesMax, receiptWaitMsMax } from '../../kernel/limits.ts';
import type { BulkDigest, Clock, Deflate, Random, Scheduler, Signer, Verifier } from '../../kernel/ports.ts';
import type { Receipt } from '../../kernel/receipt.ts';
import { type Hash, type Head, hash, noHash, seq } from '../../kernel/units.ts';
import type { ControlReplica } from './control.ts';
import { sqliteFailure } from './database.ts';
import { extractImage, type StateImage } from './image.ts';
import type { Pusher } from './push-loop.ts';
import { answerOrThrow, type RelayClient } from './relay-client.ts';
import { Meta } from './shard-file.ts';
import type { FrozenFile, ShardStore } from './shard-store.ts';
import { type StoragePool, scratchPrefix } from './storage-pool.ts';
import type { Turns } from './turns.ts';

export interface PublishPorts {
  readonly relay: RelayClient;
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
  readonly bulkDigest: BulkDigest;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
}

export interface Published {
  readonly number: number;
  readonly head: Head;
  readonly stateHash: Hash;
  readonly rows: number;
  readonly imageBytes: number;
  readonly storedBytes: number;
}

/** The newest checkpoint that counts for this log: its statement stands at the relay. */
export interface NotedCheckpoint {
  readonly number: number;
  readonly head: Head;
}

const receiptPollMs = 50;

export class Publisher {
  readonly #ports: PublishPorts;
  readonly #pool: StoragePool;
  readonly #store: ShardStore;
  readonly #pusher: Pusher;
  readonly #control: ControlReplica;
  readonly #turns: Turns;
  readonly #wakePush: () => void;
  #running: Promise<Published> | undefined;
  /** Bytes that went out and are not counted in the file yet. */
  #sent = 0;
  #isClosed = false;

  constructor(
    ports: PublishPorts,
    pool: StoragePool,
    at: { readonly store: ShardStore; readonly pusher: Pusher; readonly control: ControlReplica; readonly turns: Turns },
    wakePush: () => void,
  ) {
    this.#ports = ports;
    this.#pool = pool;
    this.#store = at.store;
    this.#pusher = at.pusher;
    this.#control = at.control;
    this.#turns = at.turns;
    this.#wakePush = wakePush;
  }

  /** In a turn of the mutex. */
  get noted(): NotedCheckpoint | undefined {
    const meta = new Meta(this.#store.db);
    const at = meta.bytes('checkpointHash');
    if (at === undefined) return undefined;
    return { number: meta.number('checkpointNumber') ?? 0, head: { seq: seq(meta.number('checkpointSeq') ?? 0), hash: hash(at) } };
  }

  /** Bytes of statements and chunks that went out since this file was made. In a turn of the mutex. */
  get uploadedBytes(): number {
    return (new Meta(this.#store.db).number('uploadedBytes') ?? 0) + this.#sent;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Publishes the state at the present head. One at a time: a second call joins the first. `onFrozen`: what is saved from then on is not in it.
   * @throws {FoldlogError} `misuse` nothing saved yet · `unavailable` relay away, head not committed in time or the copy dropped: try again later
   */
  publish(onFrozen: () => void = () => undefined): Promise<Published> {
    this.#running ??= this.#publish(onFrozen)
      .catch((error: unknown) => {
        throw sqliteFailure(error, `checkpoint of ${this.#store.identity.kind}/${this.#store.identity.name}`);
      })
      .finally(() => {
        this.#running = undefined;
        this.#pusher.cutAt(undefined);
      });
    return this.#running;
  }

  /** Ends what runs at its next step. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running?.catch(() => undefined);
  }

  /**
   * Notes a statement of ours that stands and was not noted: a publish that was stopped before p6, or never heard its answer. True when there was one.
   * @throws {FoldlogError} `unavailable`; what the relay refuses
   */
  async settle(): Promise<boolean> {
    const newest = await this.#newest();
    return newest !== undefined && this.#settleWith(newest);
  }

  get #where(): string {
    return `checkpoint of ${this.#store.identity.kind}/${this.#store.identity.name}`;
  }

  async #publish(onFrozen: () => void): Promise<Published> {
    const { workspace } = this.#control;
    const where = this.#where;
    if (workspace === undefined) throw FoldlogError.misuse({ where, reason: 'noWorkspace', found: 'no workspace', expected: 'one' });
    const { head, image } = await this.#copy(onFrozen); // p1, p2
    try {
      const receipt = await this.#awaitReceipt(head); // p3
      const newest = await this.#newest();
      if (newest !== undefined) await this.#settleWith(newest);
      const chunks: Chunk[] = [];
      for (let at = 0; at * chunkBytes < image.bytes; at++) chunks.push(await this.#putChunk(workspace, image.chunk(at))); // p4
      const number = (newest?.number ?? 0) + 1;
      const statement = await signCheckpoint(this.#ports.signer, {
        shard: this.#store.identity.id,
        number,
        prev: newest?.objectHash ?? noHash,
        epoch: receipt.epoch,
        head,
        slot: receipt.slot,
        slotObject: receipt.objectHash,
        slotTime: receipt.time,
        schemaVersion: this.#store.definition.spec.version,
        foldId: this.#store.definition.foldId,
        stateHash: image.stateHash,
        time: this.#ports.clock.now(),
        controlHead: this.#control.head,
        chunks,
      });
      await this.#putStatement(workspace, statement); // p5
      await this.#note({ number, head }); // p6
      const storedBytes = chunks.reduce((sum, chunk) => sum + chunk.storedLength, 0);
      return { number, head, stateHash: hash(image.stateHash), rows: image.rows, imageBytes: image.bytes, storedBytes };
    } finally {
      image.drop();
    }
  }

  /** Looks at the file at the present head and copies from it while saves go on: into the WAL, or into pages the look does not have. */
  async #copy(onFrozen: () => void): Promise<{ readonly head: Head; readonly image: StateImage }> {
    const store = this.#store;
    const scratch = `${scratchPrefix}${bytesToHex(this.#ports.random.bytes(8))}.db`;
    await this.#pool.reserve(1);
    const freeze = (): { readonly head: Head; readonly frozen: FrozenFile } => {
      if (store.head.seq === 0) {
        throw FoldlogError.misuse({ where: this.#where, reason: 'nothingSaved', found: 'no ops', expected: 'at least one' });
      }
      this.#requireRoom();
      this.#pusher.cutAt(store.head.seq);
      return { head: store.head, frozen: store.freeze() };
    };
    const copy = (inTurn: (slice: () => void) => Promise<boolean>) =>
      extractImage(this.#ports, this.#pool, { file: store.file, definition: store.definition }, scratch, inTurn);
    let dropped = 'the file changed under the copy';
    const inTurn = (frozen: FrozenFile) => (slice: () => void) =>
      this.#turns.own('copy', () => {
        if (frozen.isStanding() && store.walBytes() > frozenWalBytesMax) {
          dropped = `more than ${frozenWalBytesMax} bytes of new commits`;
          frozen.thaw();
        }
        if (this.#isClosed || !frozen.isStanding()) return false;
        this.#requireRoom();
        slice();
        return true;
      });
    if (this.#pool.backend === 'memory') {
      // No main file to freeze apart from the live one: the shard waits meanwhile.
      const now = async (slice: () => void): Promise<boolean> => {
        slice();
        return true;
      };
      const { head, image } = await store.mutex.own('other', async () => ({ ...freeze(), image: await copy(now) }));
      onFrozen();
      return { head, image: image ?? this.#drop(dropped) };
    }
    // The look is taken in the turn that freezes; its copying goes on after it.
    const begun = await this.#turns.own('checkpoint', () => {
      const at = freeze();
      return { ...at, copying: copy(inTurn(at.frozen)) };
    });
    onFrozen();
    try {
      return { head: begun.head, image: (await begun.copying) ?? this.#drop(dropped) };
    } finally {
      await this.#turns.own('checkpoint', () => begun.frozen.thaw());
    }
  }

  #drop(found: string): never {
    throw new FoldlogError('unavailable', {
      where: this.#where,
      reason: 'extractionDropped',
      found: this.#isClosed ? 'a shard that was closed' : found,
      expected: 'a file that stays as it is while it is copied',
      retry: 'later',
    });
  }

  /** Saves come first where files share a cap: a copy that could make one be refused is not made. */
  #requireRoom(): void {
    const left = this.#pool.bytesLeft?.();
    if (left === undefined || left >= copySpareBytes) return;
    throw new FoldlogError('storageFull', {
      where: this.#where,
      reason: 'noRoomToCopy',
      found: `${left} bytes below the cap`,
      expected: `at least ${copySpareBytes} beside the copy`,
      todo: 'saves go on; use a browser with the origin private file system, or a smaller shard',
    });
  }

  async #awaitReceipt(head: Head): Promise<Receipt> {
    const until = this.#ports.clock.ticks() + receiptWaitMsMax;
    for (;;) {
      const { receipt, cutReceipt } = this.#pusher;
      if (cutReceipt !== undefined && isSameBytes(cutReceipt.head.hash, head.hash)) return cutReceipt;
      const isPast = receipt !== undefined && receipt.head.seq > head.seq;
      if (isPast || this.#isClosed || this.#ports.clock.ticks() > until || this.#pusher.state.kind === 'stopped') {
        throw new FoldlogError('unavailable', {
          where: this.#where,
          reason: 'headNotCommitted',
          found: isPast ? 'a receipt beyond the head' : `a receipt up to seq ${receipt?.head.seq ?? 0}`,
          expected: `a receipt at seq ${head.seq}`,
          retry: 'later',
          todo: 'publish again when the relay is reachable',
        });
      }
      this.#wakePush();
      await new Promise<void>((resolve) => this.#ports.scheduler.after(receiptPollMs, resolve));
    }
  }

  async #putChunk(workspace: NonNullable<ControlReplica['workspace']>, raw: Bytes): Promise<Chunk> {
    if (this.#isClosed) this.#drop('');
    const stored = await this.#ports.deflate.deflate(raw);
    const name = hash(await this.#ports.bulkDigest(stored));
    this.#sent += stored.length;
    answerOrThrow(await this.#ports.relay.putChunk(workspace, this.#store.identity.id, name, stored, this.#ports.signer), this.#where);
    return { hash: name, storedLength: stored.length, rawLength: raw.length };
  }

  async #newest(): Promise<Checkpoint | undefined> {
    const { workspace } = this.#control;
    if (workspace === undefined) return undefined;
    const where = this.#where;
    const bytes = answerOrThrow(await this.#ports.relay.newestCheckpoint(workspace, this.#store.identity.id, this.#ports.signer), where);
    return bytes === undefined ? undefined : decodeCheckpoint(bytes, where);
  }

  /** Only what this device's own key signed over a head of this log counts: the relay's word alone would let it delete a log. */
  async #settleWith(newest: Checkpoint): Promise<boolean> {
    const isOfThisLog = await this.#turns.own('look', () => {
      const ours = this.#store.log.hashAt(newest.head.seq);
      const isNew = newest.head.seq > (this.noted?.head.seq ?? 0);
      return isNew && isSameBytes(newest.shard, this.#store.identity.id) && ours !== undefined && isSameBytes(ours, newest.head.hash);
    });
    if (!isOfThisLog) return false;
    try {
      await verifyCheckpoint(this.#ports.verifier, this.#ports.signer.publicKey, newest, this.#where);
    } catch {
      return false; // an admin's, or nobody's: it lets nothing go here
    }
    await this.#note(newest);
    return true;
  }

  /** A lost reply is settled by reading: the newest statement is ours or it is not. */
  async #putStatement(workspace: NonNullable<ControlReplica['workspace']>, statement: Bytes): Promise<void> {
    if (this.#isClosed) this.#drop('');
    this.#sent += statement.length;
    const answer = await this.#ports.relay.publishCheckpoint(workspace, this.#store.identity.id, statement, this.#ports.signer);
    if (answer.kind === 'ok') return;
    const newest = await this.#newest();
    if (newest === undefined || !isSameBytes(newest.objectHash, objectHash(statement))) answerOrThrow(answer, this.#where);
  }

  async #note({ number, head }: NotedCheckpoint): Promise<void> {
    await this.#turns.own('note', () => {
      this.#store.db.transaction(() => {
        const meta = new Meta(this.#store.db);
        meta.set('checkpointSeq', head.seq);
        meta.set('checkpointHash', head.hash);
        meta.set('checkpointNumber', number);
        meta.set('uploadedBytes', this.uploadedBytes);
      });
      this.#sent = 0;
    });
    await this.#store.flush();
  }
}
