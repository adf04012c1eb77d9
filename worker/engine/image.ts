// The image of a shard's state at one head: a fresh database with the declared and the replicated system tables, filled in key order, and the
// logical state hash taken on the way. Built from a frozen look at the main file while the writer goes on in its WAL (method V2): the main file
// does not change until somebody checkpoints the WAL, and only this engine does.

import type { Bytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { sliceMsMax } from '../../kernel/limits.ts';
import type { Clock, Scheduler } from '../../kernel/ports.ts';
import { type SqlValue, StateHasher } from '../../kernel/state-hash.ts';
import type { Hash } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { Database } from './database.ts';
import { type SchemaTable, schemaOf } from './schema.ts';
import { replicatedDdl } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

export interface StateImage {
  readonly image: Bytes;
  readonly stateHash: Hash;
  readonly rows: number;
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
 * Copies the state of a frozen file into a scratch database, slice by slice, and returns its bytes. Looks at the file in the turn it is called.
 * `keepsFrozen` is asked between slices; when it answers false the work is dropped.
 */
export async function extractImage(
  ports: { readonly clock: Clock; readonly scheduler: Scheduler },
  pool: StoragePool,
  from: { readonly file: string; readonly definition: ShardDefinition },
  scratch: string,
  keepsFrozen: () => boolean,
): Promise<StateImage | undefined> {
  const { sqlite3 } = pool;
  const look = new Database(sqlite3, new sqlite3.oo1.DB({ filename: pool.attachImmutable(from.file), flags: 'r' }), from.file);
  const target = pool.create(scratch);
  const hasher = new StateHasher();
  let rows = 0;
  let isWhole = false;
  try {
    // Scratch: a kill throws it away, so nothing of it is journalled or flushed.
    target.exec('PRAGMA page_size=8192; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA auto_vacuum=incremental');
    for (const statement of imageTexts(pool, from.definition)) target.exec(statement);
    target.exec('BEGIN');
    let until = ports.clock.ticks() + sliceMsMax;
    for (const table of imageTables(pool, from.definition)) {
      hasher.table(table.name, table.columns);
      const insert = insertInto(table);
      for (const row of look.rows(selectFrom(table))) {
        hasher.row(row, table.isReal);
        target.run(insert, row as readonly SqlValue[]);
        rows++;
        if (ports.clock.ticks() < until) continue;
        await ports.scheduler.yield();
        if (!keepsFrozen()) return undefined;
        until = ports.clock.ticks() + sliceMsMax;
      }
    }
    target.exec('COMMIT');
    isWhole = true;
  } finally {
    look.close();
    target.close();
    if (!isWhole) pool.remove(scratch);
  }
  const image = await pool.exportImage(scratch);
  pool.remove(scratch);
  return { image, stateHash: hasher.digest(), rows };
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
