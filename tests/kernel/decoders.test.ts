// Decoders are total: whatever the bytes, a value or a typed error. The same promises for each of them.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bytes, concatBytes, isSameBytes } from '../../kernel/bytes.ts';
import { objectKind } from '../../kernel/wire.ts';
import { type DecoderCase, decoders, ending, fieldsOf, kindOf } from './support/decoders.ts';

const framed = decoders.filter(({ name }) => name !== 'frames');
const withPreamble = decoders.filter(({ kind }) => kind !== undefined);

/** The promise itself: corrupt or upgradeNeeded, and what was taken comes back byte for byte. */
async function holds({ decode, encode }: DecoderCase, bytes: Bytes): Promise<boolean> {
  const found = await ending(() => decode(bytes));
  if ('error' in found) return ['corrupt', 'upgradeNeeded'].includes(found.error.kind);
  return encode === undefined || isSameBytes(encode(found.value as never), bytes);
}

const withByte = (bytes: Uint8Array, at: number, value: number): Bytes => {
  const changed = bytes.slice();
  changed[at] = value;
  return changed;
};

describe.each(decoders)('$name', (decoder) => {
  const { sample, decode } = decoder;

  test('the sample decodes and encodes to the same bytes', async () => {
    expect(await kindOf(() => decode(sample))).toBe('value');
    expect(await holds(decoder, sample)).toBe(true);
  });

  test('arbitrary bytes give a value or a typed error', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), (bytes) => holds(decoder, new Uint8Array(bytes))));
  });

  test('mutated bytes give a value or a typed error', async () => {
    const changes = fc.array(fc.tuple(fc.nat(sample.length - 1), fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255))), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(changes, (places) => {
        const bytes = sample.slice();
        for (const [at, value] of places) bytes[at] = value;
        return holds(decoder, bytes);
      }),
      { numRuns: 400 },
    );
  });

  test('spliced bytes give a value or a typed error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(sample.length), fc.nat(sample.length), (from, to) =>
        holds(decoder, concatBytes(sample.subarray(0, from), sample.subarray(to))),
      ),
      { numRuns: 300 },
    );
  });

  test('every field at its highest and at zero gives a value or a typed error', async () => {
    for (const { at, size } of fieldsOf(decoder)) {
      for (const value of [0x00, 0xff]) {
        const bytes = sample.slice();
        bytes.fill(value, at, at + size);
        expect(await holds(decoder, bytes), `${value} at ${at}`).toBe(true);
      }
    }
  });

  test('an unaligned view decodes alike', async () => {
    const larger = concatBytes(Uint8Array.of(0xaa, 0xbb, 0xcc), sample, Uint8Array.of(0xdd));
    expect(await ending(() => decode(larger.subarray(3, 3 + sample.length)))).toEqual(await ending(() => decode(sample)));
  });
});

describe.each(framed)('$name', ({ sample, decode }) => {
  test('cut short anywhere it is corrupt', async () => {
    for (let length = 0; length < sample.length; length++)
      expect(await kindOf(() => decode(sample.slice(0, length))), `${length} bytes`).toMatch(/^corrupt /);
  });

  test('a byte after the end is corrupt', async () => {
    for (const more of [0x00, 0x20, 0xff])
      expect(await kindOf(() => decode(concatBytes(sample, Uint8Array.of(more))))).toMatch(/^corrupt /);
  });
});

describe.each(withPreamble)('preamble of a $name', ({ sample, decode, kind }) => {
  test.each([
    ['a newer format', 5, 2, 'upgradeNeeded newerFormat'],
    ['a format of far away', 5, 255, 'upgradeNeeded newerFormat'],
    ['a newer suite', 6, 2, 'upgradeNeeded newerFormat'],
    ['a flag', 7, 1, 'upgradeNeeded newerFormat'],
    ['an unknown kind', 4, 0x7f, 'upgradeNeeded newerFormat'],
    ['kind 0', 4, 0, 'upgradeNeeded newerFormat'],
    ['format 0', 5, 0, 'corrupt badPreamble'],
    ['suite 0', 6, 0, 'corrupt badPreamble'],
    ['another magic', 0, 0x66, 'corrupt badMagic'],
    ['a magic wrong at its end', 3, 0, 'corrupt badMagic'],
  ])('%s is refused', async (_what, at, value, expected) => {
    expect(await kindOf(() => decode(withByte(sample, at, value)))).toBe(expected);
  });

  test('another known kind is in the wrong place', async () => {
    const others = Object.entries(objectKind).filter(([name]) => name !== kind);
    for (const [name, code] of others) {
      const isSlotObject = ['segment', 'fence'].includes(kind ?? '') && ['segment', 'fence'].includes(name);
      const found = await kindOf(() => decode(withByte(sample, 4, code)));
      expect(found, name).toMatch(isSlotObject ? /^corrupt / : /^corrupt wrongKind$/);
    }
  });
});

test('frames cut inside a frame are corrupt, between frames they are fewer', async () => {
  const frames = decoders.find(({ name }) => name === 'frames') as DecoderCase;
  const kinds = await Promise.all(
    Array.from({ length: frames.sample.length }, (_, length) => kindOf(() => frames.decode(frames.sample.slice(0, length)))),
  );
  expect(kinds.flatMap((kind, length) => (kind === 'value' ? [length] : []))).toEqual([0, 280, 284]);
  expect(new Set(kinds)).toEqual(new Set(['value', 'corrupt truncated']));
});
