// A background loop: rounds of work, woken by events, backing off after failures by the wall clock (a hidden tab's timers may sleep for
// minutes; when one fires late the wait is simply over). One round at a time.

import { backoffMsMax, backoffMsMin } from '../../kernel/limits.ts';
import type { Clock, Random, Scheduler } from '../../kernel/ports.ts';

/** `more`: go on at once. `idle`: sleep until woken or `pollMs`. `failed`: back off. `stopped`: never again. */
export type RoundEnd = 'more' | 'idle' | 'failed' | 'stopped';

export interface LoopPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
}

export class Loop {
  readonly #ports: LoopPorts;
  readonly #round: () => Promise<RoundEnd>;
  readonly #pollMs: number | undefined;
  #isRunning = false;
  #isWoken = false;
  #isStopped = false;
  #failures = 0;
  #retryAt: number | undefined;
  #cancelTimer: (() => void) | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(ports: LoopPorts, round: () => Promise<RoundEnd>, pollMs?: number) {
    this.#ports = ports;
    this.#round = round;
    this.#pollMs = pollMs;
  }

  /** Wall time of the next try while backing off. */
  get retryAt(): number | undefined {
    return this.#retryAt;
  }

  get isIdle(): boolean {
    return !this.#isRunning && !this.#isWoken;
  }

  /** There may be work. While backing off it waits for its time, unless `atOnce` (the network came back, a person asked). */
  wake(atOnce = false): void {
    if (this.#isStopped) return;
    if (atOnce) this.#retryAt = undefined;
    if (this.#retryAt !== undefined && this.#ports.clock.now() < this.#retryAt) return;
    this.#isWoken = true;
    if (!this.#isRunning) this.#ended = this.#run();
  }

  /** Ends after the round that is running. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    await this.#ended;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    this.#cancelTimer?.();
    while (this.#isWoken && !this.#isStopped) {
      this.#isWoken = false;
      let end: RoundEnd;
      try {
        end = await this.#round();
      } catch {
        end = 'failed'; // a round reports its own errors; what escapes it is retried like any failure
      }
      if (end === 'stopped') this.#isStopped = true;
      if (end === 'more') this.#isWoken = true;
      if (end !== 'failed') {
        this.#failures = 0;
        this.#retryAt = undefined;
      } else {
        this.#isWoken = false;
        this.#backOff();
      }
    }
    this.#isRunning = false;
    if (this.#isStopped) return;
    const delayMs = this.#retryAt === undefined ? this.#pollMs : this.#retryAt - this.#ports.clock.now();
    if (delayMs !== undefined) {
      this.#cancelTimer = this.#ports.scheduler.after(Math.max(0, delayMs), () => {
        this.#retryAt = undefined;
        this.wake();
      });
    }
  }

  #backOff(): void {
    const ceiling = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    const [a = 0, b = 0] = this.#ports.random.bytes(2);
    const jitter = (a * 256 + b) / 65_536;
    this.#retryAt = this.#ports.clock.now() + Math.round(ceiling * (0.5 + jitter / 2));
  }
}
