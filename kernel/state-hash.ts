// The logical state hash: one digest for what is in the tables, whatever file layout, page order or SQLite build holds it.
// Callers feed tables in name order and rows in key order; this file fixes how a value becomes bytes. Form: docs/format.md#state-hash.

import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { type Bytes, utf8 } from './bytes.ts';
import { FoldlogError } from './errors.ts';
import { type Hash, hash } from './units.ts';

export type SqlValue = null | number | bigint | string | Uint8Array;

const tag = utf8('foldlog/v1/state\0');
const bufferBytes = 64 * 1024;

/** Feed `table`, then its rows, then the next table; `digest` ends it. Holds 64 KiB whatever the number of rows. */
export class StateHasher {
  readonly #state = nobleSha256.create().update(tag);
  readonly #buffer: Bytes = new Uint8Array(bufferBytes);
  readonly #view = new DataView(this.#buffer.buffer);
  #at = 0;

  table(name: string, columns: readonly string[]): void {
    this.#head(0x54, 0);
    this.#text(name);
    for (const column of columns) this.#text(column);
  }

  /** One row, values in the order of the table's columns. Integers and whole reals below 2^53 hash apart only by column type. */
  row(values: readonly SqlValue[], isReal: readonly boolean[]): void {
    this.#head(0x52, values.length);
    for (let i = 0; i < values.length; i++) this.#value(values[i] as SqlValue, isReal[i] === true);
  }

  digest(): Hash {
    this.#flush();
    return hash(this.#state.digest());
  }

  #value(value: SqlValue, isReal: boolean): void {
    if (value === null) this.#head(0x4e, 0);
    else if (typeof value === 'string') this.#text(value);
    else if (value instanceof Uint8Array) {
      this.#head(0x42, value.length);
      this.#bytes(value);
    } else this.#number(value, isReal);
  }

  #number(value: number | bigint, isReal: boolean): void {
    this.#room(9);
    if (isReal) {
      this.#buffer[this.#at] = 0x46;
      this.#view.setFloat64(this.#at + 1, Number(value) === 0 ? 0 : Number(value));
    } else {
      if (typeof value === 'number' && !Number.isSafeInteger(value)) {
        throw FoldlogError.misuse({ where: 'state hash', reason: 'badInteger', found: String(value), expected: 'a whole number' });
      }
      this.#buffer[this.#at] = 0x49;
      this.#view.setBigInt64(this.#at + 1, BigInt(value));
    }
    this.#at += 9;
  }

  #text(value: string): void {
    const bytes = utf8(value);
    this.#head(0x58, bytes.length);
    this.#bytes(bytes);
  }

  #head(kind: number, length: number): void {
    this.#room(5);
    this.#buffer[this.#at] = kind;
    this.#view.setUint32(this.#at + 1, length);
    this.#at += 5;
  }

  #bytes(bytes: Uint8Array): void {
    if (bytes.length > bufferBytes - this.#at) this.#flush();
    if (bytes.length > bufferBytes) {
      this.#state.update(bytes);
      return;
    }
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #room(length: number): void {
    if (bufferBytes - this.#at < length) this.#flush();
  }

  #flush(): void {
    this.#state.update(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
  }
}
