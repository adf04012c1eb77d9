// Sends the ledger's database file out of a store that the engine has closed: the bytes that are kept as evidence and judged once more from outside.
import startSqlite from '@sqlite.org/sqlite-wasm';
import { webRandom, webScheduler } from '../../../kernel/web/web-host.ts';
import { openStorage } from '../../../worker/browser/storage.ts';
import { holdLock, storeLockName } from '../../../worker/browser/store-lock.ts';
import { IndexedDbVault } from '../../../worker/browser/vault.ts';
import type { StoragePool } from '../../../worker/engine/storage-pool.ts';
import { type Backend, backendOption } from './backend.ts';

export interface ExportOrder {
  readonly store: string;
  readonly backend: Backend;
  /** Where to PUT the file, gzipped. */
  readonly url: string;
}

export type ExportAnswer =
  | { readonly kind: 'sent'; readonly files: readonly string[] }
  | { readonly kind: 'failed'; readonly message: string };

addEventListener('message', async ({ data }: MessageEvent<ExportOrder>) => {
  const failed = (error: unknown): ExportAnswer => ({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
  postMessage(await send(data).catch(failed));
});

async function send({ store, backend, url }: ExportOrder): Promise<ExportAnswer> {
  await holdLock(storeLockName(store));
  Object.assign(globalThis, { sqlite3ApiConfig: { disable: { vfs: { opfs: true, 'opfs-wl': true } } } });
  const ports = { random: webRandom, scheduler: webScheduler };
  const parts = { sqlite3: startSqlite(), vault: new IndexedDbVault(store, webRandom) };
  const { pool } = await openStorage(parts, { store, allowMemory: false, ...backendOption(backend) }, ports);
  const files = pool.files(); // as the engine left them
  const shards = files.filter((file) => file.startsWith('/s-') && file.endsWith('.db'));
  const [file] = shards;
  if (file === undefined || shards.length > 1) throw new Error(`shard files: ${shards.join(', ') || 'none'}, one expected`);
  await settle(pool, file);
  const zipped = new Response(await pool.exportImage(file)).body?.pipeThrough(new CompressionStream('gzip'));
  const response = await fetch(url, { method: 'PUT', body: await new Response(zipped).blob() });
  if (!response.ok) throw new Error(`PUT ${url}: status ${response.status}`);
  return { kind: 'sent', files };
}

/** Marks the file as one without a WAL, so that any SQLite opens a copy, read-only too. */
async function settle(pool: StoragePool, file: string): Promise<void> {
  if (pool.backend !== 'opfs-pool') return; // no WAL there, and its image says so
  const db = await pool.open(file);
  try {
    db.requirePragma('locking_mode', 'exclusive', 'exclusive');
    db.requirePragma('journal_mode', 'delete', 'delete');
  } finally {
    db.close();
  }
}
