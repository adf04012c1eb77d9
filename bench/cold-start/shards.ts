// The two workloads of the start bench: counters that stay as many however often they change, and lines that are only added.
import * as v from 'valibot';
import { defineShard, int, op, table, text } from '../../shards/index.ts';

const Sold = v.object({ sku: v.string(), qty: v.number() });
const Line = v.object({ sale: v.string(), sku: v.string(), qty: v.number(), cents: v.number() });

export const counters = defineShard('counters', {
  version: 1,
  tables: { stock: table({ sku: text(), qty: int() }, { key: ['sku'] }) },
  ops: {
    'stock.sold': op(Sold, (db, { sku, qty }) => {
      db.run('INSERT INTO stock (sku, qty) VALUES (?, ?) ON CONFLICT (sku) DO UPDATE SET qty = qty + excluded.qty', [sku, -qty]);
    }),
  },
});

export const lines = defineShard('lines', {
  version: 1,
  tables: { sale_line: table({ sale: text(), sku: text(), qty: int(), cents: int() }, { key: ['sale', 'sku'] }) },
  ops: {
    'sale.line': op(Line, (db, line) => {
      db.run('INSERT INTO sale_line VALUES (?, ?, ?, ?)', [line.sale, line.sku, line.qty, line.cents]);
    }),
  },
});
