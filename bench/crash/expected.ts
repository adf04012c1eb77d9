// What was asked of a store, drawn again from the seed: the ops of every group that may be in it, and the steps they came in.
import { type LedgerOp, type Life, placeInLoad, type Step, stepsOf } from './load.ts';

export class Expected {
  readonly #seed: number;
  readonly #lives = new Map<
    number,
    { readonly rest: Iterator<Step, never>; readonly steps: Step[]; readonly ops: (readonly LedgerOp[])[] }
  >();

  constructor(seed: number) {
    this.#seed = seed;
  }

  life(life: number): Life {
    return { seed: this.#seed, life };
  }

  /** Ops of a group by its id; undefined for an id that nobody gives. */
  opsOf(group: string): readonly LedgerOp[] | undefined {
    const { life, number } = placeInLoad(group);
    // An id from elsewhere must not make the load be drawn for ever.
    if (!Number.isSafeInteger(life) || life < 0 || !(number < savesPerLifeMax)) return undefined;
    const drawn = this.#draw(life);
    while (drawn.ops.length <= number) this.#more(life);
    return drawn.ops[number];
  }

  /** The first step of a life with a save that `isAcknowledged` does not know: the one that was under way when the life ended. */
  stepUnderWay(life: number, isAcknowledged: (group: string) => boolean): number {
    const { steps } = this.#draw(life);
    for (let at = 0; ; at++) {
      while (steps.length <= at) this.#more(life);
      if (!steps[at]?.saves.every(({ group }) => isAcknowledged(group))) return at;
    }
  }

  #draw(life: number) {
    let drawn = this.#lives.get(life);
    if (drawn === undefined) {
      drawn = { rest: stepsOf(this.life(life)), steps: [], ops: [] };
      this.#lives.set(life, drawn);
    }
    return drawn;
  }

  #more(life: number): void {
    const drawn = this.#draw(life);
    const step = drawn.rest.next().value;
    drawn.steps.push(step);
    drawn.ops.push(...step.saves.map(({ ops }) => ops));
  }
}

/** A life of some seconds saves some thousand groups. */
const savesPerLifeMax = 1_000_000;
