// The floor's table and row, declared as an app would, with a schema library as an app would use one.
import * as v from 'valibot';
import { defineShard, int, op, table, text } from '../../shards/index.ts';

const Line = v.object({ sale: v.string(), sku: v.string(), qty: v.number(), cents: v.number() });

export const till = defineShard('till', {
  version: 1,
  tables: { sale_line: table({ sale: text(), sku: text(), qty: int(), cents: int() }, { key: ['sale', 'sku'] }) },
  ops: {
    'sale.line': op(Line, (db, line) => {
      db.run('INSERT INTO sale_line VALUES (?,?,?,?)', [line.sale, line.sku, line.qty, line.cents]);
    }),
  },
});
