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
import { replicatedDdl } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

export interface StateImage {
  readonly image: Bytes;
  readonly stateHash: Hash;
  readonly rows: number;
}

export interface ImageTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly key: readonly string[];
  readonly isReal: readonly boolean[];
}

/** Tables of a checkpoint image, in name order: what an image holds and the state hash covers. */
export function imageTables(definition: ShardDefinition): readonly ImageTable[] {
  const declared = Object.entries(definition.spec.tables).map(([name, table]) => ({
    name,
    columns: Object.keys(table.columns),
    key: table.key,
    isReal: Object.values(table.columns).map(({ type }) => type === 'REAL'),
  }));
  const origin: ImageTable = {
    name: 'foldlog_origin',
    columns: ['shard', 'epoch', 'first_seq', 'last_seq'],
    key: ['shard', 'epoch', 'first_seq'],
    isReal: [false, false, false, false],
  };
  return [...declared, origin].sort((a, b) => (a.name < b.name ? -1 : 1));
}

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
    for (const statement of imageDdl(from.definition)) target.exec(statement);
    target.exec('BEGIN');
    let until = ports.clock.ticks() + sliceMsMax;
    for (const table of imageTables(from.definition)) {
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
  for (const table of imageTables(definition)) {
    hasher.table(table.name, table.columns);
    for (const row of db.rows(selectFrom(table))) hasher.row(row, table.isReal);
  }
  return hasher.digest();
}

/**
 * Refuses an image that is anything but the declared tables with sound pages: no trigger, view, other table or other text.
 * @throws {FoldlogError} `corrupt` `badImage`
 */
export function requireImage(db: Database, definition: ShardDefinition, where: string): void {
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
  const declared = new Set(imageDdl(definition));
  const strange = stored.find(({ sql }) => !declared.has(sql));
  if (strange !== undefined) throw bad(`a ${strange.type} that is not declared`, 'only the declared tables and indexes');
  if (stored.length !== declared.size) throw bad(`${stored.length} tables and indexes`, `the ${declared.size} declared ones`);
  if (check !== 'ok') throw bad('damaged pages', 'quick_check ok');
}

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ');
const selectFrom = (table: ImageTable): string => `SELECT ${quoted(table.columns)} FROM "${table.name}" ORDER BY ${quoted(table.key)}`;
const insertInto = (table: ImageTable): string =>
  `INSERT INTO "${table.name}" (${quoted(table.columns)}) VALUES (${table.columns.map(() => '?').join(', ')})`;
