// The floors: bare SQLite-WASM on each place files can be in, with the same rows and flushes as the engine's lanes and nothing of the engine: no ops,
// hashes, signatures, log, vault, port. `mirror` is the engine's own VFS over IndexedDB, for there is no other to compare with: one INSERT
// transaction and its flush. What lies below that, the strict transaction alone, is the `pages` lane.
import startSqlite, { type Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { IdbPageStore, pagesDatabaseName } from '../../worker/browser/vfs/idb-page-store.ts';
import { workerScheduler } from '../../worker/browser/worker-scheduler.ts';
import type { Database } from '../../worker/engine/database.ts';
import { openMirrorPool } from '../../worker/engine/mirror/mirror-pool.ts';
import { pageBytes } from '../../worker/engine/mirror/stored.ts';
import { setExclusive, setPragmas } from '../../worker/engine/shard-file.ts';
import { openSahPool, type StoragePool } from '../../worker/engine/storage-pool.ts';
import { epochMs } from '../spans-client.ts';

export type Place = 'wal' | 'truncate' | 'mirror';

export type BareJob =
  /** Commits of `group` rows. */
  | {
      readonly do: 'commit';
      readonly on: Place;
      readonly group: number;
      readonly count: number;
      readonly durability?: 'strict' | 'relaxed';
    }
  /** One IndexedDB transaction per commit that puts `pages` pages and nothing else. */
  | { readonly do: 'pages'; readonly pages: number; readonly count: number }
  | { readonly do: 'fill'; readonly on: Place; readonly store: string; readonly megabytes: number }
  /** Opens what was filled, and asks one question. */
  | { readonly do: 'start'; readonly on: Place; readonly store: string }
  /** Compiles SQLite, waits for the lock, opens, commits one row, keeps the lock. */
  | { readonly do: 'own'; readonly store: string };

export type BareAnswer =
  | { readonly kind: 'times'; readonly times: readonly number[] }
  | { readonly kind: 'done' }
  | { readonly kind: 'started'; readonly parts: Readonly<Record<string, number>> }
  | { readonly kind: 'prepared' }
  | { readonly kind: 'owned'; readonly lockAt: number; readonly hereAt: number; readonly savedAt: number }
  | { readonly kind: 'failed'; readonly message: string };

const file = '/floor.db';
const rowText = 'n'.repeat(1_000);
const tell = (answer: BareAnswer): void => postMessage(answer);

addEventListener('message', ({ data }: MessageEvent<BareJob>) => {
  run(data).catch((cause: unknown) => tell({ kind: 'failed', message: String(cause) }));
});

async function run(job: BareJob): Promise<void> {
  switch (job.do) {
    case 'commit':
      return tell({ kind: 'times', times: await commits(job) });
    case 'pages':
      return tell({ kind: 'times', times: await barePages(job.pages, job.count) });
    case 'fill':
      await fill(job.on, job.store, job.megabytes);
      return tell({ kind: 'done' });
    case 'start':
      return tell({ kind: 'started', parts: await start(job.on, job.store) });
    case 'own':
      return own(job.store);
  }
}

async function openPool(sqlite3: Sqlite3Static, on: Place, store: string, durability?: 'strict' | 'relaxed'): Promise<StoragePool> {
  // The types of a page do not know the handle that only a worker gets.
  const root = () => navigator.storage.getDirectory() as unknown as ReturnType<Parameters<typeof openSahPool>[2]>;
  if (on !== 'mirror') return openSahPool(sqlite3, store, root);
  const ports = { store: new IdbPageStore(store, durability), scheduler: workerScheduler() };
  return openMirrorPool(sqlite3, ports, { bytesMax: 256 * 1024 * 1024 });
}

function setUp(db: Database, pool: StoragePool, on: Place): void {
  setExclusive(db, pool);
  db.exec('PRAGMA page_size=8192');
  if (on === 'truncate') {
    db.requirePragma('journal_mode', 'truncate', 'truncate');
    db.requirePragma('synchronous', 'full', 2);
  } else setPragmas(db, pool);
}

async function commits({ on, group, count, durability }: Extract<BareJob, { do: 'commit' }>): Promise<number[]> {
  const pool = await openPool(await startSqlite(), on, `floor-${on}`, durability);
  const db = pool.create(file);
  setUp(db, pool, on);
  db.exec('CREATE TABLE sale_line (sale TEXT, sku TEXT, qty INTEGER, cents INTEGER, PRIMARY KEY (sale, sku)) STRICT');
  await pool.flush(file);
  const times: number[] = [];
  for (let g = 0; g < count; g++) {
    const from = performance.now();
    db.exec('BEGIN IMMEDIATE');
    for (let i = 0; i < group; i++) db.run('INSERT INTO sale_line VALUES (?,?,?,?)', [`S${g}`, `SKU${i}`, 6, 255]);
    db.exec('COMMIT');
    await pool.flush(file);
    times.push(performance.now() - from);
  }
  const rows = db.value('SELECT count(*) FROM sale_line');
  if (rows !== count * group) throw new Error(`${on}: ${rows} rows, expected ${count * group}`);
  db.close();
  pool.remove(file);
  await pool.close();
  return times;
}

async function barePages(pages: number, count: number): Promise<number[]> {
  const name = `${pagesDatabaseName('floor')}-bare`;
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const opening = indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('page');
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const fresh = Array.from({ length: pages }, () => new Uint8Array(pageBytes).fill(n));
    const from = performance.now();
    await new Promise<void>((resolve, reject) => {
      const transaction = db.transaction('page', 'readwrite', { durability: 'strict' });
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error);
      fresh.forEach((page, at) => {
        transaction.objectStore('page').put(page, at);
      });
    });
    times.push(performance.now() - from);
  }
  db.close();
  indexedDB.deleteDatabase(name);
  return times;
}

