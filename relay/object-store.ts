// The port to a relay's object store: a flat map from keys to immutable-or-conditionally-replaced bytes. What every store must
// promise is written at each method; tests/conformance/object-store.test.ts runs one suite on all of them, and probe.ts checks
// the part that safety rests on before a relay serves. Apart from the adapters, so that nothing above knows which store it has.

import type { Bytes } from '../kernel/bytes.ts';
import type { Hash } from '../kernel/units.ts';

declare const brand: unique symbol;
/** Names one state of one key for a conditional put. Opaque: only the store that gave it may read it. */
export type Etag = string & { readonly [brand]: 'Etag' };

export const etag = (text: string): Etag => text as Etag;

export type PutCondition =
  /** Only where no object stands. */
  | { readonly kind: 'absent' }
  /** Only in the place of exactly this state of the key. */
  | { readonly kind: 'match'; readonly etag: Etag };

export const ifAbsent: PutCondition = { kind: 'absent' };
export const ifMatch = (state: Etag): PutCondition => ({ kind: 'match', etag: state });

/** A conditional put has three outcomes, not two: a lost reply is neither success nor failure. */
export type CasOutcome =
  | { readonly kind: 'written'; readonly etag: Etag }
  /** The condition did not hold. After an `unknown` put of the same bytes it may be that very put which stands there: read it. */
  | { readonly kind: 'lost' }
  /** Applied, not applied, or applied later. Settled by the identical put (settle.ts). */
  | { readonly kind: 'unknown'; readonly cause: unknown };

export interface Stored {
  readonly bytes: Bytes;
  readonly etag: Etag;
}

export interface StoredHead {
  readonly size: number;
  /** SHA-256 of the bytes. */
  readonly digest: Hash;
  readonly etag: Etag;
}

export type ReadOutcome<T> =
  | ({ readonly kind: 'found' } & T)
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly cause: unknown };

export type DeleteOutcome = { readonly kind: 'deleted' } | { readonly kind: 'unknown'; readonly cause: unknown };

export type ListOutcome =
  | { readonly kind: 'listed'; readonly keys: readonly string[]; readonly isMore: boolean }
  | { readonly kind: 'unknown'; readonly cause: unknown };

/** Keys: path segments of lower-case letters, digits, `.`, `-`, `_`, joined by `/`; at most 512 characters. */
export interface ObjectStore {
  /**
   * Stores the bytes whole or not at all, when the condition holds. Of any number of racing puts on one state of a key at most
   * one is `written`, and then it is durable: it survives a kill of the relay and a power cut of its host.
   * Never retries and never throws for trouble of the store: that is `unknown`, and the caller settles it.
   */
  put(key: string, bytes: Uint8Array, condition: PutCondition): Promise<CasOutcome>;

  /**
   * The bytes as of some moment during the call: a put that was answered before the call is seen.
   * What a read returned stays: it is as durable as if this caller had written it.
   */
  get(key: string): Promise<ReadOutcome<Stored>>;

  /** As `get`, without moving the bytes where the store can say their digest itself. */
  head(key: string): Promise<ReadOutcome<StoredHead>>;

  /** Removes a key whatever its state; `deleted` also when there was nothing. Unconditional, so never for a name that can be wanted again. */
  delete(key: string): Promise<DeleteOutcome>;

  /** Keys with a prefix, in byte order, after `after` (exclusive; '' = from the first), at most `limit`. For tools and GC: nothing decides by it. */
  list(prefix: string, after: string, limit: number): Promise<ListOutcome>;
}

const keyPattern = /^[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*)*$/;

/** Whether a key is in the one grammar that every store can hold as it is: no empty, dotted or climbing segment. */
export const isObjectKey = (key: string): boolean => key.length <= 512 && keyPattern.test(key);
