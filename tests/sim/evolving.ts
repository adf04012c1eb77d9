// The till of tests/sim/shop.ts through releases of an app. Each is a whole definition, as the app of that release has it.

import * as v from 'valibot';
import { defineShard, type JsonValue, op } from '../../shards/index.ts';
import { till } from './shop.ts';

const LineV1 = v.object({
  sale: v.string(),
  sku: v.string(),
  qty: v.pipe(v.number(), v.integer()),
  cents: v.pipe(v.number(), v.integer()),
});
const LineV2 = v.object({ ...LineV1.entries, vat: v.pipe(v.number(), v.integer()) });

const vatOf = (cents: number): number => Math.floor(cents / 5);
const withVat = (old: JsonValue): JsonValue => {
  const line = old as { readonly cents: number };
  return { ...line, vat: vatOf(line.cents) };
};

const { 'sale.line': _, ...rest } = till.spec.ops;

/** `writes`: the release that learns to read version 2 still writes version 1. */
const lineOp = (writes: 1 | 2) =>
  op(
    LineV2,
    (db, line) => {
      const { sale, sku, qty, cents, vat } = line;
      db.run('INSERT INTO saleLine (sale, sku, qty, cents, vat) VALUES (?, ?, ?, ?, ?)', [sale, sku, qty, cents, vat]);
      db.run(
        `INSERT INTO total (sku, qty, cents) VALUES (?, ?, ?)
         ON CONFLICT (sku) DO UPDATE SET qty = qty + excluded.qty, cents = cents + excluded.cents`,
        [sku, qty, qty * cents],
      );
    },
    { version: 2, writes: writes === 1 ? { version: 1, schema: LineV1 } : { version: 2, schema: LineV2 }, upcast: { 1: withVat } },
  );

const toVersion2 = ['ALTER TABLE saleLine ADD COLUMN vat INTEGER NOT NULL DEFAULT 0', 'UPDATE saleLine SET vat = cents / 5'];

/** Release 2: a column more, filled for old rows as the upcast fills it for old ops. */
export const till2 = defineShard('till', {
  ...till.spec,
  version: 2,
  migrations: { 2: toVersion2 },
  ops: { ...rest, 'sale.line': lineOp(1) },
});

/** The same with a mistake: what the migration writes into old rows is not what the upcast makes of old ops. */
export const till2Careless = defineShard('till', {
  ...till.spec,
  version: 2,
  migrations: { 2: toVersion2.slice(0, 1) },
  ops: { ...rest, 'sale.line': lineOp(1) },
});

/** The release after it, which writes what every device can read by now. */
export const till2Writing = defineShard('till', { ...till2.spec, ops: { ...rest, 'sale.line': lineOp(2) } });

/** Release 3: a table more. */
export const till3 = defineShard('till', {
  ...till2.spec,
  version: 3,
  migrations: { ...till2.spec.migrations, 3: ['CREATE TABLE note (id TEXT PRIMARY KEY, words TEXT NOT NULL) STRICT, WITHOUT ROWID'] },
});

/** A migration that old rows do not let through. */
export const till2Broken = defineShard('till', {
  ...till.spec,
  version: 2,
  migrations: { 2: [toVersion2[0] as string, 'CREATE UNIQUE INDEX onePerSku ON saleLine (sku)'] },
});

/** Release 1 with a reducer that changed: the same tables and classes, another source. */
export const till1Patched = defineShard('till', till.spec, { source: 'ab'.repeat(32), mode: 'production' });
export const till1InDevelopment = defineShard('till', till.spec, { source: 'cd'.repeat(32), mode: 'development' });

/** Release 1 with its tables edited in place, which must not be done. */
export const till1Edited = defineShard('till', { ...till.spec, tables: { saleLine: till.spec.tables.saleLine } });

/** A release that knows an op class more, and the same tables. */
export const till1WithNotes = defineShard('till', {
  ...till.spec,
  ops: { ...till.spec.ops, 'sale.noted': op(v.object({ words: v.string() }), () => undefined) },
});

/** The same class in its second version, written at once: what the two releases of docs/evolution.md are there to avoid. */
export const till1WithSignedNotes = defineShard('till', {
  ...till.spec,
  ops: {
    ...till.spec.ops,
    'sale.noted': op(v.object({ words: v.string(), by: v.string() }), () => undefined, {
      version: 2,
      upcast: { 1: (old) => ({ ...(old as object), by: '' }) },
    }),
  },
});
