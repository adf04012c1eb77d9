// The image of a shard's state at one head: a fresh database with the declared and the replicated system tables, filled in key order, and the
// logical state hash taken on the way. Built from a frozen look at the main file while the writer goes on in its WAL (method V2): the main file
// does not change until somebody checkpoints the WAL, and only this engine does.

import { type Bytes, concatBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { chunkBytes, sliceMsMax } from '../../kernel/limits.ts';
import type { Clock, Scheduler } from '../../kernel/ports.ts';
import { type SqlValue, StateHasher } from '../../kernel/state-hash.ts';
import type { Hash } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { Database } from './database.ts';
import { type SchemaTable, schemaOf } from './schema.ts';
import { pageBytes, replicatedDdl } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

/** A finished copy, in a scratch file: read by the chunk, so that it is never in memory whole. */
export interface StateImage {
  readonly stateHash: Hash;
  readonly rows: number;
  readonly bytes: number;
  /** The `at`-th part of `chunkBytes`; the last one is shorter. */
  readonly chunk: (at: number) => Bytes;
  /** Removes the scratch file. */
  readonly drop: () => void;
}

export type { SchemaTable as ImageTable } from './schema.ts';

/** What an image holds beside the app's tables, whatever their version. */
const origin: SchemaTable = {
  name: 'foldlog_origin',
  columns: ['shard', 'epoch', 'first_seq', 'last_seq'],
  key: ['shard', 'epoch', 'first_seq'],
  isReal: [false, false, false, false],
};

/** Tables of a checkpoint image at `version`, the present one unless said otherwise, in name order: what an image holds and the state hash covers. */
export function imageTables(
  db: Pick<Database, 'sqlite3'>,
  definition: ShardDefinition,
  version = definition.spec.version,
): readonly SchemaTable[] {
  return [...schemaOf(db.sqlite3, definition, version).tables, origin].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The texts an image's tables have, which run one by one make an empty image. */
export const imageTexts = (
  db: Pick<Database, 'sqlite3'>,
  definition: ShardDefinition,
  version = definition.spec.version,
): readonly string[] => [...schemaOf(db.sqlite3, definition, version).texts, ...replicatedDdl];

/** Statements that make the state of a shard in which nothing happened: migrations may put rows into it. */
export const imageDdl = (definition: ShardDefinition): readonly string[] => [...definition.ddl, ...replicatedDdl];

/**
 * Copies the state of a frozen file into a scratch database, slice by slice. Looks at the file in the turn it is called. `inTurn` runs one slice, or answers
 * false when the file has changed under the look: the work is dropped then, and the answer undefined.
 */
export async function extractImage(
  ports: { readonly clock: Clock; readonly scheduler: Scheduler },
  pool: StoragePool,
  from: { readonly file: string; readonly definition: ShardDefinition },
  scratch: string,
  inTurn: (slice: () => void) => Promise<boolean>,
): Promise<StateImage | undefined> {
  const { sqlite3 } = pool;
  const look = new Database(sqlite3, new sqlite3.oo1.DB({ filename: pool.attachImmutable(from.file), flags: 'r' }), from.file);
  let target: Database | undefined;
  const drop = (): void => {
    target?.close();
    if (pool.has(scratch)) pool.remove(scratch);
  };
  try {
    const copy = pool.create(scratch);
    target = copy;
    // Scratch: a kill throws it away, so nothing of it is journalled or flushed.
    copy.exec(`PRAGMA page_size=${pageBytes}; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA auto_vacuum=incremental`);
    for (const statement of imageTexts(pool, from.definition)) copy.exec(statement);
    copy.exec('BEGIN');
    const hasher = new StateHasher();
    const copying = copyRows(look, copy, imageTables(pool, from.definition), hasher);
    let rows = 0;
    let isDone = false;
    while (!isDone) {
      await ports.scheduler.yield();
      const isStanding = await inTurn(() => {
        const until = ports.clock.ticks() + sliceMsMax;
        while (!isDone && ports.clock.ticks() < until) {
          isDone = copying.next().done === true;
          if (!isDone) rows++;
        }
      });
      if (isStanding) continue;
      copying.return(undefined);
      drop();
      return undefined;
    }
    copy.exec('COMMIT');
    const bytes = Number(copy.value('PRAGMA page_count')) * pageBytes;
    return { stateHash: hasher.digest(), rows, bytes, chunk: (at) => chunkOf(copy, at), drop };
  } catch (error) {
    const failure = target?.failure(error, scratch) ?? error;
    drop();
    throw failure;
  } finally {
    look.close();
  }
}

/** One row a step, so that the caller can stop at any. */
function* copyRows(look: Database, target: Database, tables: readonly SchemaTable[], hasher: StateHasher): Generator<void> {
  for (const table of tables) {
    hasher.table(table.name, table.columns);
    const insert = insertInto(table);
    for (const row of look.rows(selectFrom(table))) {
      hasher.row(row, table.isReal);
      target.run(insert, row as readonly SqlValue[]);
      yield;
    }
  }
}

function chunkOf(copy: Database, at: number): Bytes {
  const pages = chunkBytes / pageBytes;
  const found = copy.all<{ data: Bytes }>('SELECT data FROM sqlite_dbpage WHERE pgno BETWEEN ? AND ? ORDER BY pgno', [
    at * pages + 1,
    (at + 1) * pages,
  ]);
  return concatBytes(...found.map(({ data }) => data));
}

/** The state hash of an open database, in one go: for tests, audits and `foldlog verify --state`. */
export function stateHashOf(db: Database, definition: ShardDefinition): Hash {
  const hasher = new StateHasher();
  for (const table of imageTables(db, definition)) {
    hasher.table(table.name, table.columns);
    for (const row of db.rows(selectFrom(table))) hasher.row(row, table.isReal);
  }
  return hasher.digest();
}

/**
 * Refuses an image that is anything but the declared tables of its version with sound pages: no trigger, view, other table or other text.
 * @throws {FoldlogError} `corrupt` `badImage`
 */
export function requireImage(db: Database, definition: ShardDefinition, where: string, version = definition.spec.version): void {
  const bad = (found: string, expected: string, cause?: unknown) =>
    FoldlogError.corrupt({ where, reason: 'badImage', found, expected, cause });
  let stored: readonly { readonly type: string; readonly sql: string }[];
  let check: SqlValue | undefined;
  try {
    db.exec('PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON');
    stored = db.all<{ type: string; sql: string }>('SELECT type, sql FROM sqlite_schema WHERE sql IS NOT NULL');
    check = db.value('PRAGMA quick_check(1)');
  } catch (cause) {
    throw bad('a file SQLite cannot read', 'a sound database', cause);
  }
  const declared = new Set(imageTexts(db, definition, version));
  const strange = stored.find(({ sql }) => !declared.has(sql));
  if (strange !== undefined) throw bad(`a ${strange.type} that is not declared`, 'only the declared tables and indexes');
  if (stored.length !== declared.size) throw bad(`${stored.length} tables and indexes`, `the ${declared.size} declared ones`);
  if (check !== 'ok') throw bad('damaged pages', 'quick_check ok');
}

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ');
const selectFrom = (table: SchemaTable): string => `SELECT ${quoted(table.columns)} FROM "${table.name}" ORDER BY ${quoted(table.key)}`;
const insertInto = (table: SchemaTable): string =>
  `INSERT INTO "${table.name}" (${quoted(table.columns)}) VALUES (${table.columns.map(() => '?').join(', ')})`;
