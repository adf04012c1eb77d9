// Web Locks: one worker owns a store, from before its first OPFS call until it dies. The browser frees a lock whatever ends its holder,
// so there is nothing to clean up and no lease to expire (decision 0006).

import { FoldlogError } from '../../kernel/errors.ts';

export const storeLockName = (store: string): string => `foldlog/${store}`;

/**
 * Waits for a lock and keeps it until the returned function is called or this worker ends. Waits for ever, behind those who asked before: whoever
 * cannot wait ends the worker.
 * @throws {FoldlogError} `unavailable` `noWebLocks`, `lockRefused`
 */
export function holdLock(name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const { locks } = navigator as { readonly locks?: LockManager };
    if (locks === undefined) {
      return reject(
        new FoldlogError('unavailable', {
          where: name,
          reason: 'noWebLocks',
          retry: 'never',
          found: 'no navigator.locks',
          expected: 'Web Locks, which a secure page (https or localhost) has',
          todo: 'serve the page over https, or update the browser',
        }),
      );
    }
    const hold = (): Promise<void> => new Promise((release) => resolve(release));
    locks.request(name, hold).catch((cause: unknown) => reject(lockFailure(name, cause)));
  });
}

/** Calls `then` once when whoever holds the lock has let go or died. Returns the end of it. */
export function whenFree(name: string, then: () => void): () => void {
  const watch = new AbortController();
  navigator.locks.request(name, { signal: watch.signal }, then).catch(() => undefined);
  return () => watch.abort();
}

const lockFailure = (name: string, cause: unknown): FoldlogError =>
  new FoldlogError('unavailable', {
    where: name,
    reason: 'lockRefused',
    found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
    expected: 'a Web Lock',
    cause,
  });
