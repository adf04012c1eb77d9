// The shard that the replay fills, and the totals asked of it: the same definition in page, worker and Node, the same SQL on every device.
import * as v from 'valibot';
import { defineShard, int, nullable, op, sql, table, text } from '../../shards/index.ts';
import type { TotalRow } from './totals.ts';

/** Field names are short because a lone sale pays for each letter; their meaning is in invoices.ts. */
const Line = v.object({
  invoice: v.string(),
  line: v.pipe(v.number(), v.integer(), v.minValue(1)),
  code: v.string(),
  text: v.string(),
  qty: v.pipe(v.number(), v.safeInteger()),
  at: v.string(),
  price: v.pipe(v.number(), v.safeInteger()),
  buyer: v.optional(v.string()),
  country: v.string(),
});

export const retail = defineShard('retail', {
  version: 1,
  tables: {
    line: table(
      {
        ...{ invoice: text(), line: int(), code: text(), text: text(), qty: int(), at: text(), price: int() },
        ...{ buyer: nullable(text()), country: text() },
      },
      { key: ['invoice', 'line'] },
    ),
  },
  ops: {
    'retail.line': op(Line, (db, { invoice, line, code, text, qty, at, price, buyer, country }) => {
      db.run('INSERT INTO line (invoice, line, code, text, qty, at, price, buyer, country) VALUES (?,?,?,?,?,?,?,?,?)', [
        ...[invoice, line, code, text, qty, at, price],
        ...[buyer ?? null, country],
      ]);
    }),
  },
});

/** Invoices by their numbers as text. */
export interface InvoiceRange {
  readonly from: string;
  /** Not included. */
  readonly to: string;
}

export const allInvoices: InvoiceRange = { from: '', to: '\u{10FFFF}' };

/** Sums as text: they may pass 2^53, which a JavaScript number would round. */
export const productTotals = ({ from, to }: InvoiceRange) => sql<TotalRow>`
  SELECT code AS key, count(*) AS lines, count(DISTINCT invoice) AS invoices,
    CAST(sum(qty) AS TEXT) AS qty, CAST(sum(qty * price) AS TEXT) AS amount
  FROM line WHERE invoice >= ${from} AND invoice < ${to} GROUP BY code`;

export const dayTotals = ({ from, to }: InvoiceRange) => sql<TotalRow>`
  SELECT substr(at, 1, 10) AS key, count(*) AS lines, count(DISTINCT invoice) AS invoices,
    CAST(sum(qty) AS TEXT) AS qty, CAST(sum(qty * price) AS TEXT) AS amount
  FROM line WHERE invoice >= ${from} AND invoice < ${to} GROUP BY 1`;

/** One range for each thousand invoices, asked for separately because a read has a limit of time: the data set's 10,000 lines are one. */
export const rangeStarts = sql<{ invoice: string }>`
  SELECT invoice FROM (SELECT invoice, row_number() OVER (ORDER BY invoice) AS n FROM line GROUP BY invoice)
  WHERE n % 1000 = 1 ORDER BY invoice`;

/** The totals of ranges that share no invoice, as if asked at once. */
export function addTotals(parts: readonly (readonly TotalRow[])[]): readonly TotalRow[] {
  const sums = new Map<string, TotalRow>();
  for (const row of parts.flat()) {
    const sum = sums.get(row.key);
    sums.set(
      row.key,
      sum === undefined
        ? row
        : {
            key: row.key,
            lines: sum.lines + row.lines,
            invoices: sum.invoices + row.invoices,
            qty: String(BigInt(sum.qty) + BigInt(row.qty)),
            amount: String(BigInt(sum.amount) + BigInt(row.amount)),
          },
    );
  }
  return [...sums.values()];
}
