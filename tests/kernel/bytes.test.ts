import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  base64urlToBytes,
  bytesToBase64url,
  bytesToHex,
  concatBytes,
  hexToBytes,
  isSameBytes,
  looseTextFromUtf8,
  textFromUtf8,
  utf8,
  utf8Into,
} from '../../kernel/bytes.ts';

const plain = (bytes: Uint8Array): number[] => [...bytes];

describe('hex', () => {
  test('every byte string comes back, as Node spells it', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const hex = bytesToHex(bytes);
        return hex === Buffer.from(bytes).toString('hex') && isSameBytes(hexToBytes(hex), bytes);
      }),
    );
  });

  test.each(['0', 'AB', 'ab ', '\nab', 'ab\n', '0x', 'é0', 'abc'])('%j is no hex', (text) => {
    expect(() => hexToBytes(text, 'id')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badHex' }));
    expect(() => hexToBytes(text)).toThrow(/^hex: found/);
  });

  test('a long string is read without running out of stack', () => {
    expect(hexToBytes('0a'.repeat(4_000_000))).toHaveLength(4_000_000);
  });
});

describe('base64url', () => {
  test('every byte string comes back, as Node spells it', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const text = bytesToBase64url(bytes);
        return text === Buffer.from(bytes).toString('base64url') && isSameBytes(base64urlToBytes(text), bytes);
      }),
    );
  });

  test('only the one spelling of a byte string is read', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('A', 'B', 'g', 'w', '_', '-', '9', '=', '+', '/', ' ', '🧀') }), (text) => {
        try {
          return bytesToBase64url(base64urlToBytes(text)) === text;
        } catch (error) {
          return (error as { reason?: string }).reason === 'badBase64';
        }
      }),
    );
  });

  test.each([
    ['A', 'half a byte'],
    ['AB', 'stray bits after one byte'],
    ['AAB', 'stray bits after two bytes'],
    ['AA==', 'padding'],
    ['A+', 'the other alphabet'],
    ['AAAAA', 'a digit too many'],
  ])('%s is refused: %s', (text) => {
    expect(() => base64urlToBytes(text, 'key')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badBase64' }));
  });
});

describe('UTF-8', () => {
  test('well-formed text comes back, a byte order mark included', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => textFromUtf8(utf8(text), 'text') === text));
    expect(textFromUtf8(utf8('\ufeffa'), 'text')).toBe('\ufeffa');
  });

  test.each(['eda080', 'c080', 'f4908080', 'ff', 'e282'])('%s is refused', (hex) => {
    expect(() => textFromUtf8(hexToBytes(hex), 'text')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badUtf8' }));
  });
});

describe('UTF-8 inside the process', () => {
  test('text written into bytes that are there is what it would be in its own', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const target = new Uint8Array(3 * text.length + 2).fill(0xaa);
        const written = utf8Into(text, target.subarray(1));
        return isSameBytes(target.subarray(1, 1 + written), utf8(text)) && target[1 + written] === 0xaa;
      }),
    );
  });

  test('loose text is the text, with a sign where it is none', () => {
    expect(looseTextFromUtf8(utf8('\ufeffKäse 🧀'))).toBe('\ufeffKäse 🧀');
    expect(looseTextFromUtf8(Uint8Array.of(0x61, 0xff, 0x62))).toBe('a\ufffdb');
  });
});

describe('byte strings', () => {
  test('joining is in order, of none it is empty', () => {
    expect(plain(concatBytes())).toEqual([]);
    expect(plain(concatBytes(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)))).toEqual([1, 2, 3]);
  });

  test('same means same length and same bytes', () => {
    expect(isSameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(isSameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(isSameBytes(Uint8Array.of(1), Uint8Array.of(1, 2))).toBe(false);
    expect(isSameBytes(new Uint8Array(0), new Uint8Array(0))).toBe(true);
  });
});
