// Checksums of stored pages: xxHash32 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md), because it is fast in plain JavaScript and its vectors are
// published. It finds accidents of a disk; forgery is not its subject: who can write this store can write its sums.

import { utf8 } from '../../../kernel/bytes.ts';

const prime1 = 0x9e3779b1;
const prime2 = 0x85ebca77;
const prime3 = 0xc2b2ae3d;
const prime4 = 0x27d4eb2f;
const prime5 = 0x165667b1;

export function xxh32(bytes: Uint8Array, seed = 0): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let sum: number;
  if (bytes.length >= 16) {
    let a = (seed + prime1 + prime2) | 0;
    let b = (seed + prime2) | 0;
    let c = seed | 0;
    let d = (seed - prime1) | 0;
    for (const last = bytes.length - 16; at <= last; at += 16) {
      a = lane(a, view.getUint32(at, true));
      b = lane(b, view.getUint32(at + 4, true));
      c = lane(c, view.getUint32(at + 8, true));
      d = lane(d, view.getUint32(at + 12, true));
    }
    sum = (turn(a, 1) + turn(b, 7) + turn(c, 12) + turn(d, 18)) | 0;
  } else {
    sum = (seed + prime5) | 0;
  }
  sum = (sum + bytes.length) | 0;
  for (; at + 4 <= bytes.length; at += 4) sum = Math.imul(turn((sum + Math.imul(view.getUint32(at, true), prime3)) | 0, 17), prime4);
  for (; at < bytes.length; at++) sum = Math.imul(turn((sum + Math.imul(view.getUint8(at), prime5)) | 0, 11), prime1);
  sum = Math.imul(sum ^ (sum >>> 15), prime2);
  sum = Math.imul(sum ^ (sum >>> 13), prime3);
  return (sum ^ (sum >>> 16)) >>> 0;
}

const turn = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));
const lane = (sum: number, word: number): number => Math.imul(turn((sum + Math.imul(word, prime2)) | 0, 13), prime1);

/** Where a page stands is part of its sum, so a sound page in another place is found. */
export const pageSum = (fileSum: number, page: number, bytes: Uint8Array): number => xxh32(bytes, (fileSum + page) | 0);

export const textSum = (text: string): number => xxh32(utf8(text));

/** The sums of a file's pages and, kept in step, one over all of them: with it a missing or an older page is found. */
export class PageSums {
  readonly #sums: number[] = [];
  #total = 0;

  get total(): number {
    return this.#total >>> 0;
  }

  get count(): number {
    return this.#sums.length;
  }

  set(page: number, sum: number): void {
    this.#total ^= (this.#sums[page] ?? 0) ^ sum;
    this.#sums[page] = sum;
  }

  /** Forgets the pages from `count` on. */
  cut(count: number): void {
    for (const sum of this.#sums.splice(count)) this.#total ^= sum ?? 0;
  }
}
