// The totals a replay is judged by: worked by hand, and against the same SQL the devices answer, over rows the loader makes.
import { describe, expect, test } from 'vitest';
import { checkCsv, columns } from '../../bench/replay/invoices.ts';
import { openEmpty } from '../../bench/replay/node-sqlite.ts';
import { addTotals, allInvoices, dayTotals, productTotals, rangeStarts, retail } from '../../bench/replay/retail.ts';
import { type TotalRow, totalsDifferences, totalsFromCsv } from '../../bench/replay/totals.ts';
import { makeRetailCsv } from '../fixtures/retail-generator.ts';

const csv = [
  `\uFEFF${columns.join()}`,
  '1,A,"LAMP, 7""",3,12-01-2010 08:26,0.29,17,UK',
  '1,A,LAMP 7",-1,12-02-2010 00:00,0.29,17,UK',
  'C2,a,"TWO\r\nLINES",-5,12-02-2010 10:00,1.001,,EIRE',
  '',
].join('\r\n');

describe('totals from the CSV', () => {
  test('are what a hand makes of them', () => {
    const { products, days } = totalsFromCsv(csv);
    expect(Object.fromEntries(products)).toEqual({
      A: { lines: 2, invoices: 1, qty: '2', amount: '580' },
      a: { lines: 1, invoices: 1, qty: '-5', amount: '-5005' },
    });
    expect(Object.fromEntries(days)).toEqual({
      '2010-12-01': { lines: 1, invoices: 1, qty: '3', amount: '870' },
      '2010-12-02': { lines: 2, invoices: 2, qty: '-6', amount: '-5295' },
    });
  });

  test('are what SQL says over the loaded lines, and a changed line is noticed', async () => {
    const text = makeRetailCsv({ seed: 11, lines: 1_500 });
    const expected = totalsFromCsv(text);
    const db = await openEmpty('lines');
    try {
      for (const statement of retail.ddl) db.exec(statement);
      const { 'retail.line': line } = retail.spec.ops;
      const reducer = { run: db.run.bind(db), get: db.get.bind(db), all: db.all.bind(db) };
      for (const payload of checkCsv(text).invoices.flatMap(({ lines }) => lines)) line.reduce(reducer, payload, {} as never);
      const totals = (query: typeof productTotals, range = allInvoices): readonly TotalRow[] => {
        const { text: statement, params } = query(range);
        return db.all<TotalRow>(statement, params);
      };
      const differences = (): readonly string[] => [
        ...totalsDifferences(expected.products, totals(productTotals)),
        ...totalsDifferences(expected.days, totals(dayTotals)),
      ];
      expect(differences()).toEqual([]);

      expect(db.all(rangeStarts.text)).toHaveLength(1);
      const middle = [
        { from: '', to: '536400' },
        { from: '536400', to: 'C536400' },
        { from: 'C536400', to: allInvoices.to },
      ];
      for (const [query, wanted] of [
        [productTotals, expected.products],
        [dayTotals, expected.days],
      ] as const) {
        expect(totalsDifferences(wanted, addTotals(middle.map((range) => totals(query, range))))).toEqual([]);
      }

      db.exec('UPDATE line SET price = price + 1 WHERE (invoice, line) = (SELECT invoice, line FROM line LIMIT 1)');
      expect(differences()).toHaveLength(2);
      db.exec('DELETE FROM line WHERE (invoice, line) = (SELECT invoice, line FROM line LIMIT 1)');
      expect(differences()).toHaveLength(2);
    } finally {
      db.close();
    }
  });

  test('a product or a day too many or too few is a difference', () => {
    const { products } = totalsFromCsv(csv);
    const rows = [...products].map(([key, total]) => ({ key, ...total }));
    expect(totalsDifferences(products, rows)).toEqual([]);
    expect(totalsDifferences(products, rows.slice(1))).toHaveLength(1);
    expect(totalsDifferences(products, [...rows, { ...(rows[0] as TotalRow), key: 'B' }])).toHaveLength(1);
    expect(totalsDifferences(products, [...rows, ...rows])).not.toHaveLength(0);
  });
});
