// One own shard while it is open: its connection, the chain head in memory, and the mutex that every use of the connection goes through.
// Knows how to throw the connection away and reopen the file, which is what an unknown outcome asks for (decision 0002).

import { FoldlogError } from '../../kernel/errors.ts';
import type { Head } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { ChainLog } from './chain-log.ts';
import type { Database } from './database.ts';
import { Folder } from './fold.ts';
import { requireSoundEnd } from './log-check.ts';
import { Mutex } from './mutex.ts';
import { Outbox } from './outbox.ts';
import type { SchemaStanding } from './schema-file.ts';
import { type OpenedFile, openShardFile, pageBytes, putOnDisk, type ShardIdentity } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

/** A main file that does not change while it stands. */
export interface FrozenFile {
  readonly isStanding: () => boolean;
  /** In a turn of the mutex. Takes what gathered in the WAL into the file. */
  readonly thaw: () => void;
}

/** SQLite's own default. */
const autocheckpointPages = 1_000;
const walFrameHeadBytes = 24;

export class ShardStore {
  readonly identity: ShardIdentity;
  readonly definition: ShardDefinition;
  #file: string;
  readonly mutex = new Mutex();
  readonly #pool: StoragePool;
  #db: Database;
  #log: ChainLog;
  #outbox: Outbox;
  #folder: Folder;
  #head: Head;
  #standing: SchemaStanding;
  /** Why there is no connection. */
  #lost: FoldlogError | undefined;
  /** Ops of relaxed saves that a power cut may still take. */
  #exposedOps = 0;
  /** The look that wants the main file unchanged, while one does. */
  #frozen: FrozenFile | undefined;
  /** Grows with every change of the tables: live queries and cross-shard looks compare it. */
  #version = 0;

  /** Opens the file of an own shard and looks at what its next save would build on. @throws {FoldlogError} see shard-file.ts, log-check.ts */
  static async open(pool: StoragePool, file: string, definition: ShardDefinition, identity: ShardIdentity): Promise<ShardStore> {
    const { db, standing } = await openSound(pool, file, definition, identity);
    return new ShardStore(pool, file, definition, identity, db, standing);
  }

  constructor(
    pool: StoragePool,
    file: string,
    definition: ShardDefinition,
    identity: ShardIdentity,
    db: Database,
    standing: SchemaStanding = { kind: 'present', version: definition.spec.version },
  ) {
    this.#pool = pool;
    this.#file = file;
    this.definition = definition;
    this.identity = identity;
    this.#db = db;
    this.#log = new ChainLog(db);
    this.#outbox = new Outbox(db);
    this.#folder = new Folder(definition, db);
    this.#head = this.#log.head();
    this.#standing = standing;
  }

  /** Nothing of the tables may be used before it is `present` (move-schema.ts). */
  get standing(): SchemaStanding {
    return this.#standing;
  }

  /** Changes with the generation. */
  get file(): string {
    return this.#file;
  }

