// A retail CSV is checked whole before anything is loaded: money and dates by their text, faults by line number, all of them.
import { describe, expect, test } from 'vitest';
import { checkCsv, columns, millsOf, timeOf } from '../../bench/replay/invoices.ts';
import { makeRetailCsv } from '../fixtures/retail-generator.ts';

const csv = (...lines: readonly string[]): string => [columns.join(), ...lines, ''].join('\n');
const good = '536365,85123A,LAMP,6,12-01-2010 08:26,2.55,17850,United Kingdom';

describe('money', () => {
  const read: readonly (readonly [text: string, mills: number])[] = [
    ['2.55', 2550],
    ['0.29', 290],
    ['1.1', 1100],
    ['12', 12_000],
    ['0', 0],
    ['0.001', 1],
    ['-11062.06', -11_062_060],
    ['-0.0', 0],
    ['2.5500000', 2550],
    ['999999999.999', 999_999_999_999],
  ];
  test.each(read)('%s is %d mills, by its digits', (text, mills) => expect(Object.is(millsOf(text), mills)).toBe(true));

  const refused = ['', '.5', '5.', '1,5', '1e3', '+1', ' 1', '£1', '0.0001', '0x1', 'NaN', '1234567890'];
  test.each(refused)('%j is no price', (text) => expect(millsOf(text)).toBeUndefined());
});

describe('dates', () => {
  test('a time sorts as it counts', () => expect(timeOf('12-01-2010 08:26')).toBe('2010-12-01 08:26'));
  test('29 February is there in a leap year only', () => {
    expect(timeOf('02-29-2012 00:00')).toBe('2012-02-29 00:00');
    expect(timeOf('02-29-2011 00:00')).toBeUndefined();
  });
  const refused = [
    '',
    '2010-12-01 08:26',
    '13-01-2010 08:26',
    '12-32-2010 08:26',
    '12-00-2010 08:26',
    '12-01-2010 24:00',
    '12-01-2010 08:60',
    '12/1/2010 8:26',
  ];
  test.each(refused)('%j is no time', (text) => expect(timeOf(text)).toBeUndefined());
});

describe('invoices', () => {
  test('lines are numbered within their invoice, also when its lines do not stand together', () => {
    const { invoices, badLines } = checkCsv(
      csv(good, 'C536366,D,Discount,-1,12-01-2010 09:00,27.5,,EIRE', '536365,85123A,LAMP,6,12-01-2010 08:27,2.55,17850,United Kingdom'),
    );
    expect(badLines).toEqual([]);
    expect(invoices).toEqual([
      {
        invoice: '536365',
        lines: [
          {
            invoice: '536365',
            line: 1,
            code: '85123A',
            text: 'LAMP',
            qty: 6,
            at: '2010-12-01 08:26',
            price: 2550,
            buyer: '17850',
            country: 'United Kingdom',
          },
          {
            invoice: '536365',
            line: 2,
            code: '85123A',
            text: 'LAMP',
            qty: 6,
            at: '2010-12-01 08:27',
            price: 2550,
            buyer: '17850',
            country: 'United Kingdom',
          },
        ],
      },
      {
        invoice: 'C536366',
        lines: [
          { invoice: 'C536366', line: 1, code: 'D', text: 'Discount', qty: -1, at: '2010-12-01 09:00', price: 27_500, country: 'EIRE' },
        ],
      },
    ]);
  });

  const bad: readonly (readonly [what: string, line: string, column: string])[] = [
    ['too few columns', '536365,85123A,LAMP,6,12-01-2010 08:26,2.55,17850', ''],
    ['too many columns', `${good},x`, ''],
    ['a quantity with a fraction', good.replace(',6,', ',6.5,'), 'Quantity'],
    ['a quantity beyond any shelf', good.replace(',6,', ',1234567890,'), 'Quantity'],
    ['no quantity', good.replace(',6,', ',,'), 'Quantity'],
    ['a date of another order', good.replace('12-01-2010', '2010-12-01'), 'InvoiceDate'],
    ['a price that is text', good.replace('2.55', 'free'), 'UnitPrice'],
    ['a price of four decimals', good.replace('2.55', '2.5555'), 'UnitPrice'],
    ['no invoice', good.replace('536365', ' '), 'InvoiceNo'],
    ['no stock code', good.replace('85123A', ''), 'StockCode'],
    ['bytes that are not UTF-8', good.replace('LAMP', 'CAF\uFFFD'), 'Description'],
    ['a text after a closing quote', good.replace('LAMP', '"LAMP"s'), ''],
  ];
  test.each(bad)('%s is reported by its line, and nothing is loaded', (_what, line, column) => {
    const found = checkCsv(csv(good, line, good));
    expect(found.badLines).toEqual([expect.objectContaining({ line: 3, column })]);
    expect(found).toMatchObject({ invoices: [], lineCount: 0 });
  });

  test('every fault of every line is found', () => {
    const { badLines } = checkCsv(csv('x', good, ',,LAMP,a,b,c,,', '"open'));
    expect(badLines.map(({ line, column }) => `${line} ${column}`)).toEqual([
      '2 ',
      '4 InvoiceNo',
      '4 StockCode',
      '4 Quantity',
      '4 InvoiceDate',
      '4 UnitPrice',
      '5 ',
    ]);
  });

  test('another header, an empty file and a file of no lines are refused', () => {
    expect(checkCsv(`Invoice,StockCode\n${good}\n`).badLines).toEqual([expect.objectContaining({ line: 1 })]);
    expect(checkCsv('').badLines).toEqual([expect.objectContaining({ line: 1 })]);
    expect(checkCsv(csv()).badLines).toEqual([expect.objectContaining({ line: 2 })]);
  });
});

describe('the generator', () => {
  const text = makeRetailCsv({ seed: 7, lines: 2_000 });
  const { invoices, lineCount, badLines } = checkCsv(text);
  const lines = invoices.flatMap((invoice) => invoice.lines);

  test('makes good lines, the same from the same seed', () => {
    expect(badLines).toEqual([]);
    expect(lineCount).toBe(2_000);
    expect(makeRetailCsv({ seed: 7, lines: 2_000 })).toBe(text);
    expect(makeRetailCsv({ seed: 8, lines: 2_000 })).not.toBe(text);
  });

  test('has what the data set has', () => {
    expect(lines.some(({ invoice, qty }) => invoice.startsWith('C') && qty < 0)).toBe(true);
    expect(lines.some(({ invoice, qty, price }) => !invoice.startsWith('C') && qty < 0 && price === 0)).toBe(true);
    expect(lines.some(({ buyer }) => buyer === undefined)).toBe(true);
    expect(lines.some(({ text: words }) => words.includes('"') && words.includes(','))).toBe(true);
    expect(lines.some(({ text: words }) => words.includes('\n'))).toBe(true);
    expect(lines.some(({ price }) => price % 10 !== 0)).toBe(true);
    expect(invoices.some((invoice) => new Set(invoice.lines.map(({ code }) => code)).size < invoice.lines.length)).toBe(true);
    expect(invoices.some((invoice) => new Set(invoice.lines.map(({ at }) => at)).size > 1)).toBe(true);
    const codes = new Set(lines.map(({ code }) => code));
    expect(new Set([...codes].map((code) => code.toLowerCase())).size).toBeLessThan(codes.size);
  });
});
