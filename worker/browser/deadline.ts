// A wait that always ends: the browser may answer late or never, and neither may leave a caller hanging.

import type { FoldlogError } from '../../kernel/errors.ts';

/** What `work` gives, or `late()` thrown after `ms`. A result that comes afterwards is dropped, and so is its error. */
export function within<T>(ms: number, work: Promise<T>, late: () => FoldlogError): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