  /** @throws {FoldlogError} `unavailable` `reopenFailed` while there is no connection; the save queue tries to get one (save.ts) */
  get db(): Database {
    if (this.#lost !== undefined) throw this.#lost;
    return this.#db;
  }

  /** @throws {FoldlogError} as `db` */
  get log(): ChainLog {
    if (this.#lost !== undefined) throw this.#lost;
    return this.#log;
  }

  get outbox(): Outbox {
    return this.#outbox;
  }

  /** Ops are checked by it without a connection, too. */
  get folder(): Folder {
    return this.#folder;
  }

  /** Head of the saved chain. Moves only once COMMIT is durable. */
  get head(): Head {
    return this.#head;
  }

  get version(): number {
    return this.#version;
  }

  get exposedOps(): number {
    return this.#exposedOps;
  }

  /**
   * Whether a commit may be answered before it is durable. Not on OPFS: a flush is cheap there, and after a power cut a WAL of commits that were not
   * flushed one by one could not be told from a damaged one (wal-frames.ts).
   */
  get canRelax(): boolean {
    return this.#pool.backend === 'indexeddb';
  }

  /** Commits without waiting for the disk. It may be less durable than it looks until `makeDurable`. */
  commitRelaxed(ops: number): void {
    this.#db.exec('COMMIT');
    this.#exposedOps += ops;
  }

  /** Makes every relaxed save until now durable. The caller holds the mutex. On failure they stay exposed. */
  async makeDurable(): Promise<void> {
    if (this.#exposedOps === 0) return;
    await this.flush();
    this.#exposedOps = 0;
  }

  /** Resolves when every COMMIT until now is durable; undefined when it is (storage-pool.ts). */
  flush(): Promise<void> | undefined {
    return this.#pool.flush(this.file);
  }

  /** After COMMIT returned and is durable. */
  advance(head: Head): void {
    this.#head = head;
    this.#version++;
  }

  /**
   * Discards the connection, whose state is not known, and opens the file again as of its last durable commit.
   * @throws {FoldlogError} when the file cannot be opened; the store stays closed then
   */
  async reopen(): Promise<void> {
    try {
      this.#db.close();
    } catch {
      // A connection in an unknown state may refuse to close; its file handle is released all the same.
    }
    try {
      await this.#pool.revert(this.file);
      this.#exposedOps = 0; // what was exposed is there or not, and the head read below says which
      const { db, standing } = await openSound(this.#pool, this.file, this.definition, this.identity);
      this.#use(db, standing);
    } catch (cause) {
      this.#lost = notOpen(cause, this.file);
      throw cause;
    }
  }

  /** After the tables were brought up, durably. In a turn of the mutex. */
  movedUp(): void {
    this.#thaw();
    this.#use(this.#db, { kind: 'present', version: this.definition.spec.version });
  }

  /** The log was cut off at its head in a transaction that is durable: what is remembered of it is read anew. In a turn of the mutex. */
  reread(): void {
    this.#thaw();
    this.#use(this.#db, this.#standing);
  }

  /** Goes on in another generation of the file; the older is closed as it is. In a turn of the mutex. */
  moveTo(file: string, db: Database): void {
    this.#db.abandon();
    this.#file = file;
    this.#use(db, this.#standing);
  }

  #use(db: Database, standing: SchemaStanding): void {
    this.#frozen = undefined; // another connection has changed the main file, and has settings of its own
    this.#lost = undefined;
    this.#db = db;
    this.#standing = standing;
    this.#log = new ChainLog(db);
    this.#outbox = new Outbox(db);
    this.#folder = new Folder(this.definition, db);
    this.#head = this.#log.head();
    this.#version++;
  }

  /** Moves all committed pages into the main file, so that an immutable look at it sees them (across.ts, image.ts). Ends what was frozen. */
  checkpointWal(): void {
    const { db } = this; // not while there is no connection
    if (this.#pool.backend !== 'opfs-pool') return;
    this.#thaw();
    try {
      db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    } catch (error) {
      throw db.failure(error, this.file);
    }
  }

  /**
   * Keeps the main file as it is now until `thaw`, while commits gather in the WAL. An immutable look takes no lock that would stop SQLite, so whoever
   * must change the file ends this: who looks asks `isStanding` in the turn in which it reads on. In a turn of the mutex.
   */
  freeze(): FrozenFile {
    this.checkpointWal();
    if (this.#pool.backend === 'opfs-pool') this.#db.exec('PRAGMA wal_autocheckpoint=0');
    const frozen: FrozenFile = {
      isStanding: () => this.#frozen === frozen && this.#db.isOpen,
      thaw: () => {
        if (frozen.isStanding()) this.checkpointWal();
      },
    };
    this.#frozen = frozen;
    return frozen;
  }

  get isFrozen(): boolean {
    return this.#frozen !== undefined;
  }

  /** Bytes of commits that are not in the main file yet. Outside of a transaction. */
  walBytes(): number {
    if (this.#pool.backend !== 'opfs-pool') return 0;
    const frames = this.#db.get<{ log: number }>('PRAGMA wal_checkpoint(NOOP)')?.log ?? 0;
    return Math.max(0, frames) * (pageBytes + walFrameHeadBytes);
  }

  /** Pages of the file, and how many of them hold nothing. */
  fileBytes(): { readonly all: number; readonly free: number } {
    const count = (name: string): number => Number(this.#db.value(`PRAGMA ${name}`)) * pageBytes;
    return { all: count('page_count'), free: count('freelist_count') };
  }

  #thaw(): void {
    if (this.#frozen === undefined) return;
    this.#frozen = undefined;
    this.#db.exec(`PRAGMA wal_autocheckpoint=${autocheckpointPages}`);
  }

  close(): void {
    this.#db.close();
  }

  /** Closes and leaves the file as it is. */
  abandon(): void {
    this.#db.abandon();
  }
}

const notOpen = (cause: unknown, where: string): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'reopenFailed',
    found: cause instanceof Error ? cause.message : String(cause),
    expected: 'the shard file to open again',
    todo: 'it is tried again by itself; if it stays so, open the workspace again',
    cause,
  });

async function openSound(pool: StoragePool, file: string, definition: ShardDefinition, identity: ShardIdentity): Promise<OpenedFile> {
  const opened = await openShardFile(pool, file, definition, identity);
  const { db } = opened;
  try {
    requireSoundEnd(db, identity, file);
    putOnDisk(db, pool);
    return opened;
  } catch (error) {
    const failure = db.openingFailure(error, file);
    db.abandon();
    throw failure;
  }
}
