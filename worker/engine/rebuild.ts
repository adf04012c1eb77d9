// Fills the next generation of an own shard's file from its log: the answer to damaged state under a sound log. Log, ids, receipts and cursors are
// copied as they are, the state is folded again, from genesis or on a checkpoint, and all of it is one transaction: the file is nothing until that commits.

import { type Bytes, isSameBytes } from '../../kernel/bytes.ts';
import { decodeGroupHeader } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';
import type { Head } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { ChainLog } from './chain-log.ts';
import type { Database } from './database.ts';
import { Folder } from './fold.ts';
import { nextFile } from './generations.ts';
import { imageDdl, requireImage } from './image.ts';
import { createLocalTables, Meta, readBase, setExclusive, setPragmas, setUp } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

export interface Rebuilt {
  readonly file: string;
  readonly db: Database;
}

/** Rows copied between two looks into the source. */
const rowsPerCopy = 256;

/** Where folding begins when the log does not reach genesis: a checkpoint whose statement and chunks were checked, at a head of this log. */
export interface RebuildStart {
  readonly head: Head;
  readonly image: Bytes;
}

/**
 * The caller has the shard's mutex, so that saves wait, and knows that the log is sound. The source is only read. Needs as much room again as the file.
 * @throws {FoldlogError} `corrupt` `noBase` when the log does not begin at genesis and `start` is no head of it, `badImage`; `storageFull`; what a reducer
 * throws; the new file is gone then
 */
export async function rebuildFromLog(
  pool: StoragePool,
  from: { readonly file: string; readonly db: Database; readonly log: ChainLog; readonly definition: ShardDefinition },
  start?: RebuildStart,
): Promise<Rebuilt> {
  const base = readBase(new Meta(from.db)).head;
  const startHash = start === undefined ? undefined : from.log.hashAt(start.head.seq);
  const isOurs = start !== undefined && startHash !== undefined && isSameBytes(startHash, start.head.hash);
  if (base.seq !== 0 && !isOurs) {
    throw FoldlogError.corrupt({
      where: from.file,
      reason: 'noBase',
      found: `a log that begins after seq ${base.seq}${start === undefined ? '' : ` and a checkpoint at seq ${start.head.seq} that is not in it`}`,
      expected: 'one from genesis, or a checkpoint to fold it on',
    });
  }
  const seed = base.seq === 0 ? undefined : start;
  await pool.reserve(1);
  const file = nextFile(from.file);
  if (pool.has(file)) pool.remove(file); // of a rebuild that failed
  let db: Database | undefined;
  try {
    const next = await openNext(pool, file, from.definition, seed);
    db = next;
    next.transaction(() => {
      if (seed === undefined) for (const statement of imageDdl(from.definition)) next.exec(statement);
      createLocalTables(next);
      for (const table of ['foldlog_meta', 'foldlog_group', 'foldlog_id', 'foldlog_past', 'foldlog_receipt'])
        copyTable(from.db, next, table);
      const folder = new Folder(from.definition, next);
      for (let at = { seq: seed?.head.seq ?? 0, isEnd: false } as FoldPlace; !at.isEnd; ) at = foldNext({ db: next, file }, folder, at.seq);
    });
    await pool.flush(file);
    return { file, db: next };
  } catch (error) {
    const failure = db?.failure(error, file) ?? error;
    db?.close();
    if (pool.has(file)) pool.remove(file);
    throw failure;
  }
}

/** Empty, or with the state of a checkpoint; without a table of this device's own it is nothing to a start that finds it. */
async function openNext(pool: StoragePool, file: string, definition: ShardDefinition, seed: RebuildStart | undefined): Promise<Database> {
  if (seed !== undefined) await pool.importImage(file, seed.image);
  const db = seed === undefined ? pool.create(file) : await pool.open(file);
  try {
    setExclusive(db, pool);
    if (seed === undefined) setUp(db);
    else requireImage(db, definition, `checkpoint at seq ${seed.head.seq}`);
    setPragmas(db, pool);
    return db;
  } catch (error) {
    const failure = db.failure(error, file);
    db.close();
    throw failure;
  }
}

interface FoldPlace {
  readonly seq: number;
  readonly isEnd: boolean;
}

/** In key order, by key: nothing of the source stays open. */
function copyTable(source: Database, target: Database, table: string): void {
  const columns = source.all<{ name: string; pk: number }>(`SELECT name, pk FROM pragma_table_info('${table}')`);
  const names = columns.map(({ name }) => name);
  const key = columns.find(({ pk }) => pk === 1)?.name ?? 'rowid';
  const insert = `INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`;
  let after: SqlValue | undefined;
  for (;;) {
    const behind = after === undefined ? '' : `WHERE ${key} > ?`;
    const rows = source.all(
      `SELECT ${names.join(', ')} FROM ${table} ${behind} ORDER BY ${key} LIMIT ${rowsPerCopy}`,
      after === undefined ? [] : [after],
    );
    for (const row of rows)
      target.run(
        insert,
        names.map((name) => row[name] as SqlValue),
      );
    if (rows.length < rowsPerCopy) return;
    after = rows.at(-1)?.[key];
  }
}

/** Folds the stored group behind `after`, from a log that was verified. `folder` may stand on another database than the log. */
export function foldNext(log: { readonly db: Database; readonly file: string }, folder: Folder, after: number): FoldPlace {
  const row = log.db.get<{ last_seq: number; header: Uint8Array; body: Uint8Array }>(
    'SELECT last_seq, header, body FROM foldlog_group WHERE last_seq > ? ORDER BY last_seq LIMIT 1',
    [after],
  );
  if (row === undefined) return { seq: after, isEnd: true };
  const where = `${log.file}, group after seq ${after}`;
  const header = decodeGroupHeader(row.header, where);
  const ops = decodeOps(row.body, header.opCount, where);
  folder.fold(
    ops.map((op) => folder.read(op)),
    header.firstSeq,
    header.time,
  );
  return { seq: row.last_seq, isEnd: false };
}
