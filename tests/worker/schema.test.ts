// Schemas worked out by SQLite itself: what each version's tables look like, and which migrations are refused before any file is touched.

import { beforeAll, describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { blob, defineShard, int, nullable, real, table, text } from '../../shards/index.ts';
import { Database } from '../../worker/engine/database.ts';
import { schemaOf, schemasOf, storedTexts } from '../../worker/engine/schema.ts';
import { bootSqlite } from '../sim/sim-sqlite.ts';

type Sqlite = Awaited<ReturnType<typeof bootSqlite>>;
let sqlite3: Sqlite;
beforeAll(async () => {
  sqlite3 = await bootSqlite();
});

const saleLine = table({ sale: text(), sku: text(), qty: int() }, { key: ['sale', 'sku'], indexes: [['sku']] });

const withMigrations = (...lists: readonly (readonly string[])[]) =>
  defineShard('till', {
    version: lists.length + 1,
    tables: { saleLine },
    migrations: Object.fromEntries(lists.map((list, i) => [i + 2, list])),
    ops: {},
  });

const rebuilt = [
  'CREATE TABLE next (sale TEXT NOT NULL, sku TEXT NOT NULL, weight REAL, PRIMARY KEY (sku, sale)) STRICT, WITHOUT ROWID',
  'INSERT INTO next SELECT sale, sku, qty * 0.5 FROM saleLine',
  'DROP TABLE saleLine',
  'ALTER TABLE next RENAME TO saleLine',
  'CREATE INDEX byWeight ON saleLine (weight)',
];

describe('schemas of a definition', () => {
  test('each version is what its statements make of the one before', () => {
    const definition = withMigrations(['ALTER TABLE saleLine ADD COLUMN vat INTEGER NOT NULL DEFAULT 0'], rebuilt);
    const [first, second, third] = schemasOf(sqlite3, definition);
    expect(first?.texts).toEqual(definition.ddl.slice(0, 2));
    expect(second?.texts[0]).toBe(
      'CREATE TABLE "saleLine" ("sale" TEXT NOT NULL, "sku" TEXT NOT NULL, "qty" INTEGER NOT NULL, vat INTEGER NOT NULL DEFAULT 0, PRIMARY KEY ("sale", "sku")) STRICT, WITHOUT ROWID',
    );
    expect(second?.tables).toEqual([
      { name: 'saleLine', columns: ['sale', 'sku', 'qty', 'vat'], key: ['sale', 'sku'], isReal: [false, false, false, false] },
    ]);
    expect(third?.tables).toEqual([
      { name: 'saleLine', columns: ['sale', 'sku', 'weight'], key: ['sku', 'sale'], isReal: [false, false, true] },
    ]);
    expect(new Set([first, second, third].map((schema) => bytesToHex(schema?.id ?? new Uint8Array()))).size).toBe(3);
  });

  test('version 1 as its columns say it is what SQLite makes of it', () => {
    const tables = {
      saleLine,
      typed: table({ k: int(), b: blob(), r: real(), n: nullable(text()) }, { key: ['k', 'r'], indexes: [['n'], ['b', 'k']] }),
      another: table({ a: text() }, { key: ['a'] }),
    };
    const alone = defineShard('till', { version: 1, tables, ops: {} });
    const moved = defineShard('till', { version: 2, tables, migrations: { 2: [] }, ops: {} });
    expect(schemaOf(sqlite3, alone)).toEqual(schemaOf(sqlite3, moved, 1));
  });

  test('a new file and a migrated one have the same texts, and so has a copy made from the texts', () => {
    const definition = withMigrations(['ALTER TABLE saleLine ADD COLUMN vat INTEGER NOT NULL DEFAULT 0'], rebuilt);
    const { texts } = schemaOf(sqlite3, definition);
    const fresh = new Database(sqlite3, new sqlite3.oo1.DB(':memory:', 'c'), 'fresh');
    for (const statement of definition.ddl) fresh.exec(statement);
    const migrated = new Database(sqlite3, new sqlite3.oo1.DB(':memory:', 'c'), 'migrated');
    for (const statement of schemaOf(sqlite3, definition, 1).texts) migrated.exec(statement);
    migrated.run('INSERT INTO saleLine VALUES (?, ?, ?)', ['a', 'b', 3]);
    for (const list of [definition.spec.migrations?.[2] ?? [], rebuilt]) for (const statement of list) migrated.exec(statement);
    const copy = new Database(sqlite3, new sqlite3.oo1.DB(':memory:', 'c'), 'copy');
    for (const statement of texts) copy.exec(statement);
    for (const db of [fresh, migrated, copy]) expect(storedTexts(db)).toEqual(texts);
    expect(migrated.all('SELECT * FROM saleLine')).toEqual([{ sale: 'a', sku: 'b', weight: 1.5 }]);
    for (const db of [fresh, migrated, copy]) db.close();
  });

  test.each<readonly [string, readonly string[]]>([
    ['a column renamed', ['ALTER TABLE saleLine RENAME COLUMN qty TO pieces']],
    ['a column dropped', ['ALTER TABLE saleLine DROP COLUMN qty']],
    ['a column with a check', ['ALTER TABLE saleLine ADD COLUMN vat INTEGER CHECK (vat > 1)']],
    ['an index dropped and made', ['DROP INDEX saleLine_sku', 'CREATE INDEX bySku ON saleLine (sku, qty)']],
    ['rows rewritten', ['UPDATE saleLine SET qty = qty * 2 WHERE sku IN (SELECT sku FROM saleLine)']],
    ['a unique column', ['CREATE TABLE x (a TEXT PRIMARY KEY, b TEXT UNIQUE) STRICT, WITHOUT ROWID', 'DROP TABLE x']],
  ])('%s is a migration', (_, statements) => {
    expect(schemasOf(sqlite3, withMigrations(statements))).toHaveLength(2);
  });

  test.each<readonly [string, string, string]>([
    ['chance', 'UPDATE saleLine SET qty = random()', 'impureMigration'],
    ['the clock', `UPDATE saleLine SET sale = datetime('now')`, 'impureMigration'],
    ['a trigger', 'CREATE TRIGGER t AFTER INSERT ON saleLine BEGIN DELETE FROM saleLine; END', 'impureMigration'],
    ['a view', 'CREATE VIEW v AS SELECT 1', 'impureMigration'],
    ['another database', `ATTACH ':memory:' AS z`, 'impureMigration'],
    ['a transaction', 'COMMIT', 'impureMigration'],
    ['a savepoint', 'SAVEPOINT s', 'impureMigration'],
    ['a pragma', 'PRAGMA user_version = 3', 'impureMigration'],
    ['a pragma behind a statement', 'UPDATE saleLine SET qty = 1; PRAGMA user_version = 3', 'impureMigration'],
    ['a temporary table', 'CREATE TEMP TABLE q (a)', 'impureMigration'],
    ['a table of the engine', 'DELETE FROM foldlog_group', 'impureMigration'],
    ['the schema table', 'INSERT INTO saleLine SELECT name, name, 1 FROM sqlite_master', 'impureMigration'],
    ['a virtual table', 'CREATE VIRTUAL TABLE f USING fts5(a)', 'impureMigration'],
    ['a table function', `INSERT INTO saleLine SELECT key, key, 1 FROM json_each('[]')`, 'impureMigration'],
    ['statistics', 'ANALYZE', 'impureMigration'],
    ['no SQL', 'selec', 'badMigration'],
    ['a table that is not there', 'ALTER TABLE nope ADD COLUMN x TEXT', 'badMigration'],
    ['a table that is not strict', 'CREATE TABLE y (a TEXT PRIMARY KEY)', 'badMigration'],
    ['a table with row ids', 'CREATE TABLE y (a TEXT PRIMARY KEY) STRICT', 'badMigration'],
    ['a column of any type', 'CREATE TABLE y (a ANY PRIMARY KEY) STRICT, WITHOUT ROWID', 'badMigration'],
    ['a generated column', 'ALTER TABLE saleLine ADD COLUMN twice INTEGER AS (qty * 2)', 'badMigration'],
    ['a name that is none', 'CREATE TABLE "a b" (a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID', 'badIdentifier'],
  ])('%s is refused, with the version and the statement', (_, statement, reason) => {
    const definition = withMigrations(['ALTER TABLE saleLine ADD COLUMN vat INTEGER'], ['UPDATE saleLine SET vat = 1', statement]);
    const refused = expect.objectContaining({ kind: 'misuse', reason });
    expect(() => schemasOf(sqlite3, definition)).toThrowError(refused);
    try {
      schemasOf(sqlite3, definition);
    } catch (error) {
      expect((error as Error).message).toMatch(/version 3/);
    }
  });
});
