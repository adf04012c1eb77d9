// Upkeep of one own shard: asks what is due of publishing and truncating (shards/publish-plan.ts), does one thing at a time, and backs off after what
// failed. Nothing here remembers a job: each round decides from what is stored (decision 0012).

import { assertNever, FoldlogError } from '../../kernel/errors.ts';
import { databaseBytesWarn, pastGroupsMax } from '../../kernel/limits.ts';
import { type Seq, seq } from '../../kernel/units.ts';
import { type PublishFacts, planPublish, planUpkeep, type UpkeepFacts } from '../../shards/publish-plan.ts';
import type { ControlReplica } from './control.ts';
import { Loop, type LoopPorts, type RoundEnd } from './loop.ts';
import { readMove } from './move-schema.ts';
import { Mutex } from './mutex.ts';
import { type Published, Publisher, type PublishPorts } from './publish.ts';
import type { Pusher } from './push-loop.ts';
import { Meta } from './shard-file.ts';
import type { ShardStore } from './shard-store.ts';
import type { StoragePool } from './storage-pool.ts';
import { type TruncateRun, Truncator } from './truncate.ts';
import { type LongestTurns, Turns } from './turns.ts';

export type UpkeepJob = 'idle' | 'publishing' | 'truncating';

export interface UpkeepStatus {
  readonly job: UpkeepJob;
  /** Why the job that runs, or ran last, was due. */
  readonly reason: string | undefined;
  /** Of the last job; undefined once one of its kind ended well. */
  readonly lastError: FoldlogError | undefined;
  /** Wall time of the next try while backing off. */
  readonly retryAtMs: number | undefined;
  /** The log here begins behind this seq; what was before is at the relay and in the checkpoint. */
  readonly baseSeq: number;
  /** Stored bytes of the committed groups that are here, as last measured; undefined before the first receipt of this run and while it is truncated. */
  readonly logBytes: number | undefined;
  readonly fileBytes: number;
  /** Of pages that hold nothing, and are given back when it is worth it. */
  readonly freeBytes: number;
  /** The file is so large that starting and moving it takes long: keep less in the shard. */
  readonly isLarge: boolean;
  /** The newest of this device's checkpoints that stands at the relay. */
  readonly checkpoint: { readonly number: number; readonly seq: number } | undefined;
  /** Checkpoint bytes that went out, and bytes of groups that were committed, since this file was made. */
  readonly uploadedBytes: number;
  readonly loggedBytes: number | undefined;
  /** How long a save may have waited for one turn of upkeep, by what the turn was for. */
  readonly longestTurnsMs: LongestTurns;
}

export interface UpkeepPorts extends LoopPorts, PublishPorts {}

export class Upkeep {
  readonly #ports: UpkeepPorts;
  readonly #store: ShardStore;
  readonly #pusher: Pusher;
  readonly #turns: Turns;
  readonly publisher: Publisher;
  readonly #truncator: Truncator;
  readonly #loop: Loop;
  readonly #events: { readonly onState: () => void; readonly onDamage: (error: FoldlogError) => void; readonly isThrottled: () => boolean };
  /** Held by whoever reads the whole log, and by truncating, which takes it away. */
  readonly #logTurn = new Mutex();
  #measured: { readonly db: unknown; readonly baseSeq: Seq; readonly upTo: Seq; readonly bytes: number } | undefined;
  #job: UpkeepJob = 'idle';
  #reason: string | undefined;
  #lastError: FoldlogError | undefined;
  #suspicion: FoldlogError | undefined;
  #isDamaged = false;
  #isClosed = false;

