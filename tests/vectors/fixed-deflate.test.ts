import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSameBytes } from '../../kernel/bytes.ts';
import { deflateFixed, fixedDeflate } from './fixed-deflate.ts';

describe('fixed deflate', () => {
  const texts = fc.array(fc.constantFrom('a', 'b', 'sale.completed', '\u0000\u0000', 'ÿ'), { maxLength: 400 });

  test('every input comes back from the host', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.uint8Array({ maxLength: 600 }),
          texts.map((parts) => new TextEncoder().encode(parts.join(''))),
        ),
        async (bytes) => {
          const back = await fixedDeflate.inflate(deflateFixed(bytes), bytes.length, 'test');
          return isSameBytes(back, bytes);
        },
      ),
    );
  });

  test('far and long matches come back', async () => {
    const bytes = new Uint8Array(100_000);
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8], 0);
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8], 32_768);
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8], 90_000);
    const packed = deflateFixed(bytes);
    expect(packed.length).toBeLessThan(1_000);
    expect(isSameBytes(await fixedDeflate.inflate(packed, bytes.length, 'test'), bytes)).toBe(true);
  });
});
