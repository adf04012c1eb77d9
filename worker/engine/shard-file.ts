// The database file of one shard: log, state and cursors together (decision 0006). Creates it, opens it, checks that it is ours and
// reads back every pragma that durability rests on. Tables: docs/format.md does not cover them; they never leave the device.

import { isSameBytes } from '../../kernel/bytes.ts';
import type { ShardEpoch } from '../../kernel/control/fold.ts';
import { assertNever, FoldlogError } from '../../kernel/errors.ts';
import { ownCacheKib } from '../../kernel/limits.ts';
import { type Epoch, epoch, type Hash, type Head, hash, type ShardId, seq, short } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Database } from './database.ts';
import type { StoragePool } from './storage-pool.ts';

/** `FOLD`, in the header of every database file of ours. */
const applicationId = 0x464f4c44;
/** Of every database file of ours. */
export const pageBytes = 8192;
/** Version of the tables below. Version 1 had no outbox and no table of truncated groups. */
const layoutVersion = 2;

/** Kept in every checkpoint image: part of the state (decision 0003). */
export const replicatedDdl = [
  `CREATE TABLE foldlog_origin (shard BLOB NOT NULL, epoch INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
  PRIMARY KEY (shard, epoch, first_seq)) STRICT, WITHOUT ROWID`,
];

/** Groups that were truncated, the newest of them: what a call that asks again is told. By seq, so that truncating appends to it (decision 0012). */
const pastDdl =
  'CREATE TABLE foldlog_past (last_seq INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, epoch INTEGER NOT NULL, id BLOB NOT NULL, hash BLOB NOT NULL) STRICT';

/** This device's own: the log and where it stands. */
const layout1Ddl = [
  'CREATE TABLE foldlog_meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID',
  `CREATE TABLE foldlog_group (last_seq INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, id BLOB NOT NULL, hash BLOB NOT NULL,
  header BLOB NOT NULL, salt BLOB NOT NULL, body BLOB NOT NULL, seal BLOB) STRICT`,
  'CREATE TABLE foldlog_id (id BLOB PRIMARY KEY, last_seq INTEGER NOT NULL) STRICT, WITHOUT ROWID',
  'CREATE TABLE foldlog_receipt (seq INTEGER PRIMARY KEY, receipt BLOB NOT NULL) STRICT',
];

/** Since layout 2: stranded groups as they stood, and what became of each (outbox.ts). */
const outboxDdl = [
  `CREATE TABLE foldlog_outbox (n INTEGER PRIMARY KEY, id BLOB NOT NULL, shard BLOB NOT NULL, epoch INTEGER NOT NULL, first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL, hash BLOB NOT NULL, header BLOB NOT NULL, salt BLOB NOT NULL, body BLOB NOT NULL, seal BLOB,
  cut_seq INTEGER NOT NULL, cut_slot INTEGER NOT NULL, destination BLOB, state TEXT NOT NULL, reason TEXT, to_shard BLOB, to_epoch INTEGER,
  to_seq INTEGER, at INTEGER NOT NULL, UNIQUE (hash)) STRICT`,
  'CREATE INDEX foldlog_outbox_id ON foldlog_outbox (id)',
];

/** Since layout 2. */
const layout2Ddl = [...outboxDdl, pastDdl];
const localDdl = [...layout1Ddl, ...layout2Ddl];

export interface ShardIdentity {
  readonly id: ShardId;
  readonly kind: string;
  readonly name: string;
}

/**
 * The very first statement on a connection. OPFS: any read before it makes a WAL file of the pool unopenable (decision 0006). IndexedDB: any write
 * before it would want a journal file, which does not exist there (decision 0009).
 */
export function setExclusive(db: Database, pool: StoragePool): void {
  if (pool.backend === 'opfs-pool') db.requirePragma('locking_mode', 'exclusive', 'exclusive');
  if (pool.backend === 'indexeddb') db.requirePragma('journal_mode', 'memory', 'memory');
}

/** The settings that make COMMIT mean "on disk" (on IndexedDB: COMMIT and flush), each read back. */
export function setPragmas(db: Database, pool: StoragePool): void {
  db.exec(`PRAGMA trusted_schema=OFF; PRAGMA cache_size=-${ownCacheKib}; PRAGMA temp_store=MEMORY`);
  switch (pool.backend) {
    case 'memory':
      return;
    case 'opfs-pool':
      db.requirePragma('journal_mode', 'wal', 'wal');
      db.requirePragma('synchronous', 'full', 2);
      return;
    case 'indexeddb':
      // All pages are in memory already, and only committed ones reach the store (decision 0009): no journal to keep, nothing to sync.
      db.exec('PRAGMA cache_size=-512');
      db.requirePragma('synchronous', 'off', 0);
      return;
    default:
      assertNever(pool.backend);
  }
}