  constructor(
    ports: UpkeepPorts,
    pool: StoragePool,
    at: { readonly store: ShardStore; readonly pusher: Pusher; readonly control: ControlReplica },
    wakePush: () => void,
    events: { readonly onState: () => void; readonly onDamage: (error: FoldlogError) => void; readonly isThrottled: () => boolean },
  ) {
    this.#ports = ports;
    this.#store = at.store;
    this.#pusher = at.pusher;
    this.#events = events;
    this.#turns = new Turns(ports.clock, at.store.mutex);
    this.publisher = new Publisher(ports, pool, { ...at, turns: this.#turns }, wakePush);
    this.#truncator = new Truncator(ports, { ...at, publisher: this.publisher, turns: this.#turns }, { pastGroupsMax });
    this.#loop = new Loop(ports, () => this.#round());
  }

  /** A receipt came, or the network is back. While backing off it waits for its time. */
  wake(atOnce = false): void {
    if (this.#pusher.receipt !== undefined) this.#loop.wake(atOnce);
  }

  /**
   * The tables were brought up and nothing was saved since: the checkpoint that is due is begun before the next save can be (decision 0004). Resolves when its
   * state is frozen, or when that failed; then the next round has it due again.
   */
  async publishMove(): Promise<void> {
    const plan = await this.#turns.own('look', () => {
      const { head } = this.#store;
      const facts = this.#publishFacts();
      return facts.movedSeq === head.seq ? planPublish({ ...facts, committedSeq: head.seq }) : undefined;
    });
    if (plan?.kind !== 'publish') return;
    await new Promise<void>((resolve) => {
      this.#as('publishing', plan.reason, () => this.publisher.publish(resolve)).then(
        () => resolve(),
        () => resolve(),
      );
    });
  }

