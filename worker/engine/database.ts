// One SQLite connection as the engine uses it: cached statements bound in bulk, and SQLite's failures turned into outcomes of ours.
// Nothing here knows ops, chains or shards.

import type { Sqlite3Static, Database as SqliteDatabase } from '@sqlite.org/sqlite-wasm';
import { FoldlogError } from '../../kernel/errors.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';
import { Statement } from './statement.ts';

export type Row = Record<string, SqlValue>;

/** Statements kept prepared per connection: the engine's own are about 30, an app's reducers and live queries rarely 100. */
const statementsMax = 256;

export class Database {
  readonly sqlite3: Sqlite3Static;
  readonly name: string;
  readonly #handle: SqliteDatabase;
  readonly #statements = new Map<string, Statement>();
  readonly #takeRefusal: () => FoldlogError | undefined;

  /** `takeRefusal`: why the file's VFS refused last, where it knows more than the code SQLite passes on. */
  constructor(sqlite3: Sqlite3Static, handle: SqliteDatabase, name: string, takeRefusal: () => FoldlogError | undefined = () => undefined) {
    this.sqlite3 = sqlite3;
    this.#handle = handle;
    this.name = name;
    this.#takeRefusal = takeRefusal;
  }

  /** The raw connection, for hooks that only the C API offers. */
  get handle(): SqliteDatabase {
    return this.#handle;
  }

  get isOpen(): boolean {
    return this.#handle.isOpen();
  }

  /** Rows inserted, changed or deleted since the connection was opened. */
  get rowsTouched(): number {
    return this.sqlite3.capi.sqlite3_total_changes(this.#handle);
  }

  get isInTransaction(): boolean {
    return this.sqlite3.capi.sqlite3_get_autocommit(this.#handle) === 0;
  }

  /** Statements without parameters or results, not cached. */
  exec(text: string): void {
    this.#handle.exec(text);
  }

  run(text: string, params: readonly SqlValue[] = []): void {
    this.#statement(text).run(params);
  }

  get<R = Row>(text: string, params: readonly SqlValue[] = []): R | undefined {
    const statement = this.#statement(text);
    let row: Row | undefined;
    statement.each(params, () => {
      row = statement.row();
      return false;
    });
    return row as R | undefined;
  }

  all<R = Row>(text: string, params: readonly SqlValue[] = []): R[] {
    const statement = this.#statement(text);
    const rows: Row[] = [];
    statement.each(params, () => rows.push(statement.row()) > 0);
    return rows as R[];
  }

  /** First column of the first row. */
  value(text: string, params: readonly SqlValue[] = []): SqlValue | undefined {
    const statement = this.#statement(text);
    let value: SqlValue | undefined;
    statement.each(params, () => {
      value = statement.column(0);
      return false;
    });
    return value;
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

  /** Runs `work` in one transaction; rolls back and rethrows what it throws, SQLite's failures typed. Synchronous: nothing comes between. */
  transaction<T>(work: () => T): T {
    try {
      this.exec('BEGIN IMMEDIATE');
      const result = work();
      this.exec('COMMIT');
      return result;
    } catch (error) {
      this.rollback();
      const isSqlite = typeof (error as { readonly resultCode?: unknown } | null)?.resultCode === 'number';
      throw isSqlite ? this.failure(error, this.name) : error;
    }
  }

  /** Rolls back if a transaction is still open: SQLite itself ends it after some I/O errors. */
  rollback(): void {
    if (this.isInTransaction) this.exec('ROLLBACK');
  }

  /** What a failure of this connection means to a caller whose data was not saved. */
  failure(error: unknown, where: string): FoldlogError {
    return error instanceof FoldlogError ? error : (this.#takeRefusal() ?? sqliteFailure(error, where));
  }

  /** The same while a stored file is opened by statements that are always right: what SQLite calls an error then is the file's header or schema. */
  openingFailure(error: unknown, where: string): FoldlogError {
    if ((error as { readonly resultCode?: unknown } | null)?.resultCode !== this.sqlite3.capi.SQLITE_ERROR)
      return this.failure(error, where);
    const found = error instanceof Error ? error.message : String(error);
    return FoldlogError.corrupt({ where, reason: 'damagedFile', found, expected: 'a header and a schema SQLite can read', cause: error });
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

  /** A header that names a newer way of writing makes SQLite read-only without a word. @throws {FoldlogError} `corrupt` `damagedFile` */
  requireWritable(): void {
    if (this.sqlite3.capi.sqlite3_db_readonly(this.#handle, 'main') !== 1) return;
    throw FoldlogError.corrupt({
      where: this.name,
      reason: 'damagedFile',
      found: 'a file SQLite will not write',
      expected: 'one of this version of its format',
    });
  }

  /** Of the file as its last commit left it; what still stands in a WAL counts. */
  sizeBytes(): number {
    return Number(this.value('PRAGMA page_count')) * Number(this.value('PRAGMA page_size'));
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

  /** Closes and leaves file and WAL as they are: what is damaged is evidence, and a last checkpoint would write into it. */
  abandon(): void {
    const { capi } = this.sqlite3;
    if (this.isOpen) capi.sqlite3_db_config(this.#handle, capi.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, 0 as never);
    this.close();
  }

  #statement(text: string): Statement {
    let statement = this.#statements.get(text);
    if (statement !== undefined) return statement;
    if (this.#statements.size >= statementsMax) this.finalizeStatements();
    statement = new Statement(this.sqlite3, this.#handle, text);
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
