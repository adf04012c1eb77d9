// The shard definition the tests share: a till with sale lines (append) and stock totals (updated in place).

import * as v from 'valibot';
import { command, defineShard, FoldlogError, int, op, sql, table, text } from '../../shards/index.ts';

const Line = v.object({ sale: v.string(), sku: v.string(), qty: v.pipe(v.number(), v.integer()), cents: v.pipe(v.number(), v.integer()) });
export type Line = v.InferOutput<typeof Line>;

const Basket = v.object({ sale: v.string(), lines: v.array(v.object({ sku: v.string(), qty: v.number() })) });

export const till = defineShard('till', {
  version: 1,
  tables: {
    saleLine: table({ sale: text(), sku: text(), qty: int(), cents: int() }, { key: ['sale', 'sku'] }),
    total: table({ sku: text(), qty: int(), cents: int() }, { key: ['sku'] }),
  },
  ops: {
    'sale.line': op(Line, (db, line) => {
      db.run('INSERT INTO saleLine (sale, sku, qty, cents) VALUES (?, ?, ?, ?)', [line.sale, line.sku, line.qty, line.cents]);
      db.run(
        `INSERT INTO total (sku, qty, cents) VALUES (?, ?, ?)
         ON CONFLICT (sku) DO UPDATE SET qty = qty + excluded.qty, cents = cents + excluded.cents`,
        [line.sku, line.qty, line.qty * line.cents],
      );
    }),
    'bad.throws': op(v.object({ why: v.string() }), (_, payload) => {
      throw new Error(payload.why);
    }),
    'bad.clock': op(v.object({}), (db) => db.run('INSERT INTO total VALUES (?, ?, ?)', ['clock', 1, Date.now()])),
    'bad.random': op(v.object({}), (db) => db.run('INSERT INTO total VALUES (?, random(), 0)', ['random'])),
    'bad.sqlClock': op(v.object({}), (db) => db.run(`INSERT INTO total VALUES (datetime('now'), 1, 0)`)),
    'bad.ddl': op(v.object({}), (db) => db.run('CREATE TABLE sneaky (x)')),
    'bad.log': op(v.object({}), (db) => db.run('DELETE FROM foldlog_group')),
  },
  commands: {
    sell: command(Basket, (read, basket) => {
      if (basket.lines.length === 0) {
        throw FoldlogError.misuse({ where: 'sell', reason: 'emptyBasket', found: 'no lines', expected: 'at least one' });
      }
      const [sold] = read<{ n: number }>(sql`SELECT count(*) AS n FROM saleLine WHERE sale = ${basket.sale}`);
      if ((sold?.n ?? 0) > 0) {
        throw FoldlogError.misuse({ where: 'sell', reason: 'soldAlready', found: `sale ${basket.sale}`, expected: 'a new sale' });
      }
      return basket.lines.map(({ sku, qty }): [string, Line] => ['sale.line', { sale: basket.sale, sku, qty, cents: 100 }]);
    }),
  },
});

export const line = (sale: string, sku: string, qty = 1, cents = 250): ['sale.line', Line] => ['sale.line', { sale, sku, qty, cents }];
