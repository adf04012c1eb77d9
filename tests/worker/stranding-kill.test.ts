// Stops the machine at every I/O step of a stranding, from the moment the network is back to the moment the outbox is let go, and looks at what the next
// start makes of it: nothing that was acknowledged is lost, nothing is there twice, and one file per shard is left.

import { expect, test } from 'vitest';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { SimCounter } from '../sim/sim-counter.ts';
import type { StopMode } from '../sim/sim-disk.ts';

/** Offline with a tail of five sales whose till was cut off meanwhile; `counter-2` is where they go. */
async function withTail(backend: Backend): Promise<SimCounter> {
  const counter = await SimCounter.open(111, { backend });
  const [old, next] = [await counter.shard(), await counter.shard('counter-2')];
  await counter.sell(next);
  await counter.shop.committed(next);
  counter.offline();
  await counter.sell(old, 5);
  await counter.cut(await counter.fence(old), { destination: next.store.identity.id });
  return counter;
}

async function isSettled(counter: SimCounter): Promise<boolean> {
  const [old, next] = [await counter.shard(), await counter.shard('counter-2')];
  const { fence, stranded } = await old.status();
  return fence.kind === 'handedOver' && stranded.waiting + stranded.rebased === 0 && next.committed.seq === next.store.head.seq;
}

async function settled(counter: SimCounter): Promise<void> {
  await counter.shop.world.run('the tail is committed in its new place', () => isSettled(counter));
}

/** How many of the steps are stopped at, evenly spread. */
const stopsMax = 30;

test.each<readonly [Backend, number]>([
  ['opfs-pool', 100],
  ['indexeddb', 20],
])(
  'a stranding stopped at any I/O step of it is gone to its end by the next start: kill and power cut, %s',
  async (backend, callsMin) => {
    const whole = await withTail(backend);
    const before = whole.device.medium.calls;
    whole.online();
    await settled(whole);
    const calls = whole.device.medium.calls - before;
    expect(calls).toBeGreaterThan(callsMin);
    const step = Math.max(1, Math.floor(calls / stopsMax));
    for (let call = 1; call <= calls; call += step) {
      const mode: StopMode = Math.floor(call / step) % 2 === 0 ? 'kill' : 'power';
      const counter = await withTail(backend);
      const { device, shop } = counter;
      device.medium.stopAfter(call);
      counter.online();
      await shop.world.run('stopped', async () => device.medium.isStopped || (await isSettled(counter)));
      device.stop(mode);
      await device.boot();
      await settled(counter);
      await counter.requireWhole([await counter.shard(), await counter.shard('counter-2')]);
      const files = [...(await device.vault.markers()).keys()].filter((file) => file.startsWith('/s-'));
      expect(files).toHaveLength(2);
      const old = await counter.shard();
      expect(old.store.file).toMatch(/-2\.db$/);
      expect(old.store.log.base.epoch).toBe(2);
      device.stop('kill');
      shop.owner.stop('kill');
    }
  },
  300_000,
);

test.each<Backend>(['opfs-pool', 'indexeddb'])(
  'a step of the disk that fails once holds a stranding up and loses nothing: %s',
  async (backend) => {
    for (let call = 1; call <= 46; call += 5) {
      const counter = await withTail(backend);
      counter.device.medium.failAfter(call);
      counter.online();
      await settled(counter);
      await counter.requireWhole([await counter.shard(), await counter.shard('counter-2')]);
      counter.device.stop('kill');
      counter.shop.owner.stop('kill');
    }
  },
  120_000,
);
