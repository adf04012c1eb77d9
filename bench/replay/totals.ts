// Totals per product and per day straight from the CSV text. Shares no code with the loader, on purpose: it reads fields by a pattern instead of
// a state machine, and adds decimal text as BigInt, so that one mistake cannot be in both. The file has been checked before.

export interface Total {
  readonly lines: number;
  readonly invoices: number;
  readonly qty: string;
  /** Quantity times price, in mills. */
  readonly amount: string;
}

export interface Totals {
  readonly products: ReadonlyMap<string, Total>;
  readonly days: ReadonlyMap<string, Total>;
}

interface Sum {
  lines: number;
  readonly invoices: Set<string>;
  qty: bigint;
  amount: bigint;
}

export function totalsFromCsv(csv: string): Totals {
  const products = new Map<string, Sum>();
  const days = new Map<string, Sum>();
  let fields: string[] = [];
  let isHeader = true;
  for (const [, raw = '', end] of csv.replace(/^\uFEFF/, '').matchAll(/("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|$)/g)) {
    if (fields.length === 0 && raw === '' && end === '') break;
    fields.push(raw.startsWith('"') ? raw.slice(1, -1).split('""').join('"') : raw);
    if (end === ',') continue;
    if (!isHeader && fields.length > 1) {
      const [invoice = '', code = '', , quantity = '', date = '', price = ''] = fields;
      const qty = BigInt(quantity);
      const amount = qty * thousandths(price);
      for (const sum of [sumAt(products, code), sumAt(days, `${date.slice(6, 10)}-${date.slice(0, 5)}`)]) {
        sum.lines += 1;
        sum.invoices.add(invoice);
        sum.qty += qty;
        sum.amount += amount;
      }
    }
    fields = [];
    isHeader = false;
  }
  return { products: toText(products), days: toText(days) };
}

function thousandths(decimal: string): bigint {
  const [whole = '0', fraction = ''] = decimal.replace('-', '').split('.');
  const value = BigInt(whole) * 1000n + BigInt(`${fraction}000`.slice(0, 3));
  return decimal.startsWith('-') ? -value : value;
}

function sumAt(sums: Map<string, Sum>, key: string): Sum {
  const known = sums.get(key);
  if (known !== undefined) return known;
  const sum: Sum = { lines: 0, invoices: new Set(), qty: 0n, amount: 0n };
  sums.set(key, sum);
  return sum;
}

const toText = (sums: ReadonlyMap<string, Sum>): ReadonlyMap<string, Total> =>
  new Map(
    [...sums].map(([key, { lines, invoices, qty, amount }]) => [
      key,
      { lines, invoices: invoices.size, qty: String(qty), amount: String(amount) },
    ]),
  );

/** A row of the totals as SQL answers it (retail.ts). */
export interface TotalRow extends Total {
  readonly key: string;
}

/** What differs, in words; empty when the two are equal. */
export function totalsDifferences(expected: ReadonlyMap<string, Total>, found: readonly TotalRow[]): readonly string[] {
  const rows = new Map(found.map((row) => [row.key, row]));
  const words = (total: Total | undefined): string =>
    total === undefined ? 'nothing' : `${total.lines} lines, ${total.invoices} invoices, ${total.qty} pieces, ${total.amount} mills`;
  const keys = new Set([...expected.keys(), ...rows.keys()]);
  const differences: string[] = [];
  if (rows.size !== found.length) differences.push('a key twice');
  for (const key of keys) {
    const [wanted, got] = [words(expected.get(key)), words(rows.get(key))];
    if (wanted !== got) differences.push(`${key}: found ${got}, expected ${wanted}`);
  }
  return differences;
}
