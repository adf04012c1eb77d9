// The device's key and the markers of files that must exist, in IndexedDB: the only place that can hold a key which cannot be taken out, and
// another place than the files it bears witness to (decision 0006). Every write is a strict transaction, awaited to its end.

import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { Bytes } from '../../kernel/bytes.ts';
import { portableSigner, randomSeed } from '../../kernel/ed25519.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Random, Signer } from '../../kernel/ports.ts';
import { generateWebKeyPair, hasWebEd25519, webSigner } from '../../kernel/web/web-crypto.ts';
import type { House, MarkedFile, Vault } from '../engine/vault.ts';
import { vaultOpenMs } from './bounds.ts';
import { within } from './deadline.ts';

/** `software` only where WebCrypto has no Ed25519; status says which. */
type StoredKey = { readonly kind: 'web'; readonly pair: CryptoKeyPair } | { readonly kind: 'software'; readonly seed: Bytes };

interface VaultSchema extends DBSchema {
  key: { key: string; value: StoredKey };
  /** `holds` is missing in markers of builds that did not tell. */
  marker: { key: string; value: { readonly file: string; readonly holds?: MarkedFile } };
  house: { key: string; value: House };
}

type Connection = IDBPDatabase<VaultSchema>;

const strict = { durability: 'strict' } as const;
const deviceKey = 'device';
const houseKey = 'house';
const layoutVersion = 2;

export class IndexedDbVault implements Vault {
  readonly #name: string;
  readonly #random: Random;
  #connection: Promise<Connection> | undefined;
  #isOutdated = false;
  #isUsed = false;

  constructor(store: string, random: Random) {
    this.#name = `foldlog/${store}`;
    this.#random = random;
  }

  /**
   * Opens the connection ahead of its first use. Until then it gives way to a newer version or to cleared data without a trace: the first use opens
   * another, and meets what is there by then.
   */
  connect(): void {
    this.#reach(`vault ${this.#name}, connect`).catch(() => {
      this.#connection = undefined;
    });
  }

  async signer(): Promise<Signer | undefined> {
    const stored = await this.#use('key', (db) => db.get('key', deviceKey));
    return stored === undefined ? undefined : signerOf(stored);
  }

  async createSigner(): Promise<Signer> {
    const fresh = await this.#freshKey();
    return this.#use('key', async (db) => {
      const transaction = db.transaction('key', 'readwrite', strict);
      const held = await transaction.store.get(deviceKey);
      if (held === undefined) await transaction.store.add(fresh, deviceKey);
      await transaction.done;
      return signerOf(held ?? fresh);
    });
  }

  async markers(): Promise<ReadonlyMap<string, MarkedFile>> {
    const stored = await this.#use('markers', (db) => db.getAll('marker'));
    return new Map(stored.map(({ file, holds }) => [file, holds ?? { workspace: undefined, shard: undefined }]));
  }

  async mark(file: string, holds: MarkedFile): Promise<void> {
    await this.#use('marker', async (db) => {
      const transaction = db.transaction('marker', 'readwrite', strict);
      await transaction.store.put({ file, holds }, file);
      await transaction.done;
    });
  }

  async unmark(file: string): Promise<void> {
    await this.#use('marker', async (db) => {
      const transaction = db.transaction('marker', 'readwrite', strict);
      await transaction.store.delete(file);
      await transaction.done;
    });
  }

  async house(): Promise<House | undefined> {
    return this.#use('house', (db) => db.get('house', houseKey));
  }

  async settle(house: House): Promise<void> {
    await this.#use('house', async (db) => {
      const transaction = db.transaction('house', 'readwrite', strict);
      await transaction.store.put(house, houseKey);
      await transaction.done;
    });
  }

  async #freshKey(): Promise<StoredKey> {
    if (await hasWebEd25519()) return { kind: 'web', pair: await generateWebKeyPair() };
    return { kind: 'software', seed: randomSeed(this.#random) };
  }

  async #use<T>(what: string, work: (db: Connection) => Promise<T>): Promise<T> {
    const where = `vault ${this.#name}, ${what}`;
    if (this.#isOutdated) throw outdated(where);
    try {
      const connection = await this.#reach(where);
      this.#isUsed = true;
      return await work(connection);
    } catch (cause) {
      if (cause instanceof FoldlogError) {
        this.#connection = undefined;
        throw cause;
      }
      if (cause instanceof DOMException && cause.name === 'VersionError') throw newer(where, cause);
      throw new FoldlogError('unavailable', {
        where,
        reason: 'vaultFailed',
        found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
        expected: 'an IndexedDB transaction that ends well',
        cause,
      });
    }
  }

  #reach(where: string): Promise<Connection> {
    this.#connection ??= within(vaultOpenMs, this.#open(), () => blocked(where));
    return this.#connection;
  }

  #open(): Promise<Connection> {
    return openDB<VaultSchema>(this.#name, layoutVersion, {
      upgrade(db, from) {
        if (from < 1) {
          db.createObjectStore('key');
          db.createObjectStore('marker');
        }
        db.createObjectStore('house');
      },
      // A newer version of the app, or a person clearing data, must not wait for this worker.
      blocking: (_current, _blocked, event) => {
        this.#connection = undefined;
        this.#isOutdated = this.#isUsed;
        (event.target as IDBDatabase).close();
      },
      // WebKit cuts connections of pages in the background: the next use opens a new one.
      terminated: () => {
        this.#connection = undefined;
      },
    });
  }
}

/** For a store that keeps nothing: its key lives as long as its files. */
export function memoryVault(random: Random): Vault {
  let signer: Signer | undefined;
  const marked = new Map<string, MarkedFile>();
  return {
    signer: async () => signer,
    async createSigner() {
      signer ??= portableSigner(randomSeed(random));
      return signer;
    },
    markers: async () => marked,
    async mark(file, holds) {
      marked.set(file, holds);
    },
    async unmark(file) {
      marked.delete(file);
    },
    house: async () => undefined,
    settle: async () => undefined,
  };
}

const signerOf = (stored: StoredKey): Promise<Signer> | Signer =>
  stored.kind === 'web' ? webSigner(stored.pair) : portableSigner(stored.seed);

const blocked = (where: string): FoldlogError =>
  new FoldlogError('locked', {
    where,
    reason: 'vaultBlocked',
    found: 'another connection that does not give way',
    expected: `IndexedDB to open within ${vaultOpenMs} ms`,
    todo: 'close the other tabs of this app, then try again',
  });

const newer = (where: string, cause: unknown): FoldlogError =>
  new FoldlogError('upgradeNeeded', {
    where,
    reason: 'newerVault',
    found: 'a vault of a newer version of the app',
    expected: `layout ${layoutVersion} or older`,
    cause,
  });

const outdated = (where: string): FoldlogError =>
  new FoldlogError('reloadNeeded', {
    where,
    reason: 'vaultReplaced',
    found: 'a newer version of the app, or cleared data',
    expected: 'the vault this worker opened',
  });
