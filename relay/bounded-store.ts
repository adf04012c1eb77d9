// A store whose every call ends: one that throws or takes too long becomes `unknown`, so no request of a relay hangs on a store.
// A call given up here may still take effect later, which is exactly what `unknown` says.

import { FoldlogError } from '../kernel/errors.ts';
import type { Scheduler } from '../kernel/ports.ts';
import type { ObjectStore } from './object-store.ts';

type Unknown = { readonly kind: 'unknown'; readonly cause: unknown };

export function boundedStore(store: ObjectStore, scheduler: Scheduler, callMsMax: number): ObjectStore {
  const bounded = <T>(what: string, call: () => Promise<T>): Promise<T | Unknown> =>
    new Promise((resolve) => {
      const cancel = scheduler.after(callMsMax, () => resolve({ kind: 'unknown', cause: tooSlow(what, callMsMax) }));
      const end = (outcome: T | Unknown) => {
        cancel();
        resolve(outcome);
      };
      Promise.resolve()
        .then(call)
        .then(end, (cause: unknown) => end({ kind: 'unknown', cause }));
    });

  return {
    put: (key, bytes, condition) => bounded(`put ${key}`, () => store.put(key, bytes, condition)),
    get: (key) => bounded(`get ${key}`, () => store.get(key)),
    head: (key) => bounded(`head ${key}`, () => store.head(key)),
    delete: (key) => bounded(`delete ${key}`, () => store.delete(key)),
    list: (prefix, after, limit) => bounded(`list ${prefix}`, () => store.list(prefix, after, limit)),
  };
}

const tooSlow = (what: string, callMsMax: number): FoldlogError =>
  new FoldlogError('unavailable', { where: what, reason: 'storeSlow', found: `no answer in ${callMsMax} ms`, expected: 'one' });
