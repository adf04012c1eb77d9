// Signer and verifier of the simulated world: Ed25519 of the host, which is quick, with completions that the world's scheduler orders. One kind of
// signer draws its nonce, as some browsers do: two signatures of one message then differ, and both are right.

import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { etc, Point } from '@noble/ed25519';
import type { Signer, Verifier } from '../../kernel/ports.ts';
import { type PublicKey, publicKey, signature } from '../../kernel/units.ts';

const pkcs8Head = Buffer.from('302e020100300506032b657004220420', 'hex');
const spkiHead = Buffer.from('302a300506032b6570032100', 'hex');
const order = 2n ** 252n + 27742317777372353535851937790883648493n;

/** When a signature that was asked for is there: at once, or in a turn that the world chooses. */
export type Completion = <T>(work: () => T) => Promise<T>;

export const atOnce: Completion = async (work) => work();

export function hostSigner(seed: Uint8Array, completion: Completion, nonce?: () => Uint8Array): Signer {
  const { key, own } = keyPair(seed);
  const signNow = (message: Uint8Array): Uint8Array =>
    nonce === undefined ? new Uint8Array(sign(null, message, key)) : signWithNonce(seed, own, message, nonce());
  return {
    publicKey: own,
    hold: 'sealed',
    sign: (message) => completion(() => signature(new Uint8Array(signNow(message)))),
  };
}

export function hostVerifier(completion: Completion): Verifier {
  return { verify: (key, message, bytes) => completion(() => isSigned(key, message, bytes)) };
}

/** Verdicts of this thread by key, signature and message: relay, followers and auditors ask for the same ones again and again. */
const verdicts = new Map<string, boolean>();
const keyObjects = new Map<string, KeyObject>();

export function isSigned(key: Uint8Array, message: Uint8Array, bytes: Uint8Array): boolean {
  if (bytes.length !== 64 || key.length !== 32) return false;
  const name = Buffer.concat([key, bytes, message]).toString('latin1');
  let verdict = verdicts.get(name);
  if (verdict === undefined) {
    if (verdicts.size > 4_000) verdicts.clear();
    try {
      verdict = verify(null, message, keyObject(key), bytes);
    } catch {
      verdict = false; // not a key
    }
    verdicts.set(name, verdict);
  }
  return verdict;
}

function keyObject(key: Uint8Array): KeyObject {
  const name = Buffer.from(key).toString('latin1');
  let object = keyObjects.get(name);
  if (object === undefined) {
    if (keyObjects.size > 200) keyObjects.clear();
    object = createPublicKey({ key: Buffer.concat([spkiHead, key]), format: 'der', type: 'spki' });
    keyObjects.set(name, object);
  }
  return object;
}

interface KeyPair {
  readonly key: KeyObject;
  readonly own: PublicKey;
}

const pairs = new Map<string, KeyPair>();

function keyPair(seed: Uint8Array): KeyPair {
  const name = Buffer.from(seed).toString('latin1');
  let pair = pairs.get(name);
  if (pair === undefined) {
    if (pairs.size > 200) pairs.clear();
    const key = createPrivateKey({ key: Buffer.concat([pkcs8Head, seed]), format: 'der', type: 'pkcs8' });
    pair = { key, own: publicKey(new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32))) };
    pairs.set(name, pair);
  }
  return pair;
}

const littleEndian = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
const sha512 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha512');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** RFC 8032 with r drawn instead of derived: as valid, and another each time. */
function signWithNonce(seed: Uint8Array, key: Uint8Array, message: Uint8Array, nonce: Uint8Array): Uint8Array {
  const scalarBytes = sha512(seed).subarray(0, 32);
  scalarBytes[0] = (scalarBytes[0] as number) & 248;
  scalarBytes[31] = ((scalarBytes[31] as number) & 127) | 64;
  const a = littleEndian(scalarBytes);
  const r = etc.mod(littleEndian(sha512(nonce, message)), order);
  const point = Point.BASE.multiply(r).toBytes();
  const k = etc.mod(littleEndian(sha512(point, key, message)), order);
  const s = etc.mod(r + k * a, order);
  const bytes = new Uint8Array(64);
  bytes.set(point, 0);
  bytes.set(Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse(), 32);
  return bytes;
}
