// Lets go of the oldest groups of an own shard's log, as far as a receipt and a published checkpoint both cover them, and gives the pages back to the host.
// In slices behind all saves; stopped anywhere, what stands is a log that begins behind its base (decision 0012, steps t1 to t5).

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { sliceMsMax } from '../../kernel/limits.ts';
import type { Clock, Scheduler } from '../../kernel/ports.ts';
import type { Head, Seq } from '../../kernel/units.ts';
import type { Truncated } from './chain-log.ts';
import { type LogPlace, verifyGroups } from './log-check.ts';
import type { Publisher } from './publish.ts';
import type { Pusher } from './push-loop.ts';
import type { ShardStore } from './shard-store.ts';
import type { Turns } from './turns.ts';

interface TruncatePorts {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

export interface TruncateSettings {
  /** Truncated groups whose place is still told. */
  readonly pastGroupsMax: number;
}

/** What one run did. */
export interface TruncateRun {
  readonly fromSeq: Seq;
  readonly toSeq: Seq;
  readonly logBytes: number;
  readonly freedBytes: number;
}

/** A slice writes for half of its time; its COMMIT has the other half. */
const workMsMax = sliceMsMax / 2;
/** WAL that truncating gathers before it takes it into the file, a fraction of SQLite's own bound: what a save may have to wait for at once. */
const jobWalBytesMax = 1024 * 1024;

export class Truncator {
  readonly #ports: TruncatePorts;
  readonly #store: ShardStore;
  readonly #pusher: Pusher;
  readonly #publisher: Publisher;
  readonly #turns: Turns;
  readonly #settings: TruncateSettings;
  #isClosed = false;

  constructor(
    ports: TruncatePorts,
    at: { readonly store: ShardStore; readonly pusher: Pusher; readonly publisher: Publisher; readonly turns: Turns },
    settings: TruncateSettings,
  ) {
    this.#ports = ports;
    this.#store = at.store;
    this.#pusher = at.pusher;
    this.#publisher = at.publisher;
    this.#turns = at.turns;
    this.#settings = settings;
  }

  /**
   * t1: the end of the last group that may go; the base when none may. In a turn of the mutex.
   * @throws {FoldlogError} `corrupt` `damagedLog`: another group stands where a receipt or a checkpoint of ours names one
   */
  limit(): Seq {
    const { log, head } = this.#store;
    const base = log.base.head.seq;
    const receipt = this.#pusher.receipt?.head;
    const checkpoint = this.#publisher.noted?.head;
    if (receipt === undefined || checkpoint === undefined) return base;
    const lower = receipt.seq < checkpoint.seq ? receipt : checkpoint;
    if (lower.seq <= base) return base;
    this.#requireOurs(lower);
    // The newest group stays: head, key and seal of the chain are read from it.
    return lower.seq < head.seq ? lower.seq : (log.endBefore(head.seq) ?? base);
  }

  /** Ends what runs at its next slice. */
  close(): void {
    this.#isClosed = true;
  }

