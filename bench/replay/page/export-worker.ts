// Sends one shard's database file out of OPFS, after the engine has closed it. Only here does anything but the engine open a store.
import startSqlite from '@sqlite.org/sqlite-wasm';
import { webRandom, webScheduler } from '../../../kernel/web/web-host.ts';
import { openStorage } from '../../../worker/browser/storage.ts';
import { holdLock, storeLockName } from '../../../worker/browser/store-lock.ts';
import { IndexedDbVault } from '../../../worker/browser/vault.ts';
import type { StoragePool } from '../../../worker/engine/storage-pool.ts';

export interface ExportOrder {
  readonly store: string;
  /** Name of the shard. */
  readonly name: string;
  /** Where to PUT the bytes, piece by piece: `?at=` says where each begins. */
  readonly url: string;
}

export type ExportAnswer = { readonly kind: 'sent'; readonly bytes: number } | { readonly kind: 'failed'; readonly message: string };

/** Whoever drives the browser is shown each request whole, as one text. */
const pieceBytes = 8 * 1024 * 1024;

addEventListener('message', async ({ data }: MessageEvent<ExportOrder>) => {
  let answer: ExportAnswer;
  try {
    answer = { kind: 'sent', bytes: await send(data) };
  } catch (error) {
    answer = { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
  postMessage(answer);
});

async function send({ store, name, url }: ExportOrder): Promise<number> {
  await holdLock(storeLockName(store));
  Object.assign(globalThis, { sqlite3ApiConfig: { disable: { vfs: { opfs: true, 'opfs-wl': true } } } });
  const parts = { sqlite3: startSqlite(), vault: new IndexedDbVault(store, webRandom) };
  const { pool } = await openStorage(parts, { store, allowMemory: false }, { random: webRandom, scheduler: webScheduler });
  const found: string[] = [];
  for (const file of pool.files()) {
    if (file.startsWith('/s-') && file.endsWith('.db') && (await settle(pool, file)) === name) found.push(file);
  }
  const [file] = found;
  if (file === undefined || found.length > 1) throw new Error(`files of shard ${name}: ${found.join(', ') || 'none'}, one expected`);
  const bytes = await pool.exportImage(file);
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const response = await fetch(`${url}?at=${at}`, { method: 'PUT', body: bytes.slice(at, at + pieceBytes) });
    if (!response.ok) throw new Error(`PUT ${url} at ${at}: status ${response.status}`);
  }
  return bytes.length;
}

/** Takes the WAL into the file and marks it as one without, so that any SQLite opens a copy, read-only too. Returns the shard's name. */
async function settle(pool: StoragePool, file: string): Promise<unknown> {
  const db = await pool.open(file);
  try {
    db.requirePragma('locking_mode', 'exclusive', 'exclusive');
    db.requirePragma('journal_mode', 'delete', 'delete');
    return db.value("SELECT value FROM foldlog_meta WHERE name = 'name'");
  } finally {
    db.close();
  }
}
