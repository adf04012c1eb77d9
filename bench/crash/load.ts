// What is saved, drawn from a seed: the page saves it, and Node draws it again to know what each group must hold. A life is one run of the load, from
// an opening to a kill; its saves are numbered, and the number is in the group's id.
import type { OpOf } from '../../worker/browser/page.ts';
import { type ledger, stockItems } from './ledger.ts';
import { Random } from './random.ts';

export type LedgerOp = OpOf<typeof ledger>;

/** One commit group. */
export interface Save {
  readonly group: string;
  readonly ops: readonly LedgerOp[];
}

/** Saves asked for together; the next step begins when all of them are answered. */
export interface Step {
  readonly kind: 'fill' | 'rewrite' | 'ordinary';
  readonly saves: readonly Save[];
}

export interface Life {
  readonly seed: number;
  /** Within its store; the first one is 0 and fills the stock. */
  readonly life: number;
}

/** Group id: life and number of the save, so that a group found in a store says which save it must be. */
const groupOf = (life: number, number: number): string => (life + 1).toString(16).padStart(16, '0') + number.toString(16).padStart(16, '0');

export function placeInLoad(group: string): { readonly life: number; readonly number: number } {
  return { life: Number.parseInt(group.slice(0, 16), 16) - 1, number: Number.parseInt(group.slice(16), 16) };
}

/** Without end. Pure: the same life gives the same steps. */
export function* stepsOf({ seed, life }: Life): Generator<Step, never> {
  const random = new Random(seed, 'life', life);
  let saves = 0;
  const save = (...ops: readonly LedgerOp[]): Save => ({ group: groupOf(life, saves++), ops });
  const kept = { sales: [] as string[], letters: [] as string[] };
  const takeOne = (names: string[]): string | undefined => names.splice(random.between(0, names.length - 1), 1)[0];

  const sale = (lines: number): LedgerOp[] => {
    const name = `${life}-${saves}`;
    kept.sales.push(name);
    return Array.from({ length: lines }, (_, i) => [
      'sale.line',
      { sale: name, sku: `sku-${i}`, qty: random.between(1, 9), cents: random.between(1, 99_999) },
    ]);
  };
  const letter = (): LedgerOp => {
    const id = `${life}-${saves}`;
    kept.letters.push(id);
    const word = `${random.between(0, 1e9)} `;
    return ['letter.kept', { id, body: word.repeat(Math.ceil((10 * random.magnitude(6_000)) / word.length)) }];
  };
  const count = (from: number, to: number): LedgerOp => ['stock.counted', { round: life * 1_000_000 + saves, from, to }];

  if (life === 0) yield { kind: 'fill', saves: [save(['stock.filled', {}])] };
  while (true) {
    const shape = random.pick({ lone: 8, together: 4, large: 1, letter: 2, removal: 2, count: 2, rewrite: 1 });
    switch (shape) {
      case 'lone':
        yield { kind: 'ordinary', saves: [save(...sale(random.between(1, 3)))] };
        break;
      case 'together':
        yield { kind: 'ordinary', saves: Array.from({ length: random.between(2, 12) }, () => save(...sale(random.between(1, 8)))) };
        break;
      case 'large':
        yield { kind: 'ordinary', saves: [save(...sale(random.between(50, 400)))] };
        break;
      case 'letter':
        yield { kind: 'ordinary', saves: [save(letter()), save(...sale(1))] };
        break;
      case 'removal': {
        const [removed, dropped] = [takeOne(kept.sales), takeOne(kept.letters)];
        const ops: LedgerOp[] = [];
        if (removed !== undefined) ops.push(['sale.removed', { sale: removed }]);
        if (dropped !== undefined) ops.push(['letter.dropped', { id: dropped }]);
        if (ops.length > 0) yield { kind: 'ordinary', saves: [save(...ops)] };
        break;
      }
      case 'count': {
        const from = random.between(0, stockItems - 200);
        yield { kind: 'ordinary', saves: [save(count(from, from + random.between(20, 199))), save(...sale(2))] };
        break;
      }
      case 'rewrite':
        yield { kind: 'rewrite', saves: [save(count(0, stockItems - 1)), save(...sale(1))] };
        break;
    }
  }
}

/** The steps of a life up to the `count`th save, the last one cut off there. */
export function* firstSaves(life: Life, count: number): Generator<Step> {
  let left = count;
  for (const step of stepsOf(life)) {
    if (left <= 0) return;
    yield { ...step, saves: step.saves.slice(0, left) };
    left -= step.saves.length;
  }
}
