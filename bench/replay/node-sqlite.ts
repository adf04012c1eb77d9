// Database files opened in Node, in memory: what a device kept and what a checkpoint holds, read without the engine that wrote it.
import startSqlite, { type Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { Database } from '../../worker/engine/database.ts';

let started: Promise<Sqlite3Static> | undefined;

/** An empty database. The caller closes it. */
export async function openEmpty(name: string): Promise<Database> {
  started ??= startSqlite();
  const sqlite3 = await started;
  return new Database(sqlite3, new sqlite3.oo1.DB(':memory:', 'c'), name);
}

/** A database file, to read. The caller closes it. */
export async function openImage(bytes: Uint8Array, name: string): Promise<Database> {
  const db = await openEmpty(name);
  const { capi, wasm } = db.sqlite3;
  const pointer = wasm.allocFromTypedArray(new Uint8Array(bytes)); // not a Buffer, which it does not know
  const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_READONLY;
  db.handle.checkRc(capi.sqlite3_deserialize(db.handle, 'main', pointer, bytes.length, bytes.length, flags));
  return db;
}
