// Chooses where files live, by doing: the OPFS pool is taken only after a probe was written, flushed, closed and read back in this worker.
// `typeof` says little (some browsers have every name and refuse every call), and a user agent says nothing. Falls to memory only by
// consent, and not even then when something was saved here before: an empty shop must never stand in for a full one.

import type { Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Random } from '../../kernel/ports.ts';
import { setExclusive, setPragmas } from '../engine/shard-file.ts';
import { memoryPool, openSahPool, type StoragePool } from '../engine/storage-pool.ts';
import type { Vault } from '../engine/vault.ts';
import { storageProbeMs, storageRetryDelaysMs } from './bounds.ts';
import { pause, within } from './deadline.ts';
import { IndexedDbVault, memoryVault } from './vault.ts';

export interface Storage {
  readonly pool: StoragePool;
  readonly vault: Vault;
}

/**
 * Files and vault of a store. The caller holds its Web Lock already.
 * @throws {FoldlogError} `unavailable` `noDurableStorage`, with what failed; `locked` `vaultBlocked`; `upgradeNeeded` `newerVault`
 */
export async function openStorage(
  sqlite3: Sqlite3Static,
  settings: { readonly store: string; readonly allowMemory: boolean },
  random: Random,
): Promise<Storage> {
  const vault = new IndexedDbVault(settings.store, random);
  const markers = await vault.markers().catch(asFailure);
  const pool = await durablePool(sqlite3, settings.store).catch(asFailure);
  if (!(pool instanceof FoldlogError) && !(markers instanceof FoldlogError)) return { pool, vault };

  // A vault that is there but held or newer: nothing is wrong with this browser, so memory is no way out.
  if (markers instanceof FoldlogError && markers.kind !== 'unavailable') throw markers;
  const failure = pool instanceof FoldlogError ? pool : (markers as FoldlogError);
  const hasData = !(markers instanceof FoldlogError) && markers.size > 0;
  if (!settings.allowMemory || hasData) throw refusal(settings.store, failure, hasData);
  const verdict = `memory, by consent of the app: nothing here survives this page. ${failure.where}: ${failure.found}`;
  return { pool: memoryPool(sqlite3, verdict), vault: memoryVault(random) };
}

async function durablePool(sqlite3: Sqlite3Static, store: string): Promise<StoragePool> {
  for (let attempt = 0; ; attempt++) {
    const delay = storageRetryDelaysMs[attempt];
    try {
      return await within(storageProbeMs, probedPool(sqlite3, store), () => storageFailure('no answer', `one within ${storageProbeMs} ms`));
    } catch (cause) {
      const isLate = cause instanceof FoldlogError && cause.reason === 'storageFailed';
      if (delay === undefined || isLate) throw asFailure(cause);
    }
    await pause(delay);
  }
}

async function probedPool(sqlite3: Sqlite3Static, store: string): Promise<StoragePool> {
  const pool = await openSahPool(sqlite3, store, 'OPFS pool: a probe was written, flushed and read back');
  const file = '/scratch-probe.db';
  const token = 'written, flushed, read back';
  if (pool.has(file)) pool.remove(file);
  await pool.reserve(1);
  const written = pool.create(file);
  try {
    setExclusive(written, pool);
    setPragmas(written, pool);
    written.exec('CREATE TABLE probe (token TEXT) STRICT');
    written.run('INSERT INTO probe VALUES (?)', [token]);
  } finally {
    written.close();
  }
  const read = pool.open(file);
  try {
    setExclusive(read, pool);
    const found = read.value('SELECT token FROM probe');
    if (found !== token) throw storageFailure(`a probe that reads ${String(found)}`, 'what was written');
  } finally {
    read.close();
  }
  pool.remove(file);
  return pool;
}

const storageFailure = (found: string, expected: string, cause?: unknown): FoldlogError =>
  new FoldlogError('unavailable', { where: 'OPFS', reason: 'storageFailed', found, expected, cause });

function asFailure(cause: unknown): FoldlogError {
  if (cause instanceof FoldlogError) return cause;
  const found = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  return storageFailure(found, 'a pool of files that can be written and read back', cause);
}

function refusal(store: string, failure: FoldlogError, hasData: boolean): FoldlogError {
  return new FoldlogError('unavailable', {
    where: `storage of ${store}`,
    reason: 'noDurableStorage',
    retry: 'later',
    found: `${failure.where}: ${failure.found}`,
    expected: failure.expected,
    todo: hasData
      ? 'what was saved here is untouched; open it again in a window that can reach it (not a private one)'
      : 'use a browser with the origin private file system outside of private windows, or set allowMemory to work without keeping anything',
    cause: failure,
  });
}
