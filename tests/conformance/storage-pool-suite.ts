// What every storage pool must do (worker/engine/storage-pool.ts), as promises that run in Node and inside a browser's worker alike, so without a
// test runner. A promise has lives: each starts the pool anew on what the one before left, and between two of them the worker is killed.

import type { Database } from '../../worker/engine/database.ts';
import { setExclusive, setPragmas } from '../../worker/engine/shard-file.ts';
import type { StoragePool } from '../../worker/engine/storage-pool.ts';

export interface PoolPromise {
  readonly name: string;
  readonly lives: readonly ((pool: StoragePool) => Promise<void>)[];
}

const file = '/a.db';
const other = '/b.db';

function made(pool: StoragePool, name = file): Database {
  const db = pool.create(name);
  setExclusive(db, pool);
  db.exec('PRAGMA page_size=8192; PRAGMA auto_vacuum=incremental');
  setPragmas(db, pool);
  db.exec('CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT');
  return db;
}

async function opened(pool: StoragePool, name = file): Promise<Database> {
  const db = await pool.open(name);
  setExclusive(db, pool);
  setPragmas(db, pool);
  return db;
}

const add = (db: Database, from: number, count: number, letter = 'x', length = 20): void => {
  for (let k = from; k < from + count; k++) db.run('INSERT OR REPLACE INTO t VALUES (?, ?)', [k, letter.repeat(length)]);
};
const keys = (db: Database): number => Number(db.value('SELECT count(*) FROM t'));
const letters = (db: Database): unknown => db.value('SELECT group_concat(DISTINCT substr(v, 1, 1)) FROM t');
/** Without the journals beside them. */
const databases = (pool: StoragePool): readonly string[] => pool.files().filter((name) => name.endsWith('.db'));
const sound = (db: Database): void => same(db.value('PRAGMA integrity_check'), 'ok', 'integrity_check');
/** Rows of half a page, so that a few hundred of them are many times the cache that `smallCache` leaves. */
const large = 4_000;
const smallCache = (db: Database): void => db.exec('PRAGMA cache_size=8');

