// A prepared statement driven straight through SQLite's C functions. The library's own binding layer checks and copies every value several
// times; a fold of a thousand one-row ops spent more time there than in SQLite. Same meaning, one difference: a number beyond 2^53 is bound
// as the double it is.

import type { PreparedStatement, Sqlite3Static, Database as SqliteDatabase } from '@sqlite.org/sqlite-wasm';
import { looseTextFromUtf8, utf8Into } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';

/** The C functions used here, by their exported names: pointers are numbers, 64-bit integers are bigint. */
interface RawApi {
  sqlite3_bind_null(statement: number, at: number): number;
  sqlite3_bind_int(statement: number, at: number, value: number): number;
  sqlite3_bind_int64(statement: number, at: number, value: bigint): number;
  sqlite3_bind_double(statement: number, at: number, value: number): number;
  sqlite3_bind_text(statement: number, at: number, pointer: number, length: number, destructor: number): number;
  sqlite3_bind_blob(statement: number, at: number, pointer: number, length: number, destructor: number): number;
  sqlite3_bind_parameter_count(statement: number): number;
  sqlite3_step(statement: number): number;
  sqlite3_reset(statement: number): number;
  sqlite3_clear_bindings(statement: number): number;
  sqlite3_column_count(statement: number): number;
  sqlite3_column_type(statement: number, column: number): number;
  sqlite3_column_int64(statement: number, column: number): bigint;
  sqlite3_column_double(statement: number, column: number): number;
  sqlite3_column_text(statement: number, column: number): number;
  sqlite3_column_blob(statement: number, column: number): number;
  sqlite3_column_bytes(statement: number, column: number): number;
}

const rowReady = 100;
const done = 101;
const [typeInteger, typeFloat, typeText, typeBlob] = [1, 2, 3, 4];
/** The value stays where it is until the statement is reset and its bindings are cleared, which every use here does at its end. */
const staticDestructor = 0;

/** Below this a loop over character codes beats the call into the encoder. */
const shortText = 32;

/**
 * Room in the WASM heap for the bound values of one statement at a time: each runs to its end before the next is bound.
 * One per SQLite instance; values that do not fit get memory of their own for the run.
 */
class BindRoom {
  static readonly #rooms = new WeakMap<Sqlite3Static, BindRoom>();
  static readonly #bytes = 64 * 1024;

  readonly #wasm: Sqlite3Static['wasm'];
  readonly #start: number;
  readonly #loans: number[] = [];
  #at = 0;

  static of(sqlite3: Sqlite3Static): BindRoom {
    let room = BindRoom.#rooms.get(sqlite3);
    if (room === undefined) {
      room = new BindRoom(sqlite3);
      BindRoom.#rooms.set(sqlite3, room);
    }
    return room;
  }

  private constructor(sqlite3: Sqlite3Static) {
    this.#wasm = sqlite3.wasm;
    this.#start = this.#wasm.alloc(BindRoom.#bytes);
  }

  /** A pointer to `length` bytes, valid until `clear`. */
  take(length: number): number {
    if (this.#at + length <= BindRoom.#bytes) {
      const pointer = this.#start + this.#at;
      this.#at += length;
      return pointer;
    }
    const loan = this.#wasm.alloc(length);
    this.#loans.push(loan);
    return loan;
  }

  clear(): void {
    this.#at = 0;
    while (this.#loans.length > 0) this.#wasm.dealloc(this.#loans.pop() as number);
  }
}

export class Statement {
  readonly #prepared: PreparedStatement;
  readonly #pointer: number;
  readonly #api: RawApi;
  readonly #wasm: Sqlite3Static['wasm'];
  readonly #handle: SqliteDatabase;
  readonly #room: BindRoom;
  readonly #paramCount: number;
  #names: readonly string[] | undefined;

  constructor(sqlite3: Sqlite3Static, handle: SqliteDatabase, text: string) {
    this.#prepared = handle.prepare(text);
    this.#pointer = this.#prepared.pointer as number;
    this.#wasm = sqlite3.wasm;
    this.#api = sqlite3.wasm.exports as RawApi;
    this.#handle = handle;
    this.#room = BindRoom.of(sqlite3);
    this.#paramCount = this.#api.sqlite3_bind_parameter_count(this.#pointer);
  }

