import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, concatBytes } from '../../kernel/bytes.ts';
import { sha256 } from '../../kernel/digest.ts';
import { type SqlValue, StateHasher } from '../../kernel/state-hash.ts';
import { vector } from './support/decoders.ts';

interface TableRows {
  readonly name: string;
  readonly columns: readonly string[];
  readonly isReal: readonly boolean[];
  readonly rows: readonly (readonly SqlValue[])[];
}

function hashOf(tables: readonly TableRows[]): string {
  const hasher = new StateHasher();
  for (const { name, columns, isReal, rows } of tables) {
    hasher.table(name, columns);
    for (const row of rows) hasher.row(row, isReal);
  }
  return bytesToHex(hasher.digest());
}

const one = (...rows: readonly (readonly SqlValue[])[]): string =>
  hashOf([{ name: 't', columns: ['a', 'b'], isReal: [false, true], rows }]);

describe('state hash', () => {
  test('no tables: the hash of the tag', () => {
    expect(bytesToHex(new StateHasher().digest())).toBe(bytesToHex(sha256(vector('state-hash-input').subarray(0, 17))));
  });

  test('it does not depend on how a value is held: number or bigint, whole array or view, -0 or 0', () => {
    expect(one([1n, 2n])).toBe(one([1, 2]));
    expect(one([-(2n ** 53n) + 1n, 0])).toBe(one([Number.MIN_SAFE_INTEGER, -0]));
    const view = Uint8Array.of(9, 1, 2, 9).subarray(1, 3);
    expect(one([view, null])).toBe(one([Uint8Array.of(1, 2), null]));
    expect(one([Buffer.from([1, 2]), null])).toBe(one([Uint8Array.of(1, 2), null]));
  });

  test('it depends on the column’s type, not on how the host prints a number', () => {
    expect(one([1, 1])).not.toBe(one([1, 2]));
    const asReal = hashOf([{ name: 't', columns: ['a', 'b'], isReal: [true, true], rows: [[1, 1]] }]);
    expect(asReal).not.toBe(one([1, 1]));
    expect(one([0, 0.5])).not.toBe(one([0, 0.25]));
    expect(one([0, Number.POSITIVE_INFINITY])).not.toBe(one([0, Number.MAX_VALUE]));
  });

  test.each<readonly [string, SqlValue, SqlValue]>([
    ['null and an empty text', null, ''],
    ['an empty text and an empty blob', '', new Uint8Array(0)],
    ['a text and its bytes', 'ab', Uint8Array.of(0x61, 0x62)],
    ['a number and its text', 1, '1'],
    ['text in two normal forms', 'é', 'e\u0301'],
    ['the ends of 64 bits', 2n ** 63n - 1n, -(2n ** 63n)],
  ])('it tells %s apart', (_what, a, b) => {
    expect(one([a, null])).not.toBe(one([b, null]));
  });

  test('rows, columns and tables have their borders', () => {
    expect(one(['a', null], ['b', null])).not.toBe(one(['a', null]));
    expect(one(['ab', null])).not.toBe(one(['a', null], ['b', null]));
    const table = (name: string, columns: readonly string[]): TableRows => ({ name, columns, isReal: [], rows: [] });
    const hashes = [
      [table('t', ['a', 'b'])],
      [table('t', ['ab'])],
      [table('ta', ['b'])],
      [table('t', ['a']), table('b', [])],
      [table('t', []), table('a', ['b'])],
      [table('t', ['b', 'a'])],
    ].map(hashOf);
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(one(['a', null], ['b', null])).not.toBe(one(['b', null], ['a', null]));
  });

  test('it does not depend on where its buffer ends: values of any size hash as one message', () => {
    const sizes = fc.array(fc.oneof(fc.nat(200), fc.constantFrom(65_520, 65_530, 65_531, 65_535, 65_536, 65_537, 200_000)), {
      maxLength: 12,
    });
    fc.assert(
      fc.property(sizes, (lengths) => {
        const blobs = lengths.map((length, i) => new Uint8Array(length).fill(i));
        const hasher = new StateHasher();
        hasher.table('t', ['a', 'n']);
        for (const [i, blob] of blobs.entries()) hasher.row([blob, i], [false, false]);
        const head = (kind: number, length: number) => {
          const bytes = new DataView(new ArrayBuffer(5));
          bytes.setUint8(0, kind);
          bytes.setUint32(1, length);
          return new Uint8Array(bytes.buffer);
        };
        const rows = blobs.flatMap((blob, i) => {
          const number = new DataView(new ArrayBuffer(9));
          number.setUint8(0, 0x49);
          number.setBigInt64(1, BigInt(i));
          return [head(0x52, 2), head(0x42, blob.length), blob, new Uint8Array(number.buffer)];
        });
        const text = (value: string) => concatBytes(head(0x58, value.length), new TextEncoder().encode(value));
        const tag = vector('state-hash-input').subarray(0, 17);
        const message = concatBytes(tag, head(0x54, 0), text('t'), text('a'), text('n'), ...rows);
        return bytesToHex(hasher.digest()) === bytesToHex(sha256(message));
      }),
      { numRuns: 40 },
    );
  });

  test.each([0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('%d in an integer column is a mistake of the caller', (value) => {
    expect(() => one([value, null])).toThrow(expect.objectContaining({ kind: 'misuse', reason: 'badInteger' }));
  });
});
