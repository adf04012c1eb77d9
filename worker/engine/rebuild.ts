// Fills the next generation of an own shard's file from its log: the answer to damaged state under a sound log. Log, ids, receipts, cursors and outbox are
// copied as they are, the state is folded again, and all of it is one transaction: the file is nothing until that commits.

import { decodeGroupHeader } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Database } from './database.ts';
import { type FoldedGroup, Folder } from './fold.ts';
import { nextFile } from './generations.ts';
import { imageDdl } from './image.ts';
import { createLocalTables, Meta, readBase, setExclusive, setPragmas, setUp } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

export interface Rebuilt {
  readonly file: string;
  readonly db: Database;
}

/** Rows copied between two looks into the source. */
const rowsPerCopy = 256;

/**
 * The caller has the shard's mutex, so that saves wait, and knows that the log is sound. The source is only read. Needs as much room again as the file.
 * @throws {FoldlogError} `corrupt` `noBase` when the log does not begin at genesis; `storageFull`; what a reducer throws; the new file is gone then
 */
export async function rebuildFromLog(
  pool: StoragePool,
  from: { readonly file: string; readonly db: Database; readonly definition: ShardDefinition },
): Promise<Rebuilt> {
  const base = readBase(new Meta(from.db)).head;
  if (base.seq !== 0) {
    throw FoldlogError.corrupt({
      where: from.file,
      reason: 'noBase',
      found: `a log that begins after seq ${base.seq}`,
      expected: 'one from genesis',
    });
  }
  await pool.reserve(1);
  const file = nextFile(from.file);
  if (pool.has(file)) pool.remove(file); // of a rebuild that failed
  const db = pool.create(file);
  try {
    setExclusive(db, pool);
    setUp(db);
    setPragmas(db, pool);
    db.transaction(() => {
      for (const statement of imageDdl(from.definition)) db.exec(statement);
      createLocalTables(db);
      for (const table of localTables) copyTable(from.db, db, table);
      const folder = new Folder(from.definition, db);
      for (let at = { seq: 0, isEnd: false }; !at.isEnd; ) at = foldNext({ db, file }, folder, at.seq);
    });
    await pool.flush(file);
    return { file, db };
  } catch (error) {
    const failure = db.failure(error, file);
    db.close();
    pool.remove(file);
    throw failure;
  }
}

/** The device's own tables, which go from one generation to the next as they are. */
export const localTables = ['foldlog_meta', 'foldlog_group', 'foldlog_id', 'foldlog_past', 'foldlog_receipt', 'foldlog_outbox'] as const;

/** In key order, by key: nothing of the source stays open. */
export function copyTable(source: Database, target: Database, table: string): void {
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
export function foldNext(
  log: { readonly db: Database; readonly file: string },
  folder: Folder,
  after: number,
  onFolded: (folded: FoldedGroup) => void = () => undefined,
): { readonly seq: number; readonly isEnd: boolean } {
  const row = log.db.get<{ last_seq: number; header: Uint8Array; body: Uint8Array }>(
    'SELECT last_seq, header, body FROM foldlog_group WHERE last_seq > ? ORDER BY last_seq LIMIT 1',
    [after],
  );
  if (row === undefined) return { seq: after, isEnd: true };
  const where = `${log.file}, group after seq ${after}`;
  const header = decodeGroupHeader(row.header, where);
  onFolded(folder.foldGroup(header, row.body, where));
  return { seq: row.last_seq, isEnd: false };
}
