// Composition root of the worker: builds the adapters of this browser and hands them to the engine, in the order of decision 0006.

import startSqlite, { type Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { FoldlogError } from '../../kernel/errors.ts';
import type { PowerMeter, Verifier } from '../../kernel/ports.ts';
import { bestVerifier, webBulkDigest } from '../../kernel/web/web-crypto.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { webClock, webHttp, webRandom } from '../../kernel/web/web-host.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { Engine } from '../engine/engine.ts';
import { sqliteStartMs } from './bounds.ts';
import { within } from './deadline.ts';
import type { StoreSettings } from './protocol.ts';
import { openStorage } from './storage.ts';
import { storageMeter } from './storage-meter.ts';
import { IndexedDbVault } from './vault.ts';
import { workerScheduler } from './worker-scheduler.ts';

/**
 * Loads and compiles SQLite; touches no storage.
 * @throws {FoldlogError} `unavailable` `sqliteStart`
 */
export const prepareSqlite = (): Promise<Sqlite3Static> =>
  within(sqliteStartMs, loadSqlite(), () => sqliteFailed(`no answer within ${sqliteStartMs} ms`));

/** What can be had before the store's lock is: a worker waits in line for it with these in hand. */
export interface Prepared {
  readonly sqlite3: Promise<Sqlite3Static>;
  readonly vault: IndexedDbVault;
  readonly verifier: Promise<Verifier>;
}

/** Begins to get ready. Never throws: what fails is told when it is needed. Reads nothing of the store, for another may still be writing it. */
export function prepareStore({ store }: StoreSettings): Prepared {
  const sqlite3 = prepareSqlite();
  const verifier = bestVerifier();
  const vault = new IndexedDbVault(store, webRandom);
  vault.connect();
  for (const made of [sqlite3, verifier]) made.catch(() => undefined);
  return { sqlite3, vault, verifier };
}

/**
 * Opens a store whose Web Lock this worker holds. When this rejects, end the worker: only its end frees what was opened so far, lock and files
 * together.
 * @throws {FoldlogError} `unavailable` with the step that failed, or what `Engine.open` throws
 */
export async function openStore(
  prepared: Prepared,
  settings: StoreSettings,
  definitions: readonly ShardDefinition[],
  power: PowerMeter,
): Promise<Engine> {
  const scheduler = workerScheduler();
  const { pool, vault, verdict, isBetterBackendThere } = await openStorage(prepared, settings, { random: webRandom, scheduler });
  const ports = {
    ...{ pool, vault, verdict, clock: webClock, random: webRandom, scheduler, deflate: webDeflate, bulkDigest: webBulkDigest },
    verifier: await prepared.verifier,
    meter: storageMeter(),
    power,
    isBetterBackendThere,
    http: settings.relay === undefined ? undefined : webHttp(settings.relay),
  };
  const { pollMs, formFactor = 'desktop', storageBytesMax, onLoss = 'refuse' } = settings;
  const engine = await Engine.open(ports, { definitions, pollMs, formFactor, storageBytesMax, onLoss });
  // biome-ignore lint/suspicious/noConsole: the one line that says where data lives
  console.info(`foldlog: store ${settings.store} on ${pool.backend} (${pool.durability}). ${verdict}`);
  addEventListener('online', () => engine.wake(true));
  return engine;
}

async function loadSqlite(): Promise<Sqlite3Static> {
  // The other OPFS drivers start a second worker in isolated pages; only the pool is used here.
  Object.assign(globalThis, { sqlite3ApiConfig: { disable: { vfs: { opfs: true, 'opfs-wl': true } } } });
  try {
    return warmUp(await startSqlite());
  } catch (cause) {
    throw sqliteFailed(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause), cause);
  }
}

/** Calls what every opening calls: a browser compiles a function of WASM when it runs first, which takes as long as all else that opens a file. */
function warmUp(sqlite3: Sqlite3Static): Sqlite3Static {
  const db = new sqlite3.oo1.DB(':memory:', 'c');
  try {
    db.exec(`CREATE TABLE t (k TEXT PRIMARY KEY, v BLOB) STRICT; BEGIN IMMEDIATE; INSERT INTO t VALUES ('a', x'00'); COMMIT`);
    db.selectValue('SELECT v FROM t WHERE k > ? ORDER BY k LIMIT 1', ['']);
  } finally {
    db.close();
  }
  return sqlite3;
}

const sqliteFailed = (found: string, cause?: unknown): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'sqlite3.wasm',
    reason: 'sqliteStart',
    found,
    expected: 'SQLite to load and compile',
    todo: "check that the file is served as application/wasm and that the page's policy allows 'wasm-unsafe-eval'; then reload",
    cause,
  });