  /** Due since an earlier start, and perhaps nothing will be committed that would ask. */
  async wakeIfMoved(): Promise<void> {
    const isDue = await this.#turns.own('look', () => {
      const { movedSeq, checkpointSeq } = this.#publishFacts();
      return !this.#isClosed && movedSeq > checkpointSeq;
    });
    if (isDue) this.wake();
  }

  /** @throws {FoldlogError} see publish.ts; what an audit found and nothing has put right */
  async publish(): Promise<Published> {
    if (this.#suspicion !== undefined) throw this.#suspicion;
    return this.#as('publishing', 'asked for', () => this.publisher.publish());
  }

  /** Truncates now, whatever is due. @throws {FoldlogError} see truncate.ts; what an audit found and nothing has put right */
  async truncate(): Promise<TruncateRun> {
    if (this.#suspicion !== undefined) throw this.#suspicion;
    return this.#truncate('asked for');
  }

  /** Runs something that reads the whole log while nothing is taken from it. */
  withWholeLog<T>(work: () => Promise<T>): Promise<T> {
    return this.#logTurn.own('other', work);
  }

  /** While an audit's finding stands, nothing is signed over that state, and every byte is evidence. Undefined: nothing was found, or it was put right. */
  suspect(finding: FoldlogError | undefined): void {
    this.#suspicion = finding;
  }

  /** In a turn of the mutex. */
  status(): UpkeepStatus {
    const { all, free } = this.#store.fileBytes();
    const meta = new Meta(this.#store.db);
    const noted = this.publisher.noted;
    const baseSeq = this.#store.log.base.head.seq;
    const logBytes = this.#measured?.baseSeq === baseSeq ? this.#measured.bytes : undefined;
    return {
      job: this.#job,
      reason: this.#reason,
      lastError: this.#lastError,
      retryAtMs: this.#loop.retryAt,
      baseSeq,
      logBytes,
      fileBytes: all,
      freeBytes: free,
      isLarge: all > databaseBytesWarn,
      checkpoint: noted === undefined ? undefined : { number: noted.number, seq: noted.head.seq },
      uploadedBytes: this.publisher.uploadedBytes,
      loggedBytes: logBytes === undefined ? undefined : (meta.number('truncatedBytes') ?? 0) + logBytes,
      longestTurnsMs: this.#turns.longest,
    };
  }

  get isIdle(): boolean {
    return this.#loop.isIdle && !this.publisher.isRunning;
  }

  /** Ends at the next slice of what runs. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#truncator.close();
    await Promise.all([this.publisher.close(), this.#loop.stop()]);
    await this.#logTurn.own('other', () => undefined);
  }

  async #round(): Promise<RoundEnd> {
    if (this.#isClosed || this.#suspicion !== undefined || this.#pusher.receipt === undefined || this.#pusher.state.kind === 'stopped')
      return 'idle';
    try {
      const plan = planUpkeep(await this.#ofLog(() => this.#facts()));
      switch (plan.kind) {
        case 'wait':
          return 'idle';
        case 'publish':
          if (this.#events.isThrottled()) return 'idle'; // the end of the throttle wakes this
          if (this.#pusher.state.kind === 'waiting') return 'idle'; // the relay is away; its next receipt wakes this
          // An earlier try may have come further than it knew.
          await this.#as('publishing', plan.reason, async () => (await this.publisher.settle()) || this.publisher.publish());
          return 'more';
        case 'truncate':
        case 'vacuum': {
          const { fromSeq, toSeq, freedBytes } = await this.#truncate(plan.reason);
          return toSeq > fromSeq || freedBytes > 0 ? 'more' : 'idle';
        }
        default:
          return assertNever(plan);
      }
    } catch {
      return this.#isDamaged ? 'stopped' : 'failed';
    }
  }

  #truncate(reason: string): Promise<TruncateRun> {
    return this.withWholeLog(() =>
      this.#as('truncating', reason, async () => {
        const run = await this.#ofLog(() => this.#truncator.run());
        await this.#measure();
        return run;
      }),
    );
  }

  /** A log that does not verify is closed for saves, which would build on it, as when an audit finds it. */
  async #ofLog<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof FoldlogError && error.kind === 'corrupt') {
        this.#isDamaged = true;
        this.#lastError = error;
        this.#events.onDamage(error);
      }
      throw error;
    }
  }

  async #as<T>(job: UpkeepJob, reason: string, work: () => Promise<T>): Promise<T> {
    this.#job = job;
    this.#reason = reason;
    this.#events.onState();
    try {
      const done = await work();
      this.#lastError = undefined;
      return done;
    } catch (error) {
      const failure = this.#store.db.failure(error, `${job} ${this.#store.file}`);
      this.#lastError = failure;
      throw failure;
    } finally {
      this.#job = 'idle';
      this.#events.onState();
    }
  }

  async #facts(): Promise<UpkeepFacts> {
    const logBytes = await this.#measure();
    return this.#turns.own('look', () => {
      const { all, free } = this.#store.fileBytes();
      return {
        ...this.#publishFacts(),
        baseSeq: this.#store.log.base.head.seq,
        truncatableSeq: this.#truncator.limit(),
        logBytes,
        freeBytes: free,
        fileBytes: all,
      };
    });
  }

  /** In a turn of the mutex. */
  #publishFacts(): PublishFacts {
    return {
      committedSeq: this.#pusher.committed.seq,
      checkpointSeq: this.publisher.noted?.head.seq ?? 0,
      movedSeq: readMove(new Meta(this.#store.db))?.atSeq ?? 0,
    };
  }

  /** Counts the committed groups that came since the last look; all of them when the log is another than then. */
  async #measure(): Promise<number> {
    for (let isEnd = false; !isEnd; ) {
      await this.#ports.scheduler.yield();
      isEnd = await this.#turns.own('look', () => {
        const { db, log } = this.#store;
        const base = log.base.head.seq;
        const known = this.#measured;
        const from = known?.db === db && known.baseSeq === base ? known : { db, baseSeq: base, upTo: base, bytes: 0 };
        const next = log.measure(from.upTo, seq(Math.max(from.upTo, this.#pusher.committed.seq)));
        this.#measured = { ...from, upTo: next.upTo, bytes: from.bytes + next.bytes };
        return next.isEnd || this.#isClosed;
      });
    }
    return this.#measured?.bytes ?? 0;
  }
}

/** In words, for status. No upkeep makes the state itself smaller: only the app can keep less in one shard. */
export const largeFile = (own: {
  readonly kind: string;
  readonly name: string;
  readonly upkeep: UpkeepStatus | undefined;
}): readonly string[] =>
  own.upkeep?.isLarge === true
    ? [
        `shard ${own.kind}/${own.name}: found a file of ${own.upkeep.fileBytes} bytes, expected at most ${databaseBytesWarn}; keep less in it`,
      ]
    : [];