async function fill(on: Place, store: string, megabytes: number): Promise<void> {
  const pool = await openPool(await startSqlite(), on, store);
  const db = pool.create(file);
  setUp(db, pool, on);
  db.exec('CREATE TABLE note (id TEXT PRIMARY KEY, text TEXT) STRICT');
  for (let m = 0; m < megabytes; m++) {
    db.transaction(() => {
      for (let i = 0; i < 950; i++) db.run('INSERT INTO note VALUES (?, ?)', [`${m}-${i}`, rowText]);
    });
    await pool.flush(file);
  }
  db.close();
  await pool.close();
}

async function start(on: Place, store: string): Promise<Readonly<Record<string, number>>> {
  const parts: Record<string, number> = {};
  let at = performance.now();
  const part = (name: string): void => {
    parts[name] = performance.now() - at;
    at = performance.now();
  };
  const sqlite3 = await startSqlite();
  part('sqlite');
  const pool = await openPool(sqlite3, on, store);
  part('storage');
  const db = await pool.open(file);
  setUp(db, pool, on);
  part('open');
  const rows = db.all('SELECT id, length(text) AS length FROM note ORDER BY id DESC LIMIT 20');
  if (rows.length !== 20) throw new Error(`start: ${rows.length} rows, expected 20`);
  part('query');
  db.close();
  await pool.close();
  return parts;
}

async function own(store: string): Promise<void> {
  const sqlite3 = await startSqlite();
  tell({ kind: 'prepared' });
  await navigator.locks.request(`floor/${store}`, async () => {
    const lockAt = epochMs();
    const pool = await openPool(sqlite3, 'wal', store);
    const isNew = !pool.has(file);
    const db = isNew ? pool.create(file) : await pool.open(file);
    setUp(db, pool, 'wal');
    if (isNew) db.exec('CREATE TABLE sale (at REAL) STRICT');
    const hereAt = epochMs();
    db.run('INSERT INTO sale VALUES (?)', [hereAt]);
    tell({ kind: 'owned', lockAt, hereAt, savedAt: epochMs() });
    await new Promise(() => undefined); // until this worker is ended
  });
}
