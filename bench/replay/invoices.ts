// A retail CSV checked whole and turned into invoices, each a list of lines as they are saved. Every bad line is found before anything is saved.
// Nothing here rounds: prices are whole mills (thousandths), since the public data set has a price of 0.001; more digits are refused.

import { appGroupOpsMax } from '../../kernel/limits.ts';
import { readCsv } from './csv.ts';

export const columns = ['InvoiceNo', 'StockCode', 'Description', 'Quantity', 'InvoiceDate', 'UnitPrice', 'CustomerID', 'Country'] as const;

/** One line of an invoice: the payload of a `retail.line` op. */
export interface RetailLine {
  readonly invoice: string;
  /** Place in the invoice, from 1: an invoice may list one product twice. */
  readonly line: number;
  /** StockCode, as written: `85123A` and `85123a` are two. */
  readonly code: string;
  /** Description, as written, with its spaces. */
  readonly text: string;
  /** Negative on cancellations and on stock written off. */
  readonly qty: number;
  /** The line's own time, `YYYY-MM-DD HH:MM`; never this device's clock. */
  readonly at: string;
  /** Unit price in mills. */
  readonly price: number;
  /** CustomerID; absent for sales without a customer. */
  readonly buyer?: string;
  readonly country: string;
}

export interface Invoice {
  readonly invoice: string;
  readonly lines: readonly RetailLine[];
}

export interface BadLine {
  /** Of the file; the header is line 1. */
  readonly line: number;
  readonly column: string;
  readonly found: string;
  readonly expected: string;
}

export interface CheckedCsv {
  readonly invoices: readonly Invoice[];
  readonly lineCount: number;
  readonly badLines: readonly BadLine[];
}

/** Invoices in the order of their first line; lines in the order of the file. Empty when any line is bad. */
export function checkCsv(text: string): CheckedCsv {
  const badLines: BadLine[] = [];
  const byNumber = new Map<string, RetailLine[]>();
  let lineCount = 0;
  let isHeader = true;
  for (const record of readCsv(text)) {
    const { line } = record;
    const bad = (column: string, found: string, expected: string) => badLines.push({ line, column, found: clip(found), expected });
    if (record.kind === 'bad') bad('', record.found, record.expected);
    else if (isHeader) {
      if (record.fields.join() !== columns.join()) bad('', record.fields.join(), `the header ${columns.join()}`);
    } else if (record.fields.length !== columns.length) {
      bad('', `${record.fields.length} columns`, `${columns.length}`);
    } else {
      const before = badLines.length;
      const read = readLine(record.fields, bad);
      if (badLines.length > before) continue;
      const lines = byNumber.get(read.invoice) ?? [];
      if (lines.length >= appGroupOpsMax) bad('InvoiceNo', `more than ${appGroupOpsMax} lines of invoice ${read.invoice}`, 'fewer');
      byNumber.set(read.invoice, lines);
      const { invoice, ...rest } = read;
      lines.push({ invoice, line: lines.length + 1, ...rest });
      lineCount++;
    }
    isHeader = false;
  }
  if (isHeader) badLines.push({ line: 1, column: '', found: 'an empty file', expected: `the header ${columns.join()}` });
  else if (lineCount === 0 && badLines.length === 0) badLines.push({ line: 2, column: '', found: 'no lines', expected: 'one or more' });
  if (badLines.length > 0) return { invoices: [], lineCount: 0, badLines };
  return { invoices: [...byNumber].map(([invoice, lines]) => ({ invoice, lines })), lineCount, badLines };
}

type Complain = (column: string, found: string, expected: string) => void;

/** The fields as the payload holds them; what cannot be read is complained about, and the result is then not used. */
function readLine(fields: readonly string[], bad: Complain): Omit<RetailLine, 'line'> {
  const [invoice = '', code = '', text = '', quantity = '', date = '', unitPrice = '', customer = '', country = ''] = fields;
  for (const [i, field] of fields.entries()) {
    const column = columns[i] ?? '';
    if (field.includes('\uFFFD')) bad(column, field, 'UTF-8: convert the file first');
    else if (field.includes('\0')) bad(column, 'a NUL character', 'text');
    else if (field.length > fieldLengthMax) bad(column, `${field.length} characters`, `at most ${fieldLengthMax}`);
  }
  if (invoice.trim() === '') bad('InvoiceNo', quoted(invoice), 'a number');
  if (code.trim() === '') bad('StockCode', quoted(code), 'a code');
  const qty = quantityOf(quantity);
  if (qty === undefined) bad('Quantity', quoted(quantity), 'a whole number of at most 9 digits');
  const at = timeOf(date);
  if (at === undefined) bad('InvoiceDate', quoted(date), 'MM-DD-YYYY HH:MM, a day of the calendar');
  const price = millsOf(unitPrice);
  if (price === undefined) bad('UnitPrice', quoted(unitPrice), 'a decimal number of at most 9 and 3 digits');
  if (!Number.isSafeInteger((qty ?? 0) * (price ?? 0))) bad('UnitPrice', `${quantity} × ${unitPrice}`, 'an amount below 2^53 mills');
  const line = { invoice, code, text, qty: qty ?? 0, at: at ?? '', price: price ?? 0, country };
  return customer === '' ? line : { ...line, buyer: customer };
}

/** Far above any real cell, and small enough that an invoice of ten thousand lines can be told from a file that is none. */
const fieldLengthMax = 1_000;

/** Digits with an optional minus; no `+`, no leading zeros, no `-0`. */
function quantityOf(text: string): number | undefined {
  return /^(?:0|-?[1-9]\d{0,8})$/.test(text) ? Number(text) : undefined;
}

/** `MM-DD-YYYY HH:MM` to `YYYY-MM-DD HH:MM`, which sorts as it counts. */
export function timeOf(text: string): string | undefined {
  const match = /^(\d\d)-(\d\d)-(\d{4}) (\d\d):(\d\d)$/.exec(text);
  if (match === null) return undefined;
  const [, month = '', day = '', year = '', hour = '', minute = ''] = match;
  const iso = `${year}-${month}-${day}`;
  const time = Date.parse(`${iso}T${hour}:${minute}Z`);
  // A day that is none (02-30) moves on to another date or is NaN.
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 16) !== `${iso}T${hour}:${minute}`) return undefined;
  return `${iso} ${hour}:${minute}`;
}

/** Decimal text to mills, by its digits alone. Zeros beyond the third place are no digits. */
export function millsOf(text: string): number | undefined {
  const match = /^(-?)(\d{1,9})(?:\.(\d{1,3})0*)?$/.exec(text);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = ''] = match;
  const mills = Number(whole + fraction.padEnd(3, '0'));
  return sign === '-' && mills !== 0 ? -mills : mills;
}

const quoted = (text: string): string => JSON.stringify(text);
const clip = (text: string): string => (text.length > 120 ? `${text.slice(0, 119)}…` : text);
