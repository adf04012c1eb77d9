// Reader and writer for the fixed binary layouts of docs/format.md, and the preamble that everything stored or sent begins with.
// The reader is total: whatever the bytes, it returns a value inside its range or throws `corrupt` / `upgradeNeeded`.

import type { Bytes } from './bytes.ts';
import { FoldlogError } from './errors.ts';
import { integerMax } from './units.ts';

/** `kind` byte of the preamble, one for each thing that is hashed, stored or sent. */
export const objectKind = {
  group: 0x01,
  seal: 0x02,
  segment: 0x03,
  fence: 0x04,
  push: 0x05,
  receipt: 0x06,
  controlEntry: 0x07,
  controlSlot: 0x08,
  checkpoint: 0x09,
  tail: 0x0a,
} as const;
export type ObjectKind = keyof typeof objectKind;

export const formatVersion = 1;
/** Suite 1 = SHA-256 and Ed25519 under the strict rule of kernel/ed25519.ts. */
export const suite = 1;
export const preambleBytes = 8;

const magic = [0x46, 0x4f, 0x4c, 0x44]; // FOLD

export class Writer {
  readonly #bytes: Bytes;
  readonly #view: DataView;
  #at = 0;

  constructor(length: number) {
    this.#bytes = new Uint8Array(length);
    this.#view = new DataView(this.#bytes.buffer);
  }

  preamble(kind: ObjectKind): this {
    for (const byte of magic) this.u8(byte);
    return this.u8(objectKind[kind]).u8(formatVersion).u8(suite).u8(0);
  }

  u8(value: number): this {
    this.#view.setUint8(this.#at, value);
    this.#at += 1;
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#at, value);
    this.#at += 4;
    return this;
  }

  u64(value: number): this {
    this.#view.setUint32(this.#at, Math.floor(value / 0x1_0000_0000));
    this.#view.setUint32(this.#at + 4, value % 0x1_0000_0000);
    this.#at += 8;
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  /** The filled buffer. A layout that was not filled exactly is a defect of ours. */
  done(): Bytes {
    if (this.#at !== this.#bytes.length) {
      throw FoldlogError.misuse({ where: 'Writer', reason: 'badLayout', found: `${this.#at} bytes`, expected: `${this.#bytes.length}` });
    }
    return this.#bytes;
  }
}

export class Reader {
  readonly where: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array, where: string) {
    this.where = where;
    // A plain view: `slice` of a Node Buffer would share memory instead of copying it.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Bytes from `start` up to where the reader stands now. */
  since(start: number): Bytes {
    return this.#bytes.slice(start, this.#at);
  }

  preamble(kind: ObjectKind): void {
    const found = this.peekKind();
    if (found !== kind) throw this.corrupt('wrongKind', `kind ${found}`, `kind ${kind}`);
    this.#at += preambleBytes;
  }

  /** The kind the preamble names, checked for magic, format, suite and flags, without moving. */
  peekKind(): ObjectKind {
    this.#need(preambleBytes);
    const head = this.#bytes.subarray(this.#at, this.#at + preambleBytes);
    if (!magic.every((byte, i) => head[i] === byte)) throw this.corrupt('badMagic', 'bytes of another format', 'the four letters FOLD');
    const [kind, format, suiteFound, flags] = [head[4], head[5] as number, head[6] as number, head[7]];
    if (format > formatVersion) throw this.#newer(`format ${format}`, `format ${formatVersion} or older`);
    if (suiteFound > suite) throw this.#newer(`suite ${suiteFound}`, `suite ${suite}`);
    if (format !== formatVersion || suiteFound !== suite) {
      throw this.corrupt('badPreamble', `format ${format}, suite ${suiteFound}`, `format ${formatVersion}, suite ${suite}`);
    }
    if (flags !== 0) throw this.#newer(`flags ${flags}`, 'no flags in format 1');
    for (const [name, code] of Object.entries(objectKind)) if (code === kind) return name as ObjectKind;
    throw this.#newer(`kind ${kind}`, 'a kind this version knows');
  }

  u8(): number {
    this.#need(1);
    const value = this.#view.getUint8(this.#at);
    this.#at += 1;
    return value;
  }

  /** A 32-bit count or length, refused above `max` before anything is allocated for it. */
  u32(name: string, max = 0xffff_ffff, min = 0): number {
    this.#need(4);
    const value = this.#view.getUint32(this.#at);
    this.#at += 4;
    if (value > max || value < min) throw this.corrupt('outOfBounds', `${name} ${value}`, `${min} to ${max}`);
    return value;
  }

  u64(name: string, min = 0): number {
    this.#need(8);
    const value = this.#view.getUint32(this.#at) * 0x1_0000_0000 + this.#view.getUint32(this.#at + 4);
    this.#at += 8;
    if (value > integerMax || value < min) throw this.corrupt('outOfBounds', `${name} ${value}`, `${min} to 2^53-1`);
    return value;
  }

  /** A copy of the next `length` bytes. */
  bytes(length: number): Bytes {
    this.#need(length);
    const value = this.#bytes.slice(this.#at, this.#at + length);
    this.#at += length;
    return value;
  }

  zeros(length: number): void {
    if (this.bytes(length).some((byte) => byte !== 0)) throw this.corrupt('badReserved', 'a reserved byte set', 'zero');
  }

  end(): void {
    if (this.left > 0) throw this.corrupt('trailingBytes', `${this.left} bytes after the end`, 'nothing more');
  }

  corrupt(reason: string, found: string, expected: string): FoldlogError {
    return FoldlogError.corrupt({ where: `${this.where} at byte ${this.#at}`, reason, found, expected });
  }

  #need(length: number): void {
    if (this.left < length) throw this.corrupt('truncated', `${this.left} bytes left`, `${length} more`);
  }

  #newer(found: string, expected: string): FoldlogError {
    return new FoldlogError('upgradeNeeded', { where: this.where, reason: 'newerFormat', found, expected });
  }
}
