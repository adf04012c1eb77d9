import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { blob, defineShard, int, nullable, op, real, type ShardSpec, table, text } from '../../shards/index.ts';

const nothing = op(v.object({}), () => undefined);
const one = { t: table({ a: text() }, { key: ['a'] }) };

const define = (spec: Partial<ShardSpec>, kind = 'till') => defineShard(kind, { version: 1, tables: one, ops: {}, ...spec });

describe('shard definition', () => {
  test('tables become STRICT tables without rowid, in name order, with their indexes', () => {
    const { ddl } = define({
      tables: {
        sale: table(
          { id: text(), at: int(), note: nullable(text()), weight: real(), photo: nullable(blob()) },
          { key: ['id'], indexes: [['at', 'id']] },
        ),
        cash: table({ day: text(), cents: int() }, { key: ['day'] }),
      },
    });
    expect(ddl).toEqual([
      'CREATE TABLE "cash" ("day" TEXT NOT NULL, "cents" INTEGER NOT NULL, PRIMARY KEY ("day")) STRICT, WITHOUT ROWID',
      'CREATE TABLE "sale" ("id" TEXT NOT NULL, "at" INTEGER NOT NULL, "note" TEXT, "weight" REAL NOT NULL, "photo" BLOB, PRIMARY KEY ("id")) STRICT, WITHOUT ROWID',
      'CREATE INDEX "sale_at_id" ON "sale" ("at", "id")',
    ]);
  });

  test('the fold id changes with kind, version, tables and op versions, and not with the order they are written in', () => {
    const foldId = (spec: Partial<ShardSpec>, kind?: string) => bytesToHex(define(spec, kind).foldId);
    const a = op(v.object({}), () => undefined);
    const ids = [
      foldId({ ops: { x: a, y: nothing } }),
      foldId({ ops: { x: a } }),
      foldId({ ops: { x: a }, version: 2, migrations: { 2: ['ALTER TABLE t ADD COLUMN b TEXT'] } }),
      foldId({ ops: { x: a }, version: 2, migrations: { 2: ['ALTER TABLE t ADD COLUMN c TEXT'] } }),
      foldId({ ops: { x: a } }, 'stock'),
      foldId({ ops: { x: op(v.object({}), () => undefined, { version: 2, upcast: { 1: (old) => old } }) } }),
      foldId({ ops: { x: a }, tables: { t: table({ a: int() }, { key: ['a'] }) } }),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    expect(foldId({ ops: { y: nothing, x: a } })).toBe(ids[0]);
  });

  test('the id of a source and that of a declared surface are never equal, and a source has its own per kind', () => {
    const stamp = { source: '5a'.repeat(32), mode: 'development' } as const;
    const spec = { version: 1, tables: one, ops: { x: nothing } };
    const [declared, source] = [defineShard('till', spec), defineShard('till', spec, stamp)];
    expect([declared.foldIdOf, declared.mode, source.foldIdOf, source.mode]).toEqual(['declared', 'production', 'source', 'development']);
    const ids = [declared, source, defineShard('stock', spec, stamp), defineShard('till', spec, { ...stamp, source: '5b'.repeat(32) })].map(
      (definition) => bytesToHex(definition.foldId),
    );
    expect(new Set(ids).size).toBe(4);
    expect(bytesToHex(defineShard('till', spec, { ...stamp, mode: 'production' }).foldId)).toBe(ids[1]);
  });

  test('the DDL leads from nothing to the present: version 1’s tables, then migrations in their order', () => {
    const definition = define({ version: 3, migrations: { 3: ['c', 'd'], 2: ['b'] } });
    expect(definition.ddl.slice(1)).toEqual(['b', 'c', 'd']);
  });

  test.each<readonly [string, () => unknown, string]>([
    ['a kind that is no identifier', () => define({}, 'my till'), 'badIdentifier'],
    ['version 2 without its migration', () => define({ version: 2 }), 'badMigration'],
    ['a migration beyond the version', () => define({ migrations: { 2: ['x'] } }), 'badMigration'],
    ['a migration to version 1', () => define({ version: 2, migrations: { 1: ['x'], 2: ['x'] } }), 'badMigration'],
    ['a migration that is no list', () => define({ version: 2, migrations: { 2: 'x' as never } }), 'badMigration'],
    ['an empty statement', () => define({ version: 2, migrations: { 2: [' '] } }), 'badMigration'],
    [
      'a stamp that is none',
      () => defineShard('till', { version: 1, tables: one, ops: {} }, { source: 'x', mode: 'production' }),
      'badStamp',
    ],
    [
      'a version written that cannot be read',
      () => define({ ops: { x: op(v.object({}), () => undefined, { writes: { version: 2, schema: v.object({}) } }) } }),
      'badOpClass',
    ],
    [
      'an upcast from a version to come',
      () => define({ ops: { x: op(v.object({}), () => undefined, { upcast: { 1: (old) => old } }) } }),
      'badOpClass',
    ],
    ['version 0', () => define({ version: 0 }), 'badVersion'],
    ['a table named like ours', () => define({ tables: { foldlog_group: table({ a: text() }, { key: ['a'] }) } }), 'badIdentifier'],
    ['a table named like SQLite’s', () => define({ tables: { sqlite_x: table({ a: text() }, { key: ['a'] }) } }), 'badIdentifier'],
    [
      'SQL in a column name',
      () => define({ tables: { t: table({ 'a" TEXT); --': text() }, { key: ['a" TEXT); --'] }) } }),
      'badIdentifier',
    ],
    ['a table without a key', () => define({ tables: { t: table({ a: text() }, { key: [] }) } }), 'badIdentifier'],
    ['a class of the engine’s own', () => define({ ops: { 'foldlog.rebased': nothing } }), 'badOpClass'],
    ['a class name with a space', () => define({ ops: { 'sale done': nothing } }), 'badOpClass'],
    [
      'a version without its upcasts',
      () => define({ ops: { x: op(v.object({}), () => undefined, { version: 3, upcast: { 2: (old) => old } }) } }),
      'badOpClass',
    ],
  ])('%s is refused when it is declared', (_, declare, reason) => {
    expect(declare).toThrowError(expect.objectContaining({ kind: 'misuse', reason }));
  });
});
