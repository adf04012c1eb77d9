// The page store of mirrored files in IndexedDB (decision 0009): one transaction per batch, strict, which first looks who owns the store. Reopens
// when the browser cuts the connection; whether a batch had landed by then, its number says when it is sent again.

import { type DBSchema, type IDBPDatabase, type IDBPTransaction, openDB } from 'idb';
import { FoldlogError } from '../../../kernel/errors.ts';
import { type CommitOutcome, judgeOwner, type PageBatch, type PageStore } from '../../engine/mirror/page-store.ts';
import { makeOwner, readOwner, type StoredFile, type StoredOwner, type StoredPage } from '../../engine/mirror/stored.ts';
import { vaultOpenMs } from '../bounds.ts';
import { within } from '../deadline.ts';

interface PagesSchema extends DBSchema {
  page: { key: [file: string, page: number]; value: StoredPage };
  file: { key: string; value: StoredFile };
  owner: { key: string; value: StoredOwner };
}

type Connection = IDBPDatabase<PagesSchema>;

/** `relaxed` is for measurements: what resolves then may be lost in a power cut. */
export type Durability = 'strict' | 'relaxed';

const layoutVersion = 1;
const ownerKey = 'owner';
/** Pages of one read: 2 MB, so that few requests load a file and none holds up the thread for long. */
const pagesPerRead = 256;

export const pagesDatabaseName = (store: string): string => `foldlog-pages/${store}`;

export class IdbPageStore implements PageStore {
  readonly name: string;
  readonly #database: string;
  readonly #durability: Durability;
  #connection: Promise<Connection> | undefined;
  #isOutdated = false;
  #isClosed = false;
  #epoch = 0;

  constructor(store: string, durability: Durability = 'strict') {
    this.#database = pagesDatabaseName(store);
    this.name = `IndexedDB ${this.#database}`;
    this.#durability = durability;
  }

  open(): ReturnType<PageStore['open']> {
    return this.#twice('open', async (db) => {
      const transaction = db.transaction(['owner', 'file'], 'readwrite', { durability: this.#durability });
      const end = endOf(transaction);
      const owners = transaction.objectStore('owner');
      const [stored, files] = await Promise.all([owners.get(ownerKey), transaction.objectStore('file').getAll()]);
      // Files without an owner are as damaged as an owner that does not read; nothing is written then.
      const owner = stored === undefined && files.length === 0 ? { epoch: 0, batch: 0 } : readOwner(stored, this.name);
      const epoch = owner.epoch + 1;
      await owners.put(makeOwner(epoch, owner.batch), ownerKey);
      await landed(end);
      this.#epoch = epoch;
      return { batch: owner.batch, files };
    });
  }

