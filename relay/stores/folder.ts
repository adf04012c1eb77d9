// An object store in a folder of a local file system (Node): one file per object, its path its key.
// Safety rests on `link(2)`: it gives a name to a finished, flushed file or fails with EEXIST, atomically, for any number of
// processes. A put is written only after the file and the name are both flushed. Temporary files that a kill leaves are never read.
//
// Replaced objects (If-Match) are numbered versions, each created by link: `<key>` is version 0, `<key>.versions/<n>` the others,
// the highest is the object. Three rules make a late writer (a zombie that read version n, slept, and links n+1 now) harmless:
//   1 a version's bytes never change, and its number is part of the ETag: no ABA
//   2 the highest version is never removed, so the highest number never falls
//   3 after linking n+1 a writer looks for the highest number m. Version v is removed only once one above v + keptVersions stands. So
//     with m up to n+1 + keptVersions nobody has removed an n+1 yet: ours is the first, n was the highest when it was linked, a true
//     replacement, though others may have replaced it already. With m above that it may be one or a zombie's: unknown
// A zombie's file below the highest is never read and is removed with the others. A scan that runs beside removals could miss every higher
// number only if all the kept ones were replaced during that one scan; keptVersions makes that as many flushed puts within one
// small directory read.

import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, link, mkdir, open, readdir, readFile, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Bytes } from '../../kernel/bytes.ts';
import { type Hash, hash } from '../../kernel/units.ts';
import {
  type CasOutcome,
  type Etag,
  etag,
  isObjectKey,
  type ListOutcome,
  type ObjectStore,
  type ReadOutcome,
  type Stored,
} from '../object-store.ts';

const temporaryFolder = '.tmp';
const versionsSuffix = '.versions';
const keptVersions = 8;
/** A temporary file this much older than the newest belongs to a put that ended long ago. */
const leftoverMsMin = 3_600_000;

/**
 * Opens (and creates) a store in `root`. Any number of processes may hold one store open.
 * The first read in a directory flushes it once, so that a name which a killed process linked but did not flush is as durable
 * as a read promises; names that this process is still flushing are waited for.
 */
export async function openFolderStore(root: string): Promise<ObjectStore> {
  await makeFolder(join(root, temporaryFolder));
  await removeLeftovers(join(root, temporaryFolder));
  return new FolderStore(root);
}

interface Version {
  readonly number: number;
  readonly path: string;
}

class FolderStore implements ObjectStore {
  readonly #root: string;
  readonly #flushedFolders = new Set<string>();
  readonly #landing = new Map<string, Promise<unknown>>();

  constructor(root: string) {
    this.#root = root;
  }

