// The relay's small parts alone: settling unknown outcomes, calls that end, probing for the newest number, the byte budget.

import { describe, expect, it } from 'vitest';
import { settleMsMax } from '../../kernel/limits.ts';
import { boundedStore } from '../../relay/bounded-store.ts';
import { ByteBudget } from '../../relay/byte-budget.ts';
import { ifAbsent, type ObjectStore } from '../../relay/object-store.ts';
import { putUntilDecided } from '../../relay/settle.ts';
import { newestNumber } from '../../relay/slots.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { faultAt, faultyStore } from '../conformance/faulty-store.ts';
import { seededRandom, TestTime } from './fixtures.ts';

const portsOver = (store: ObjectStore, time = new TestTime()) => ({
  store,
  clock: time,
  scheduler: time,
  random: seededRandom('parts'),
  time,
});
const bytes = Uint8Array.of(1, 2, 3);

describe('put until decided', () => {
  it('repeats the identical put until it is written', async () => {
    const store = faultyStore(memoryStore(), faultAt('put', 'k', 'refused', 5));
    expect((await putUntilDecided(portsOver(store), 'k', bytes, ifAbsent)).kind).toBe('written');
    expect(store.calls).toHaveLength(6);
  });

  it('answers lost when an earlier attempt had landed: the caller reads which', async () => {
    const store = faultyStore(memoryStore(), faultAt('put', 'k', 'replyLost'));
    expect((await putUntilDecided(portsOver(store), 'k', bytes, ifAbsent)).kind).toBe('lost');
  });

  it('gives up as unknown within its bound, with growing pauses', async () => {
    const store = faultyStore(memoryStore(), () => 'refused');
    const ports = portsOver(store);
    expect((await putUntilDecided(ports, 'k', bytes, ifAbsent)).kind).toBe('unknown');
    expect(ports.time.ticks()).toBeLessThanOrEqual(settleMsMax);
    expect(store.calls.length).toBeGreaterThan(8);
    expect(store.calls.length).toBeLessThan(40);
  });
});

describe('bounded store', () => {
  it('a call that throws is unknown, at once or later', async () => {
    const throwing: ObjectStore = {
      ...memoryStore(),
      get: () => {
        throw new Error('at once');
      },
      head: async () => {
        throw new Error('later');
      },
    };
    const store = boundedStore(throwing, new TestTime(), 10_000);
    expect(await store.get('k')).toMatchObject({ kind: 'unknown', cause: new Error('at once') });
    expect(await store.head('k')).toMatchObject({ kind: 'unknown', cause: new Error('later') });
  });

  it('a call that hangs is unknown at its deadline, and may still take effect', async () => {
    const inner = memoryStore();
    let land: () => void = () => undefined;
    const slow: ObjectStore = {
      ...inner,
      put: (...put) =>
        new Promise((resolve) => {
          land = () => resolve(inner.put(...put));
        }),
    };
    const time = new TestTime();
    const outcome = boundedStore(slow, time, 10_000).put('k', bytes, ifAbsent);
    await time.yield();
    time.expireDeadlines();
    expect(await outcome).toMatchObject({ kind: 'unknown', cause: { reason: 'storeSlow' } });
    land();
    await time.yield();
    expect((await inner.get('k')).kind).toBe('found');
  });
});

describe('newest number', () => {
  const numbered = async (count: number) => {
    const store = memoryStore();
    for (let n = 1; n <= count; n++) await store.put(`log/${n}`, bytes, ifAbsent);
    return faultyStore(store, () => 'none');
  };
  const find = (store: ObjectStore, hint: number) => newestNumber(portsOver(store), (n) => `log/${n}`, hint);

  it('is found at every length from every hint', async () => {
    for (const count of [0, 1, 2, 3, 7, 8, 9, 31, 64, 65]) {
      const store = await numbered(count);
      for (let hint = 0; hint <= count + 3; hint++) expect(await find(store, hint)).toBe(count);
    }
  });

  it('costs two reads when the hint is right, and logarithmically many otherwise', async () => {
    const store = await numbered(1_000);
    const readsFrom = async (hint: number) => {
      const before = store.calls.length;
      await find(store, hint);
      return store.calls.length - before;
    };
    expect(await readsFrom(1_000)).toBe(2);
    expect(await readsFrom(999)).toBe(3);
    expect(await readsFrom(900)).toBeLessThanOrEqual(16);
    expect(await readsFrom(0)).toBeLessThanOrEqual(20);
    expect(store.calls.every(({ method }) => method === 'head')).toBe(true);
  });
});

describe('byte budget', () => {
  it('runs at most what fits, in order, and one oversized piece alone', async () => {
    const budget = new ByteBudget({ bytesMax: 10, waitingMax: 10 });
    const order: string[] = [];
    let held = 0;
    const work = (name: string, size: number) =>
      budget.spend(size, async () => {
        held += size;
        expect(held === size || held <= 10).toBe(true);
        order.push(name);
        await new TestTime().yield();
        held -= size;
      });
    await Promise.all([work('a', 6), work('b', 4), work('c', 1), work('d', 50), work('e', 10), work('f', 2)]);
    expect(order).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect(held).toBe(0);
  });

  it('refuses at once beyond its queue, and gives back what failed work held', async () => {
    const budget = new ByteBudget({ bytesMax: 1, waitingMax: 1 });
    const time = new TestTime();
    const slow = budget.spend(1, () => time.yield().then(() => Promise.reject(new Error('failed'))));
    const waiting = budget.spend(1, async () => 'ran');
    await expect(budget.spend(1, async () => 'never')).rejects.toMatchObject({ kind: 'unavailable', reason: 'busy', retry: 'later' });
    await expect(slow).rejects.toThrow('failed');
    expect(await waiting).toBe('ran');
    expect(await budget.spend(1, async () => 'free again')).toBe('free again');
  });
});