/**
 * What a file that was opened shows may be written and not flushed: by a process that ended in between, or because its flush failed, after which a later
 * flush proves nothing. Moved into the main file it is written anew and flushed, before anybody is answered by it, it is sent away, or another commit
 * follows it in the WAL (wal-frames.ts).
 */
export function putOnDisk(db: Database, pool: StoragePool): void {
  if (pool.backend === 'opfs-pool') db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
}

/**
 * Creates the file with its tables in one transaction: after a kill there is no file, an empty one, or all of it.
 * `nonce` is there for a shard made here: the file alone can then restore its control act (adopt.ts).
 */
export function createShardFile(
  pool: StoragePool,
  file: string,
  definition: ShardDefinition,
  identity: ShardIdentity,
  nonce?: Uint8Array,
): Database {
  const db = pool.create(file);
  try {
    setExclusive(db, pool);
    setUp(db);
    setPragmas(db, pool);
    db.transaction(() => {
      for (const statement of [...definition.ddl, ...replicatedDdl]) db.exec(statement);
      addLocalTables(db, definition, identity);
      if (nonce !== undefined) new Meta(db).set('nonce', nonce);
    });
    return db;
  } catch (error) {
    const failure = db.failure(error, file);
    db.close();
    pool.remove(file);
    throw failure;
  }
}

/** What a file is given before its first table, once and for all. */
export function setUp(db: Database): void {
  db.exec(`PRAGMA page_size=${pageBytes}; PRAGMA auto_vacuum=incremental`);
}

/** Empty, with the signature by which a file is known as ours. */
export function createLocalTables(db: Database): void {
  for (const statement of localDdl) db.exec(statement);
  db.exec(`PRAGMA application_id=${applicationId}; PRAGMA user_version=${layoutVersion}`);
}

/** The device's own tables, added to a new file or to a checkpoint image that was just checked. */
export function addLocalTables(db: Database, definition: ShardDefinition, identity: ShardIdentity): void {
  createLocalTables(db);
  const meta = new Meta(db);
  meta.set('shard', identity.id);
  meta.set('kind', identity.kind);
  meta.set('name', identity.name);
  meta.set('schemaVersion', definition.spec.version);
  meta.set('foldId', definition.foldId);
}

/**
 * Makes the file of a replica that was read up to a fence this device's own: its log begins at the cut, in the epoch the cut opened. `ownEpoch` lets
 * the file alone say that it is own (adopt.ts). In the caller's transaction.
 */
export function promoteShardFile(db: Database, opened: ShardEpoch): void {
  const meta = new Meta(db);
  meta.set('epoch', opened.epoch);
  meta.set('baseSeq', opened.cut.seq);
  meta.set('baseHash', opened.cut.hash);
  meta.set('ownEpoch', opened.epoch);
}

/**
 * Opens a file that exists and checks that it is this shard's, of a layout and schema this code can serve. Changes nothing before that.
 * @throws {FoldlogError} `corrupt` `missingFile`, `foreignFile`, `wrongShard`, `damagedSchema`, `damagedFile`; `upgradeNeeded` `newerLayout`, `schemaDiffers`
 */
export async function openShardFile(
  pool: StoragePool,
  file: string,
  definition: ShardDefinition,
  identity: ShardIdentity,
): Promise<Database> {
  const db = await pool.open(file);
  try {
    setExclusive(db, pool);
    requireOurs(db, file);
    db.requireWritable();
    const meta = new Meta(db);
    const id = meta.bytes('shard');
    if (id === undefined || !isSameBytes(id, identity.id)) {
      throw FoldlogError.corrupt({
        where: file,
        reason: 'wrongShard',
        found: id === undefined ? 'no shard id' : `shard ${short(id)}`,
        expected: `shard ${short(identity.id)} (${identity.kind}/${identity.name})`,
      });
    }
    requireSchema(meta, file, definition);
    setPragmas(db, pool);
    const isOfThisFold = isSameBytes(meta.bytes('foldId') ?? new Uint8Array(), definition.foldId);
    const local = db.value('PRAGMA user_version') === layoutVersion ? localDdl : layout1Ddl;
    if (isOfThisFold) requireSchemaTexts(db, file, [...definition.ddl, ...replicatedDdl, ...local]);
    if (local !== localDdl) await upgradeLayout(db, pool, file);
    return db;
  } catch (error) {
    const failure = db.openingFailure(error, file);
    db.abandon();
    throw failure;
  }
}

