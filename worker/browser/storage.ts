// Chooses where files live, by doing: a backend counts only when it kept something in this worker. `typeof` says little (some browsers have every
// name and refuse every call), and a user agent says nothing. The OPFS pool comes first, then files over IndexedDB. Files that are somewhere else
// than in the best place move there. Falls to memory only by consent, and not even then when something was saved here before: an empty shop must
// never stand in for a full one.

import type { Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { FoldlogError } from '../../kernel/errors.ts';
import { type FormFactor, mirrorBytesMax } from '../../kernel/limits.ts';
import type { Random, Scheduler } from '../../kernel/ports.ts';
import { chooseHouse, type Housed } from '../engine/choose-house.ts';
import { openMirrorPool } from '../engine/mirror/mirror-pool.ts';
import { type Backend, type DurablePool, memoryPool, openSahPool, type StoragePool } from '../engine/storage-pool.ts';
import type { House, Vault } from '../engine/vault.ts';
import { opfsProbeMs, storageProbeMs, storageRetryDelaysMs } from './bounds.ts';
import { pause, within } from './deadline.ts';
import { requireNoLeak } from './leak-test.ts';
import { probeOpfs } from './opfs-probe.ts';
import { memoryVault } from './vault.ts';
import { IdbPageStore } from './vfs/idb-page-store.ts';

export interface Storage {
  readonly pool: StoragePool;
  readonly vault: Vault;
  /** Why it is this one, in words for people and logs. */
  readonly verdict: string;
  /** A better backend works here, and the files could not be moved there. */
  readonly isBetterBackendThere: boolean;
}

export interface StorageSettings {
  readonly store: string;
  readonly allowMemory: boolean;
  /** Tried in this order. */
  readonly backends?: readonly Backend[];
  /** How much of a tab's memory files over IndexedDB may take: kernel/limits.ts. */
  readonly formFactor?: FormFactor;
}

/** What needs no lock, and may still be under way: SQLite is waited for while the vault is read. */
export interface StorageParts {
  readonly sqlite3: Promise<Sqlite3Static>;
  readonly vault: Vault;
}

export interface StoragePorts {
  readonly random: Random;
  readonly scheduler: Scheduler;
}

const backendsDefault: readonly Backend[] = ['opfs-pool', 'indexeddb'];

/**
 * Files and vault of a store. The caller holds its Web Lock already.
 * @throws what `sqlite3` rejects with
 * @throws {FoldlogError} `unavailable` `noDurableStorage`, with what failed; `storageFull`; `locked` `vaultBlocked`, `pagesBlocked`;
 * `upgradeNeeded` `newerVault`, `newerPages`; `corrupt` `damagedRecord`
 */
export async function openStorage(parts: StorageParts, settings: StorageSettings, ports: StoragePorts): Promise<Storage> {
  const { vault } = parts;
  const [known, sqlite3] = await Promise.all([recall(vault).catch(asFailure('vault')), parts.sqlite3]);
  const houses = { order: settings.backends ?? backendsDefault, open: opener(sqlite3, settings, ports), vault };
  const found = known instanceof FoldlogError ? known : await chooseHouse(houses, known.house);
  if (!(found instanceof FoldlogError)) {
    return { pool: found.pool, vault, verdict: words(found), isBetterBackendThere: found.moved.kind === 'stayed' };
  }
  // What is there but held, newer or damaged is no reason to go elsewhere.
  if (found.kind !== 'unavailable') throw found;
  const hasData = !(known instanceof FoldlogError) && known.hasData;
  if (!settings.allowMemory || hasData) throw refusal(settings.store, found, hasData);
  const verdict = `memory, by consent of the app: nothing here survives this page. ${found.where}: ${found.found}`;
  return { pool: memoryPool(sqlite3), vault: memoryVault(ports.random), verdict, isBetterBackendThere: false };
}

interface Known {
  readonly house: House | undefined;
  readonly hasData: boolean;
}

async function recall(vault: Vault): Promise<Known> {
  const [house, markers] = await Promise.all([vault.house(), vault.markers()]);
  return { house, hasData: markers.size > 0 };
}

function opener(sqlite3: Sqlite3Static, { store, formFactor }: StorageSettings, ports: StoragePorts) {
  const openers: Readonly<Record<Backend, () => Promise<DurablePool>>> = {
    async 'opfs-pool'() {
      const probing = within(opfsProbeMs, probeOpfs(store, ports.random), () => late('opfs-pool', opfsProbeMs));
      // Side by side: each opens files of its own and mostly waits for the browser. Nothing is opened in the pool before both are well.
      const opening = openSahPool(sqlite3, store, () => navigator.storage.getDirectory());
      opening.catch(() => undefined); // told below, unless the probe has already said what is wrong
      try {
        await probing;
      } catch (error) {
        opening.then((pool) => pool.close()).catch(() => undefined); // a browser that hangs is not waited for
        throw error;
      }
      const pool = await opening;
      await requireNoLeak(sqlite3);
      return pool;
    },
    indexeddb: () =>
      openMirrorPool(
        sqlite3,
        { store: new IdbPageStore(store), scheduler: ports.scheduler },
        { bytesMax: mirrorBytesMax[formFactor ?? 'desktop'] },
      ),
  };
  return (backend: Backend) => workingPool(backend, openers[backend]).catch(asFailure(backend));
}

function words({ pool, refused, moved }: Housed): string {
  const ways = refused.map(({ where, found }) => `${where}: ${found}.`);
  if (moved.kind === 'moved') ways.push(`Moved here from ${moved.from}.`);
  if (moved.kind === 'stayed') ways.push(`${moved.better} works as well; moving there failed: ${moved.why.message}`);
  return [verdicts[pool.backend], ...ways].join(' ');
}

const verdicts: Readonly<Record<Backend, string>> = {
  'opfs-pool': 'OPFS pool: a probe was written, flushed and read back.',
  indexeddb: 'Files in memory over IndexedDB: a strict transaction was written and completed.',
};

async function workingPool(backend: Backend, open: () => Promise<DurablePool>): Promise<DurablePool> {
  for (let attempt = 0; ; attempt++) {
    const delay = storageRetryDelaysMs[attempt];
    try {
      return await within(storageProbeMs, open(), () => late(backend, storageProbeMs));
    } catch (cause) {
      if (delay === undefined || !mayComeFree(cause)) throw cause;
    }
    await pause(delay);
  }
}

/** What another worker still holds for a moment comes free by waiting; what a browser does not have, or does not allow here, never does. */
const mayComeFree = (cause: unknown): boolean =>
  !(cause instanceof FoldlogError) &&
  !(cause instanceof DOMException && ['NotSupportedError', 'SecurityError', 'UnknownError'].includes(cause.name));

const late = (backend: Backend, ms: number): FoldlogError => storageFailure(backend, 'no answer', `one within ${ms} ms`);

const names: Readonly<Record<string, string>> = { 'opfs-pool': 'OPFS', indexeddb: 'IndexedDB' };

const storageFailure = (where: string, found: string, expected: string, cause?: unknown): FoldlogError =>
  new FoldlogError('unavailable', { where: names[where] ?? where, reason: 'storageFailed', found, expected, cause });

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