function same(found: unknown, expected: unknown, what: string): void {
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`${what}: found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
}

async function refused(work: () => unknown, kind: string, reason: string): Promise<void> {
  let error: unknown;
  try {
    await work();
  } catch (thrown) {
    error = thrown;
  }
  const { kind: foundKind, reason: foundReason } = (error ?? {}) as { readonly kind?: string; readonly reason?: string };
  same([foundKind, foundReason], [kind, reason], 'refusal');
}

/** Hold on any pool, also one that keeps nothing. */
export const poolPromises: readonly PoolPromise[] = [
  {
    name: 'a created file is there, closed and opened with all that was committed',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 10);
        db.close();
        same([pool.has(file), databases(pool)], [true, [file]], 'files');
        const again = await opened(pool);
        same(keys(again), 10, 'rows');
        sound(again);
        again.close();
      },
    ],
  },
  {
    name: 'a missing file is never opened empty, and a name is given once',
    lives: [
      async (pool) => {
        await refused(() => pool.open(file), 'corrupt', 'missingFile');
        same(pool.has(file), false, 'has');
        made(pool).close();
        await refused(() => pool.create(file), 'misuse', 'fileExists');
        await refused(() => pool.importImage(file, new Uint8Array(8192)), 'misuse', 'fileExists');
      },
    ],
  },
  {
    name: 'a transaction larger than the cache is rolled back whole, to a savepoint and to its beginning',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 300, 'a', large);
        smallCache(db);
        db.exec('BEGIN IMMEDIATE');
        add(db, 0, 100, 'b', large);
        db.exec('SAVEPOINT s');
        add(db, 100, 400, 'c', large);
        db.exec('ROLLBACK TO s; RELEASE s; COMMIT');
        same([keys(db), letters(db)], [300, 'b,a'], 'after ROLLBACK TO');
        db.exec('BEGIN IMMEDIATE');
        add(db, 0, 600, 'd', large);
        db.exec('ROLLBACK');
        same([keys(db), letters(db)], [300, 'b,a'], 'after ROLLBACK');
        sound(db);
        db.close();
      },
    ],
  },
  {
    name: 'an image goes out and comes in under another name',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 300, 'a', large);
        if (pool.backend === 'opfs-pool') db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        db.close();
        await pool.importImage(other, await pool.exportImage(file));
        const copy = await opened(pool, other);
        same([keys(copy), letters(copy)], [300, 'a'], 'the copy');
        sound(copy);
        add(copy, 0, 300, 'b', large);
        copy.close();
        const first = await opened(pool);
        same(letters(first), 'a', 'the original');
        first.close();
      },
    ],
  },
  {
    name: 'a removed file is gone and its name is free',
    lives: [
      async (pool) => {
        made(pool).close();
        pool.remove(file);
        same([pool.has(file), databases(pool)], [false, []], 'files');
        const db = made(pool);
        same(keys(db), 0, 'rows');
        db.close();
      },
    ],
  },
];

/** Hold on a pool that keeps what it flushed. */
export const durablePoolPromises: readonly PoolPromise[] = [
  {
    name: 'what was flushed survives a kill; what was only committed is there whole or not at all',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 10);
        await pool.flush(file);
        db.transaction(() => add(db, 10, 300, 'y', large));
      },
      async (pool) => {
        const db = await opened(pool);
        same([10, 310].includes(keys(db)), true, `${keys(db)} rows are 10 or 310`);
        sound(db);
      },
    ],
  },
  {
    name: 'a flush during an open transaction keeps nothing of it, killed there or rolled back',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 300, 'a', large);
        await pool.flush(file);
        smallCache(db);
        db.exec('BEGIN IMMEDIATE');
        add(db, 0, 300, 'b', large);
        await pool.flush(file);
      },
      async (pool) => {
        const db = await opened(pool);
        same([keys(db), letters(db)], [300, 'a'], 'after the kill');
        sound(db);
        smallCache(db);
        db.exec('BEGIN IMMEDIATE');
        add(db, 0, 500, 'c', large);
        await pool.flush(file);
        db.exec('ROLLBACK');
        await pool.flush(file);
        add(db, 300, 1, 'a');
        await pool.flush(file);
      },
      async (pool) => {
        const db = await opened(pool);
        same([keys(db), letters(db)], [301, 'a'], 'after the rollback');
        sound(db);
      },
    ],
  },
  {
    name: 'a transaction larger than the cache survives whole',
    lives: [
      async (pool) => {
        const db = made(pool);
        smallCache(db);
        db.transaction(() => add(db, 0, 600, 'a', large));
        db.transaction(() => add(db, 100, 300, 'b', large));
        await pool.flush(file);
      },
      async (pool) => {
        const db = await opened(pool);
        same([keys(db), letters(db)], [600, 'a,b'], 'rows');
        sound(db);
      },
    ],
  },
  {
    name: 'of two files, what is there of the second implies what was committed to the first before it',
    lives: [
      async (pool) => {
        const [first, second] = [made(pool), made(pool, other)];
        await Promise.all([pool.flush(file), pool.flush(other)]);
        for (let k = 0; k < 20; k++) {
          add(first, k, 1);
          add(second, k, 1);
          if (k % 3 === 0) await pool.flush(other);
          else void pool.flush(other)?.catch(() => undefined);
        }
      },
      async (pool) => {
        const [first, second] = [await opened(pool), await opened(pool, other)];
        same(keys(second) >= 19, true, `${keys(second)} rows, the flushed ones among them`);
        same(keys(first) >= keys(second), true, `${keys(first)} of the first and ${keys(second)} of the second`);
      },
    ],
  },
  {
    name: 'a file that shrank is as small as SQLite says, and sound',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 600, 'a', large);
        await pool.flush(file);
        db.run('DELETE FROM t WHERE k >= 50');
        db.all('PRAGMA incremental_vacuum'); // a page a step
        await pool.flush(file);
        add(db, 600, 5, 'b', large);
        await pool.flush(file);
        if (pool.backend === 'opfs-pool') db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      },
      async (pool) => {
        const db = await opened(pool);
        same([keys(db), letters(db)], [55, 'a,b'], 'rows');
        sound(db);
        const pages = Number(db.value('PRAGMA page_count'));
        same(pages < 60, true, `${pages} pages`);
        db.close();
        same((await pool.exportImage(file)).length, pages * 8192, 'bytes');
      },
    ],
  },
  {
    name: 'a removed file stays gone, and a new one under its name holds nothing of it',
    lives: [
      async (pool) => {
        const [db, gone] = [made(pool), made(pool, other)];
        for (const each of [db, gone]) add(each, 0, 300, 'a', large);
        await Promise.all([pool.flush(file), pool.flush(other)]);
        db.close();
        gone.close();
        pool.remove(file);
        pool.remove(other);
        add(made(pool), 0, 3, 'b');
        await Promise.all([pool.flush(file), pool.flush(other)]);
      },
      async (pool) => {
        same(databases(pool), [file], 'files');
        const db = await opened(pool);
        same([keys(db), letters(db)], [3, 'b'], 'rows');
        sound(db);
      },
    ],
  },
  {
    name: 'an image that came in survives, also one of a file that had a WAL',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 300, 'a', large);
        if (pool.backend === 'opfs-pool') db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
        db.close();
        const image = await pool.exportImage(file);
        image.set([2, 2], 18);
        pool.remove(file);
        await pool.importImage(other, image);
      },
      async (pool) => {
        const db = await opened(pool, other);
        same([keys(db), letters(db)], [300, 'a'], 'rows');
        sound(db);
      },
    ],
  },
  {
    name: 'bytes that are no database do not come in, and leave the name free',
    lives: [
      async (pool) => {
        const noise = new Uint8Array(8192).fill(7);
        await pool.importImage(file, noise).then(
          () => Promise.reject(new Error('noise was taken')),
          () => undefined,
        );
        if (pool.has(file)) pool.remove(file);
        made(pool).close();
      },
    ],
  },
  {
    name: 'a look shows the commits before it and none after',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 300, 'a', large);
        if (pool.backend === 'opfs-pool') db.exec('PRAGMA wal_autocheckpoint=0; PRAGMA wal_checkpoint(TRUNCATE)');
        const look = new pool.sqlite3.oo1.DB({ filename: pool.attachImmutable(file), flags: 'r' });
        const seen = (): unknown => look.selectArray('SELECT count(*), group_concat(DISTINCT substr(v, 1, 1)) FROM t');
        same(seen(), [300, 'a'], 'before');
        look.exec('PRAGMA cache_size=4');
        add(db, 0, 600, 'b', large);
        await pool.flush(file);
        same(seen(), [300, 'a'], 'after a commit');
        db.run('DELETE FROM t');
        same(seen(), [300, 'a'], 'after another');
        look.close();
        same(keys(db), 0, 'rows');
      },
    ],
  },
  {
    name: 'a closed file that is reverted has everything that was flushed, and works on',
    lives: [
      async (pool) => {
        const db = made(pool);
        add(db, 0, 10);
        await pool.flush(file);
        db.transaction(() => add(db, 10, 10));
        db.close();
        await pool.revert(file);
        const again = await opened(pool);
        same([10, 20].includes(keys(again)), true, `${keys(again)} rows are 10 or 20`);
        add(again, 20, 1);
        await pool.flush(file);
      },
      async (pool) => {
        const db = await opened(pool);
        same(db.value('SELECT max(k) FROM t'), 20, 'the newest');
        sound(db);
      },
    ],
  },
];
