// A background loop: rounds of work, woken by events, backing off after failures by the wall clock (a hidden tab's timers may sleep for
// minutes; when one fires late the wait is simply over). A wall clock that is set moves no wait beyond its length: forward, it ends early; back, it
// ends at once. One round at a time.

import { backoffMsMax, backoffMsMin } from '../../kernel/limits.ts';
import type { Clock, Random, Scheduler } from '../../kernel/ports.ts';

/** `more`: go on at once. `idle`: sleep until woken or `pollMs`. `failed`: back off. `stopped`: never again. */
export type RoundEnd = 'more' | 'idle' | 'failed' | 'stopped';

export interface LoopPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
}

/** Whether a wait of `spanMs` until wall time `untilMs` goes on. One with more to go than its whole length was begun under another clock. */
export const isWaiting = (nowMs: number, untilMs: number, spanMs: number): boolean => nowMs < untilMs && untilMs - nowMs <= spanMs;

/** How often a loop goes without being woken; undefined: only when woken. Asked after each round, so it may change (energy.ts). */
export type Poll = () => number | undefined;

export class Loop {
  readonly #ports: LoopPorts;
  readonly #round: () => Promise<RoundEnd>;
  readonly #pollMs: Poll;
  #isRunning = false;
  #isWoken = false;
  #isStopped = false;
  /** Somebody asked for a try at once while a round was under way: if that round fails, it may have failed by what is over now. */
  #isAtOnce = false;
  #failures = 0;
  #retryAt: number | undefined;
  #cancelTimer: (() => void) | undefined;
  #ended: Promise<void> = Promise.resolve();

  constructor(ports: LoopPorts, round: () => Promise<RoundEnd>, pollMs: Poll = () => undefined) {
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
    if (this.#retryAt !== undefined && isWaiting(this.#ports.clock.now(), this.#retryAt, backoffMsMax)) return;
    this.#isWoken = true;
    if (this.#isRunning) this.#isAtOnce ||= atOnce;
    else this.#ended = this.#run();
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
    let waitMs: number | undefined;
    while (this.#isWoken && !this.#isStopped) {
      this.#isWoken = false;
      this.#isAtOnce = false;
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
      } else if (this.#isAtOnce) {
        this.#failures = 0;
        this.#isWoken = true;
      } else {
        this.#isWoken = false;
        waitMs = this.#backOff();
      }
    }
    this.#isRunning = false;
    if (this.#isStopped) return;
    const delayMs = this.#retryAt === undefined ? this.#pollMs() : waitMs;
    if (delayMs !== undefined) {
      this.#cancelTimer = this.#ports.scheduler.after(delayMs, () => {
        this.#retryAt = undefined;
        this.wake();
      });
    }
  }

  /** Sets when to try again; answers in how many ms. */
  #backOff(): number {
    const ceiling = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(this.#failures, 20));
    this.#failures++;
    const [a = 0, b = 0] = this.#ports.random.bytes(2);
    const jitter = (a * 256 + b) / 65_536;
    const waitMs = Math.round(ceiling * (0.5 + jitter / 2));
    this.#retryAt = this.#ports.clock.now() + waitMs;
    return waitMs;
  }
}
