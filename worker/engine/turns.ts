// Turns of a shard's mutex for its upkeep: behind all saves, and measured, so that status can say how long a save may have waited, and for what.

import type { Clock } from '../../kernel/ports.ts';
import type { Mutex } from './mutex.ts';

/** What a turn is for. `checkpoint` is SQLite's: the WAL into the main file, in one call that nothing can divide. */
export type TurnKind = 'look' | 'copy' | 'verify' | 'delete' | 'vacuum' | 'note' | 'checkpoint';

/** The longest turn of each kind since the shard was opened, ms. */
export type LongestTurns = Readonly<Partial<Record<TurnKind, number>>>;

export class Turns {
  readonly #clock: Clock;
  readonly #mutex: Mutex;
  readonly #longest: Partial<Record<TurnKind, number>> = {};

  constructor(clock: Clock, mutex: Mutex) {
    this.#clock = clock;
    this.#mutex = mutex;
  }

  get longest(): LongestTurns {
    return { ...this.#longest };
  }

  /** Whether a save waits for this turn to end. */
  get hasWaitingSave(): boolean {
    return this.#mutex.hasWaitingSave;
  }

  own<T>(kind: TurnKind, work: () => T | Promise<T>): Promise<T> {
    return this.#mutex.own('other', async () => {
      const from = this.#clock.ticks();
      try {
        return await work();
      } finally {
        this.#longest[kind] = Math.max(this.#longest[kind] ?? 0, this.#clock.ticks() - from);
      }
    });
  }
}
