// Chooses where files live, by doing: a backend is taken only after a probe was written, flushed, closed and read back in this worker.
// `typeof` says little (some browsers have every name and refuse every call), and a user agent says nothing. The OPFS pool comes first, then files
// over IndexedDB. Falls to memory only by consent, and not even then when something was saved here before: an empty shop must never stand in for
// a full one.

import type { Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { FoldlogError } from '../../kernel/errors.ts';
import { type FormFactor, mirrorBytesMax } from '../../kernel/limits.ts';
import type { Random, Scheduler } from '../../kernel/ports.ts';
import { openMirrorPool } from '../engine/mirror/mirror-pool.ts';
import { setExclusive, setPragmas } from '../engine/shard-file.ts';
import { type Backend, memoryPool, openSahPool, type StoragePool } from '../engine/storage-pool.ts';
import type { Vault } from '../engine/vault.ts';
import { storageProbeMs, storageRetryDelaysMs } from './bounds.ts';
import { pause, within } from './deadline.ts';
import { IndexedDbVault, memoryVault } from './vault.ts';
import { IdbPageStore } from './vfs/idb-page-store.ts';

export interface Storage {
  readonly pool: StoragePool;
  readonly vault: Vault;
}

export interface StorageSettings {
  readonly store: string;
  readonly allowMemory: boolean;
  /** Tried in this order. */
  readonly backends?: readonly Backend[];
  /** How much of a tab's memory files over IndexedDB may take: kernel/limits.ts. */
  readonly formFactor?: FormFactor;
}

export interface StoragePorts {
  readonly random: Random;
  readonly scheduler: Scheduler;
}

const backendsDefault: readonly Backend[] = ['opfs-pool', 'indexeddb'];

/**
 * Files and vault of a store. The caller holds its Web Lock already.
 * @throws {FoldlogError} `unavailable` `noDurableStorage`, with what failed; `storageFull`; `locked` `vaultBlocked`, `pagesBlocked`;
 * `upgradeNeeded` `newerVault`, `newerPages`; `corrupt` `damagedRecord`
 */
export async function openStorage(sqlite3: Sqlite3Static, settings: StorageSettings, ports: StoragePorts): Promise<Storage> {
  const vault = new IndexedDbVault(settings.store, ports.random);
  const markers = await vault.markers().catch(asFailure('vault'));
  // A vault that is there but held or newer: nothing is wrong with this browser, so memory is no way out.
  if (markers instanceof FoldlogError && markers.kind !== 'unavailable') throw markers;
  const marked = markers instanceof FoldlogError ? new Set<string>() : markers;
  const found = await durablePool(sqlite3, settings, ports, marked);
  if (!(found instanceof FoldlogError) && !(markers instanceof FoldlogError)) return { pool: found, vault };

  const failure = found instanceof FoldlogError ? found : (markers as FoldlogError);
  if (failure.kind !== 'unavailable') throw failure;
  if (!settings.allowMemory || marked.size > 0) throw refusal(settings.store, failure, marked.size > 0);
  const verdict = `memory, by consent of the app: nothing here survives this page. ${failure.where}: ${failure.found}`;
  return { pool: memoryPool(sqlite3, verdict), vault: memoryVault(ports.random) };
}

/**
 * The first backend that works and holds what was saved here. When none does, the one of first choice speaks: its failure, or, where it works, the
 * pool itself, whose missing files the engine names.
 */
async function durablePool(
  sqlite3: Sqlite3Static,
  settings: StorageSettings,
  ports: StoragePorts,
  marked: ReadonlySet<string>,
): Promise<StoragePool | FoldlogError> {
  let first: StoragePool | FoldlogError | undefined;
  for (const backend of settings.backends ?? backendsDefault) {
    const open = openers[backend];
    const pool = await workingPool(backend, () => open(sqlite3, settings, ports)).catch(asFailure(backend));
    if (!(pool instanceof FoldlogError) && [...marked].every((file) => pool.has(file))) {
      if (first !== undefined && !(first instanceof FoldlogError)) await first.close();
      return pool;
    }
    if (first === undefined) first = pool;
    else if (!(pool instanceof FoldlogError)) await pool.close();
    else if (first instanceof FoldlogError && pool.kind !== 'unavailable') first = pool;
  }
  return first ?? FoldlogError.misuse({ where: 'backends', reason: 'noBackends', found: 'an empty list', expected: 'one or more' });
}

const openers: Readonly<Record<Backend, (sqlite3: Sqlite3Static, settings: StorageSettings, ports: StoragePorts) => Promise<StoragePool>>> =
  {
    'opfs-pool': (sqlite3, { store }) => openSahPool(sqlite3, store, 'OPFS pool: a probe was written, flushed and read back'),
    indexeddb: (sqlite3, { store, formFactor }, { scheduler }) =>
      openMirrorPool(
        sqlite3,
        { store: new IdbPageStore(store), scheduler },
        {
          bytesMax: mirrorBytesMax[formFactor ?? 'desktop'],
          verdict: 'files in memory over IndexedDB: a probe was written, flushed and read back',
        },
      ),
  };

async function workingPool(backend: Backend, open: () => Promise<StoragePool>): Promise<StoragePool> {
  for (let attempt = 0; ; attempt++) {
    const delay = storageRetryDelaysMs[attempt];
    try {
      const late = (): FoldlogError => storageFailure(backend, 'no answer', `one within ${storageProbeMs} ms`);
      return await within(storageProbeMs, probed(open), late);
    } catch (cause) {
      // Only what another worker still holds comes free by waiting.
      if (delay === undefined || cause instanceof FoldlogError) throw cause;
    }
    await pause(delay);
  }
}

async function probed(open: () => Promise<StoragePool>): Promise<StoragePool> {
  const pool = await open();
  const file = '/probe.db';
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
  await pool.flush(file);
  await pool.revert(file); // what is read next comes from where it was flushed to
  const read = await pool.open(file);
  try {
    setExclusive(read, pool);
    const found = read.value('SELECT token FROM probe');
    if (found !== token) throw storageFailure(pool.backend, `a probe that reads ${String(found)}`, 'what was written');
  } finally {
    read.close();
  }
  pool.remove(file);
  return pool;
}

const words: Readonly<Record<string, string>> = { 'opfs-pool': 'OPFS', indexeddb: 'IndexedDB' };

const storageFailure = (where: string, found: string, expected: string, cause?: unknown): FoldlogError =>
  new FoldlogError('unavailable', { where: words[where] ?? where, reason: 'storageFailed', found, expected, cause });

const asFailure =
  (where: string) =>
  (cause: unknown): FoldlogError => {
    if (cause instanceof FoldlogError) return cause;
    const found = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    return storageFailure(where, found, 'files that can be written and read back', cause);
  };

function refusal(store: string, failure: FoldlogError, hasData: boolean): FoldlogError {
  return new FoldlogError('unavailable', {
    where: `storage of ${store}`,
    reason: 'noDurableStorage',
    retry: 'later',
    found: `${failure.where}: ${failure.found}`,
    expected: failure.expected,
    todo: hasData
      ? 'what was saved here is untouched; open it again in a window that can reach it (not a private one)'
      : 'use a browser that can keep files outside of private windows, or set allowMemory to work without keeping anything',
    cause: failure,
  });
}
