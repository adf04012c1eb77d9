// What the customer has brought to the counter. Not saved as ops: it becomes one by paying. Kept beside the page, so that a reload in the
// middle of a sale loses nothing.

import { Store } from './parts/store.ts';
import { linesMax, type Product, qtyMax } from './shop.ts';

export interface BasketLine extends Product {
  readonly qty: number;
}

interface Kept {
  readonly sale: string;
  readonly lines: readonly BasketLine[];
}

const key = 'till-basket';

export class CurrentBasket extends Store<readonly BasketLine[]> {
  #sale: string;

  constructor() {
    const { sale, lines } = stored();
    super(lines);
    this.#sale = sale;
  }

  /** Id of the sale this basket becomes: paying twice after a lost answer is one sale. Another content is another sale. */
  get sale(): string {
    return this.#sale;
  }

  override set(lines: readonly BasketLine[]): void {
    this.#sale = crypto.randomUUID();
    store({ sale: this.#sale, lines });
    super.set(lines);
  }

  get totalCents(): number {
    return this.value.reduce((sum, line) => sum + line.qty * line.cents, 0);
  }

  get items(): number {
    return this.value.reduce((sum, line) => sum + line.qty, 0);
  }

  /** False when the basket holds as many lines as a sale may have. */
  add(product: Product): boolean {
    const line = this.value.find(({ sku }) => sku === product.sku);
    if (line !== undefined) this.setQty(product.sku, line.qty + 1);
    else if (this.value.length >= linesMax) return false;
    else this.set([...this.value, { ...product, qty: 1 }]);
    return true;
  }

  /** 0 takes the line out. */
  setQty(sku: string, qty: number): void {
    const bounded = Math.min(qty, qtyMax);
    this.set(this.value.flatMap((line) => (line.sku !== sku ? [line] : bounded < 1 ? [] : [{ ...line, qty: bounded }])));
  }

  clear(): void {
    this.set([]);
  }

  /** Follows the price list. Products that are gone stay, so that the writer's refusal can say so. */
  reprice(products: readonly Product[]): void {
    const bySku = new Map(products.map((product) => [product.sku, product]));
    const isStale = (line: BasketLine): boolean => {
      const now = bySku.get(line.sku);
      return now !== undefined && (now.cents !== line.cents || now.name !== line.name);
    };
    if (this.value.some(isStale)) this.set(this.value.map((line) => ({ ...line, ...bySku.get(line.sku) })));
  }
}

/** What stands there was written by an older page at worst; anything odd is an empty basket. */
function stored(): Kept {
  const none: Kept = { sale: crypto.randomUUID(), lines: [] };
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? 'null') as Partial<Record<keyof Kept, unknown>> | null;
    const { sale, lines } = kept ?? {};
    return typeof sale === 'string' && Array.isArray(lines) && lines.every(isLine) ? { sale, lines } : none;
  } catch {
    return none;
  }
}

function isLine(value: unknown): value is BasketLine {
  if (typeof value !== 'object' || value === null) return false;
  const line = value as Readonly<Record<string, unknown>>;
  return (
    ['sku', 'name', 'category'].every((field) => typeof line[field] === 'string') &&
    ['cents', 'qty'].every((field) => Number.isSafeInteger(line[field]))
  );
}

function store(kept: Kept): void {
  try {
    localStorage.setItem(key, JSON.stringify(kept));
  } catch {
    // No room or no permission: the basket lives as long as the page.
  }
}
