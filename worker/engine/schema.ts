// What the tables of a definition look like at each of its versions: the texts SQLite stores for them, and their columns and keys. Not parsed out of
// SQL but asked of SQLite, which runs version 1's tables and every migration once in an empty database, under guard. A file, new or migrated, and an
// image of any age went through the very same statements, so their stored texts must be equal letter by letter (decision 0004).

import type { Sqlite3Static } from '@sqlite.org/sqlite-wasm';
import { utf8 } from '../../kernel/bytes.ts';
import { sha256 } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Hash } from '../../kernel/units.ts';
import { migrationTo, type ShardDefinition, tablesDdl } from '../../shards/define.ts';
import { requireIdentifier } from '../../shards/table.ts';
import { Database } from './database.ts';
import { isImpure } from './pure-sql.ts';

/** A table as images, hashes and copies need it. */
export interface SchemaTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly key: readonly string[];
  readonly isReal: readonly boolean[];
}

/** The app's tables at one version. */
export interface Schema {
  readonly version: number;
  /** As `sqlite_schema` has them, in the order of their making. Run one by one they make the same tables again, empty. */
  readonly texts: readonly string[];
  /** In name order. */
  readonly tables: readonly SchemaTable[];
  /** Names the texts: a file keeps it, so that damage to a stored text can be told from tables that were declared anew. */
  readonly id: Hash;
}

/** Worked out once per instance: it costs a database in memory, and every opening asks. */
const known = new WeakMap<Sqlite3Static, WeakMap<ShardDefinition, readonly Schema[]>>();

/**
 * The schema at `version`, the present one unless said otherwise.
 * @throws {FoldlogError} `misuse` `badMigration`, `impureMigration`, naming version and statement: nothing was touched
 */
export function schemaOf(sqlite3: Sqlite3Static, definition: ShardDefinition, version = definition.spec.version): Schema {
  const schema = schemasOf(sqlite3, definition)[version - 1];
  if (schema !== undefined) return schema;
  throw FoldlogError.misuse({
    where: `schema of ${definition.kind}`,
    reason: 'badVersion',
    found: `version ${version}`,
    expected: `1 to ${definition.spec.version}`,
  });
}

/** Of every version, from 1 on. */
export function schemasOf(sqlite3: Sqlite3Static, definition: ShardDefinition): readonly Schema[] {
  let ofInstance = known.get(sqlite3);
  if (ofInstance === undefined) {
    ofInstance = new WeakMap();
    known.set(sqlite3, ofInstance);
  }
  let schemas = ofInstance.get(definition);
  if (schemas === undefined) {
    schemas = definition.spec.version === 1 ? [declaredSchema(definition)] : workOut(sqlite3, definition);
    ofInstance.set(definition, schemas);
  }
  return schemas;
}

/** Equal for equal texts, in any order. */
export const schemaIdOf = (texts: readonly string[]): Hash => sha256(utf8(JSON.stringify([...texts].sort())));

/** The texts of the app's own tables and indexes in an open file. */
export const storedTexts = (db: Database): readonly string[] =>
  db
    .all<{ sql: string }>(`SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name NOT LIKE 'foldlog\\_%' ESCAPE '\\'`)
    .map(({ sql }) => sql);

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

