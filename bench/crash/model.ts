// The ledger's fold a second time, in plain JavaScript over decoded ops: no SQL, no reducer, nothing of the engine. What the tables of a store must
// hold is what comes out here, and of each row, which group wrote it last.
import { noteOf, stockItems } from './ledger.ts';

export const tableNames = ['line', 'letter', 'stock'] as const;
export type TableName = (typeof tableNames)[number];

export interface OwnedRow {
  readonly values: readonly (string | number)[];
  readonly group: string;
}

export type Tables = Readonly<Record<TableName, readonly OwnedRow[]>>;

interface Line {
  readonly sale: string;
  readonly sku: string;
  readonly qty: number;
  readonly cents: number;
}

export class Model {
  readonly #lines = new Map<string, Map<string, Line & { readonly group: string }>>();
  readonly #letters = new Map<string, { readonly body: string; readonly group: string }>();
  /** By item: the round that counted it last. */
  #stock: { readonly round: number; readonly group: string }[] = [];

  fold(group: string, name: string, payload: unknown): void {
    switch (name) {
      case 'sale.line': {
        const line = payload as Line;
        const lines = this.#lines.get(line.sale) ?? new Map<string, Line & { readonly group: string }>();
        this.#lines.set(line.sale, lines.set(line.sku, { ...line, group }));
        break;
      }
      case 'sale.removed':
        this.#lines.delete((payload as { readonly sale: string }).sale);
        break;
      case 'letter.kept': {
        const { id, body } = payload as { readonly id: string; readonly body: string };
        this.#letters.set(id, { body, group });
        break;
      }
      case 'letter.dropped':
        this.#letters.delete((payload as { readonly id: string }).id);
        break;
      case 'stock.filled':
        this.#stock = Array.from({ length: stockItems }, () => ({ round: 0, group }));
        break;
      case 'stock.counted': {
        const { round, from, to } = payload as { readonly round: number; readonly from: number; readonly to: number };
        this.#stock.fill({ round, group }, from, to + 1);
        break;
      }
      default:
        throw new Error(`an op nobody saves: ${name}`);
    }
  }

  /** Whole tables, in key order, values in the order of their columns. */
  whole(): Tables {
    return {
      line: this.#lineRows(),
      letter: this.#letterRows((body) => [body]),
      stock: this.#stock.map(({ round, group }, item) => ({ values: [item, round, noteOf(round)], group })),
    };
  }

  /** The tables in the form in which `Found` has them. */
  summary(): Tables {
    return {
      line: this.#lineRows(),
      letter: this.#letterRows((body) => [body.length, body.slice(0, 12), body.slice(-12)]),
      stock: this.#stock.map(({ round, group }, item) => ({ values: [item, round, 1], group })),
    };
  }

  #lineRows(): OwnedRow[] {
    const lines = [...this.#lines.values()].flatMap((ofSale) => [...ofSale.values()]);
    lines.sort((a, b) => compare(a.sale, b.sale) || compare(a.sku, b.sku));
    return lines.map(({ sale, sku, qty, cents, group }) => ({ values: [sale, sku, qty, cents], group }));
  }

  #letterRows(form: (body: string) => readonly (string | number)[]): OwnedRow[] {
    const letters = [...this.#letters].sort(([a], [b]) => compare(a, b));
    return letters.map(([id, { body, group }]) => ({ values: [id, ...form(body)], group }));
  }
}

/** As SQLite's BINARY collation does for the ASCII used here. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
