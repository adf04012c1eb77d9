// The ledger's fold a second time, in plain JavaScript over decoded ops: no SQL, no reducer, nothing of the engine. What the tables of a store must
// hold is what comes out here.
import { noteOf, stockItems } from './ledger.ts';
import type { Rows } from './page/page.ts';

type Line = readonly [sale: string, sku: string, qty: number, cents: number];

export class Model {
  readonly #lines = new Map<string, Map<string, Line>>();
  readonly #letters = new Map<string, string>();
  /** The round that counted each item last. */
  #stock: number[] = [];

  fold(name: string, payload: unknown): void {
    switch (name) {
      case 'sale.line': {
        const { sale, sku, qty, cents } = payload as { sale: string; sku: string; qty: number; cents: number };
        const lines = this.#lines.get(sale) ?? new Map<string, Line>();
        this.#lines.set(sale, lines.set(sku, [sale, sku, qty, cents]));
        break;
      }
      case 'sale.removed':
        this.#lines.delete((payload as { sale: string }).sale);
        break;
      case 'letter.kept': {
        const { id, body } = payload as { id: string; body: string };
        this.#letters.set(id, body);
        break;
      }
      case 'letter.dropped':
        this.#letters.delete((payload as { id: string }).id);
        break;
      case 'stock.filled':
        this.#stock = Array.from({ length: stockItems }, () => 0);
        break;
      case 'stock.counted': {
        const { round, from, to } = payload as { round: number; from: number; to: number };
        this.#stock.fill(round, from, to + 1);
        break;
      }
      default:
        throw new Error(`an op nobody saves: ${name}`);
    }
  }

  /** Whole tables, in key order. */
  whole(): { readonly line: Rows; readonly letter: Rows; readonly stock: Rows } {
    const line = [...this.#lines.values()].flatMap((lines) => [...lines.values()]);
    return {
      line: line.sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1])),
      letter: [...this.#letters].sort(([a], [b]) => compare(a, b)),
      stock: this.#stock.map((round, item) => [item, round, noteOf(round)]),
    };
  }

  /** What `Found` says of them. */
  summary(): { readonly line: Rows; readonly letter: Rows; readonly stock: Rows } {
    const { line, letter } = this.whole();
    const rounds = new Map<number, { items: number; sum: number }>();
    for (const [item, round] of this.#stock.entries()) {
      const { items, sum } = rounds.get(round) ?? { items: 0, sum: 0 };
      rounds.set(round, { items: items + 1, sum: sum + item });
    }
    return {
      line,
      letter: letter.map(([id, body]) => [id as string, String(body).length, String(body).slice(0, 12), String(body).slice(-12)]),
      stock: [...rounds].sort(([a], [b]) => a - b).map(([round, { items, sum }]) => [round, items, sum, noteOf(round), noteOf(round)]),
    };
  }
}

/** As SQLite's BINARY collation does for the ASCII used here. */
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
