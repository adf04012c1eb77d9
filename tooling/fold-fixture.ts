// Folds lists of ops into tables as a device does, and takes states over as a checkpoint does: from its tables and rows alone.

import { type Bytes, bytesToHex, concatBytes } from '../kernel/bytes.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { chunkBytes } from '../kernel/limits.ts';
import type { JsonValue } from '../kernel/op-body.ts';
import type { SqlValue } from '../kernel/state-hash.ts';
import { seq, timeMs } from '../kernel/units.ts';
import type { ShardDefinition } from '../shards/define.ts';
import type { Database } from '../worker/engine/database.ts';
import { Folder } from '../worker/engine/fold.ts';
import { extractImage, imageDdl, imageTexts, requireImage, stateHashOf } from '../worker/engine/image.ts';
import { schemaOf } from '../worker/engine/schema.ts';
import { migrateTables } from '../worker/engine/schema-file.ts';
import { freshName, sharedPool, unhurried } from './memory.ts';

/** `[class, payload]` as an app saves it now; with a version, as it stands in a chain since then. */
export type FixtureOp = readonly [className: string, payload: unknown, version?: number];

/** Ops that were saved together. */
export interface FixtureGroup {
  readonly ops: readonly FixtureOp[];
  /** Writer's wall time, ms; 0 unless said otherwise. */
  readonly timeMs?: number;
}

/** Rows of a schema version as they can be kept in a file beside a test: what a device of that release had. */
export interface StateFixture {
  readonly version: number;
  /** Seq of the last op in it. */
  readonly seq: number;
  /** Rows by table. Bytes are in hex, as `{ hex: '…' }`; integers beyond 2^53 are not supported. */
  readonly rows: Readonly<Record<string, readonly Readonly<Record<string, JsonValue>>[]>>;
}

export interface FoldedState {
  /** Of the last op. */
  readonly seq: number;
  /** In hex: equal if and only if all tables have equal rows. */
  readonly stateHash: string;
  /** Rows of a query. */
  rows<Row = Record<string, SqlValue>>(query: string, params?: readonly SqlValue[]): readonly Row[];
}

export interface FoldOptions {
  /** Numbers of groups after which the state goes through a checkpoint: its rows into a new database image, checked and opened as another device does. */
  readonly checkpointsAfter?: readonly number[];
}

/**
 * The state that groups of ops fold to, from nothing. Whatever checkpoints lie between, the state hash must be the same.
 * @throws {FoldlogError} what a save or a fold of these ops throws
 * @example
 * const sold = await foldFixture(till, [{ ops: [['sale.completed', sale]] }]);
 * expect(sold.rows('SELECT * FROM saleLine')).toEqual([…]);
 */
export async function foldFixture(
  definition: ShardDefinition,
  groups: readonly FixtureGroup[],
  options: FoldOptions = {},
): Promise<FoldedState> {
  const pool = await sharedPool();
  const file = freshName();
  const db = pool.create(file);
  for (const statement of imageDdl(definition)) db.exec(statement);
  return foldGroups(definition, { db, file, seq: 0 }, groups, options);
}

/**
 * The state that groups fold to on top of the rows of an older release, which are migrated first: what a device has after its update.
 * @throws {FoldlogError} `misuse` `badFixture`, `migrationFailed`; what a fold throws
 */
export async function foldOnFrom(
  definition: ShardDefinition,
  fixture: StateFixture,
  groups: readonly FixtureGroup[] = [],
  options: FoldOptions = {},
): Promise<FoldedState> {
  const pool = await sharedPool();
  const file = freshName();
  if (fixture.version > definition.spec.version) throw badFixture(definition, `version ${fixture.version}`);
  const db = pool.create(file);
  for (const text of imageTexts(pool, definition, fixture.version)) db.exec(text);
  const tables = schemaOf(pool.sqlite3, definition, fixture.version).tables;
  for (const [name, rows] of Object.entries(fixture.rows)) {
    const table = tables.find((each) => each.name === name);
    if (table === undefined) throw badFixture(definition, `the table ${name}`);
    const insert = `INSERT INTO "${name}" VALUES (${table.columns.map(() => '?').join(', ')})`;
    for (const row of rows) {
      const stray = Object.keys(row).find((column) => !table.columns.includes(column));
      if (stray !== undefined) throw badFixture(definition, `the column ${name}.${stray}`);
      db.run(
        insert,
        table.columns.map((column) => fromJson(row[column] ?? null)),
      );
    }
  }
  migrateTables(db, definition, fixture.version);
  return foldGroups(definition, { db, file, seq: fixture.seq }, groups, options);
}