  load(file: string, take: (pages: readonly unknown[]) => void): Promise<unknown> {
    return this.#twice(`load ${file}`, async (db) => {
      const transaction = db.transaction(['owner', 'file', 'page']);
      const end = endOf(transaction);
      judgeOwner(await transaction.objectStore('owner').get(ownerKey), this.#epoch, this.name);
      const record = await transaction.objectStore('file').get(file);
      const pages = transaction.objectStore('page');
      const readAfter = (page: number): Promise<StoredPage[]> => pages.getAll(pagesOf(file, page + 1), pagesPerRead);
      let reading: Promise<StoredPage[]> | undefined = readAfter(-1);
      while (reading !== undefined) {
        const read: StoredPage[] = await reading;
        const last = read.at(-1);
        // The next are on their way while these are checked.
        reading = last === undefined || read.length < pagesPerRead ? undefined : readAfter(last.page);
        take(read);
      }
      await landed(end);
      return record;
    });
  }

  async commit(batch: PageBatch): Promise<CommitOutcome> {
    try {
      await this.#commit(await this.#connect('flush'), batch);
      return { kind: 'landed' };
    } catch (cause) {
      if (!isCut(cause)) throw this.#failure('flush', cause);
      this.#connection = undefined;
      return { kind: 'unknown', cause };
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#connection?.then((db) => db.close()).catch(() => undefined);
  }

  /** All requests go out together. The owner is read first, and a batch that may not land is aborted before its transaction can complete. */
  async #commit(db: Connection, batch: PageBatch): Promise<void> {
    const transaction = db.transaction(['owner', 'file', 'page'], 'readwrite', { durability: this.#durability });
    const end = endOf(transaction);
    const giveUp = async (): Promise<void> => {
      try {
        transaction.abort();
      } catch {
        // It has ended already.
      }
      await end;
    };
    let reading: Promise<StoredOwner | undefined>;
    try {
      reading = transaction.objectStore('owner').get(ownerKey);
      reading.catch(() => undefined); // awaited below, if it comes to that
      this.#write(transaction, batch);
    } catch (error) {
      // A request the browser refuses at once (its value could not be copied) ends nothing by itself: those before it would complete, and stand.
      await giveUp();
      throw error;
    }
    let verdict: ReturnType<typeof judgeOwner> = 'apply';
    try {
      verdict = judgeOwner(await reading, this.#epoch, this.name, batch);
    } catch (error) {
      if (error instanceof FoldlogError) {
        await giveUp();
        throw error;
      }
      // The read fell with its transaction, whose end says why.
    }
    if (verdict === 'landed') await giveUp();
    else await landed(end);
  }

  #write(transaction: IDBPTransaction<PagesSchema, ('owner' | 'file' | 'page')[], 'readwrite'>, batch: PageBatch): void {
    const [owners, files, pages] = [transaction.objectStore('owner'), transaction.objectStore('file'), transaction.objectStore('page')];
    const writing: Promise<unknown>[] = [];
    try {
      for (const change of batch.changes) {
        const [file, dropFrom] = change.kind === 'put' ? [change.record.file, change.dropFrom] : [change.file, 0];
        if (dropFrom !== undefined) writing.push(pages.delete(pagesOf(file, dropFrom)));
        if (change.kind === 'remove') writing.push(files.delete(file));
        else {
          for (const page of change.pages) writing.push(pages.put(page));
          writing.push(files.put(change.record));
        }
      }
      writing.push(owners.put(makeOwner(this.#epoch, batch.number), ownerKey));
    } finally {
      void Promise.allSettled(writing); // the transaction's end speaks for them
    }
  }

  /** Work that may be done again: once more on a new connection when this one was cut. */
  async #twice<T>(what: string, work: (db: Connection) => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work(await this.#connect(what));
      } catch (cause) {
        if (!isCut(cause) || attempt === 2) throw this.#failure(what, cause);
        this.#connection = undefined;
      }
    }
  }

  #connect(what: string): Promise<Connection> {
    const where = `${this.name}, ${what}`;
    if (this.#isOutdated || this.#isClosed) throw outdated(where, this.#isClosed);
    this.#connection ??= within(vaultOpenMs, this.#openDatabase(), () => blocked(where)).catch((cause: unknown) => {
      this.#connection = undefined;
      throw cause;
    });
    return this.#connection;
  }

  #openDatabase(): Promise<Connection> {
    return openDB<PagesSchema>(this.#database, layoutVersion, {
      upgrade(db) {
        db.createObjectStore('page', { keyPath: ['file', 'page'] });
        db.createObjectStore('file', { keyPath: 'file' });
        db.createObjectStore('owner');
      },
      // A newer version of the app, or a person clearing data, must not wait for this worker.
      blocking: (_current, _blocked, event) => {
        this.#isOutdated = true;
        (event.target as IDBDatabase).close();
      },
      terminated: () => {
        this.#connection = undefined;
      },
    });
  }

  #failure(what: string, cause: unknown): FoldlogError {
    if (cause instanceof FoldlogError) return cause;
    const where = `${this.name}, ${what}`;
    const found = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    switch (cause instanceof DOMException ? cause.name : '') {
      case 'QuotaExceededError':
        return new FoldlogError('storageFull', { where, reason: 'indexedDbQuota', found, expected: 'room to write', cause });
      case 'VersionError':
        return new FoldlogError('upgradeNeeded', {
          where,
          reason: 'newerPages',
          found,
          expected: `layout ${layoutVersion} or older`,
          cause,
        });
      default:
        return new FoldlogError('unavailable', {
          where,
          reason: 'indexedDbFailed',
          found,
          expected: 'a transaction that completes',
          cause,
        });
    }
  }
}

/** Keys of a file's pages from `page` on. */
const pagesOf = (file: string, page: number): IDBKeyRange => IDBKeyRange.bound([file, page], [file, []]);

type End = { readonly kind: 'landed' } | { readonly kind: 'aborted'; readonly cause: unknown };

/** How a transaction ended, asked for before its requests so that no rejection goes unheard. */
const endOf = (transaction: { readonly done: Promise<void> }): Promise<End> =>
  transaction.done.then(
    () => ({ kind: 'landed' }),
    (cause: unknown) => ({ kind: 'aborted', cause }),
  );

async function landed(ending: Promise<End>): Promise<void> {
  const end = await ending;
  if (end.kind === 'aborted') throw end.cause;
}

/** What a connection says that the browser has cut: for good, so only a new one helps. A quota abort and a failed request have other names. */
const isCut = (cause: unknown): boolean =>
  cause instanceof DOMException && (cause.name === 'InvalidStateError' || cause.name === 'AbortError' || cause.name === 'UnknownError');

const blocked = (where: string): FoldlogError =>
  new FoldlogError('locked', {
    where,
    reason: 'pagesBlocked',
    found: 'another connection that does not give way',
    expected: `IndexedDB to open within ${vaultOpenMs} ms`,
    todo: 'close the other tabs of this app, then try again',
  });

const outdated = (where: string, isClosed: boolean): FoldlogError =>
  isClosed
    ? new FoldlogError('unavailable', { where, reason: 'closed', found: 'a closed store', expected: 'an open one' })
    : new FoldlogError('reloadNeeded', {
        where,
        reason: 'pagesReplaced',
        found: 'a newer version of the app, or cleared data',
        expected: 'the files this worker opened',
      });
