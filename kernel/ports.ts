// What the host gives: crypto, clock, random, scheduler, deflate, network. Each promise is in the doc comment;
// nothing inside kernel, shards, worker/engine or relay reaches for a global instead (tests/tidy.test.ts).

import type { Bytes } from './bytes.ts';
import type { PublicKey, Signature, TimeMs } from './units.ts';

/** Verifies under the one strict rule of kernel/ed25519.ts. Total: malformed input is `false`, never a throw. */
export interface Verifier {
  verify(key: PublicKey, message: Uint8Array, signature: Uint8Array): Promise<boolean>;
}

/** One private key that never leaves its holder. */
export interface Signer {
  readonly publicKey: PublicKey;
  /** `sealed`: the key cannot be exported from its host; `software`: it lies in memory. */
  readonly hold: 'sealed' | 'software';
  sign(message: Uint8Array): Promise<Signature>;
}

/** SHA-256 of something large, natively where the host can. Small digests use kernel/digest.ts, which is synchronous. */
export type BulkDigest = (bytes: Uint8Array) => Promise<Bytes>;

/** Wall clock. May jump; never used for order or safety. */
export interface Clock {
  now(): TimeMs;
  /** Milliseconds that only grow, for durations. */
  ticks(): number;
}

/** Unpredictable bytes. In the simulator: seeded. */
export interface Random {
  bytes(length: number): Bytes;
}

/** What the host's storage holds for all of this origin, as far as it says. */
export interface StorageUse {
  readonly usedBytes: number;
  /** What the host would let it grow to; an estimate of the host's, which may be more than the disk has. */
  readonly grantedBytes: number;
  /** Whether the host promised not to clear it by itself. */
  readonly isPersisted: boolean;
}

export interface StorageMeter {
  /** Undefined where the host does not say. Never rejects. */
  measure(): Promise<StorageUse | undefined>;
}

/** What the host says of its battery. */
export interface PowerUse {
  /** 0 to 100. */
  readonly pct: number;
  readonly isDischarging: boolean;
}

export interface PowerMeter {
  /** As told last; undefined where the host does not say. */
  now(): PowerUse | undefined;
  /** Calls back whenever it changes. */
  onChange(listener: () => void): void;
}

export interface Scheduler {
  /** Runs `task` once after about `delayMs`; the returned function cancels it. */
  after(delayMs: number, task: () => void): () => void;
  /** Resolves in a later turn, so that waiting messages are handled between slices. */
  yield(): Promise<void>;
}

/** Raw deflate (RFC 1951). */
export interface Deflate {
  deflate(bytes: Uint8Array): Promise<Bytes>;
  /** Rejects `corrupt` on bad input and as soon as more than `bytesMax` come out, without holding more than that. */
  inflate(bytes: Uint8Array, bytesMax: number, where: string): Promise<Bytes>;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** Path and query below the relay's base, e.g. `/v1/…`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Bytes;
}

/** `unreachable` covers every case without a whole answer: the request may or may not have taken effect. */
export type HttpOutcome =
  | { readonly kind: 'answered'; readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: Bytes }
  | { readonly kind: 'unreachable'; readonly cause: unknown };

export interface Http {
  /** Never rejects. Gives up after `timeoutMs` and beyond `bytesMax` of answer. */
  send(request: HttpRequest, bounds: { readonly timeoutMs: number; readonly bytesMax: number }): Promise<HttpOutcome>;
}
