// What a simulated run will do, as data: devices, rates of what always may go wrong, and two lists of steps, what people do and what befalls them. Drawn
// from the seed; a run that fails is made smaller by taking steps out of it.

import { Dice } from './dice.ts';
import type { MachineKind } from './machine.ts';
import { type NetRates, noNetFaults } from './sim-net.ts';
import { noStoreFaults, type StoreRates } from './sim-store.ts';

export interface Step {
  /** Names its draws: kept when other steps are taken out. */
  readonly id: number;
  readonly atMs: number;
  readonly device: number;
  readonly what: string;
}

export interface Plan {
  readonly seed: number;
  readonly devices: readonly MachineKind[];
  readonly relayInstances: number;
  /** Small in half of the runs, so that queues go out in several; never below what one transaction of these actions seals together. */
  readonly runBytesMax: number;
  readonly isCryptoSlow: boolean;
  readonly safetyMs: number;
  /** From the end of all faults until everybody must be level. */
  readonly livenessMs: number;
  readonly net: NetRates;
  readonly store: StoreRates;
  readonly actions: readonly Step[];
  readonly incidents: readonly Step[];
}

/** Something that can be in a plan, with how often it is chosen among its like. */
export interface Weighted {
  readonly name: string;
  readonly weight: number;
}

export interface Incident extends Weighted {
  /** At most this many of it in one run. */
  readonly most: number;
  /** Part of the runs that have it at all. */
  readonly part: number;
}

/** Backing off takes five minutes at most, a log that did not verify is asked for again after one. */
const livenessMs = 12 * 60_000;

export function planOf(seed: number, kinds: { readonly actions: readonly Weighted[]; readonly incidents: readonly Incident[] }): Plan {
  const dice = new Dice(seed);
  const draw = (name: string, counter = 0): number => dice.at('plan', name, counter);
  const count = [1, 2, 2, 2, 2, 3, 3, 3, 4, 5][Math.floor(draw('devices') * 10)] as number;
  const safetyMs = 5_000 + Math.floor(draw('safety') * 13_000);
  const devices = Array.from(
    { length: count },
    (_, i): MachineKind => ({
      backend: draw('backend', i) < 0.7 ? 'opfs-pool' : 'indexeddb',
      isRelaxedStore: false,
      hasDrawnNonces: draw('nonces', i) < 0.1,
      pollMs: [3_000, 6_000, 15_000][Math.floor(draw('poll', i) * 3)] as number,
    }),
  );
  const steps = (list: readonly (readonly [what: string, id: number])[], name: string): Step[] =>
    list
      .map(([what, id]) => ({
        id,
        atMs: Math.floor(500 + dice.at('plan', `${name} at`, id) * (safetyMs - 500)),
        device: dice.below(count, 'plan', `${name} device`, id),
        what,
      }))
      .sort((a, b) => a.atMs - b.atMs || a.id - b.id);
  const wished = 12 + Math.floor(draw('actions') * 40);
  const actions = Array.from({ length: wished }, (_, i) => [pick(kinds.actions, dice.at('plan', 'action', i)), i] as const);
  const incidents: (readonly [string, number])[] = [];
  if (draw('calm') > 0.05) {
    for (const [n, { name, part, most }] of kinds.incidents.entries()) {
      if (dice.at('plan', `has ${name}`, 0) >= part) continue;
      const times = 1 + dice.below(most, 'plan', `times ${name}`, 0);
      for (let i = 0; i < times; i++) incidents.push([name, 1_000 + n * 20 + i]);
    }
  }
  return {
    ...{ seed, devices, safetyMs, livenessMs },
    relayInstances: draw('instances') < 0.3 ? 1 : 2,
    runBytesMax: draw('runs') < 0.5 ? 8 * 1024 * 1024 : 130_000 + Math.floor(draw('run bytes') * 60_000),
    isCryptoSlow: draw('crypto') < 0.4,
    net: swarm(noNetFaults, { requestLost: 0.2, replyLost: 0.2, duplicated: 0.15, requestCut: 0.05, replyCut: 0.04, slow: 0.05 }, draw),
    store: swarm(
      noStoreFaults,
      { refused: 0.12, replyLost: 0.12, appliedLate: 0.1, duplicated: 0.1, appliedThenLost: 0.1, tooMany: 0.1, slow: 0.02 },
      draw,
    ),
    actions: steps(actions, 'action'),
    incidents: steps(incidents, 'incident'),
  };
}

/** Each rate is off in about half of the runs, and anywhere up to its most in the others. */
function swarm<R extends Readonly<Record<keyof R & string, number>>>(none: R, most: R, draw: (name: string) => number): R {
  const rates = { ...none } as Record<string, number>;
  for (const [name, rate] of Object.entries(most) as [string, number][]) {
    if (draw(`has ${name}`) < 0.45) rates[name] = rate * draw(`rate ${name}`);
  }
  return rates as R;
}

function pick(list: readonly Weighted[], draw: number): string {
  let left = draw * list.reduce((sum, { weight }) => sum + weight, 0);
  for (const { name, weight } of list) {
    left -= weight;
    if (left < 0) return name;
  }
  return (list.at(-1) as Weighted).name;
}
