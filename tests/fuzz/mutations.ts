// Damaged bytes and texts: what wire, disk and hostile peers make of valid ones. Every choice is drawn from a seeded stream.
import type { Random } from '../../bench/crash/random.ts';
import { type Bytes, concatBytes, utf8 } from '../../kernel/bytes.ts';

export const anyBytes = (random: Random, length: number): Bytes => Uint8Array.from({ length }, () => random.between(0, 255));

export const oneOf = <T>(random: Random, items: readonly T[]): T => {
  if (items.length === 0) throw new Error('nothing to choose from');
  return items[random.between(0, items.length - 1)] as T;
};

export const isOneIn = (random: Random, count: number): boolean => random.between(1, count) === 1;

const bytesThatMatter = [0x00, 0x01, 0x02, 0x7f, 0x80, 0xfe, 0xff];
/** Lengths and counts at the edges of what fields hold and of what decoders allow. */
const wordsThatMatter = [
  0, 1, 2, 0x7f, 0xff, 10_000, 10_001, 65_536, 100_000, 0x40_0000, 0x80_0000, 0x80_0001, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
];
const longsThatMatter = [0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 2n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** A place in bytes of this length, the begin more likely: that is where preambles, kinds and lengths stand. */
const placeIn = (random: Random, length: number): number =>
  isOneIn(random, 2) ? random.between(0, Math.max(0, length - 1)) : Math.min(random.magnitude(length + 1) - 1, Math.max(0, length - 1));

type Change = (random: Random, bytes: Bytes, other: Bytes) => Bytes;

const written = (bytes: Bytes, at: number, value: Uint8Array): Bytes => {
  const changed = bytes.slice();
  changed.set(value.subarray(0, Math.max(0, changed.length - at)), at);
  return changed;
};

const word = (value: number): Bytes => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value >>> 0);
  return bytes;
};

const long = (value: bigint): Bytes => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value));
  return bytes;
};

const changes: readonly Change[] = [
  // one bit
  (random, bytes) => {
    const at = placeIn(random, bytes.length);
    return written(bytes, at, Uint8Array.of((bytes[at] ?? 0) ^ (1 << random.between(0, 7))));
  },
  // one byte
  (random, bytes) => written(bytes, placeIn(random, bytes.length), Uint8Array.of(oneOf(random, bytesThatMatter))),
  (random, bytes) => written(bytes, placeIn(random, bytes.length), anyBytes(random, 1)),
  // a count or a length: at an edge, that of the whole input, or one off what stands there
  (random, bytes) => written(bytes, placeIn(random, bytes.length), word(oneOf(random, [...wordsThatMatter, bytes.length]))),
  (random, bytes) => {
    const at = placeIn(random, bytes.length - 3);
    if (bytes.length < 4) return bytes;
    const stands = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
    return written(bytes, at, word(stands + oneOf(random, [-1, 1, -4, 4, stands])));
  },
  (random, bytes) => written(bytes, placeIn(random, bytes.length), long(oneOf(random, longsThatMatter))),
  // cut at the end, cut out, lengthened
  (random, bytes) => bytes.slice(0, random.between(0, bytes.length)),
  (random, bytes) => {
    const from = random.between(0, bytes.length);
    return concatBytes(bytes.subarray(0, from), bytes.subarray(from + random.magnitude(bytes.length - from + 1)));
  },
  (random, bytes) => concatBytes(bytes, anyBytes(random, random.magnitude(40))),
  (random, bytes) => {
    const at = random.between(0, bytes.length);
    return concatBytes(bytes.subarray(0, at), anyBytes(random, random.magnitude(40)), bytes.subarray(at));
  },
  // a piece twice, two pieces changed over, a piece emptied
  (random, bytes) => {
    const from = random.between(0, bytes.length);
    const to = Math.min(bytes.length, from + random.magnitude(300));
    return concatBytes(bytes.subarray(0, to), bytes.subarray(from, to), bytes.subarray(to));
  },
  (random, bytes) => {
    const size = oneOf(random, [1, 4, 8, 16, 32, 64]);
    const [a, b] = [placeIn(random, bytes.length), placeIn(random, bytes.length)];
    const [pieceA, pieceB] = [bytes.slice(a, a + size), bytes.slice(b, b + size)];
    return written(written(bytes, a, pieceB), b, pieceA);
  },
  (random, bytes) => {
    const at = placeIn(random, bytes.length);
    return bytes.slice().fill(oneOf(random, [0x00, 0xff]), at, at + random.magnitude(80));
  },
  // the begin of one with the end of another
  (random, bytes, other) =>
    concatBytes(bytes.subarray(0, random.between(0, bytes.length)), other.subarray(random.between(0, other.length))),
  (random, bytes, other) => {
    const at = random.between(0, Math.min(bytes.length, other.length));
    return concatBytes(bytes.subarray(0, at), other.subarray(at));
  },
];

