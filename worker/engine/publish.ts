// Publishes a checkpoint of an own shard: extract at a saved head, make the push loop end a run exactly there, and only once a receipt covers that
// head upload chunks and statement. Dropped without harm at any step; the next try starts over (docs/durability.md#checkpoint).

import { type Bytes, bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { type Checkpoint, type Chunk, decodeCheckpoint, signCheckpoint } from '../../kernel/checkpoint.ts';
import { objectHash, sha256 } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { chunkBytes } from '../../kernel/limits.ts';
import type { Clock, Deflate, Random, Scheduler, Signer } from '../../kernel/ports.ts';

import { type Hash, type Head, hash, noHash, type Seq, seq } from '../../kernel/units.ts';
import type { ControlReplica } from './control.ts';
import { extractImage } from './image.ts';
import type { Pusher } from './push-loop.ts';
import { answerOrThrow, type RelayClient } from './relay-client.ts';
import { Meta } from './shard-file.ts';
import type { ShardStore } from './shard-store.ts';
import type { StoragePool } from './storage-pool.ts';

export interface PublishPorts {
  readonly relay: RelayClient;
  readonly signer: Signer;
  readonly deflate: Deflate;
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

/** How long a finished image waits for the receipt of its head before it is dropped. */
const receiptWaitMs = 60_000;
const receiptPollMs = 50;

export class Publisher {
  readonly #ports: PublishPorts;
  readonly #pool: StoragePool;
  readonly #store: ShardStore;
  readonly #pusher: Pusher;
  readonly #control: ControlReplica;
  readonly #wakePush: () => void;
  #running: Promise<Published> | undefined;

  constructor(ports: PublishPorts, pool: StoragePool, store: ShardStore, pusher: Pusher, control: ControlReplica, wakePush: () => void) {
    this.#ports = ports;
    this.#pool = pool;
    this.#store = store;
    this.#pusher = pusher;
    this.#control = control;
    this.#wakePush = wakePush;
  }

  /** Seq of the newest checkpoint this device published. */
  get checkpointSeq(): Seq {
    return seq(new Meta(this.#store.db).number('checkpointSeq') ?? 0);
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Publishes the state at the present head. One at a time: a second call joins the first.
   * @throws {FoldlogError} `misuse` nothing saved yet · `unavailable` relay away or head not committed in time: try again later
   */
  publish(onFrozen: () => void = () => undefined): Promise<Published> {
    this.#running ??= this.#publish(onFrozen).finally(() => {
      this.#running = undefined;
      this.#pusher.cutAt(undefined);
    });
    return this.#running;
  }

  /** Begins to publish; resolves when the state is frozen, or when that failed. What is saved from then on is not in it. */
  begin(): Promise<void> {
    return new Promise((resolve) => {
      this.publish(resolve).then(
        () => resolve(),
        () => resolve(),
      );
    });
  }

  async #publish(onFrozen: () => void): Promise<Published> {
    const store = this.#store;
    const where = `checkpoint of ${store.identity.kind}/${store.identity.name}`;
    const { head, state } = await this.#extract(where, onFrozen);
    const receipt = await this.#awaitReceipt(head, where);
    const { workspace } = this.#control;
    if (workspace === undefined) throw FoldlogError.misuse({ where, reason: 'noWorkspace', found: 'no workspace', expected: 'one' });
    const chunks: Chunk[] = [];
    for (let at = 0; at < state.image.length; at += chunkBytes) {
      const raw = state.image.subarray(at, at + chunkBytes);
      const stored = await this.#ports.deflate.deflate(raw);
      const name = sha256(stored);
      answerOrThrow(await this.#ports.relay.putChunk(workspace, store.identity.id, name, stored, this.#ports.signer), where);
      chunks.push({ hash: name, storedLength: stored.length, rawLength: raw.length });
    }
    const newest = await this.#newest(where);
    const statement = await signCheckpoint(this.#ports.signer, {
      shard: store.identity.id,
      number: (newest?.number ?? 0) + 1,
      prev: newest?.objectHash ?? noHash,
      epoch: receipt.epoch,
      head,
      slot: receipt.slot,
      slotObject: receipt.objectHash,
      slotTime: receipt.time,
      schemaVersion: store.definition.spec.version,
      foldId: store.definition.foldId,
      stateHash: state.stateHash,
      time: this.#ports.clock.now(),
      controlHead: this.#control.head,
      chunks,
    });
    await this.#putStatement(workspace, statement, where);
    const number = (newest?.number ?? 0) + 1;
    await store.mutex.own('other', () =>
      store.db.transaction(() => {
        const meta = new Meta(store.db);
        meta.set('checkpointSeq', head.seq);
        meta.set('checkpointNumber', number);
      }),
    );
    const storedBytes = chunks.reduce((sum, chunk) => sum + chunk.storedLength, 0);
    return { number, head, stateHash: hash(state.stateHash), rows: state.rows, imageBytes: state.image.length, storedBytes };
  }

  /** Looks at the file at the present head and copies from it while saves go on: into the WAL, or into pages the look does not have. */
  async #extract(where: string, onFrozen: () => void) {
    const store = this.#store;
    const scratch = `/scratch-${bytesToHex(this.#ports.random.bytes(8))}.db`;
    await this.#pool.reserve(1);
    const copy = () =>
      extractImage(this.#ports, this.#pool, { file: store.file, definition: store.definition }, scratch, () => store.db.isOpen);
    const freeze = (): Head => {
      if (store.head.seq === 0) throw FoldlogError.misuse({ where, reason: 'nothingSaved', found: 'no ops', expected: 'at least one' });
      this.#pusher.cutAt(store.head.seq);
      if (this.#pool.backend === 'opfs-pool') store.db.exec('PRAGMA wal_autocheckpoint=0');
      store.checkpointWal();
      return store.head;
    };
    const thaw = (): void => {
      if (this.#pool.backend === 'opfs-pool') store.db.exec('PRAGMA wal_autocheckpoint=1000');
    };
    let head: Head;
    let state: Awaited<ReturnType<typeof copy>>;
    if (this.#pool.backend === 'memory') {
      // No main file to freeze apart from the live one: the shard waits meanwhile.
      ({ head, state } = await store.mutex.own('other', async () => ({ head: freeze(), state: await copy() })));
      onFrozen();
    } else {
      // The look is taken in the turn that freezes; its copying goes on after it.
      const begun = await store.mutex.own('other', () => ({ head: freeze(), copying: copy() }));
      head = begun.head;
      onFrozen();
      try {
        state = await begun.copying;
      } finally {
        await store.mutex.own('other', thaw);
      }
    }
    if (state === undefined) {
      throw new FoldlogError('unavailable', {
        where,
        reason: 'extractionDropped',
        found: 'the shard reopened',
        expected: 'it to stay open',
      });
    }
    return { head, state };
  }

  async #awaitReceipt(head: Head, where: string) {
    const until = this.#ports.clock.ticks() + receiptWaitMs;
    for (;;) {
      const { receipt, cutReceipt } = this.#pusher;
      if (cutReceipt !== undefined && isSameBytes(cutReceipt.head.hash, head.hash)) return cutReceipt;
      const isPast = receipt !== undefined && receipt.head.seq > head.seq;
      if (isPast || this.#ports.clock.ticks() > until || this.#pusher.state.kind === 'stopped') {
        throw new FoldlogError('unavailable', {
          where,
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

  async #newest(where: string): Promise<Checkpoint | undefined> {
    const { workspace } = this.#control;
    if (workspace === undefined) return undefined;
    const bytes = answerOrThrow(await this.#ports.relay.newestCheckpoint(workspace, this.#store.identity.id, this.#ports.signer), where);
    return bytes === undefined ? undefined : decodeCheckpoint(bytes, where);
  }

  /** A lost reply is settled by reading: the newest statement is ours or it is not. */
  async #putStatement(workspace: NonNullable<ControlReplica['workspace']>, statement: Bytes, where: string): Promise<void> {
    const answer = await this.#ports.relay.publishCheckpoint(workspace, this.#store.identity.id, statement, this.#ports.signer);
    if (answer.kind === 'ok') return;
    const newest = await this.#newest(where);
    if (newest === undefined || !isSameBytes(newest.objectHash, objectHash(statement))) answerOrThrow(answer, where);
  }
}
