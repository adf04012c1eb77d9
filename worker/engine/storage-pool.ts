// Where database files live. One pool per worker; every file of the workspace is in it. Two are durable: the OPFS pool of SQLite-WASM (real in
// browsers, simulated in Node for kill tests) and files mirrored in memory over IndexedDB (mirror/mirror-pool.ts); the memory pool keeps nothing
// and says so. Decisions 0006 and 0009.

import type { SAHPoolUtil, Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { type Bytes, isSameBytes, utf8 } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { Database, sqliteFailure } from './database.ts';
import { requireSoundSlots, type SlotFolder } from './pool-slots.ts';
import { judgeWal } from './wal-frames.ts';

/** What survives: `durable` a kill and, as far as the disk's flush is honest, a power cut; `volatile` nothing. */
export type DurabilityClass = 'durable' | 'volatile';

/** Where files survive. */
export type Backend = 'opfs-pool' | 'indexeddb';

/** Files of this prefix need not survive: a kill throws them away. */
export const scratchPrefix = '/scratch-';

export interface StoragePool {
  readonly backend: Backend | 'memory';
  readonly durability: DurabilityClass;
  readonly sqlite3: Sqlite3Static;
  has(file: string): boolean;
  files(): readonly string[];
  /** Makes room for `count` more database files with their journals, before the first write needs it. */
  reserve(count: number): Promise<void>;
  /** Opens a file that exists. @throws {FoldlogError} `corrupt` `missingFile`, never an empty database in its place; `damagedWal`, `damagedPage` */
  open(file: string): Promise<Database>;
  /** Creates a file that does not exist. */
  create(file: string): Database;
  /** Puts a database image under a name that is free; durable when it resolves. */
  importImage(file: string, image: Bytes): Promise<void>;
  /** Bytes of a closed database file. */
  exportImage(file: string): Promise<Bytes>;
  /** Forgets a closed file. */
  remove(file: string): void;
  /**
   * Resolves when every COMMIT of the file until now is durable; undefined when COMMIT itself made it so, which costs the caller no turn.
   * A rejection leaves the file as it is in memory: its pages go with the next flush, unless the file is reverted.
   * @throws {FoldlogError} `storageFull`, `locked` `ownerReplaced`, `unavailable`; `unknown` when even reading back gave no answer
   */
  flush(file: string): Promise<void> | undefined;
  /** Takes a closed file back to what is durable. */
  revert(file: string): Promise<void>;
  /** A read-only look at committed pages, while their writers stay open: see across.ts and image.ts. Open it in the same turn. */
  attachImmutable(file: string): string;
  /** What may still be written before a cap refuses; undefined where only the host knows. */
  bytesLeft?(): number;
  /** Flushes what nobody waited for, as far as that is possible. */
  close(): Promise<void>;
}

/** A pool whose files survive this worker. */
export interface DurablePool extends StoragePool {
  readonly backend: Backend;
}

/** Slots a database needs: itself and its WAL. */
const slotsPerFile = 2;
/** Held free for temporary and rollback journals. */
const slotsSpare = 4;

/**
 * Opens the pool of one workspace store. The caller holds the Web Lock already (decision 0006). `root`: of the origin private file system.
 * @throws {FoldlogError} `corrupt` `damagedSlot`, before the pool could cut it off; whatever the browser throws
 */
export async function openSahPool(sqlite3: Sqlite3Static, directory: string, root: () => Promise<SlotFolder>): Promise<DurablePool> {
  const folder = `/foldlog/${directory}`;
  await requireSoundSlots(await root(), folder);
  const options = {
    name: `foldlog-${directory}`,
    directory: folder,
    initialCapacity: slotsPerFile * 6 + slotsSpare,
    // The default deletes the user's databases when the pool loses a race for its handles.
    preserveOnInitFailure: true,
    // Without this the first failure is remembered, and no retry in this worker could succeed.
    forceReinitIfPreviouslyFailed: true,
  };
  const util = await sqlite3.installOpfsSAHPoolVfs(options);
  return sahPool(sqlite3, util);
}

function sahPool(sqlite3: Sqlite3Static, util: SAHPoolUtil): DurablePool {
  const openAs = (file: string, flags: 'w' | 'cw'): Database =>
    new Database(
      sqlite3,
      hosted(file, flags, () => new sqlite3.oo1.DB({ filename: file, flags, vfs: util.vfsName })),
      file,
    );
  const has = (file: string): boolean => util.getFileNames().includes(file);
  return {
    backend: 'opfs-pool',
    durability: 'durable',
    sqlite3,
    has,
    files: () => util.getFileNames(),
    async reserve(count) {
      try {
        await util.reserveMinimumCapacity(util.getFileCount() + count * slotsPerFile + slotsSpare);
      } catch (error) {
        throw poolFailure(error, 'slots of the pool');
      }
    },
    async open(file) {
      requireFile(has(file), file);
      const wal = `${file}-wal`;
      if (has(wal)) requireWholeWal(util.exportFile(wal), wal);
      return openAs(file, 'w');
    },
    create(file) {
      requireFree(has(file), file);
      return openAs(file, 'cw');
    },
    async importImage(file, image) {
      requireFree(has(file), file);
      const isDatabase = image.length % 512 === 0 && isSameBytes(image.subarray(0, 16), databaseMagic);
      try {
        await util.importDb(file, image);
      } catch (error) {
        throw isDatabase ? poolFailure(error, file) : error; // no room is not a bad image
      }
    },
    exportImage: async (file) => util.exportFile(file) as Bytes,
    remove(file) {
      util.unlink(file);
    },
    flush: () => undefined,
    revert: async () => undefined, // SQLite recovers a file from its WAL when it is opened
    attachImmutable: (file) => `file:${file}?vfs=${util.vfsName}&immutable=1`,
    async close() {
      util.pauseVfs();
    },
  };
}

const databaseMagic = utf8('SQLite format 3\0');

/** Naming a new file writes the head of its slot, which can fail like any write. */
function hosted<T>(file: string, flags: 'w' | 'cw', work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw flags === 'cw' ? poolFailure(error, file) : sqliteFailure(error, file);
  }
}