/** Bytes that differ from `bytes` by one to a handful of changes; `others` are what pieces may come from. */
export function mutatedBytes(random: Random, bytes: Bytes, others: readonly Bytes[]): Bytes {
  let changed = bytes;
  for (let left = random.magnitude(5); left > 0; left--) changed = oneOf(random, changes)(random, changed, oneOf(random, others));
  return changed;
}

const textsThatMatter = [
  ...['', ' ', '\u0000', '\u0001', '"', '\\', '\\u0000', '\\ud800', '\ud800', '\udfff', '\ufeff', '\u202e', 'é', 'e\u0301', '🧀'],
  ...['-0', '1e309', '-1e309', 'NaN', 'null', '9007199254740992', '9007199254740993', '1.0', '0.1e1', '00', '+1', '1_0'],
  ...['../', '..', '%2e%2e%2f', '%00', ':', '/', '?', '#', '=', '-', '_', '.', '+', 'A', 'a', 'g', 'F'],
  ...['__proto__', 'constructor', 'prototype', 'toJSON', '{', '}', '[', ']', ',', '"a":1', "'; DROP TABLE saleLine; --"],
];

/** Text that differs from `text`: letters and tokens put in, taken out, doubled; now and then very deep or very long. */
export function mutatedText(random: Random, text: string, others: readonly string[]): string {
  let changed = text;
  for (let left = random.magnitude(4); left > 0; left--) {
    const at = random.between(0, changed.length);
    const to = Math.min(changed.length, at + random.magnitude(20));
    switch (random.between(0, 6)) {
      case 0:
        changed = changed.slice(0, at) + oneOf(random, textsThatMatter) + changed.slice(at);
        break;
      case 1:
        changed = changed.slice(0, at) + oneOf(random, textsThatMatter) + changed.slice(to);
        break;
      case 2:
        changed = changed.slice(0, at) + changed.slice(to);
        break;
      case 3:
        changed = changed.slice(0, to) + changed.slice(at, to) + changed.slice(to);
        break;
      case 4:
        changed = changed.slice(0, at) + oneOf(random, others).slice(random.between(0, 10));
        break;
      case 5:
        changed = changed.slice(0, at) + String.fromCharCode(random.between(0, 0xffff)) + changed.slice(at + 1);
        break;
      default:
        if (isOneIn(random, 40)) changed = changed.slice(0, at) + oneOf(random, ['[', '{"a":', 'x', ' ']).repeat(3_000) + changed.slice(at);
    }
  }
  return changed;
}

export const anyText = (random: Random): string =>
  isOneIn(random, 3)
    ? oneOf(random, textsThatMatter)
    : Array.from({ length: random.magnitude(24) }, () => String.fromCharCode(random.between(0, isOneIn(random, 4) ? 0xffff : 0x7e))).join(
        '',
      );

export const looseText = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
export const asBytes = (text: string): Bytes => utf8(text);
