// Carries commits to the page store: in the order they were made, one batch under way at a time, everything committed meanwhile in the next. So a
// batch that stands implies all before it, of every file, and callers who come together share one transaction.

import type { Bytes } from '../../../kernel/bytes.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import type { Scheduler } from '../../../kernel/ports.ts';
import type { CommittedPages } from './mirror-file.ts';
import type { FileChange, PageBatch, PageStore } from './page-store.ts';
import { type PageSums, pageSum, textSum } from './page-sum.ts';
import { makeFile } from './stored.ts';

/** Commits nobody waits for (folded slices, cursors) are gathered this long. */
const idleFlushMs = 50;
/** After a failed flush that nobody waits for. */
const retryFlushMs = 5_000;

/** Changes of one file on their way, and who waits for them. */
interface Pending {
  readonly file: string;
  readonly change: CommittedPages | 'removed';
  readonly sums: PageSums | undefined;
  waiter: Deferred | undefined;
}

interface Deferred {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class FlushQueue {
  readonly #store: PageStore;
  readonly #scheduler: Scheduler;
  #waiting = new Map<string, Pending>();
  #flying: Map<string, Pending> | undefined;
  #flight: Promise<void> = Promise.resolve();
  #landed: number;
  #number: number;
  #cancelTimer: (() => void) | undefined;
  #isClosed = false;
  /** Why nothing of this worker lands any more: another owner, or a store that is not the one it opened. */
  #ended: FoldlogError | undefined;

  constructor(store: PageStore, scheduler: Scheduler, batch: number) {
    this.#store = store;
    this.#scheduler = scheduler;
    this.#landed = batch;
    this.#number = batch;
  }

  /** A commit of `file`. Flushed soon, or with the next call of `flush`. */
  put(file: string, change: CommittedPages, sums: PageSums): void {
    this.#take({ file, change, sums, waiter: undefined });
  }

  remove(file: string): void {
    this.#take({ file, change: 'removed', sums: undefined, waiter: undefined });
  }

  /** Resolves when every commit of the file until now stands in the store; undefined when it does already. */
  flush(file: string): Promise<void> | undefined {
    const pending = this.#waiting.get(file) ?? this.#flying?.get(file);
    if (pending === undefined) return undefined;
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    pending.waiter ??= deferred();
    this.#start();
    return pending.waiter.promise;
  }

  /** Forgets what has not landed of a file. Afterwards the store says how it stands. */
  async drop(file: string): Promise<void> {
    const waiting = this.#waiting.get(file);
    this.#waiting.delete(file);
    waiting?.waiter?.reject(reverted(file));
    while (this.#flying?.has(file)) {
      await this.#flight;
      // A batch that failed has put it back.
      this.#waiting.delete(file);
    }
  }

  /** Brings everything to the store, or gives up after one try. */
  async close(): Promise<void> {
    await this.#flight;
    this.#start();
    await this.#flight;
    this.#isClosed = true;
    this.#cancelTimer?.();
  }

  #take(next: Pending): void {
    const older = this.#waiting.get(next.file);
    this.#waiting.set(next.file, older === undefined ? next : merged(older, next));
    this.#startIn(idleFlushMs);
  }

  #startIn(delayMs: number): void {
    if (this.#cancelTimer !== undefined || this.#isClosed || this.#ended !== undefined) return;
    this.#cancelTimer = this.#scheduler.after(delayMs, () => {
      this.#cancelTimer = undefined;
      this.#start();
    });
  }

  #start(): void {
    if (this.#flying !== undefined || this.#waiting.size === 0 || this.#isClosed || this.#ended !== undefined) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    const flying = this.#waiting;
    this.#flying = flying;
    this.#waiting = new Map();
    this.#flight = this.#send(flying).then(
      () => this.#end(flying, undefined),
      (error: unknown) => this.#end(flying, error),
    );
  }

  async #send(flying: ReadonlyMap<string, Pending>): Promise<void> {
    const batch: PageBatch = {
      number: ++this.#number,
      after: this.#landed,
      changes: [...flying.values()].map((pending) => changeOf(pending, this.#number)),
    };
    let outcome = await this.#store.commit(batch);
    if (outcome.kind === 'unknown') outcome = await this.#store.commit(batch);
    if (outcome.kind === 'unknown') throw unknownFlush(this.#store.name, outcome.cause);
    this.#landed = batch.number;
  }

  /** The finished flush starts the next itself: a start chained to its promise could be overtaken by new callers for ever. */
  #end(flying: ReadonlyMap<string, Pending>, error: unknown): void {
    this.#flying = undefined;
    const waiters = [...flying.values()].flatMap(({ waiter }) => waiter ?? []);
    if (error !== undefined) {
      if (error instanceof FoldlogError && error.retry === 'never') {
        this.#ended = error;
        for (const { waiter } of this.#waiting.values()) if (waiter !== undefined) waiters.push(waiter);
      }
      for (const pending of flying.values()) {
        pending.waiter = undefined;
        const newer = this.#waiting.get(pending.file);
        this.#waiting.set(pending.file, newer === undefined ? pending : merged(pending, newer));
      }
    }
    if ([...this.#waiting.values()].some(({ waiter }) => waiter !== undefined)) this.#start();
    else if (this.#waiting.size > 0) this.#startIn(error === undefined ? idleFlushMs : retryFlushMs);
    for (const waiter of waiters) error === undefined ? waiter.resolve() : waiter.reject(error);
  }
}

/** Both as one: what `newer` says goes first. */
function merged(older: Pending, newer: Pending): Pending {
  const waiter = newer.waiter ?? older.waiter;
  if (newer.change === 'removed') return { ...newer, waiter };
  // A new file under the name of one that goes: its first commit drops all that stood there.
  if (older.change === 'removed') return { ...newer, change: { ...newer.change, dropFrom: 0 }, waiter };
  const { dropFrom = Number.POSITIVE_INFINITY } = newer.change;
  const pages = new Map<number, Bytes>([...older.change.pages].filter(([page]) => page < dropFrom));
  for (const [page, bytes] of newer.change.pages) pages.set(page, bytes);
  const drop = Math.min(older.change.dropFrom ?? Number.POSITIVE_INFINITY, dropFrom);
  return { ...newer, change: { dropFrom: Number.isFinite(drop) ? drop : undefined, pages, count: newer.change.count }, waiter };
}

/** Made up again for a batch that is tried again, it comes out the same. */
function changeOf({ file, change, sums }: Pending, batch: number): FileChange {
  if (change === 'removed' || sums === undefined) return { kind: 'remove', file };
  if (change.dropFrom !== undefined) sums.cut(change.dropFrom);
  const fileSum = textSum(file);
  const pages = [...change.pages].map(([page, bytes]) => ({ file, page, bytes, sum: pageSum(fileSum, page, bytes) }));
  for (const { page, sum } of pages) sums.set(page, sum);
  return { kind: 'put', record: makeFile(file, change.count, batch, sums.total), dropFrom: change.dropFrom, pages };
}

function deferred(): Deferred {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

const unknownFlush = (where: string, cause: unknown): FoldlogError =>
  new FoldlogError('unknown', {
    where,
    reason: 'flushUnanswered',
    found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
    expected: 'a transaction that completes or aborts',
    cause,
  });

const reverted = (file: string): FoldlogError =>
  new FoldlogError('unavailable', {
    where: file,
    reason: 'reverted',
    found: 'a file that went back to its last flush',
    expected: 'a flush of this commit',
  });
