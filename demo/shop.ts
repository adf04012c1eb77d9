// What a shop writes down: two kinds of shard, shared by page, worker and tests. The owner's `catalogue` says what is sold and for how
// much; every device has a `till` of its own. Reducers are pure. Money is integer cents everywhere.
//
// A till copies prices out of the catalogue into its own chain (`prices.taken`). So a sale is decided by the writer from the till's own
// rows, offline too, and whoever reads the till's log alone can tell which price was in force when something was sold.

import { command, defineShard, FoldlogError, int, op, sql, table, text } from 'foldlog/schema';
import * as v from 'valibot';

export const currency = 'EUR';
/** One sale: more lines or pieces than this is a slip of the finger. */
export const linesMax = 100;
export const qtyMax = 999;

const name = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(60));
const sku = v.pipe(v.string(), v.regex(/^[A-Z0-9-]{1,24}$/, 'a SKU of capital letters, digits and dashes'));
const saleId = v.pipe(v.string(), v.regex(/^[0-9a-f-]{36}$/, 'the id of a sale'));
const cents = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(10_000_000));
const qty = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(qtyMax));
const payment = v.picklist(['cash', 'card']);

const Product = v.object({ sku, name, category: name, cents });
const PricesTaken = v.object({ products: v.array(Product), retired: v.array(sku) });
const SaleLine = v.object({ sku, name, qty, cents });
const SaleCompleted = v.object({
  sale: saleId,
  payment,
  lines: v.pipe(v.array(SaleLine), v.minLength(1), v.maxLength(linesMax)),
  totalCents: cents,
  /** What the customer handed over; the rest is change. */
  receivedCents: cents,
});
const Basket = v.object({
  /** Made by the page: the same basket sent twice is one sale. */
  sale: saleId,
  payment,
  lines: v.pipe(v.array(v.object({ sku, qty })), v.maxLength(linesMax)),
  /** What the customer was shown. */
  totalCents: cents,
  receivedCents: cents,
});

export type Product = v.InferOutput<typeof Product>;
export type Payment = v.InferOutput<typeof payment>;
export type Basket = v.InferOutput<typeof Basket>;

/** What the shop sells. One shard, written by the owner's device. */
export const catalogue = defineShard('catalogue', {
  version: 1,
  tables: {
    product: table({ sku: text(), name: text(), category: text(), cents: int(), isListed: int() }, { key: ['sku'] }),
  },
  ops: {
    'product.listed': op(Product, (db, product) => {
      db.run(
        `INSERT INTO product (sku, name, category, cents, isListed) VALUES (?, ?, ?, ?, 1)
         ON CONFLICT (sku) DO UPDATE SET name = excluded.name, category = excluded.category, cents = excluded.cents, isListed = 1`,
        [product.sku, product.name, product.category, product.cents],
      );
    }),
    'product.retired': op(v.object({ sku }), (db, retired) => {
      db.run('UPDATE product SET isListed = 0 WHERE sku = ?', [retired.sku]);
    }),
  },
});

