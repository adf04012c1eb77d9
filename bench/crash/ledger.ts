// The shard under test: a ledger whose load leaves no part of the file format alone. `line` grows and shrinks, `letter` holds values of many pages,
// `stock` is larger than the page cache and rewritten in place, so that uncommitted pages reach the files before COMMIT does.
import * as v from 'valibot';
import { defineShard, int, op, table, text } from '../../shards/index.ts';

/** Rows of `stock` and letters in each: 6 MB, half as much again as the page cache of a shard. */
export const stockItems = 3_000;
const noteLength = 2_000;

/** What a count leaves in every row it touches: no two rounds leave the same. `CrashPage.read` asks SQL for the same text. */
export const noteOf = (round: number): string =>
  String(round)
    .padStart(10, '0')
    .repeat(noteLength / 10);

const Line = v.object({ sale: v.string(), sku: v.string(), qty: v.number(), cents: v.number() });
const Count = v.object({ round: v.number(), from: v.number(), to: v.number() });

export const ledger = defineShard('ledger', {
  version: 1,
  tables: {
    line: table({ sale: text(), sku: text(), qty: int(), cents: int() }, { key: ['sale', 'sku'] }),
    letter: table({ id: text(), body: text() }, { key: ['id'] }),
    stock: table({ item: int(), round: int(), note: text() }, { key: ['item'] }),
  },
  ops: {
    'sale.line': op(Line, (db, line) => {
      db.run('INSERT INTO line (sale, sku, qty, cents) VALUES (?, ?, ?, ?)', [line.sale, line.sku, line.qty, line.cents]);
    }),
    'sale.removed': op(v.object({ sale: v.string() }), (db, { sale }) => {
      db.run('DELETE FROM line WHERE sale = ?', [sale]);
    }),
    'letter.kept': op(v.object({ id: v.string(), body: v.string() }), (db, { id, body }) => {
      db.run('INSERT INTO letter (id, body) VALUES (?, ?)', [id, body]);
    }),
    'letter.dropped': op(v.object({ id: v.string() }), (db, { id }) => {
      db.run('DELETE FROM letter WHERE id = ?', [id]);
    }),
    'stock.filled': op(v.object({}), (db) => {
      for (let item = 0; item < stockItems; item++) db.run('INSERT INTO stock (item, round, note) VALUES (?, 0, ?)', [item, noteOf(0)]);
    }),
    'stock.counted': op(Count, (db, { round, from, to }) => {
      db.run('UPDATE stock SET round = ?, note = ? WHERE item BETWEEN ? AND ?', [round, noteOf(round), from, to]);
    }),
  },
});
