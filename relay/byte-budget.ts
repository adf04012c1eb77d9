// Bounds what one relay instance holds inflated at a time: work waits its turn in order, and beyond a queue it is refused at once.

import { FoldlogError } from '../kernel/errors.ts';

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

export class ByteBudget {
  readonly #bytesMax: number;
  readonly #waitingMax: number;
  readonly #waiting: Waiting[] = [];
  #bytes = 0;

  constructor(bounds: { readonly bytesMax: number; readonly waitingMax: number }) {
    this.#bytesMax = bounds.bytesMax;
    this.#waitingMax = bounds.waitingMax;
  }

  /** Runs `work` when `bytes` are free; one piece larger than the whole budget runs alone. @throws {FoldlogError} `unavailable` `busy` */
  async spend<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    await this.#reserve(bytes);
    try {
      return await work();
    } finally {
      this.#bytes -= bytes;
      this.#startWaiting();
    }
  }

  async #reserve(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#bytes += bytes;
      return;
    }
    if (this.#waiting.length >= this.#waitingMax) {
      throw new FoldlogError('unavailable', {
        where: 'relay',
        reason: 'busy',
        retry: 'later',
        found: `${this.#waiting.length} pushes waiting`,
        expected: `fewer than ${this.#waitingMax}`,
      });
    }
    await new Promise<void>((start) => {
      this.#waiting.push({ bytes, start });
    });
  }

  /** Reserves for those it starts before they run, so that nobody gets in between. */
  #startWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#bytes += next.bytes;
      next.start();
    }
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax;
  }
}