/** What one device sells. `seq` of a sale is its last op's, so `seq <= committedSeq` says whether all of it is committed. */
export const till = defineShard('till', {
  version: 1,
  tables: {
    about: table({ id: text(), name: text(), openedAt: int() }, { key: ['id'] }),
    price: table({ sku: text(), name: text(), category: text(), cents: int() }, { key: ['sku'] }),
    sale: table(
      {
        sale: text(),
        number: int(),
        at: int(),
        payment: text(),
        items: int(),
        totalCents: int(),
        receivedCents: int(),
        isVoided: int(),
        seq: int(),
      },
      { key: ['sale'], indexes: [['number'], ['at'], ['seq']] },
    ),
    saleLine: table({ sale: text(), line: int(), sku: text(), name: text(), qty: int(), cents: int() }, { key: ['sale', 'line'] }),
  },
  ops: {
    'till.opened': op(v.object({ name }), (db, opened, at) => {
      db.run(`INSERT INTO about (id, name, openedAt) VALUES ('till', ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name`, [
        opened.name,
        at.time,
      ]);
    }),
    'prices.taken': op(PricesTaken, (db, taken) => {
      for (const gone of taken.retired) db.run('DELETE FROM price WHERE sku = ?', [gone]);
      for (const product of taken.products) {
        db.run(
          `INSERT INTO price (sku, name, category, cents) VALUES (?, ?, ?, ?)
           ON CONFLICT (sku) DO UPDATE SET name = excluded.name, category = excluded.category, cents = excluded.cents`,
          [product.sku, product.name, product.category, product.cents],
        );
      }
    }),
    'sale.completed': op(SaleCompleted, (db, sale, at) => {
      if (db.get('SELECT 1 AS one FROM sale WHERE sale = ?', [sale.sale]) !== undefined) {
        throw refusal('saleKnown', 'a sale that is already in the books', 'a new sale', 'begin the next sale');
      }
      const last = db.get<{ number: number }>('SELECT number FROM sale ORDER BY number DESC LIMIT 1');
      const items = sale.lines.reduce((sum, line) => sum + line.qty, 0);
      db.run(
        `INSERT INTO sale (sale, number, at, payment, items, totalCents, receivedCents, isVoided, seq)
         VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)`,
        [sale.sale, (last?.number ?? 0) + 1, at.time, sale.payment, items, sale.totalCents, sale.receivedCents, at.seq],
      );
      for (const [i, line] of sale.lines.entries()) {
        db.run('INSERT INTO saleLine (sale, line, sku, name, qty, cents) VALUES (?, ?, ?, ?, ?, ?)', [
          sale.sale,
          i + 1,
          line.sku,
          line.name,
          line.qty,
          line.cents,
        ]);
      }
    }),
    'sale.voided': op(v.object({ sale: saleId }), (db, voided, at) => {
      const sale = db.get<{ isVoided: number }>('SELECT isVoided FROM sale WHERE sale = ?', [voided.sale]);
      if (sale === undefined) throw refusal('unknownSale', 'a sale that is not in the books', 'one of this till', 'look at the list again');
      if (sale.isVoided !== 0) throw refusal('saleVoided', 'a sale that is undone already', 'a sale that counts', 'nothing is left to do');
      db.run('UPDATE sale SET isVoided = 1, seq = ? WHERE sale = ?', [at.seq, voided.sale]);
    }),
  },
  commands: {
    /** Turns a basket into a sale at the prices this till has now, or refuses it. */
    sell: command(Basket, (read, basket) => {
      if (basket.lines.length === 0) throw refusal('emptyBasket', 'an empty basket', 'at least one product', 'add a product first');
      const lines = basket.lines.map((line) => {
        const [price] = read(sql<{ name: string; cents: number }>`SELECT name, cents FROM price WHERE sku = ${line.sku}`);
        if (price === undefined) {
          throw refusal('unknownProduct', `the product ${line.sku}`, "one of the shop's products", 'take it out of the basket');
        }
        return { ...line, ...price };
      });
      const totalCents = lines.reduce((sum, line) => sum + line.qty * line.cents, 0);
      if (totalCents !== basket.totalCents) {
        throw refusal('priceChanged', `a total of ${basket.totalCents} cents`, `${totalCents} cents`, 'look at the basket again');
      }
      if (basket.receivedCents < totalCents) {
        throw refusal('notEnoughMoney', `${basket.receivedCents} cents received`, `at least ${totalCents}`, 'take the rest first');
      }
      const { sale, payment, receivedCents } = basket;
      return [['sale.completed', { sale, payment, lines, totalCents, receivedCents }]];
    }),
  },
});

function refusal(reason: string, found: string, expected: string, todo: string): FoldlogError {
  return FoldlogError.misuse({ where: 'till', reason, found, expected, todo });
}