/** From layout 1, whole and checked, to this one, in one transaction: stopped anywhere, the next open finds the one or the other. */
async function upgradeLayout(db: Database, pool: StoragePool, file: string): Promise<void> {
  db.transaction(() => {
    for (const statement of layout2Ddl) db.exec(statement);
    db.exec(`PRAGMA user_version=${layoutVersion}`);
  });
  await pool.flush(file);
}

/**
 * SQLite believes the texts it stored: a flipped bit in one renames a table or drops a rule without a word.
 * @throws {FoldlogError} `corrupt` `damagedSchema`
 */
export function requireSchemaTexts(db: Database, file: string, declared: readonly string[]): void {
  const stored = db.all<{ sql: string }>('SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL').map(({ sql }) => sql);
  const [texts, wanted] = [new Set(stored), new Set(declared)];
  if (stored.length === wanted.size && declared.every((text) => texts.has(text))) return;
  throw FoldlogError.corrupt({
    where: file,
    reason: 'damagedSchema',
    found: `${stored.filter((text) => !wanted.has(text)).length} of ${stored.length} tables and indexes with another text`,
    expected: `the ${wanted.size} declared ones`,
  });
}

function requireOurs(db: Database, file: string): void {
  let found: unknown;
  let layout: unknown;
  try {
    found = db.value('PRAGMA application_id');
    layout = db.value('PRAGMA user_version');
  } catch (cause) {
    throw FoldlogError.corrupt({
      where: file,
      reason: 'foreignFile',
      found: 'a file SQLite cannot read',
      expected: 'a Foldlog shard',
      cause,
    });
  }
  if (found !== applicationId) {
    throw FoldlogError.corrupt({
      where: file,
      reason: 'foreignFile',
      found: `application id ${String(found)}`,
      expected: 'a Foldlog shard',
    });
  }
  if (layout === 0) {
    throw FoldlogError.corrupt({ where: file, reason: 'foreignFile', found: 'layout 0', expected: 'a Foldlog shard' });
  }
  if (typeof layout !== 'number' || layout > layoutVersion) {
    throw new FoldlogError('upgradeNeeded', {
      where: file,
      reason: 'newerLayout',
      found: `layout ${String(layout)}`,
      expected: `layout ${layoutVersion} or older`,
    });
  }
}

function requireSchema(meta: Meta, file: string, definition: ShardDefinition): void {
  const version = meta.number('schemaVersion') ?? 0;
  if (version === definition.spec.version) return;
  const isNewer = version > definition.spec.version;
  throw new FoldlogError('upgradeNeeded', {
    where: file,
    reason: isNewer ? 'newerSchema' : 'olderSchema',
    found: `schema version ${version} of ${definition.kind}`,
    expected: `version ${definition.spec.version}`,
    todo: isNewer ? 'update the app' : 'open it with the app version that wrote it; moving a schema forward is not built yet',
  });
}

/** Small named values of a shard: identity, base of the chain, cursors. */
export class Meta {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  set(name: string, value: string | number | Uint8Array): void {
    this.#db.run('INSERT INTO foldlog_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value', [
      name,
      value,
    ]);
  }

  delete(name: string): void {
    this.#db.run('DELETE FROM foldlog_meta WHERE name = ?', [name]);
  }

  number(name: string): number | undefined {
    const value = this.#read(name);
    return typeof value === 'number' ? value : undefined;
  }

  text(name: string): string | undefined {
    const value = this.#read(name);
    return typeof value === 'string' ? value : undefined;
  }

  bytes(name: string): Uint8Array<ArrayBuffer> | undefined {
    const value = this.#read(name);
    return value instanceof Uint8Array ? (value as Uint8Array<ArrayBuffer>) : undefined;
  }

  #read(name: string): unknown {
    return this.#db.value('SELECT value FROM foldlog_meta WHERE name = ?', [name]);
  }
}

/** Where a chain stood when its log on this device began: genesis, a checkpoint it was started from, or the cut it was taken over at. */
export interface ChainBase {
  /** The epoch this device saves in. */
  readonly epoch: Epoch;
  readonly head: Head;
  /** The cut that opened that epoch, when it is not the first: up to there everything is committed. */
  readonly cut: Head | undefined;
}

export function readBase(meta: Meta): ChainBase {
  const baseHash = meta.bytes('baseHash');
  const cutHash = meta.bytes('cutHash');
  return {
    epoch: epoch(meta.number('epoch') ?? 1),
    head: { seq: seq(meta.number('baseSeq') ?? 0), hash: baseHash === undefined ? (hash(new Uint8Array(32)) as Hash) : hash(baseHash) },
    cut: cutHash === undefined ? undefined : { seq: seq(meta.number('cutSeq') ?? 0), hash: hash(cutHash) },
  };
}
