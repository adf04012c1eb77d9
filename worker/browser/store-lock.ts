// Web Locks: one worker owns a store, from before its first OPFS call until it dies. The browser frees a lock whatever ends its holder,
// so there is nothing to clean up and no lease to expire (decision 0006).

import { FoldlogError } from '../../kernel/errors.ts';
import { lockWaitMs } from './bounds.ts';

export const storeLockName = (store: string): string => `foldlog/${store}`;

/**
 * Takes a lock and keeps it until the returned function is called or this worker ends.
 * @throws {FoldlogError} `locked` `storeLocked` when another holds it all through `waitMs`; `unavailable` `noWebLocks`
 */
export function holdLock(name: string, waitMs = lockWaitMs): Promise<() => void> {
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
    locks.request(name, { signal: AbortSignal.timeout(waitMs) }, hold).catch((cause: unknown) => reject(lockFailure(name, waitMs, cause)));
  });
}

function lockFailure(name: string, waitMs: number, cause: unknown): FoldlogError {
  const isTaken = cause instanceof DOMException && (cause.name === 'TimeoutError' || cause.name === 'AbortError');
  if (isTaken) {
    return new FoldlogError('locked', {
      where: name,
      reason: 'storeLocked',
      found: 'another tab or window that has this store open',
      expected: `nobody within ${waitMs} ms`,
      cause,
    });
  }
  return new FoldlogError('unavailable', {
    where: name,
    reason: 'lockRefused',
    found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
    expected: 'a Web Lock',
    cause,
  });
}
