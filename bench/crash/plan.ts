// What is done to a store in each round, drawn from the seed before anything starts: the means, the moment, and the fuse.
import { allMeans, type Means } from './means.ts';
import type { Fuse } from './page/fuse.ts';
import { Random } from './random.ts';

/**
 * When the end comes. `moment`: so many ms after so many acknowledgements, wherever that is. The others set a fuse: `saving` anywhere in the load,
 * `rewriting` from the start of a rewrite larger than the page cache, `closing` while the store is closed, `opening` while the store that the last
 * round killed is recovered, which is a crash within a recovery.
 */
export type Moment =
  | { readonly at: 'moment'; readonly acknowledgements: number; readonly ms: number }
  | { readonly at: 'saving' | 'rewriting' | 'closing'; readonly step: number; readonly fuse: Omit<Fuse, 'url'> }
  | { readonly at: 'opening'; readonly fuse: Omit<Fuse, 'url'> };

export interface RoundPlan {
  readonly round: number;
  readonly means: Means;
  readonly moment: Moment;
}

/**
 * Calls that the phase makes, about: a rewrite writes 760 pages in two calls each and later takes them from the WAL into the file, an opening makes
 * some 90, a closing takes the WAL into the file. A rollback journal needs up to 3,500 for a rewrite.
 */
const callsOf = { saving: 4_000, rewriting: 3_500, closing: 800, opening: 120 } as const;
/** One flush for each transaction of the load. */
const flushesMax = 12;

const ordinary: Readonly<Record<Moment['at'], number>> = { saving: 8, rewriting: 4, moment: 4, opening: 3, closing: 2 };

/** Every means once in each six rounds, in an order drawn anew. `only`: all rounds end there. */
export function planRounds(seed: number, rounds: number, only?: Moment['at']): readonly RoundPlan[] {
  const means: Means[] = [];
  for (let block = 0; means.length < rounds; block++) means.push(...new Random(seed, 'means', block).shuffled(allMeans));
  return means.slice(0, rounds).map((name, round) => ({ round, means: name, moment: drawMoment(new Random(seed, 'moment', round), only) }));
}

function drawMoment(random: Random, only: Moment['at'] | undefined): Moment {
  const at = only ?? random.pick(ordinary);
  if (at === 'moment') return { at, acknowledgements: random.between(1, 60), ms: random.between(0, 150) };
  const fuse = drawFuse(random, at);
  return at === 'opening' ? { at, fuse } : { at, step: random.between(2, 25), fuse };
}

function drawFuse(random: Random, at: keyof typeof callsOf): Omit<Fuse, 'url'> {
  if (at === 'saving' && random.next() < 0.4) {
    return { call: random.between(1, flushesMax), of: 'flushes', stop: random.pick({ before: 1, after: 3 }) };
  }
  // A rewrite is the same all along; elsewhere the first calls differ most from one another.
  const call = at === 'rewriting' ? random.between(1, callsOf[at]) : random.magnitude(callsOf[at]);
  return { call, of: 'changes', stop: random.pick({ before: 2, half: 2, after: 2 }) };
}
