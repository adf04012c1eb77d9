// The database file of one shard: log, state and cursors together (decision 0006). Creates it, opens it, checks that it is ours and
// reads back every pragma that durability rests on. Tables: docs/format.md does not cover them; they never leave the device.

import { isSameBytes } from '../../kernel/bytes.ts';
import type { ShardEpoch } from '../../kernel/control/fold.ts';
import { assertNever, FoldlogError } from '../../kernel/errors.ts';
import { ownCacheKib } from '../../kernel/limits.ts';
import { type Epoch, epoch, type Hash, type Head, hash, type ShardId, seq, short } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { type Database, sqliteFailure } from './database.ts';
import { Meta } from './meta.ts';
import { schemaOf } from './schema.ts';
import { type SchemaStanding, setSchema, standingOf } from './schema-file.ts';
import type { StoragePool } from './storage-pool.ts';

export { Meta } from './meta.ts';
export { requireSchemaTexts } from './schema.ts';

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
  schemaOf(pool.sqlite3, definition); // a migration that cannot be is told before there is a file
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
  setSchema(db, definition);
}

export interface OpenedFile {
  readonly db: Database;
  /** Whoever opens it brings the tables up, or leaves them alone, before anything reads or folds. */
  readonly standing: SchemaStanding;
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
 * Opens a file that exists and checks that it is this shard's, of a layout this code knows, and how its tables stand to it. Changes nothing before that,
 * and then only the engine's own tables, when they are of an older layout.
 * @throws {FoldlogError} `corrupt` `missingFile`, `foreignFile`, `wrongShard`, `damagedSchema`, `damagedFile` · `upgradeNeeded` `newerLayout` ·
 * `misuse` `tablesChanged`, `badMigration`, `impureMigration`
 */
export async function openShardFile(
  pool: StoragePool,
  file: string,
  definition: ShardDefinition,
  identity: ShardIdentity,
): Promise<OpenedFile> {
  const db = await pool.open(file).catch((error: unknown) => {
    throw sqliteFailure(error, file);
  });
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
    const local = db.value('PRAGMA user_version') === layoutVersion ? localDdl : layout1Ddl;
    const standing = standingOf(db, file, definition, [...replicatedDdl, ...local]);
    setPragmas(db, pool);
    if (local !== localDdl) await upgradeLayout(db, pool, file);
    return { db, standing };
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