  /**
   * All steps. One run at a time, and none while an audit reads the log: the caller sees to it.
   * @throws {FoldlogError} `corrupt` `damagedLog`: nothing was deleted on a log that does not verify; `storageFull`, `unavailable`: what was deleted stays so
   */
  async run(): Promise<TruncateRun> {
    const { from, limit, fileBytes } = await this.#turns.own('look', () => ({
      from: this.#store.log.base.head,
      limit: this.limit(),
      fileBytes: this.#store.fileBytes().all,
    }));
    let logBytes = 0;
    let to = from.seq;
    if (limit > from.seq) {
      await this.#verify(from); // t2
      for (let isEnd = false; !isEnd && !this.#isClosed; ) {
        const done = await this.#slice(limit); // t3
        ({ isEnd } = done);
        to = done.head.seq;
        logBytes += done.bytes;
        await this.#settleWal(jobWalBytesMax);
      }
      await this.#store.flush();
    }
    await this.vacuum();
    const now = await this.#turns.own('look', () => this.#store.fileBytes().all);
    return { fromSeq: from.seq, toSeq: to, logBytes, freedBytes: Math.max(0, fileBytes - now) };
  }

  /** t4, t5 */
  async vacuum(): Promise<void> {
    for (let isEnd = false; !isEnd && !this.#isClosed; ) {
      await this.#ports.scheduler.yield();
      isEnd = await this.#turns.own('vacuum', () => this.#vacuumSlice());
      await this.#settleWal(jobWalBytesMax);
    }
    await this.#settleWal(0);
    await this.#store.flush();
  }

  /** Takes the WAL into the file when it is longer than `bytes`, before a save would have to: SQLite cannot divide it, so it is done while it is short. */
  async #settleWal(bytes: number): Promise<void> {
    await this.#turns.own('checkpoint', () => {
      // A copy that is being made wants the file as it is; the pages go when it is done.
      if (!this.#store.isFrozen && this.#store.walBytes() > bytes) this.#store.checkpointWal();
    });
  }

  /** The whole log, not only what goes: what stays must be worth staying. */
  async #verify(from: Head): Promise<void> {
    let place: LogPlace = { head: from, sealedSeq: from.seq, isEnd: false };
    while (!place.isEnd && !this.#isClosed) {
      await this.#ports.scheduler.yield();
      place = await this.#turns.own('verify', () => {
        const { db, identity, file } = this.#store;
        const until = this.#ports.clock.ticks() + workMsMax;
        let at = place;
        do
          at = verifyGroups(db, identity, at, 1, file); // a body may be 4 MB
        while (!at.isEnd && !this.#mustEnd(until));
        return at;
      });
    }
    if (place.isEnd && place.sealedSeq !== place.head.seq) {
      throw this.#damaged(`no seal after seq ${place.sealedSeq}`, `one at the head, seq ${place.head.seq}`);
    }
  }

  async #slice(limit: Seq): Promise<Truncated> {
    await this.#ports.scheduler.yield();
    return this.#turns.own('delete', async () => {
      const { db, log, file } = this.#store;
      const until = this.#ports.clock.ticks() + workMsMax;
      let done: Truncated;
      try {
        db.exec('BEGIN IMMEDIATE');
        done = log.truncate(limit, this.#settings.pastGroupsMax, () => this.#mustEnd(until));
      } catch (error) {
        db.rollback();
        throw db.failure(error, file);
      }
      try {
        db.exec('COMMIT');
      } catch (error) {
        // Nothing is known of this connection now: the file says how far the log went (decision 0002).
        const failure = db.failure(error, file);
        await this.#store.reopen();
        throw failure;
      }
      log.truncated(done);
      return done;
    });
  }

  /** True at the end. SQLite moves one page a step, from the end of the file into a free place. */
  #vacuumSlice(): boolean {
    const { db } = this.#store;
    const before = this.#store.fileBytes().free;
    if (before === 0) return true;
    const until = this.#ports.clock.ticks() + workMsMax;
    db.transaction(() => {
      for (const _ of db.rows('PRAGMA incremental_vacuum')) if (this.#mustEnd(until)) break;
    });
    return this.#store.fileBytes().free >= before;
  }

  #mustEnd(until: number): boolean {
    return this.#turns.hasWaitingSave || this.#ports.clock.ticks() >= until;
  }

  #requireOurs(at: Head): void {
    const found = this.#store.log.hashAt(at.seq);
    if (found !== undefined && isSameBytes(found, at.hash)) return;
    throw this.#damaged(
      found === undefined ? `no group that ends at seq ${at.seq}` : `another group at seq ${at.seq}`,
      `${bytesToHex(at.hash).slice(0, 8)}, which was committed and published`,
    );
  }

  #damaged(found: string, expected: string): FoldlogError {
    const todo = 'nothing was deleted; keep the file as it is';
    return FoldlogError.corrupt({ where: this.#store.file, reason: 'damagedLog', found, expected, todo });
  }
}
