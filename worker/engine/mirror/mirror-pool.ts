// The storage pool over mirrored files: whole files in memory under a VFS of ours, their committed pages in a page store (decision 0009).

import type { Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { type Bytes, isSameBytes, utf8 } from '../../../kernel/bytes.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import type { Scheduler } from '../../../kernel/ports.ts';
import { Database } from '../database.ts';
import { type DurablePool, requireFile, requireFree, scratchPrefix } from '../storage-pool.ts';
import { FlushQueue } from './flush-queue.ts';
import { MirrorFile, PageBudget } from './mirror-file.ts';
import { installMirrorVfs, type MirrorVfs } from './mirror-vfs.ts';
import type { PageStore } from './page-store.ts';
import { FileReader, pageBytes, readFile } from './stored.ts';

export interface MirrorSettings {
  /** Bytes of all files together. */
  readonly bytesMax: number;
}

/** Becomes the owner of the store. The caller holds its Web Lock already; the owner epoch is for the day a lock is not enough. */
export async function openMirrorPool(
  sqlite3: Sqlite3Static,
  ports: { readonly store: PageStore; readonly scheduler: Scheduler },
  settings: MirrorSettings,
): Promise<DurablePool> {
  const { batch, files } = await ports.store.open();
  return new MirrorPool(sqlite3, ports.store, new FlushQueue(ports.store, ports.scheduler, batch), settings, files);
}

/** A file in the store that was not read yet keeps its size, so that the cap counts it. */
type Held = { readonly kind: 'stored'; readonly pages: number } | { readonly kind: 'loaded'; readonly file: MirrorFile };

class MirrorPool implements DurablePool {
  readonly backend = 'indexeddb';
  readonly durability = 'durable';
  readonly sqlite3: Sqlite3Static;
  readonly #store: PageStore;
  readonly #queue: FlushQueue;
  readonly #vfs: MirrorVfs;
  readonly #budget: PageBudget;
  readonly #files = new Map<string, Held>();

  constructor(sqlite3: Sqlite3Static, store: PageStore, queue: FlushQueue, settings: MirrorSettings, files: readonly unknown[]) {
    this.sqlite3 = sqlite3;
    this.#store = store;
    this.#queue = queue;
    this.#budget = new PageBudget(settings.bytesMax);
    for (const record of files) this.#hold(record);
    this.#vfs = installMirrorVfs(sqlite3, {
      find: (name) => this.#loaded(name),
      committed: (file, pages) => {
        if (!file.isDropped && !file.name.startsWith(scratchPrefix)) queue.put(file.name, pages, file.sums);
      },
    });
  }

  has(file: string): boolean {
    return this.#files.has(file);
  }

  files(): readonly string[] {
    return [...this.#files.keys()];
  }

  /** Room is bytes here, and asked for when they are written. */
  async reserve(): Promise<void> {}

  async open(file: string): Promise<Database> {
    requireFile(this.has(file), file);
    if (this.#loaded(file) === undefined) await this.#load(file);
    requireFile(this.has(file), file);
    return this.#connect(file);
  }

  create(file: string): Database {
    requireFree(this.has(file), file);
    this.#files.set(file, { kind: 'loaded', file: new MirrorFile(file, this.#budget) });
    return this.#connect(file);
  }

  async importImage(file: string, image: Bytes): Promise<void> {
    requireFree(this.has(file), file);
    requireImagePages(file, image);
    this.#budget.require(image.length / pageBytes, file);
    const mirror = new MirrorFile(file, this.#budget);
    for (let at = 0; at < image.length; at += pageBytes) mirror.write(at / pageBytes, image.slice(at, at + pageBytes));
    markWithoutWal(mirror);
    this.#files.set(file, { kind: 'loaded', file: mirror });
    const pages = mirror.commit();
    if (pages !== undefined && !file.startsWith(scratchPrefix)) this.#queue.put(file, pages, mirror.sums);
    try {
      await this.flush(file);
    } catch (error) {
      this.remove(file);
      throw error;
    }
  }

  async exportImage(file: string): Promise<Bytes> {
    requireFile(this.has(file), file);
    const { pages } = this.#loaded(file) ?? (await this.#load(file)) ?? { pages: [] };
    const image: Bytes = new Uint8Array(pages.length * pageBytes);
    pages.forEach((bytes, page) => {
      image.set(bytes, page * pageBytes);
    });
    return image;
  }

  remove(file: string): void {
    const held = this.#files.get(file);
    if (held === undefined) return;
    this.#release(held);
    this.#files.delete(file);
    if (!file.startsWith(scratchPrefix)) this.#queue.remove(file);
  }

  flush(file: string): Promise<void> | undefined {
    return this.#queue.flush(file);
  }

  async revert(file: string): Promise<void> {
    const held = this.#files.get(file);
    if (held?.kind === 'loaded') {
      // Not read again below, it stays one that must be: never what was not durable.
      this.#files.set(file, { kind: 'stored', pages: held.file.count });
      this.#budget.add(held.file.count);
      held.file.drop();
    }
    await this.#queue.drop(file);
    await this.#load(file);
  }

  attachImmutable(file: string): string {
    const mirror = this.#loaded(file);
    requireFile(mirror !== undefined, file);
    if (mirror !== undefined && (this.#vfs.hasTransaction(mirror) || mirror.isChanged)) {
      throw FoldlogError.misuse({
        where: file,
        reason: 'transactionOpen',
        found: 'an open transaction',
        expected: 'none, so that a look sees only what was committed',
      });
    }
    return `file:${file}?vfs=${this.#vfs.name}&immutable=1`;
  }

  bytesLeft(): number {
    return this.#budget.bytesMax - this.#budget.bytes;
  }

  async close(): Promise<void> {
    await this.#queue.close();
    this.#vfs.uninstall();
    this.#store.close();
  }

  #connect(file: string): Database {
    const handle = new this.sqlite3.oo1.DB({ filename: file, flags: 'w', vfs: this.#vfs.name });
    return new Database(this.sqlite3, handle, file, () => {
      const mirror = this.#loaded(file);
      return mirror === undefined ? undefined : this.#vfs.takeRefusal(mirror);
    });
  }

  #loaded(file: string): MirrorFile | undefined {
    const held = this.#files.get(file);
    return held?.kind === 'loaded' ? held.file : undefined;
  }

  /** The file as it stands in the store, whole and checked; undefined, and forgotten, when it does not stand there. */
  async #load(file: string): Promise<MirrorFile | undefined> {
    const reader = new FileReader(file);
    const record = await this.#store.load(file, (pages) => reader.take(pages));
    const pages = record === undefined ? undefined : reader.finish(record);
    const held = this.#files.get(file);
    // Somebody else asked as well and came first.
    if (held?.kind === 'loaded') return held.file;
    if (held !== undefined) this.#release(held);
    this.#files.delete(file);
    if (pages === undefined) return undefined;
    const loaded = new MirrorFile(file, this.#budget, pages, reader.sums);
    this.#files.set(file, { kind: 'loaded', file: loaded });
    return loaded;
  }

  /** A record that is damaged keeps its name: to open the file says what is wrong with it. */
  #hold(record: unknown): void {
    const file = String((record as { readonly file?: unknown } | null)?.file);
    let pages = 0;
    try {
      ({ pages } = readFile(record, file));
    } catch {
      // Told by `load`, which reads it again.
    }
    this.#files.set(file, { kind: 'stored', pages });
    this.#budget.add(pages);
  }

  #release(held: Held): void {
    if (held.kind === 'loaded') held.file.drop();
    else this.#budget.add(-held.pages);
  }
}

const magic = utf8('SQLite format 3\0');

/** @throws {FoldlogError} `corrupt` `badImage` */
function requireImagePages(file: string, image: Bytes): void {
  const isSqlite = isSameBytes(image.subarray(0, magic.length), magic);
  const size = isSqlite ? ((image[16] as number) << 8) | (image[17] as number) : 0;
  if (isSqlite && size === pageBytes && image.length % pageBytes === 0) return;
  throw FoldlogError.corrupt({
    where: file,
    reason: 'badImage',
    found: isSqlite ? `${image.length} bytes in pages of ${size}` : 'bytes that are no SQLite database',
    expected: `a database of whole pages of ${pageBytes} bytes`,
  });
}

/** An image of a file that was used with a WAL says so in its header, and SQLite would look for one: read and write version 1 (fileformat 1.3.3). */
function markWithoutWal(file: MirrorFile): void {
  const first = (file.pages[0] as Bytes).slice();
  first.set([1, 1], 18);
  file.write(0, first);
}
