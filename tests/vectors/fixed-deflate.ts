// A deflate that writes the same bytes on every host and in every year, so that vectors and fixtures can be made again and
// compared. One block of fixed Huffman codes (RFC 1951 §3.2.6), greedy matches. Inflating is the host's.
import type { Bytes } from '../../kernel/bytes.ts';
import type { Deflate } from '../../kernel/ports.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';

export const fixedDeflate: Deflate = {
  deflate: async (bytes) => deflateFixed(bytes),
  inflate: webDeflate.inflate,
};

/** The same, but small records stay raw (as long as they were), so that both packings of a run appear. */
export const fixedDeflateOfLarge: Deflate = {
  deflate: async (bytes) => (bytes.length < 200 ? bytes.slice() : deflateFixed(bytes)),
  inflate: webDeflate.inflate,
};

const endOfBlock = 256;
const matchMin = 3;
const matchMax = 258;
const distanceMax = 32_768;

export function deflateFixed(bytes: Uint8Array): Bytes {
  const bits = new BitWriter();
  bits.low(1, 1); // final block
  bits.low(1, 2); // fixed codes
  const lastSeenAt = new Map<number, number>();
  for (let at = 0; at < bytes.length; ) {
    const match = longestMatch(bytes, at, lastSeenAt);
    const step = match?.length ?? 1;
    if (match === undefined) bits.symbol(bytes[at] as number);
    else writeMatch(bits, match.length, match.distance);
    for (let i = 0; i < step; i++) remember(bytes, at + i, lastSeenAt);
    at += step;
  }
  bits.symbol(endOfBlock);
  return bits.done();
}

const keyAt = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);

function remember(bytes: Uint8Array, at: number, lastSeenAt: Map<number, number>): void {
  if (at + matchMin <= bytes.length) lastSeenAt.set(keyAt(bytes, at), at);
}

function longestMatch(
  bytes: Uint8Array,
  at: number,
  lastSeenAt: ReadonlyMap<number, number>,
): { length: number; distance: number } | undefined {
  if (at + matchMin > bytes.length) return undefined;
  const from = lastSeenAt.get(keyAt(bytes, at));
  if (from === undefined || at - from > distanceMax) return undefined;
  let length = matchMin;
  while (length < matchMax && at + length < bytes.length && bytes[from + length] === bytes[at + length]) length++;
  return { length, distance: at - from };
}

// Tables of RFC 1951 §3.2.5 by their rule: extra bits grow by one every 4 length codes and every 2 distance codes.
function writeMatch(bits: BitWriter, length: number, distance: number): void {
  const l = length === matchMax ? { code: 28, extra: 0, rest: 0 } : classOf(length - matchMin, 4);
  bits.symbol(257 + l.code);
  bits.low(l.rest, l.extra);
  const d = classOf(distance - 1, 2);
  bits.high(d.code, 5);
  bits.low(d.rest, d.extra);
}

function classOf(value: number, perStep: 2 | 4): { code: number; extra: number; rest: number } {
  const stepBits = perStep === 4 ? 2 : 1;
  if (value < 2 * perStep) return { code: value, extra: 0, rest: 0 };
  const extra = 31 - Math.clz32(value) - stepBits;
  const code = perStep * extra + (value >> extra);
  return { code, extra, rest: value & ((1 << extra) - 1) };
}

class BitWriter {
  readonly #bytes: number[] = [];
  #held = 0;
  #count = 0;

  /** Literal or length symbol under the fixed code. */
  symbol(value: number): void {
    if (value < 144) this.high(0x30 + value, 8);
    else if (value < 256) this.high(0x190 + value - 144, 9);
    else if (value < 280) this.high(value - 256, 7);
    else this.high(0xc0 + value - 280, 8);
  }

  /** Bits from the lowest up: numbers. */
  low(value: number, count: number): void {
    for (let i = 0; i < count; i++) this.#bit((value >> i) & 1);
  }

  /** Bits from the highest down: Huffman codes. */
  high(value: number, count: number): void {
    for (let i = count - 1; i >= 0; i--) this.#bit((value >> i) & 1);
  }

  done(): Bytes {
    while (this.#count > 0) this.#bit(0);
    return Uint8Array.from(this.#bytes);
  }

  #bit(bit: number): void {
    this.#held |= bit << this.#count;
    this.#count += 1;
    if (this.#count < 8) return;
    this.#bytes.push(this.#held);
    this.#held = 0;
    this.#count = 0;
  }
}