/** Version 1 is what its columns say, and SQLite need not be asked: a start without migrations pays nothing. */
function declaredSchema({ spec }: ShardDefinition): Schema {
  const texts = tablesDdl(spec);
  const tables = Object.entries(spec.tables)
    .map(([name, { columns, key }]) => ({
      name,
      columns: Object.keys(columns),
      key,
      isReal: Object.values(columns).map(({ type }) => type === 'REAL'),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return { version: 1, texts, tables, id: schemaIdOf(texts) };
}

function workOut(sqlite3: Sqlite3Static, definition: ShardDefinition): readonly Schema[] {
  const db = new Database(sqlite3, new sqlite3.oo1.DB(':memory:', 'c'), `schema of ${definition.kind}`);
  try {
    const schemas: Schema[] = [];
    for (let version = 1; version <= definition.spec.version; version++) {
      const statements = version === 1 ? tablesDdl(definition.spec) : migrationTo(definition.spec, version);
      for (const [i, statement] of statements.entries())
        tryOut(db, statement, `${definition.kind}, version ${version}, statement ${i + 1}`);
      schemas.push(readSchema(db, version, `${definition.kind}, version ${version}`));
    }
    return schemas;
  } finally {
    db.close();
  }
}

/** Runs one statement under the guard. What it may do is a matter of its text and of the tables there are, so doing it once here is enough. */
function tryOut(db: Database, statement: string, where: string): void {
  const { capi } = db.sqlite3;
  const guard = migrationGuard(db);
  const mentioned = /\b(?:foldlog|sqlite|pragma)_\w*/i.exec(statement)?.[0];
  if (mentioned !== undefined) throw impure(where, mentioned);
  capi.sqlite3_set_authorizer(db.handle, guard.authorize as never, 0);
  try {
    db.exec(statement);
  } catch (cause) {
    if (guard.denied !== '') throw impure(where, guard.denied, cause);
    throw badMigration(where, cause instanceof Error ? cause.message : String(cause), 'SQL that SQLite runs', cause);
  } finally {
    capi.sqlite3_set_authorizer(db.handle, 0 as never, 0);
  }
}

const ofSqlite = new Set(['sqlite_master', 'sqlite_schema', 'sqlite_temp_master', 'sqlite_temp_schema']);

/**
 * Lets through what changes the app's tables by what stands in them, and nothing else. SQLite's own statements inside an ALTER or DROP come by here
 * too: they write its schema tables, which an app's statement cannot, and check a table that grew a column.
 */
function migrationGuard(db: Database) {
  const { capi } = db.sqlite3;
  const tables = new Set(db.all<{ name: string }>(`SELECT name FROM sqlite_schema WHERE type = 'table'`).map(({ name }) => name));
  const reads = new Set<number>([capi.SQLITE_READ, capi.SQLITE_INSERT, capi.SQLITE_UPDATE, capi.SQLITE_DELETE]);
  const indexes = new Set<number>([capi.SQLITE_CREATE_INDEX, capi.SQLITE_DROP_INDEX, capi.SQLITE_REINDEX]);
  const guard = {
    denied: '',
    authorize: (_: number, action: number, a: string | 0, b: string | 0): number => {
      const name = String(a);
      if (action === capi.SQLITE_CREATE_TABLE) tables.add(name);
      const isAllowed =
        action === capi.SQLITE_SELECT ||
        action === capi.SQLITE_RECURSIVE ||
        (action === capi.SQLITE_FUNCTION && !isImpure(String(b))) ||
        (reads.has(action) && (tables.has(name) || ofSqlite.has(name) || name === 'pragma_quick_check')) ||
        action === capi.SQLITE_CREATE_TABLE ||
        action === capi.SQLITE_DROP_TABLE ||
        action === capi.SQLITE_ALTER_TABLE ||
        indexes.has(action) ||
        (action === capi.SQLITE_PRAGMA && name === 'quick_check');
      if (isAllowed) return capi.SQLITE_OK;
      guard.denied ||= action === capi.SQLITE_FUNCTION ? `the function ${String(b)}` : `action ${action} on ${name}`;
      return capi.SQLITE_DENY;
    },
  };
  return guard;
}

/** What the statements until now have made, if every reader can hash and copy it. */
function readSchema(db: Database, version: number, where: string): Schema {
  const entries = db.all<{ type: string; name: string; sql: string }>(
    'SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid',
  );
  const tables = entries
    .filter(({ type }) => type === 'table')
    .map(({ name }) => readTable(db, name, where))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const texts = entries.map(({ sql }) => sql);
  return { version, texts, tables, id: schemaIdOf(texts) };
}

const columnTypes = new Set(['TEXT', 'INTEGER', 'INT', 'REAL', 'BLOB']);

function readTable(db: Database, name: string, where: string): SchemaTable {
  requireIdentifier(name, where);
  const list = db.get<{ wr: number; strict: number }>('SELECT wr, strict FROM pragma_table_list WHERE schema = ? AND name = ?', [
    'main',
    name,
  ]);
  if (list?.wr !== 1 || list.strict !== 1) {
    throw badMigration(
      where,
      `the table ${name} without STRICT, WITHOUT ROWID`,
      'tables made as … STRICT, WITHOUT ROWID, as declared ones are',
    );
  }
  const columns = db.all<{ name: string; type: string; pk: number; hidden: number }>(
    'SELECT name, type, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid',
    [name],
  );
  for (const column of columns) {
    requireIdentifier(column.name, `${where}, table ${name}`);
    if (column.hidden !== 0) throw badMigration(where, `the generated column ${name}.${column.name}`, 'columns that hold values');
    if (!columnTypes.has(column.type.toUpperCase())) {
      throw badMigration(where, `the column ${name}.${column.name} of type ${column.type}`, `one of ${[...columnTypes].join(', ')}`);
    }
  }
  const key = columns.filter(({ pk }) => pk > 0).sort((a, b) => a.pk - b.pk);
  return {
    name,
    columns: columns.map((column) => column.name),
    key: key.map((column) => column.name),
    isReal: columns.map(({ type }) => type.toUpperCase() === 'REAL'),
  };
}

const badMigration = (where: string, found: string, expected: string, cause?: unknown): FoldlogError =>
  FoldlogError.misuse({ where, reason: 'badMigration', found, expected, cause });

const impure = (where: string, found: string, cause?: unknown): FoldlogError =>
  FoldlogError.misuse({
    where,
    reason: 'impureMigration',
    found,
    expected: "changes to the shard's own tables, by what stands in them and by pure functions",
    cause,
  });
