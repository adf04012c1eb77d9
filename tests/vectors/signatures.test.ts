import { describe, expect, test } from 'vitest';
import { portableVerifier } from '../../kernel/ed25519.ts';
import type { Verifier } from '../../kernel/ports.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { readJson } from './fixtures.ts';
import { runSignatureVectors, type SignatureVector } from './run-signature-vectors.ts';

const vectors = readJson<readonly SignatureVector[]>('tests/vectors/signatures.json');

describe('signature vectors in Node', () => {
  test('the portable verifier keeps the rule', async () => {
    expect(await runSignatureVectors(portableVerifier, vectors)).toEqual([]);
  });

  test('WebCrypto behind the byte checks keeps the rule', async () => {
    expect(await runSignatureVectors(webVerifier(), vectors)).toEqual([]);
  });

  test('every edge is there', () => {
    const names = vectors.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const count = (start: string) => names.filter((name) => name.startsWith(start)).length;
    expect(count('RFC 8032')).toBe(5);
    expect(count('S + ')).toBe(15);
    expect(count('A not canonical')).toBe(38);
    expect(count('R not canonical')).toBe(38);
    expect(count('A of small order:')).toBe(14);
    expect(count('R of small order:')).toBe(14);
    expect(count('A mixed')).toBe(28);
    expect(count('R mixed')).toBe(7);
    const parted = vectors.filter(({ cofactorless, cofactored }) => cofactorless !== cofactored);
    expect(parted.length).toBeGreaterThan(20);
    expect(parted.every(({ valid }) => !valid)).toBe(true);
    const byBytesOnly = vectors.filter(({ valid, cofactorless }) => !valid && cofactorless === true);
    expect(byBytesOnly.length).toBeGreaterThan(35);
  });

  test('a verifier that is lax, strict or throws is named with the vector', async () => {
    const few = vectors.slice(0, 1);
    const lax: Verifier = { verify: async () => true };
    const strict: Verifier = { verify: async () => false };
    const throwing: Verifier = { verify: () => Promise.reject(new Error('host')) };
    expect((await runSignatureVectors(lax, vectors)).length).toBe(vectors.filter(({ valid }) => !valid).length);
    expect(await runSignatureVectors(strict, few)).toEqual(['RFC 8032 TEST 1: found false, expected true']);
    expect(await runSignatureVectors(throwing, few)).toEqual(['RFC 8032 TEST 1: found a throw (Error: host), expected true']);
  });
});
