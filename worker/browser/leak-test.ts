// Whether this SQLite build and this browser undo what a killed worker left half done. A worker is started to be ended inside a transaction whose
// pages are on disk already; whoever opens the file next must not see its rows. Builds up to 3.53.4 show them. Asked once per origin, library
// version and browser, in files of its own, before any shard is opened (decision 0006).

import type { SAHPoolUtil, Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { openDB } from 'idb';
import { FoldlogError } from '../../kernel/errors.ts';
import { leakTestMs } from './bounds.ts';
import { pause, within } from './deadline.ts';

/** Rows of 2 kB: fifty pages, many more than the cache below holds, so that most are written before the end. */
const rows = 200;
const file = '/leak.db';
const namePrefix = 'foldlog-leak-test/';

type Verdict = 'sound' | 'untested';

/**
 * Runs the test unless it was passed here before. `untested`: this host does not let a worker start another, so nothing is known.
 * @throws {FoldlogError} `unavailable` `leakyStorage`
 */
export async function requireNoLeak(sqlite3: Sqlite3Static): Promise<Verdict> {
  const proof = `${sqlite3.version.libVersion} ${sqlite3.version.sourceId} ${navigator.userAgent}`;
  const proofs = await openDB<{ proof: { key: string; value: number } }>('foldlog-proofs', 1, {
    upgrade(db) {
      db.createObjectStore('proof');
    },
    blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
  });
  try {
    if ((await proofs.get('proof', proof)) !== undefined) return 'sound';
    const directory = `leak-test-${crypto.randomUUID()}`;
    if (!(await endedInside(directory))) return 'untested';
    await requireOldRows(sqlite3, directory);
    await proofs.put('proof', Date.now(), proof);
    return 'sound';
  } finally {
    proofs.close();
  }
}

/** Whether this worker was started to be ended; then it does nothing else. */
export const isLeakTest = (): boolean => (globalThis as unknown as { readonly name: string }).name.startsWith(namePrefix);

/** Opens a transaction, writes its pages to disk, says so, and waits for its end. */
export async function leak(loadSqlite: () => Promise<Sqlite3Static>): Promise<void> {
  try {
    await leaveInside(loadSqlite);
    postMessage('inside');
  } catch {
    postMessage('refused');
  }
}

async function leaveInside(loadSqlite: () => Promise<Sqlite3Static>): Promise<void> {
  const { name } = globalThis as unknown as { readonly name: string };
  const sqlite3 = await loadSqlite();
  const pool = await openPool(sqlite3, name.slice(namePrefix.length));
  const db = new sqlite3.oo1.DB({ filename: file, flags: 'c', vfs: pool.vfsName });
  db.exec(`PRAGMA journal_mode=delete; PRAGMA cache_size=4; CREATE TABLE t (n INTEGER PRIMARY KEY, round INTEGER, filler TEXT) STRICT;
    WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ${rows})
    INSERT INTO t SELECT n, 0, printf('%02000d', n) FROM c;
    BEGIN; UPDATE t SET round = 1`);
}

/** True when the other worker was ended inside its transaction. */
async function endedInside(directory: string): Promise<boolean> {
  let worker: Worker | undefined;
  try {
    worker = new Worker(location.href, { type: 'module', name: namePrefix + directory });
    const isInside = new Promise<boolean>((resolve) => {
      worker?.addEventListener('message', ({ data }: MessageEvent<unknown>) => resolve(data === 'inside'));
      worker?.addEventListener('error', () => resolve(false));
    });
    return await within(leakTestMs, isInside, () => leakFailure('no answer')).catch(() => false);
  } catch {
    return false;
  } finally {
    worker?.terminate();
  }
}

async function requireOldRows(sqlite3: Sqlite3Static, directory: string): Promise<void> {
  const pool = await retried(() => openPool(sqlite3, directory));
  try {
    const db = new sqlite3.oo1.DB({ filename: file, flags: 'w', vfs: pool.vfsName });
    try {
      const seen = db.selectArray('SELECT count(*), coalesce(sum(round), 0) FROM t') as readonly number[];
      if (seen[0] !== rows || seen[1] !== 0) throw leakFailure(`${seen[1]} of ${seen[0]} rows of a transaction that never ended`);
    } finally {
      db.close();
    }
  } catch (cause) {
    throw cause instanceof FoldlogError ? cause : leakFailure(cause instanceof Error ? cause.message : String(cause), cause);
  } finally {
    await pool.removeVfs();
  }
}

/** A worker that just ended frees its handles a moment later. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === 20) throw error;
      await pause(25);
    }
  }
}

function openPool(sqlite3: Sqlite3Static, directory: string): Promise<SAHPoolUtil> {
  const options = {
    name: directory,
    directory: `/foldlog-${directory}`,
    initialCapacity: 4,
    preserveOnInitFailure: true,
    forceReinitIfPreviouslyFailed: true,
  };
  return sqlite3.installOpfsSAHPoolVfs(options);
}

const leakFailure = (found: string, cause?: unknown): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'SQLite on OPFS',
    reason: 'leakyStorage',
    retry: 'never',
    found,
    expected: `the ${rows} rows as they were before it`,
    todo: 'use the version of @sqlite.org/sqlite-wasm that this package names; nothing of yours was opened',
    cause,
  });
