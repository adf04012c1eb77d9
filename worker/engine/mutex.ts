// One turn at a time on a shard's connection. Own saves go first: a background turn waits until no save does, and asks between slices.

type Turn = () => void;

export class Mutex {
  #isHeld = false;
  readonly #saves: Turn[] = [];
  readonly #others: Turn[] = [];

  /** Whether a save waits: background work ends its slice when it does. */
  get hasWaitingSave(): boolean {
    return this.#saves.length > 0;
  }

  /** Runs `work` alone. What it throws is thrown to the caller; the next turn goes on either way. */
  async own<T>(rank: 'save' | 'other', work: () => Promise<T> | T): Promise<T> {
    if (this.#isHeld) await new Promise<void>((resolve) => (rank === 'save' ? this.#saves : this.#others).push(resolve));
    this.#isHeld = true;
    try {
      return await work();
    } finally {
      const next = this.#saves.shift() ?? this.#others.shift();
      // Stays held across the hand-over, so that nobody slips in between.
      if (next === undefined) this.#isHeld = false;
      else next();
    }
  }
}