  run(params: readonly SqlValue[]): void {
    try {
      this.#bind(params);
      while (this.#step());
    } finally {
      this.#end(params);
    }
  }

  /** Hands each row to `take` as long as it answers true. */
  each(params: readonly SqlValue[], take: () => boolean): void {
    try {
      this.#bind(params);
      while (this.#step() && take());
    } finally {
      this.#end(params);
    }
  }

  /** The present row by column name. Only inside `each`. */
  row(): Record<string, SqlValue> {
    this.#names ??= this.#columnNames();
    const row: Record<string, SqlValue> = {};
    for (let column = 0; column < this.#names.length; column++) row[this.#names[column] as string] = this.column(column);
    return row;
  }

  /** One value of the present row. Only inside `each`. */
  column(column: number): SqlValue {
    const api = this.#api;
    const pointer = this.#pointer;
    switch (api.sqlite3_column_type(pointer, column)) {
      case typeInteger: {
        const value = api.sqlite3_column_int64(pointer, column);
        const number = Number(value);
        return Number.isSafeInteger(number) ? number : value;
      }
      case typeFloat:
        return api.sqlite3_column_double(pointer, column);
      case typeText: {
        const at = api.sqlite3_column_text(pointer, column);
        return this.#text(at, api.sqlite3_column_bytes(pointer, column));
      }
      case typeBlob: {
        const at = api.sqlite3_column_blob(pointer, column);
        return this.#wasm.heap8u().slice(at, at + api.sqlite3_column_bytes(pointer, column));
      }
      default:
        return null;
    }
  }

  finalize(): void {
    this.#prepared.finalize();
  }

  #bind(params: readonly SqlValue[]): void {
    if (params.length > this.#paramCount) {
      throw FoldlogError.misuse({
        where: 'statement',
        reason: 'badParams',
        found: `${params.length} values`,
        expected: `at most ${this.#paramCount}, one for each ?`,
      });
    }
    for (let i = 0; i < params.length; i++) {
      const code = this.#bindOne(i + 1, params[i]);
      if (code !== 0) this.#handle.checkRc(code);
    }
  }

  #bindOne(at: number, value: unknown): number {
    const api = this.#api;
    const pointer = this.#pointer;
    switch (typeof value) {
      case 'string':
        return this.#bindText(at, value);
      case 'number':
        if (value === (value | 0)) return api.sqlite3_bind_int(pointer, at, value);
        if (Number.isSafeInteger(value)) return api.sqlite3_bind_int64(pointer, at, BigInt(value));
        return api.sqlite3_bind_double(pointer, at, value);
      case 'bigint':
        if (BigInt.asIntN(64, value) !== value) break;
        return api.sqlite3_bind_int64(pointer, at, value);
      case 'boolean':
        return api.sqlite3_bind_int(pointer, at, value ? 1 : 0);
      case 'undefined':
        return api.sqlite3_bind_null(pointer, at);
      case 'object':
        if (value === null) return api.sqlite3_bind_null(pointer, at);
        if (value instanceof Uint8Array) return this.#bindBytes(at, value);
    }
    throw FoldlogError.misuse({
      where: `statement, value ${at}`,
      reason: 'badParams',
      found: typeof value === 'bigint' ? 'a bigint beyond 64 bits' : typeof value,
      expected: 'text, a number, a bigint of 64 bits, bytes, true, false or null',
    });
  }

  #bindText(at: number, text: string): number {
    const roomMax = text.length * 3; // a UTF-16 unit takes at most three bytes of UTF-8
    const pointer = this.#room.take(roomMax);
    const heap = this.#wasm.heap8u(); // after `take`: the heap may have moved
    let length = 0;
    if (text.length <= shortText) {
      while (length < text.length) {
        const unit = text.charCodeAt(length);
        if (unit >= 0x80) break;
        heap[pointer + length++] = unit;
      }
    }
    if (length < text.length) length = utf8Into(text, heap.subarray(pointer, pointer + roomMax));
    return this.#api.sqlite3_bind_text(this.#pointer, at, pointer, length, staticDestructor);
  }

  #bindBytes(at: number, bytes: Uint8Array): number {
    const pointer = this.#room.take(bytes.length);
    this.#wasm.heap8u().set(bytes, pointer);
    return this.#api.sqlite3_bind_blob(this.#pointer, at, pointer, bytes.length, staticDestructor);
  }

  #step(): boolean {
    const code = this.#api.sqlite3_step(this.#pointer);
    if (code === rowReady) return true;
    if (code !== done) this.#handle.checkRc(code);
    return false;
  }

  /** The failure of a step was thrown where it happened; what `reset` repeats of it is dropped. */
  #end(params: readonly SqlValue[]): void {
    this.#api.sqlite3_reset(this.#pointer);
    if (params.length === 0) return;
    this.#api.sqlite3_clear_bindings(this.#pointer);
    this.#room.clear();
  }

  #columnNames(): readonly string[] {
    return this.#api.sqlite3_column_count(this.#pointer) === 0 ? [] : this.#prepared.getColumnNames();
  }

  #text(at: number, length: number): string {
    const heap = this.#wasm.heap8u();
    if (length <= shortText) {
      let text = '';
      let i = 0;
      for (; i < length; i++) {
        const byte = heap[at + i] as number;
        if (byte >= 0x80) break;
        text += String.fromCharCode(byte);
      }
      if (i === length) return text;
    }
    return looseTextFromUtf8(heap.subarray(at, at + length));
  }
}
