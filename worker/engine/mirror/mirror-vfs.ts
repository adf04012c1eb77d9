// A SQLite VFS over pages in memory (decision 0009). Synchronous all through; what a commit changed is handed on at the one moment that says
// "committed": SQLITE_FCNTL_COMMIT_PHASETWO. Never at xWrite or xSync, which also see pages of a transaction that may yet be rolled back.

import type { Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import type { Bytes } from '../../../kernel/bytes.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import type { CommittedPages, MirrorFile } from './mirror-file.ts';
import { pageBytes } from './stored.ts';

export interface MirrorVfsPorts {
  /** The file of that name, if it is in memory. */
  readonly find: (name: string) => MirrorFile | undefined;
  readonly committed: (file: MirrorFile, pages: CommittedPages) => void;
}

export interface MirrorVfs {
  readonly name: string;
  /** Whether a connection that writes is open. */
  isOpen(file: MirrorFile): boolean;
  hasTransaction(file: MirrorFile): boolean;
  /** What this VFS refused last in the open transaction, in words SQLite has not: asked once. */
  takeRefusal(file: MirrorFile): FoldlogError | undefined;
  uninstall(): void;
}

type Pointer = number;

/** What SQLite has open. */
type Handle =
  | { readonly kind: 'writer'; readonly file: MirrorFile; lock: number }
  | { readonly kind: 'look'; readonly pages: readonly Bytes[] };

const pathBytesMax = 512;

let installed = 0;

export function installMirrorVfs(sqlite3: Sqlite3Static, ports: MirrorVfsPorts): MirrorVfs {
  const { capi, wasm } = sqlite3;
  const name = `foldlog-mirror-${++installed}`;
  const handles = new Map<Pointer, Handle>();
  const refusals = new WeakMap<MirrorFile, FoldlogError>();
  const writerOf = (file: MirrorFile) => {
    for (const handle of handles.values()) if (handle.kind === 'writer' && handle.file === file) return handle;
    return undefined;
  };

  /** Nothing may be thrown into SQLite. */
  const guarded =
    <A extends readonly unknown[]>(code: number, work: (...args: A) => number) =>
    (...args: A): number => {
      try {
        return work(...args);
      } catch {
        return code;
      }
    };
  const handleOf = (file: Pointer): Handle => {
    const handle = handles.get(file);
    if (handle === undefined)
      throw FoldlogError.misuse({ where: name, reason: 'closedFile', found: 'a closed file', expected: 'an open one' });
    return handle;
  };

  const io = {
    xClose: guarded(capi.SQLITE_IOERR_CLOSE, (file: Pointer) => {
      const handle = handles.get(file);
      handles.delete(file);
      if (handle?.kind === 'writer') handle.file.rollback();
      return capi.SQLITE_OK;
    }),
    xRead: guarded(capi.SQLITE_IOERR_READ, (file: Pointer, into: Pointer, count: number, offset: number | bigint) => {
      const target = wasm.heap8u().subarray(Number(into), Number(into) + count);
      const read = readPages(pagesOf(handleOf(file)), Number(offset), target);
      if (read === count) return capi.SQLITE_OK;
      target.fill(0, read);
      return capi.SQLITE_IOERR_SHORT_READ;
    }),
    xWrite: guarded(capi.SQLITE_IOERR_WRITE, (file: Pointer, from: Pointer, count: number, offset: number | bigint) => {
      const bytes = wasm.heap8u().slice(Number(from), Number(from) + count) as Bytes;
      const at = Number(offset);
      const handle = handleOf(file);
      if (handle.kind === 'look') return capi.SQLITE_READONLY;
      if (count !== pageBytes || at % pageBytes !== 0) return capi.SQLITE_IOERR_WRITE;
      return changing(handle.file, () => handle.file.write(at / pageBytes, bytes));
    }),
    xTruncate: guarded(capi.SQLITE_IOERR_TRUNCATE, (file: Pointer, size: number | bigint) => {
      const handle = handleOf(file);
      if (handle.kind === 'look') return capi.SQLITE_READONLY;
      return changing(handle.file, () => handle.file.truncate(Math.ceil(Number(size) / pageBytes)));
    }),
    xSync: () => capi.SQLITE_OK,
    xFileSize: guarded(capi.SQLITE_IOERR_FSTAT, (file: Pointer, into: Pointer) => {
      wasm.poke64(into, BigInt(pagesOf(handleOf(file)).length * pageBytes));
      return capi.SQLITE_OK;
    }),
    // A file has one writer (xOpen), so no lock is ever refused; the level says whether a transaction is open.
    xLock: guarded(capi.SQLITE_IOERR_LOCK, (file: Pointer, level: number) => {
      const handle = handleOf(file);
      if (handle.kind !== 'writer') return capi.SQLITE_OK;
      if (level >= capi.SQLITE_LOCK_RESERVED && handle.lock < capi.SQLITE_LOCK_RESERVED) refusals.delete(handle.file);
      handle.lock = Math.max(handle.lock, level);
      return capi.SQLITE_OK;
    }),
    xUnlock: guarded(capi.SQLITE_IOERR_UNLOCK, (file: Pointer, level: number) => {
      const handle = handleOf(file);
      if (handle.kind !== 'writer') return capi.SQLITE_OK;
      handle.lock = Math.min(handle.lock, level);
      // What was not committed by now was rolled back, whether or not SQLite could write all of it back.
      if (level < capi.SQLITE_LOCK_RESERVED) handle.file.rollback();
      return capi.SQLITE_OK;
    }),
    xCheckReservedLock: guarded(capi.SQLITE_IOERR_CHECKRESERVEDLOCK, (file: Pointer, into: Pointer) => {
      const handle = handleOf(file);
      wasm.poke32(into, handle.kind === 'writer' && handle.lock >= capi.SQLITE_LOCK_RESERVED ? 1 : 0);
      return capi.SQLITE_OK;
    }),
    xFileControl: guarded(capi.SQLITE_IOERR, (file: Pointer, op: number) => {
      const handle = handleOf(file);
      if (op !== capi.SQLITE_FCNTL_COMMIT_PHASETWO || handle.kind !== 'writer') return capi.SQLITE_NOTFOUND;
      const pages = handle.file.commit();
      if (pages !== undefined) ports.committed(handle.file, pages);
      return capi.SQLITE_OK;
    }),
    xSectorSize: () => pageBytes,
    xDeviceCharacteristics: () => capi.SQLITE_IOCAP_SAFE_APPEND | capi.SQLITE_IOCAP_SEQUENTIAL | capi.SQLITE_IOCAP_POWERSAFE_OVERWRITE,
  };

  /** A refusal is kept for the caller, to whom SQLite can only say "full". */
  const changing = (file: MirrorFile, change: () => void): number => {
    try {
      change();
      return capi.SQLITE_OK;
    } catch (error) {
      if (!(error instanceof FoldlogError)) throw error;
      refusals.set(file, error);
      return capi.SQLITE_FULL;
    }
  };

  const open = (path: Pointer, file: Pointer, flags: number, outFlags: Pointer): number => {
    // Journals and temporary files live in SQLite's own memory (`journal_mode=memory`, `temp_store=memory`). A connection without these settings
    // cannot write: better than a journal that would not survive.
    if ((flags & capi.SQLITE_OPEN_MAIN_DB) === 0) return capi.SQLITE_CANTOPEN;
    const found = ports.find(wasm.cstrToJs(path) ?? '');
    if (found === undefined) return capi.SQLITE_CANTOPEN;
    const isLook = capi.sqlite3_uri_boolean(path, 'immutable', 0) !== 0;
    if (isLook ? found.isChanged : writerOf(found) !== undefined) return capi.SQLITE_BUSY;
    const handle: Handle = isLook ? { kind: 'look', pages: found.snapshot() } : { kind: 'writer', file: found, lock: 0 };
    const readOnly = (flags & ~(capi.SQLITE_OPEN_READWRITE | capi.SQLITE_OPEN_CREATE)) | capi.SQLITE_OPEN_READONLY;
    handles.set(file, handle);
    const opened = new capi.sqlite3_file(file);
    opened.$pMethods = methods.pointer;
    opened.dispose();
    if (outFlags) wasm.poke32(outFlags, isLook ? readOnly : flags);
    return capi.SQLITE_OK;
  };

  const methods = new capi.sqlite3_io_methods();
  const struct = new capi.sqlite3_vfs();
  const host = new capi.sqlite3_vfs(capi.sqlite3_vfs_find(null as never) as Pointer);
  // Members the library's own types leave out.
  const { structInfo } = capi.sqlite3_file as unknown as { readonly structInfo: { readonly sizeof: number } };
  const { $xRandomness, $xSleep, $xCurrentTime, $xCurrentTimeInt64 } = host as unknown as Readonly<Record<string, Pointer>>;
  Object.assign(methods, { $iVersion: 1 });
  Object.assign(struct, { $iVersion: 2, $szOsFile: structInfo.sizeof, $mxPathname: pathBytesMax });
  Object.assign(struct, { $xRandomness, $xSleep, $xCurrentTime, $xCurrentTimeInt64 });
  host.dispose();
  sqlite3.vfs.installVfs({
    io: { struct: methods, methods: io as never },
    vfs: {
      struct,
      name,
      methods: {
        xOpen: guarded(capi.SQLITE_CANTOPEN, (_vfs: Pointer, path: Pointer, file: Pointer, flags: number, outFlags: Pointer) =>
          open(path, file, flags, outFlags),
        ),
        xDelete: () => capi.SQLITE_OK,
        // Asked for journals: none ever survives, for only committed pages reach the store.
        xAccess: (_vfs: Pointer, _path: Pointer, _flags: number, into: Pointer) => {
          wasm.poke32(into, 0);
          return capi.SQLITE_OK;
        },
        xFullPathname: (_vfs: Pointer, path: Pointer, size: number, into: Pointer) =>
          wasm.cstrncpy(into, path, size) < size ? capi.SQLITE_OK : capi.SQLITE_CANTOPEN,
        xGetLastError: () => undefined,
      } as never,
    },
  } as never);

  return {
    name,
    isOpen: (file) => writerOf(file) !== undefined,
    hasTransaction: (file) => (writerOf(file)?.lock ?? 0) >= capi.SQLITE_LOCK_RESERVED,
    takeRefusal(file) {
      const refusal = refusals.get(file);
      refusals.delete(file);
      return refusal;
    },
    uninstall() {
      capi.sqlite3_vfs_unregister(struct);
      struct.dispose();
      methods.dispose();
    },
  };
}

const pagesOf = (handle: Handle): readonly Bytes[] => (handle.kind === 'writer' ? handle.file.pages : handle.pages);

/** Bytes read; fewer than wanted at the end. */
function readPages(pages: readonly Bytes[], offset: number, target: Uint8Array): number {
  let read = 0;
  while (read < target.length) {
    const at = offset + read;
    const page = pages[Math.floor(at / pageBytes)];
    if (page === undefined) break;
    const inPage = at % pageBytes;
    const part = page.subarray(inPage, Math.min(pageBytes, inPage + target.length - read));
    target.set(part, read);
    read += part.length;
  }
  return read;
}
