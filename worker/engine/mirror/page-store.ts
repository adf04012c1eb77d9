// The port behind mirrored files: pages in a store that knows transactions (IndexedDB; a simulated one in tests). What a store must promise, and
// the one rule every adapter applies inside each of its transactions.

import { FoldlogError } from '../../../kernel/errors.ts';
import { readOwner, type StoredFile, type StoredPage } from './stored.ts';

export type FileChange =
  | {
      readonly kind: 'put';
      readonly record: StoredFile;
      /** Stored pages from this one on go before `pages` are put. 0: whatever stood under the name. */
      readonly dropFrom: number | undefined;
      readonly pages: readonly StoredPage[];
    }
  | { readonly kind: 'remove'; readonly file: string };

/** What lands together: all that was committed until it was made up, of every file. */
export interface PageBatch {
  /** Never the number of another batch of this store, whatever became of it. */
  readonly number: number;
  /** The newest batch known to have landed. */
  readonly after: number;
  readonly changes: readonly FileChange[];
}

/** A lost answer is neither: the same batch is sent again, and its number says whether it stands. */
export type CommitOutcome = { readonly kind: 'landed' } | { readonly kind: 'unknown'; readonly cause: unknown };

export interface PageStore {
  readonly name: string;
  /**
   * Becomes the owner: no batch of an owner before lands from now on.
   * @returns the newest batch and the record of each file, unchecked
   */
  open(): Promise<{ readonly batch: number; readonly files: readonly unknown[] }>;
  /**
   * Reads one file as of one moment. `take` gets its pages in order, some at a time, and must not wait for anything.
   * @returns the file's record, unchecked; undefined when there is none
   * @throws {FoldlogError} `locked` `ownerReplaced`; `unavailable`
   */
  load(file: string, take: (pages: readonly unknown[]) => void): Promise<unknown>;
  /**
   * Writes a batch in one transaction, durable when this resolves `landed`. A rejection means that nothing of it is there.
   * @throws {FoldlogError} `storageFull`; `locked` `ownerReplaced`; `unavailable`; `corrupt`
   */
  commit(batch: PageBatch): Promise<CommitOutcome>;
  close(): void;
}

/**
 * Asked inside each transaction, with the owner record as it stands there.
 * @throws {FoldlogError} `locked` `ownerReplaced`; `reloadNeeded` `storeCleared`; `corrupt` `lostBatch`
 */
export function judgeOwner(stored: unknown, epoch: number, where: string, batch?: PageBatch): 'apply' | 'landed' {
  if (stored === undefined) {
    throw new FoldlogError('reloadNeeded', {
      where,
      reason: 'storeCleared',
      found: 'an empty store',
      expected: 'the one this worker opened',
      todo: 'somebody cleared the data of this site; reload this page',
    });
  }
  const owner = readOwner(stored, where);
  if (owner.epoch !== epoch) {
    throw new FoldlogError('locked', {
      where,
      reason: 'ownerReplaced',
      retry: 'never',
      found: `owner epoch ${owner.epoch}`,
      expected: `epoch ${epoch}, this worker's`,
      todo: 'another tab has taken over; use that one',
    });
  }
  if (batch === undefined || (owner.batch >= batch.after && owner.batch < batch.number)) return 'apply';
  if (owner.batch === batch.number) return 'landed';
  throw FoldlogError.corrupt({
    where,
    reason: 'lostBatch',
    found: `a store at batch ${owner.batch}`,
    expected: `one at batch ${batch.after} or after`,
    todo: 'the browser took back what it had kept; reload this page',
  });
}
