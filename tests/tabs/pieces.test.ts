// Large messages cut into pieces and joined again: the same value comes out, whatever it was.
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cut, join, weightOf } from '../../worker/browser/tabs/pieces.ts';

const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, undefined, Number.NaN, Number.POSITIVE_INFINITY, -0),
    fc.double(),
    fc.bigInt(),
    fc.string({ unit: 'binary' }),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('$', '__proto__', 'constructor')), tie('value'), {
      maxKeys: 5,
      noNullPrototype: true,
    }),
  ),
})).value;

test('what is cut is joined to the same value', () => {
  fc.assert(
    fc.property(value, fc.integer({ min: 1, max: 50 }), (message, length) => {
      const pieces = cut(message, length);
      expect(pieces.every((piece) => piece.length <= length)).toBe(true);
      expect(isDeepStrictEqual(join(pieces), message)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('the weight of a message is at least the length of what it holds, and counting ends at enough', () => {
  expect(weightOf({ rows: ['x'.repeat(1_000), new Uint8Array(500)] }, 1e9)).toBeGreaterThan(1_500);
  let seen = 0;
  const counted = new Proxy(
    Array.from({ length: 1e6 }, () => 'x'),
    {
      get: (target, key, receiver) => {
        if (key !== 'length') seen++;
        return Reflect.get(target, key, receiver) as unknown;
      },
    },
  );
  expect(weightOf(counted, 1_000)).toBeGreaterThanOrEqual(1_000);
  expect(seen).toBeLessThan(1_000);
});
