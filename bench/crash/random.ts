// Seeded choices: every round, every load and every shuffle draws from a stream of its own, so that one more draw in one of them moves no other.

export class Random {
  #state: number;

  /** One stream for each list of names under a seed. */
  constructor(seed: number, ...names: readonly (string | number)[]) {
    this.#state = seed | 0;
    for (const letter of names.join('/')) this.#state = Math.imul(this.#state ^ letter.charCodeAt(0), 0x01000193);
  }

  /** From 0 to 1, 1 not included (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number, both ends included. */
  between(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  /** A whole number whose magnitude is even: as many draws between 1 and 10 as between 100 and 1,000. */
  magnitude(max: number): number {
    return Math.max(1, Math.floor(Math.exp(this.next() * Math.log(max + 1))));
  }

  /** One of them, each as often as its weight says. */
  pick<T extends string>(weights: Readonly<Record<T, number>>): T {
    const names = Object.keys(weights) as T[];
    let left = this.next() * names.reduce((sum, name) => sum + weights[name], 0);
    const drawn = names.find((name) => {
      left -= weights[name];
      return left < 0;
    });
    return drawn ?? (names.at(-1) as T);
  }

  shuffled<T>(items: readonly T[]): T[] {
    const drawn = items.map((item) => [this.next(), item] as const);
    return drawn.sort(([a], [b]) => a - b).map(([, item]) => item);
  }
}
