import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSameBytes, utf8 } from '../../kernel/bytes.ts';
import {
  isWellFormed,
  portableSigner,
  portableVerifier,
  publicKeyOf,
  randomSeed,
  signPortable,
  verifyPortable,
} from '../../kernel/ed25519.ts';
import type { PublicKey, Signature } from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { fill } from '../vectors/cast.ts';
import { anyBytes } from './support/arbitraries.ts';

const seed = fill(9, 32);
const key = publicKeyOf(seed);
const message = utf8('message');
const sig = signPortable(seed, message);

describe('signing', () => {
  test('the same seed and message give the same signature, and it verifies everywhere', async () => {
    const signer = portableSigner(seed);
    expect(signer.hold).toBe('software');
    expect(signer.publicKey).toEqual(key);
    expect(await signer.sign(message)).toEqual(sig);
    expect(await portableVerifier.verify(key, message, sig)).toBe(true);
    expect(await webVerifier().verify(key, message, sig)).toBe(true);
  });

  test('a seed is 32 bytes of the host’s randomness', () => {
    expect(randomSeed({ bytes: (length) => fill(length, length) })).toEqual(fill(32, 32));
  });
});

describe('verifying', () => {
  test('any key, message and signature get one answer from both verifiers, and no throw', async () => {
    const web = webVerifier();
    await fc.assert(
      fc.asyncProperty(anyBytes(32), fc.uint8Array(), anyBytes(64), async (anyKey, text, anySig) => {
        const found = await portableVerifier.verify(anyKey as unknown as PublicKey, text, anySig as unknown as Signature);
        return found === (await web.verify(anyKey as unknown as PublicKey, text, anySig as unknown as Signature)) && !found;
      }),
      { numRuns: 60 },
    );
  });

  test('a signature damaged by one byte is refused by both', async () => {
    const web = webVerifier();
    await fc.assert(
      fc.asyncProperty(fc.nat(63), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = sig.slice() as Signature;
        damaged[at] = (damaged[at] as number) ^ change;
        return !verifyPortable(key, message, damaged) && !(await web.verify(key, message, damaged));
      }),
      { numRuns: 60 },
    );
  });

  test('byte checks stand for themselves', () => {
    expect(isWellFormed(key, sig)).toBe(true);
    expect(isWellFormed(key.subarray(1), sig)).toBe(false);
    expect(isWellFormed(key, sig.subarray(1))).toBe(false);
    expect(isWellFormed(new Uint8Array(32), sig)).toBe(false);
    expect(isWellFormed(key, new Uint8Array(64))).toBe(false);
    expect(
      isWellFormed(
        key,
        Uint8Array.from(sig, (byte, i) => (i === 63 ? 0xff : byte)),
      ),
    ).toBe(false);
  });

  test('keys and signatures that are views into larger buffers verify, and stay as they were', () => {
    const larger = new Uint8Array(100);
    larger.set(key, 3);
    larger.set(sig, 36);
    const before = larger.slice();
    expect(verifyPortable(larger.subarray(3, 35), message, larger.subarray(36, 100))).toBe(true);
    expect(isSameBytes(larger, before)).toBe(true);
  });
});