/** The rows of a state, to be kept as a fixture for the releases to come. */
export function stateFixture(definition: ShardDefinition, state: FoldedState): StateFixture {
  const known = opened.get(state);
  if (known === undefined) throw badFixture(definition, 'a state that was not folded here');
  const rows = schemaOf(known.sqlite3, definition).tables.map(({ name, key }) => {
    const order = key.map((column) => `"${column}"`).join(', ');
    const all = state.rows(`SELECT * FROM "${name}" ORDER BY ${order}`);
    return [name, all.map((row) => Object.fromEntries(Object.entries(row).map(([column, value]) => [column, toJson(value)])))] as const;
  });
  return { version: definition.spec.version, seq: state.seq, rows: Object.fromEntries(rows) };
}

interface Place {
  readonly db: Database;
  readonly file: string;
  readonly seq: number;
}

const opened = new WeakMap<FoldedState, Database>();

async function foldGroups(
  definition: ShardDefinition,
  start: Place,
  groups: readonly FixtureGroup[],
  { checkpointsAfter = [] }: FoldOptions,
): Promise<FoldedState> {
  let { db, file, seq: at } = start;
  let folder = new Folder(definition, db);
  for (const [i, { ops, timeMs: time = 0 }] of groups.entries()) {
    const ready = ops.map(([name, payload, version]) =>
      version === undefined ? folder.prepare([name, payload]) : folder.read({ class: name, version, payload: payload as JsonValue }),
    );
    db.transaction(() => folder.fold(ready, seq(at + 1), timeMs(time)));
    at += ops.length;
    if (!checkpointsAfter.includes(i + 1)) continue;
    ({ db, file } = await throughCheckpoint(definition, { db, file, seq: at }));
    folder = new Folder(definition, db);
  }
  const state: FoldedState = {
    seq: at,
    stateHash: bytesToHex(stateHashOf(db, definition)),
    rows: (query, params) => db.all(query, params),
  };
  opened.set(state, db);
  return state;
}

/** As a checkpoint is made, and as a new device begins from it. */
async function throughCheckpoint(definition: ShardDefinition, from: Place): Promise<Place> {
  const pool = await sharedPool();
  const state = await extractImage(unhurried, pool, { file: from.file, definition }, freshName(), async (slice) => {
    slice();
    return true;
  });
  from.db.close();
  pool.remove(from.file);
  const file = freshName();
  if (state === undefined) throw badFixture(definition, 'no image');
  const chunks: Bytes[] = [];
  for (let chunk = 0; chunk * chunkBytes < state.bytes; chunk++) chunks.push(state.chunk(chunk));
  await pool.importImage(file, concatBytes(...chunks));
  state.drop();
  const db = await pool.open(file);
  requireImage(db, definition, `checkpoint of a fixture of ${definition.kind}`);
  return { db, file, seq: from.seq };
}

const toJson = (value: SqlValue): JsonValue =>
  value instanceof Uint8Array ? { hex: bytesToHex(value) } : typeof value === 'bigint' ? String(value) : value;

function fromJson(value: JsonValue): SqlValue {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value !== 'object' || value === null) return value;
  const { hex } = value as { readonly hex?: unknown };
  return Uint8Array.from(String(hex ?? '').match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

const badFixture = (definition: ShardDefinition, found: string): FoldlogError =>
  FoldlogError.misuse({
    where: `fixture of ${definition.kind}`,
    reason: 'badFixture',
    found,
    expected: `what version 1 to ${definition.spec.version} of its schema has`,
  });