  async put(key: string, bytes: Uint8Array, condition: Parameters<ObjectStore['put']>[2]): Promise<CasOutcome> {
    try {
      const path = this.#pathOf(key);
      if (condition.kind === 'absent') {
        return (await this.#create(path, bytes)) ? { kind: 'written', etag: etagOf(0, digestOf(bytes)) } : { kind: 'lost' };
      }
      return await this.#replace(path, bytes, condition.etag);
    } catch (cause) {
      return { kind: 'unknown', cause };
    }
  }

  async get(key: string): Promise<ReadOutcome<Stored>> {
    try {
      const found = await this.#read(this.#pathOf(key));
      return found === undefined ? { kind: 'absent' } : { kind: 'found', bytes: found.bytes, etag: found.etag };
    } catch (cause) {
      return { kind: 'unknown', cause };
    }
  }

  async head(key: string): ReturnType<ObjectStore['head']> {
    try {
      const found = await this.#read(this.#pathOf(key));
      if (found === undefined) return { kind: 'absent' };
      return { kind: 'found', size: found.bytes.length, digest: found.digest, etag: found.etag };
    } catch (cause) {
      return { kind: 'unknown', cause };
    }
  }

  async delete(key: string): ReturnType<ObjectStore['delete']> {
    try {
      const path = this.#pathOf(key);
      await rm(path + versionsSuffix, { recursive: true, force: true });
      await rm(path, { force: true });
      return { kind: 'deleted' };
    } catch (cause) {
      return { kind: 'unknown', cause };
    }
  }

  async list(prefix: string, after: string, limit: number): Promise<ListOutcome> {
    try {
      const entries = await readdir(this.#root, { recursive: true, withFileTypes: true });
      const keys = entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(this.#root.length).replaceAll('\\', '/').replace(/^\/+/, ''))
        .filter((key) => isStoreKey(key) && key.startsWith(prefix) && key > after)
        .sort();
      return { kind: 'listed', keys: keys.slice(0, limit), isMore: keys.length > limit };
    } catch (cause) {
      return { kind: 'unknown', cause };
    }
  }

  #pathOf(key: string): string {
    if (!isStoreKey(key)) throw new TypeError(`not an object key: ${JSON.stringify(key.slice(0, 80))}`);
    return join(this.#root, ...key.split('/'));
  }

  /** True when this call gave `path` its bytes; false when somebody's bytes stand there. Durable either way. */
  async #create(path: string, bytes: Uint8Array): Promise<boolean> {
    const temporary = join(this.#root, temporaryFolder, randomUUID());
    // A kill before the link leaves only this file; after it, the object.
    await writeFlushed(temporary, bytes);
    let landed: Promise<unknown> | undefined;
    try {
      await makeFolder(dirname(path));
      const landing = this.#linkFlushed(temporary, path);
      landed = landing.catch(() => undefined);
      this.#landing.set(path, landed);
      return await landing;
    } finally {
      if (this.#landing.get(path) === landed) this.#landing.delete(path);
      await unlink(temporary).catch(() => undefined);
    }
  }

  async #linkFlushed(temporary: string, path: string): Promise<boolean> {
    let isOurs = true;
    try {
      await link(temporary, path);
    } catch (cause) {
      if (!hasCode(cause, 'EEXIST')) throw cause;
      isOurs = false;
    }
    // Also when lost: the caller will acknowledge what stands there, perhaps linked by a process that died before its flush.
    await flushFolder(dirname(path));
    return isOurs;
  }

  async #replace(path: string, bytes: Uint8Array, expected: Etag): Promise<CasOutcome> {
    const current = await this.#read(path);
    if (current === undefined || current.etag !== expected) return { kind: 'lost' };
    const number = current.number + 1;
    if (!(await this.#create(versionPath(path, number), bytes))) return { kind: 'lost' };
    const versions = await versionsOf(path);
    const highest = versions.at(-1)?.number ?? number;
    if (highest > number + keptVersions) return { kind: 'unknown', cause: new Error(`version ${number} linked, ${highest} stands`) }; // rule 3
    for (const old of versions) if (old.number < number - keptVersions) await rm(old.path, { force: true });
    return { kind: 'written', etag: etagOf(number, digestOf(bytes)) };
  }

  async #read(path: string): Promise<{ number: number; bytes: Bytes; digest: Hash; etag: Etag } | undefined> {
    for (;;) {
      const highest = (await versionsOf(path)).at(-1) ?? { number: 0, path };
      await this.#landing.get(highest.path);
      const bytes = await readIfThere(highest.path);
      if (bytes !== undefined) {
        await this.#flushOnce(dirname(highest.path));
        const digest = digestOf(bytes);
        return { number: highest.number, bytes, digest, etag: etagOf(highest.number, digest) };
      }
      if (highest.number === 0) return undefined;
      // A version is removed only when a higher one stands: look again.
    }
  }

  async #flushOnce(folder: string): Promise<void> {
    if (this.#flushedFolders.has(folder)) return;
    await flushFolder(folder);
    this.#flushedFolders.add(folder);
  }
}

const isStoreKey = (key: string): boolean => isObjectKey(key) && !key.split('/').some((segment) => segment.endsWith(versionsSuffix));

const digestOf = (bytes: Uint8Array): Hash => hash(new Uint8Array(createHash('sha256').update(bytes).digest()));

/** Number and digest: the digest keeps apart two lives of a key that was deleted in between. */
const etagOf = (number: number, digest: Hash): Etag => etag(`${number}.${Buffer.from(digest).toString('base64url').slice(0, 22)}`);

const versionPath = (path: string, number: number): string => join(path + versionsSuffix, String(number).padStart(16, '0'));

async function versionsOf(path: string): Promise<readonly Version[]> {
  const folder = path + versionsSuffix;
  const names = await readdir(folder).catch((cause: unknown): string[] => {
    if (isNothingThere(cause)) return [];
    throw cause;
  });
  return names.sort().map((name) => ({ number: Number(name), path: join(folder, name) }));
}

async function readIfThere(path: string): Promise<Bytes | undefined> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    if (isNothingThere(cause)) return undefined;
    throw cause;
  }
}

async function writeFlushed(path: string, bytes: Uint8Array): Promise<void> {
  await withFile(path, 'wx', async (file) => {
    await file.writeFile(bytes);
    await file.sync();
  });
}

/** Creates a folder and its parents, each name flushed into its parent before anything is put inside. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (cause) {
    if (hasCode(cause, 'EEXIST')) return;
    if (!hasCode(cause, 'ENOENT')) throw cause;
    await makeFolder(dirname(path));
    return makeFolder(path);
  }
  await flushFolder(dirname(path));
}

const flushFolder = (path: string): Promise<void> => withFile(path, 'r', (folder) => folder.sync());

async function withFile(path: string, flags: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
  const file = await open(path, flags);
  try {
    await use(file);
  } finally {
    await file.close();
  }
}

/** Ages are compared between files of this one folder, so the file system's clock is enough. */
async function removeLeftovers(folder: string): Promise<void> {
  const mark = join(folder, randomUUID());
  await writeFlushed(mark, new Uint8Array(0));
  const { mtimeMs: now } = await stat(mark);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const age = await stat(path)
      .then(({ mtimeMs }) => now - mtimeMs)
      .catch(() => 0);
    if (age > leftoverMsMin || path === mark) await unlink(path).catch(() => undefined);
  }
}

/** Also when a file stands where a folder of the path would be. */
const isNothingThere = (cause: unknown): boolean => hasCode(cause, 'ENOENT') || hasCode(cause, 'ENOTDIR');

const hasCode = (cause: unknown, code: string): boolean => cause instanceof Error && 'code' in cause && cause.code === code;
