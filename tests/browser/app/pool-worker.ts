// A worker that opens one storage pool, does one thing with it and answers; the page then ends it as a kill would.
import startSqlite from '@sqlite.org/sqlite-wasm';
import { webScheduler } from '../../../kernel/web/web-host.ts';
import { type Durability, IdbPageStore } from '../../../worker/browser/vfs/idb-page-store.ts';
import { openMirrorPool } from '../../../worker/engine/mirror/mirror-pool.ts';
import type { SlotFolder } from '../../../worker/engine/pool-slots.ts';
import { setExclusive, setPragmas } from '../../../worker/engine/shard-file.ts';
import { type Backend, openSahPool, type StoragePool } from '../../../worker/engine/storage-pool.ts';
import { durablePoolPromises, poolPromises } from '../../conformance/storage-pool-suite.ts';

export type PoolJob = { readonly backend: Backend; readonly store: string } & (
  | { readonly kind: 'live'; readonly promise: string; readonly life: number }
  /** Fills a file of about so many bytes. */
  | { readonly kind: 'fill'; readonly bytes: number }
  /** Opens that file and reads from it: ms of each. */
  | { readonly kind: 'load' }
  /** One-row commits, each flushed. */
  | { readonly kind: 'commits'; readonly count: number; readonly durability: Durability }
  /** Commits and flushes while the connection to IndexedDB is closed behind the pool's back. */
  | { readonly kind: 'cut' }
  /** Commits and flushes, in which the browser refuses one request after the other: what memory that ran out does to the copy of a page. */
  | { readonly kind: 'refused' }
);

export type PoolAnswer = { readonly kind: 'done'; readonly value: unknown } | { readonly kind: 'failed'; readonly message: string };

const file = '/filled.db';

/** The page's types do not know the handles that only workers have. */
const originRoot = (): Promise<SlotFolder> => navigator.storage.getDirectory() as Promise<unknown> as Promise<SlotFolder>;

addEventListener('message', async ({ data }: MessageEvent<PoolJob>) => {
  let answer: PoolAnswer;
  try {
    answer = { kind: 'done', value: await work(data) };
  } catch (error) {
    answer = { kind: 'failed', message: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) };
  }
  postMessage(answer);
});

async function work(job: PoolJob): Promise<unknown> {
  const opened: IDBDatabase[] = [];
  if (job.kind === 'cut') watchConnections(opened);
  const began = performance.now();
  const pool = await boot(job);
  const bootMs = performance.now() - began;
  switch (job.kind) {
    case 'live': {
      const promise = [...poolPromises, ...durablePoolPromises].find(({ name }) => name === job.promise);
      return promise?.lives[job.life]?.(pool);
    }
    case 'fill':
      return fill(pool, job.bytes);
    case 'load':
      return { bootMs, ...(await load(pool)) };
    case 'commits':
      return commits(pool, job.count);
    case 'cut':
      return cut(pool, opened);
    case 'refused':
      return refused(pool);
  }
}

async function boot(job: PoolJob): Promise<StoragePool> {
  Object.assign(globalThis, { sqlite3ApiConfig: { disable: { vfs: { opfs: true, 'opfs-wl': true } } } });
  const sqlite3 = await startSqlite();
  if (job.backend === 'indexeddb') {
    const store = new IdbPageStore(job.store, job.kind === 'commits' ? job.durability : 'strict');
    return openMirrorPool(sqlite3, { store, scheduler: webScheduler }, { bytesMax: 256 * 1024 * 1024 });
  }
  for (let attempt = 0; ; attempt++) {
    try {
      return await openSahPool(sqlite3, job.store, originRoot);
    } catch (error) {
      if (attempt === 40) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50)); // the worker before frees its handles a moment after its end
    }
  }
}

async function made(pool: StoragePool) {
  const db = pool.create(file);
  setExclusive(db, pool);
  db.exec('PRAGMA page_size=8192');
  setPragmas(db, pool);
  db.exec('CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB NOT NULL) STRICT');
  return db;
}

async function fill(pool: StoragePool, bytes: number): Promise<void> {
  const db = await made(pool);
  db.transaction(() =>
    db.run('WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < ?) INSERT INTO t SELECT k, randomblob(1000) FROM n', [
      Math.floor(bytes / 1024),
    ]),
  );
  await pool.flush(file);
}

async function load(pool: StoragePool) {
  const began = performance.now();
  const db = await pool.open(file);
  setExclusive(db, pool);
  const openMs = performance.now() - began;
  const rows = db.value('SELECT count(*) FROM t');
  return { openMs, readMs: performance.now() - began - openMs, rows };
}

async function commits(pool: StoragePool, count: number): Promise<number> {
  const db = await made(pool);
  await pool.flush(file);
  const began = performance.now();
  for (let k = 0; k < count; k++) {
    db.run('INSERT INTO t VALUES (?, randomblob(150))', [k]);
    await pool.flush(file);
  }
  return (performance.now() - began) / count;
}

async function cut(pool: StoragePool, opened: readonly IDBDatabase[]): Promise<unknown> {
  const db = await made(pool);
  for (let k = 0; k < 12; k++) {
    db.run('INSERT INTO t VALUES (?, zeroblob(100))', [k]);
    const connection = opened.at(-1);
    if (k % 3 === 0) connection?.close(); // dead before the flush begins: what every cached connection is after a cut
    const flushing = pool.flush(file);
    if (k % 3 === 1) connection?.close();
    await flushing;
  }
  db.close();
  opened.at(-1)?.close();
  await pool.revert(file); // read back over one more new connection
  const again = await pool.open(file);
  setExclusive(again, pool);
  return { rows: again.value('SELECT count(*) FROM t'), connections: opened.length };
}

/** Every flush is refused at another of its requests; each time the file must read back as the flush before left it. */
async function refused(pool: StoragePool): Promise<unknown> {
  let db = await made(pool);
  db.run('WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 64) INSERT INTO t SELECT k, zeroblob(2000) FROM n');
  await pool.flush(file);
  const rows: unknown[] = [];
  let calls = 0;
  for (let call = 1; call <= 12; call++) {
    db.run('UPDATE t SET v = randomblob(2000)');
    const allow = refuseCall(call, () => calls++);
    const error = await (pool.flush(file) ?? Promise.resolve()).then(
      () => undefined,
      (cause: unknown) => cause as { readonly kind?: string; readonly reason?: string },
    );
    allow();
    db.close();
    await pool.revert(file); // throws when what is there is not one commit
    db = await pool.open(file);
    setExclusive(db, pool);
    rows.push({ error: `${error?.kind} ${error?.reason}`, untouched: db.value('SELECT count(*) FROM t WHERE v = zeroblob(2000)') });
  }
  return { rows, calls };
}

/** The n-th `put` from now on throws at once, as it does when its value cannot be copied. */
function refuseCall(n: number, heard: () => void): () => void {
  const stores = IDBObjectStore.prototype;
  const { put } = stores;
  let calls = 0;
  stores.put = function (...args) {
    if (++calls === n) {
      heard();
      throw new DOMException('the value could not be copied', 'DataCloneError');
    }
    return put.apply(this, args);
  };
  return () => {
    stores.put = put;
  };
}

function watchConnections(opened: IDBDatabase[]): void {
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = function (...args) {
    const request = open.apply(this, args);
    request.addEventListener('success', () => opened.push(request.result));
    return request;
  };
}
