// Ed25519 under one strict rule, and the portable implementation of it.
// The rule (decision 0001): S < L; A and R canonical encodings and not of small order; cofactorless S·B = R + k·A.
// WebCrypto engines agree on the equation but not on the byte checks, so the checks run before any of them (RFC 8032 §5.1.7).

import { etc, getPublicKey, hashes, sign as nobleSign, Point } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { type Bytes, bytesToHex, concatBytes, isSameBytes } from './bytes.ts';
import type { Random, Signer, Verifier } from './ports.ts';
import { type PublicKey, publicKey, type Signature, signature } from './units.ts';

hashes.sha512 = sha512;

const order = 2n ** 252n + 27742317777372353535851937790883648493n;
const prime = 2n ** 255n - 19n;

/** y coordinates of the eight points of small order; the sign bit is cleared before comparing. */
const smallOrderY = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytesToHex(Uint8Array.from(bytes).reverse())}`);
}

function isPlainPoint(encoded: Uint8Array): boolean {
  const y = Uint8Array.from(encoded); // never `slice`, which shares memory when it is a Node Buffer
  y[31] = (y[31] as number) & 0x7f;
  return littleEndian(y) < prime && !smallOrderY.has(bytesToHex(y));
}

/** The byte checks of the rule. Every verifier of ours runs them before the equation. */
export function isWellFormed(key: Uint8Array, sig: Uint8Array): boolean {
  return (
    key.length === 32 &&
    sig.length === 64 &&
    isPlainPoint(key) &&
    isPlainPoint(sig.subarray(0, 32)) &&
    littleEndian(sig.subarray(32)) < order
  );
}

/** The portable verifier: synchronous inside, about 1.9k per second in a browser worker. */
export function verifyPortable(key: Uint8Array, message: Uint8Array, sig: Uint8Array): boolean {
  if (!isWellFormed(key, sig)) return false;
  try {
    const r = sig.subarray(0, 32);
    const s = littleEndian(sig.subarray(32));
    const k = etc.mod(littleEndian(sha512(concatBytes(r, key, message))), order);
    const a = Point.fromBytes(key);
    // Unsafe in noble's words: not constant-time, and there is nothing secret here; it also takes a scalar of 0.
    const found = Point.BASE.multiply(s, false).add(a.negate().multiply(k, false));
    return isSameBytes(found.toBytes(), r);
  } catch {
    return false; // not a point on the curve
  }
}

export const portableVerifier: Verifier = {
  verify: async (key, message, sig) => verifyPortable(key, message, sig),
};

/** A software signer from a 32-byte seed; used for invites, in tests, and where WebCrypto has no Ed25519. */
export function portableSigner(seed: Uint8Array): Signer {
  const key = publicKey(getPublicKey(seed));
  return {
    publicKey: key,
    hold: 'software',
    sign: async (message) => signPortable(seed, message),
  };
}

export const signPortable = (seed: Uint8Array, message: Uint8Array): Signature => signature(nobleSign(message, seed));

export const publicKeyOf = (seed: Uint8Array): PublicKey => publicKey(getPublicKey(seed));

export const randomSeed = (random: Random): Bytes => random.bytes(32);
