// One SQLite connection as the engine uses it: cached statements bound in bulk, and SQLite's failures turned into outcomes of ours.
// Nothing here knows ops, chains or shards.

import type { PreparedStatement, Sqlite3Static, Database as SqliteDatabase } from '@sqlite.org/sqlite-wasm';
import { FoldlogError } from '../../kernel/errors.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';

export type Row = Record<string, SqlValue>;

/** Statements kept prepared per connection: the engine's own are about 30, an app's reducers and live queries rarely 100. */
const statementsMax = 256;

export class Database {
  readonly sqlite3: Sqlite3Static;
  readonly name: string;
  readonly #handle: SqliteDatabase;
  readonly #statements = new Map<string, PreparedStatement>();

  constructor(sqlite3: Sqlite3Static, handle: SqliteDatabase, name: string) {
    this.sqlite3 = sqlite3;
    this.#handle = handle;
    this.name = name;
  }

  /** The raw connection, for hooks that only the C API offers. */
  get handle(): SqliteDatabase {
    return this.#handle;
  }

  get isOpen(): boolean {
    return this.#handle.isOpen();
  }

  /** Statements without parameters or results, not cached. */
  exec(text: string): void {
    this.#handle.exec(text);
  }

  run(text: string, params: readonly SqlValue[] = []): void {
    const statement = this.#statement(text);
    try {
      if (params.length > 0) statement.bind(params);
      while (statement.step());
    } finally {
      statement.reset(params.length > 0);
    }
  }

  get<R = Row>(text: string, params: readonly SqlValue[] = []): R | undefined {
    const statement = this.#statement(text);
    try {
      if (params.length > 0) statement.bind(params);
      return statement.step() ? (statement.get({}) as R) : undefined;
    } finally {
      statement.reset(params.length > 0);
    }
  }

  all<R = Row>(text: string, params: readonly SqlValue[] = []): R[] {
    const statement = this.#statement(text);
    const rows: R[] = [];
    try {
      if (params.length > 0) statement.bind(params);
      while (statement.step()) rows.push(statement.get({}) as R);
      return rows;
    } finally {
      statement.reset(params.length > 0);
    }
  }

  /** First column of the first row. */
  value(text: string, params: readonly SqlValue[] = []): SqlValue | undefined {
    const statement = this.#statement(text);
    try {
      if (params.length > 0) statement.bind(params);
      return statement.step() ? (statement.get(0) as SqlValue) : undefined;
    } finally {
      statement.reset(params.length > 0);
    }
  }

  /** Rows as arrays, one at a time; the caller finishes or returns the iterator before anything else runs on this statement. */
  *rows(text: string): Generator<readonly SqlValue[]> {
    const statement = this.#handle.prepare(text);
    try {
      while (statement.step()) yield statement.get([]) as SqlValue[];
    } finally {
      statement.finalize();
    }
  }

  /** Runs `work` in one transaction; rolls back and rethrows what it throws. Synchronous: nothing comes between. */
  transaction<T>(work: () => T): T {
    this.exec('BEGIN IMMEDIATE');
    let result: T;
    try {
      result = work();
    } catch (error) {
      this.rollback();
      throw error;
    }
    this.exec('COMMIT');
    return result;
  }

  /** Rolls back if a transaction is still open: SQLite itself ends it after some I/O errors. */
  rollback(): void {
    if (this.sqlite3.capi.sqlite3_get_autocommit(this.#handle) === 0) this.exec('ROLLBACK');
  }

  /** Sets a pragma and requires that it took. @throws {FoldlogError} `corrupt` `pragmaRefused` */
  requirePragma(name: string, value: string, readsBack: SqlValue): void {
    this.exec(`PRAGMA ${name}=${value}`);
    const found = this.#handle.selectValue(`PRAGMA ${name}`) as SqlValue;
    if (found !== readsBack) {
      throw FoldlogError.corrupt({
        where: `${this.name}, PRAGMA ${name}`,
        reason: 'pragmaRefused',
        found: String(found),
        expected: String(readsBack),
        todo: 'this storage cannot keep what is saved; use another browser or storage',
      });
    }
  }

  /** Forgets prepared statements: needed before the schema changes under them. */
  finalizeStatements(): void {
    for (const statement of this.#statements.values()) statement.finalize();
    this.#statements.clear();
  }

  /** Closes even after failures; a connection that cannot close is dropped with its instance. */
  close(): void {
    try {
      this.finalizeStatements();
    } finally {
      this.#handle.close();
    }
  }

  #statement(text: string): PreparedStatement {
    let statement = this.#statements.get(text);
    if (statement !== undefined) {
      return statement;
    }
    if (this.#statements.size >= statementsMax) this.finalizeStatements();
    statement = this.#handle.prepare(text);
    this.#statements.set(text, statement);
    return statement;
  }
}

/** What a failure of SQLite means to a caller whose data was not saved. */
export function sqliteFailure(error: unknown, where: string): FoldlogError {
  if (error instanceof FoldlogError) return error;
  const code = (error as { resultCode?: unknown }).resultCode;
  const message = error instanceof Error ? error.message : String(error);
  const primary = typeof code === 'number' ? code & 0xff : undefined;
  if (primary === 13 || primary === 10) {
    // Quota surfaces as IOERR, whatever the browser did: thrown, short or 0xFFFFFFF8 (F-06, F-07).
    return new FoldlogError('storageFull', { where, reason: 'writeFailed', found: message, expected: 'room to write', cause: error });
  }
  if (primary === 11 || primary === 26) {
    return FoldlogError.corrupt({ where, reason: 'damagedFile', found: message, expected: 'a sound database', cause: error });
  }
  return new FoldlogError('unavailable', { where, reason: 'databaseFailed', found: message, expected: 'no failure', cause: error });
}
