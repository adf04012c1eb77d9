// Turns of a shard's mutex for its upkeep: behind all saves, and measured, so that status can say how long a save may have waited for one.

import type { Clock } from '../../kernel/ports.ts';
import type { Mutex } from './mutex.ts';

export class Turns {
  readonly #clock: Clock;
  readonly #mutex: Mutex;
  #longestMs = 0;

  constructor(clock: Clock, mutex: Mutex) {
    this.#clock = clock;
    this.#mutex = mutex;
  }

  /** The longest turn since the shard was opened. */
  get longestMs(): number {
    return this.#longestMs;
  }

  /** Whether a save waits for this turn to end. */
  get hasWaitingSave(): boolean {
    return this.#mutex.hasWaitingSave;
  }

  own<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#mutex.own('other', async () => {
      const from = this.#clock.ticks();
      try {
        return await work();
      } finally {
        this.#longestMs = Math.max(this.#longestMs, this.#clock.ticks() - from);
      }
    });
  }
}