/** What the pool could not do: said by SQLite's code, or by the browser's own error where no SQLite stands between. */
function poolFailure(error: unknown, where: string): FoldlogError {
  const code = (error as { readonly resultCode?: unknown } | null)?.resultCode;
  if (error instanceof FoldlogError || (typeof code === 'number' && (code & 0xff) !== cannotOpen)) return sqliteFailure(error, where);
  const found = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new FoldlogError('storageFull', { where, reason: 'writeFailed', found, expected: 'room to write', cause: error });
}

const cannotOpen = 14;

/** SQLite would drop the commits behind the damage without a word, and go on from an older state. */
function requireWholeWal(bytes: Uint8Array, wal: string): void {
  const state = judgeWal(bytes);
  if (state === 'sound') return;
  throw FoldlogError.corrupt({
    where: wal,
    reason: 'damagedWal',
    found:
      state.damagedAt === 'header'
        ? 'a header that does not add up'
        : `frame ${state.damagedAt + 1} that does not add up, within what was saved`,
    expected: 'the commits as they were written',
    todo: 'nothing was opened or changed; keep it as it is, or start a new store and follow what was committed',
  });
}

/** Databases that live as long as this worker. Only by consent of the app. */
export function memoryPool(sqlite3: Sqlite3Static): StoragePool {
  const files = new Set<string>();
  const uri = (file: string): string => `file:${file}?vfs=memdb`;
  /** Keeps each shared memory database alive while no one else has it open. */
  const anchors = new Map<string, InstanceType<Sqlite3Static['oo1']['DB']>>();
  const openAs = (file: string): Database => new Database(sqlite3, new sqlite3.oo1.DB(uri(file), 'cw'), file);
  const anchor = (file: string): void => {
    files.add(file);
    anchors.set(file, new sqlite3.oo1.DB(uri(file), 'cw'));
  };
  return {
    backend: 'memory',
    durability: 'volatile',
    sqlite3,
    has: (file) => files.has(file),
    files: () => [...files],
    reserve: async () => undefined,
    async open(file) {
      requireFile(files.has(file), file);
      return openAs(file);
    },
    create(file) {
      requireFree(files.has(file), file);
      anchor(file);
      return openAs(file);
    },
    async importImage(file, image) {
      requireFree(files.has(file), file);
      anchor(file);
      const target = anchors.get(file) as InstanceType<Sqlite3Static['oo1']['DB']>;
      // Deserializing replaces a connection's database by a private one; copying page by page keeps the shared one.
      const loaded = new sqlite3.oo1.DB(':memory:', 'c');
      try {
        const { capi, wasm } = sqlite3;
        const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE;
        loaded.checkRc(capi.sqlite3_deserialize(loaded, 'main', wasm.allocFromTypedArray(image), image.length, image.length, flags));
        const backup = capi.sqlite3_backup_init(target, 'main', loaded, 'main');
        capi.sqlite3_backup_step(backup, -1);
        target.checkRc(capi.sqlite3_backup_finish(backup));
      } finally {
        loaded.close();
      }
    },
    async exportImage(file) {
      const target = anchors.get(file);
      if (target === undefined) throw missing(file);
      return sqlite3.capi.sqlite3_js_db_export(target) as Bytes;
    },
    remove(file) {
      anchors.get(file)?.close();
      anchors.delete(file);
      files.delete(file);
    },
    flush: () => undefined,
    revert: async () => undefined,
    attachImmutable: uri,
    async close() {
      for (const target of anchors.values()) target.close();
      anchors.clear();
    },
  };
}

export function requireFile(isThere: boolean, file: string): void {
  if (!isThere) throw missing(file);
}

const missing = (file: string): FoldlogError =>
  FoldlogError.corrupt({
    where: file,
    reason: 'missingFile',
    found: 'no such file in the pool',
    expected: 'the database that was there',
    todo: 'nothing was created in its place; restore it from the relay',
  });

export function requireFree(isThere: boolean, file: string): void {
  if (isThere) throw FoldlogError.misuse({ where: file, reason: 'fileExists', found: 'a file of that name', expected: 'a free name' });
}
