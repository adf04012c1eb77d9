// When a background loop goes: woken, by its poll, after a back-off; under a clock that somebody sets, timers that sleep, and news during a round.

import { expect, test } from 'vitest';
import { backoffMsMax } from '../../kernel/limits.ts';
import { timeMs } from '../../kernel/units.ts';
import { isWaiting, Loop, type Poll, type RoundEnd } from '../../worker/engine/loop.ts';

const hour = 3_600_000;

/** A host whose wall clock and timers are two things; rounds end as the test says. */
class Host {
  wall = 1_790_000_000_000;
  readonly timers: { at: number; task: () => void }[] = [];
  rounds = 0;
  #end: ((end: RoundEnd) => void) | undefined;
  elapsed = 0;
  readonly loop: Loop;

  constructor(poll?: Poll) {
    const clock = { now: () => timeMs(this.wall), ticks: () => this.elapsed };
    const scheduler = {
      after: (delayMs: number, task: () => void) => {
        const timer = { at: this.elapsed + delayMs, task };
        this.timers.push(timer);
        return () => {
          const at = this.timers.indexOf(timer);
          if (at >= 0) this.timers.splice(at, 1);
        };
      },
      yield: () => Promise.resolve(),
    };
    const round = (): Promise<RoundEnd> => {
      this.rounds++;
      return new Promise((resolve) => {
        this.#end = resolve;
      });
    };
    this.loop = new Loop({ clock, random: { bytes: (length) => new Uint8Array(length).fill(0xff) }, scheduler }, round, poll);
  }

  async end(as: RoundEnd): Promise<void> {
    this.#end?.(as);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }

  /** Wakes it and lets so many rounds fail; the timers between them fire. */
  async fail(times: number): Promise<void> {
    this.loop.wake();
    for (let i = 0; i < times; i++) {
      if (i > 0) await this.fire();
      await this.end('failed');
    }
  }

  /** The next timer fires when it is due; the wall clock moves along. */
  async fire(): Promise<void> {
    const timer = this.timers.sort((a, b) => a.at - b.at).shift();
    if (timer === undefined) throw new Error('no timer');
    this.wall += timer.at - this.elapsed;
    this.elapsed = timer.at;
    timer.task();
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }

  get nextMs(): number | undefined {
    const [timer] = this.timers;
    return timer === undefined ? undefined : timer.at - this.elapsed;
  }
}

test('waits longer after each failure, five minutes at most, and begins anew after a success', async () => {
  const host = new Host();
  const waits: number[] = [];
  host.loop.wake();
  for (let i = 0; i < 14; i++) {
    if (i > 0) await host.fire();
    await host.end('failed');
    waits.push(host.nextMs ?? 0);
  }
  expect(waits.slice(0, 3)).toEqual([500, 1_000, 2_000]);
  expect(Math.max(...waits)).toBeLessThanOrEqual(backoffMsMax);
  expect(Math.max(...waits)).toBeGreaterThan(0.99 * backoffMsMax);
  await host.fire();
  await host.end('idle');
  expect(host.loop.retryAt).toBeUndefined();
  await host.fail(1);
  expect(host.nextMs).toBe(500);
});

test('while it backs off a wake waits, and one at once does not', async () => {
  const host = new Host();
  await host.fail(5);
  host.loop.wake();
  expect(host.rounds).toBe(5);
  host.loop.wake(true);
  expect(host.rounds).toBe(6);
});

test('a clock set forward ends a wait early', async () => {
  const host = new Host();
  await host.fail(9);
  host.wall += hour;
  host.loop.wake();
  expect(host.rounds).toBe(10);
});

test('a clock set back stalls nothing: the next wake goes at once, and so does the timer without one', async () => {
  const host = new Host();
  await host.fail(9);
  host.wall -= 24 * hour;
  host.loop.wake();
  expect(host.rounds).toBe(10);
  await host.end('failed');
  expect(host.nextMs).toBeLessThanOrEqual(backoffMsMax);
  host.wall -= 24 * hour;
  await host.fire();
  expect(host.rounds).toBe(11);
});

test('a timer that slept with its machine is overtaken by the wall clock', async () => {
  const host = new Host();
  await host.fail(9);
  host.wall += backoffMsMax; // the machine slept: the timer has not moved
  host.loop.wake();
  expect(host.rounds).toBe(10);
});

test('the network comes back during a round that then fails: tried again at once, by the shortest wait after that', async () => {
  const host = new Host();
  await host.fail(8);
  await host.fire();
  host.loop.wake(true);
  await host.end('failed');
  expect(host.rounds).toBe(10);
  await host.end('failed');
  expect(host.rounds).toBe(10);
  expect(host.nextMs).toBe(500);
});

test('the poll is asked after each round', async () => {
  let pollMs = 1_000;
  const host = new Host(() => pollMs);
  host.loop.wake();
  await host.end('idle');
  expect(host.nextMs).toBe(1_000);
  pollMs = 120_000;
  await host.fire();
  await host.end('idle');
  expect(host.nextMs).toBe(120_000);
});

test.each([
  [1_000, 2_000, 5_000, true],
  [2_000, 2_000, 5_000, false],
  [3_000, 2_000, 5_000, false],
  [1_000, 7_000, 5_000, false],
  [1_000, 6_000, 5_000, true],
])('at %i a wait until %i that lasts %i goes on: %s', (now, until, span, expected) => {
  expect(isWaiting(now, until, span)).toBe(expected);
});
