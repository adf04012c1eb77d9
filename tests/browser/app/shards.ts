// The shards of the browser tests: a till whose reducers can also misbehave, and a catalogue to have a second kind.
import * as v from 'valibot';
import { FoldlogError } from '../../../kernel/errors.ts';
import { command, defineShard, int, op, sql, table, text } from '../../../shards/index.ts';

const Line = v.object({ sale: v.string(), sku: v.pipe(v.string(), v.minLength(1)), qty: v.number(), cents: v.number() });
const Basket = v.object({ sale: v.string(), sku: v.string(), qty: v.number() });

/** Rows of `stock` and bytes in each: 6 MB, half as much again as the page cache of a shard. */
const stockRows = 3_000;
const noteLength = 2_000;

export const till = defineShard('till', {
  version: 1,
  tables: {
    saleLine: table({ sale: text(), sku: text(), qty: int(), cents: int() }, { key: ['sale', 'sku'] }),
    stock: table({ sku: text(), round: int(), note: text() }, { key: ['sku'] }),
  },
  ops: {
    'sale.line': op(Line, (db, line) => {
      db.run('INSERT INTO saleLine (sale, sku, qty, cents) VALUES (?, ?, ?, ?)', [line.sale, line.sku, line.qty, line.cents]);
    }),
    'stock.fill': op(v.object({}), (db) => {
      for (let i = 0; i < stockRows; i++) {
        db.run('INSERT INTO stock (sku, round, note) VALUES (?, 0, ?)', [`sku-${i}`, 'n'.repeat(noteLength)]);
      }
    }),
    // Every row in place: more pages than the cache holds, so they reach the file before COMMIT.
    'stock.count': op(v.object({ round: v.number() }), (db, { round }) => {
      db.run('UPDATE stock SET round = ?, note = ?', [round, String.fromCharCode(97 + (round % 26)).repeat(noteLength)]);
    }),
    'bad.throws': op(v.object({}), () => {
      throw new TypeError('a reducer that throws');
    }),
    'bad.clock': op(v.object({}), (db) => {
      db.run(`INSERT INTO saleLine (sale, sku, qty, cents) VALUES ('clock', 'x', ?, 1)`, [Date.now()]);
    }),
    'bad.random': op(v.object({ sale: v.string() }), (db, { sale }) => {
      db.run(`INSERT INTO saleLine (sale, sku, qty, cents) VALUES (?, 'x', random(), 1)`, [sale]);
    }),
  },
  commands: {
    sell: command(Basket, (read, basket) => {
      const [held] = read(sql<{ n: number }>`SELECT count(*) AS n FROM saleLine WHERE sale = ${basket.sale}`);
      if ((held?.n ?? 0) > 0) {
        throw FoldlogError.misuse({ where: 'sell', reason: 'soldBefore', found: `sale ${basket.sale}`, expected: 'a new sale' });
      }
      return [['sale.line', { ...basket, cents: 100 }]];
    }),
  },
});

const Product = v.object({ sku: v.string(), name: v.string() });

const catalogueOf = (version: number) =>
  defineShard('catalogue', {
    version,
    tables: { product: table({ sku: text(), name: text() }, { key: ['sku'] }) },
    migrations: version === 1 ? {} : { 2: [`ALTER TABLE product ADD COLUMN shelf TEXT NOT NULL DEFAULT 'none'`] },
    ops: {
      'product.named': op(Product, (db, { sku, name }) => {
        db.run('INSERT INTO product (sku, name) VALUES (?, ?) ON CONFLICT (sku) DO UPDATE SET name = excluded.name', [sku, name]);
      }),
    },
  });

export const catalogue = catalogueOf(2);
export const olderCatalogue = catalogueOf(1);
