// A store that fails in the ways real ones do, by plan: a call is refused, applied without a reply, or applied later than the caller
// waited. It also watches what passes: an object written create-only must never change, and a test asks for that at its end.

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { sha256 } from '../../kernel/digest.ts';
import type { Random } from '../../kernel/ports.ts';
import type { CasOutcome, ObjectStore, PutCondition } from '../../relay/object-store.ts';

export type Fault =
  | 'none'
  /** Not applied; the caller cannot know. */
  | 'refused'
  /** Applied; the caller cannot know. */
  | 'replyLost'
  /** Not applied now: `landLate` applies it, condition and all. Reads take it as `refused`. */
  | 'appliedLate';

export interface StoreCall {
  /** From 1. */
  readonly number: number;
  readonly method: 'put' | 'get' | 'head' | 'delete' | 'list';
  readonly key: string;
}

export type FaultPlan = (call: StoreCall) => Fault;

export interface FaultyStore extends ObjectStore {
  readonly calls: readonly StoreCall[];
  /** What an immutable key did that it must not. Empty in every passing test. */
  readonly violations: readonly string[];
  /** Applies the puts that were to land late, in order, and tells how each ended. */
  landLate(): Promise<readonly CasOutcome[]>;
}

const injected = { kind: 'unknown', cause: new Error('injected') } as const;

export function faultyStore(inner: ObjectStore, plan: FaultPlan): FaultyStore {
  const calls: StoreCall[] = [];
  const violations: string[] = [];
  const late: (() => Promise<CasOutcome>)[] = [];
  const digests = new Map<string, string>();
  const replaced = new Set<string>();

  const faultOf = (method: StoreCall['method'], key: string): Fault => {
    const call = { number: calls.length + 1, method, key };
    calls.push(call);
    return plan(call);
  };

  const watch = (key: string, digest: string): void => {
    if (replaced.has(key)) return;
    const known = digests.get(key);
    if (known !== undefined && known !== digest) violations.push(`${key} changed from ${known} to ${digest}`);
    digests.set(key, digest);
  };

  const put = async (key: string, bytes: Uint8Array, condition: PutCondition): Promise<CasOutcome> => {
    const outcome = await inner.put(key, bytes, condition);
    if (outcome.kind !== 'written') return outcome;
    if (condition.kind === 'match') replaced.add(key);
    watch(key, bytesToHex(sha256(bytes)));
    return outcome;
  };

  return {
    calls,
    violations,
    async put(key, bytes, condition) {
      const fault = faultOf('put', key);
      if (fault === 'none') return put(key, bytes, condition);
      if (fault === 'replyLost') await put(key, bytes, condition);
      if (fault === 'appliedLate') {
        const copy = bytes.slice();
        late.push(() => put(key, copy, condition));
      }
      return injected;
    },
    async get(key) {
      if (faultOf('get', key) !== 'none') return injected;
      const outcome = await inner.get(key);
      if (outcome.kind === 'found') watch(key, bytesToHex(sha256(outcome.bytes)));
      return outcome;
    },
    async head(key) {
      if (faultOf('head', key) !== 'none') return injected;
      const outcome = await inner.head(key);
      if (outcome.kind === 'found') watch(key, bytesToHex(outcome.digest));
      return outcome;
    },
    async delete(key) {
      return faultOf('delete', key) === 'none' ? inner.delete(key) : injected;
    },
    async list(prefix, after, limit) {
      return faultOf('list', prefix) === 'none' ? inner.list(prefix, after, limit) : injected;
    },
    async landLate() {
      const outcomes: CasOutcome[] = [];
      for (const land of late.splice(0)) outcomes.push(await land());
      return outcomes;
    },
  };
}

/** Faults drawn from a seed: about `percent` of the calls, evenly over the kinds. */
export function seededFaults(random: Random, percent: number): FaultPlan {
  const kinds = ['refused', 'replyLost', 'appliedLate'] as const;
  return () => {
    const [first = 0, second = 0] = random.bytes(2);
    return first / 2.56 < percent ? (kinds[second % kinds.length] ?? 'refused') : 'none';
  };
}

/** Fails the nth call to a key that ends with `suffix`; others pass. */
export function faultAt(method: StoreCall['method'], keyPart: string, fault: Fault, times = 1): FaultPlan {
  let left = times;
  return (call) => {
    if (left === 0 || call.method !== method || !call.key.includes(keyPart)) return 'none';
    left -= 1;
    return fault;
  };
}

/**
 * A store whose process dies at its nth call: that call is applied or not, its reply never comes, and every later call throws.
 * Reads of the dead instance see nothing more; a fresh instance goes to `inner` directly.
 */
export function killedStore(
  inner: ObjectStore,
  at: { readonly call: number; readonly isApplied: boolean },
): ObjectStore & { readonly calls: number } {
  let calls = 0;
  const dead = new Error('the process is gone');
  const pass = async <T>(call: () => Promise<T>): Promise<T> => {
    calls += 1;
    if (calls < at.call) return call();
    if (calls === at.call && at.isApplied) await call();
    throw dead;
  };
  return {
    get calls() {
      return calls;
    },
    put: (key, bytes, condition) => pass(() => inner.put(key, bytes, condition)),
    get: (key) => pass(() => inner.get(key)),
    head: (key) => pass(() => inner.head(key)),
    delete: (key) => pass(() => inner.delete(key)),
    list: (prefix, after, limit) => pass(() => inner.list(prefix, after, limit)),
  };
}

/** All objects of a store with a prefix, for copying it back later: a rolled-back disk. */
export async function copyStore(from: ObjectStore, to: ObjectStore, prefix = ''): Promise<void> {
  for (const key of await keysOf(from, prefix)) {
    const found = await from.get(key);
    if (found.kind === 'found') await to.put(key, found.bytes, { kind: 'absent' });
  }
}

export async function keysOf(store: ObjectStore, prefix = ''): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let after = ''; ; after = keys.at(-1) ?? '') {
    const page = await store.list(prefix, after, 1_000);
    if (page.kind === 'unknown') throw page.cause;
    keys.push(...page.keys);
    if (!page.isMore) return keys;
  }
}

export const isSameStored = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b !== undefined && isSameBytes(a, b);
