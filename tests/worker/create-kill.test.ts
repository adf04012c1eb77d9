// Stops the machine at every I/O step from the first boot to the first shard, and looks at what the next starts make of it.

import { describe, expect, test } from 'vitest';
import { groupId } from '../../kernel/units.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { SimWorld } from '../sim/sim-world.ts';

/** What an app does at its first start, and again at every later one. */
async function begin(device: SimDevice): Promise<void> {
  await device.boot();
  if ((await device.engine.status()).workspace === undefined) await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  await device.engine.openShard('till', 'till-1');
}

async function beginAndStop(seed: number, call: number, mode: StopMode, backend: Backend): Promise<boolean> {
  const device = new SimDevice(new SimWorld(seed), 'till', [till], undefined, { backend });
  device.medium.stopAfter(call);
  const isWhole = await begin(device).then(
    () => true,
    () => false,
  );
  const calls = device.medium.calls;
  device.stop(mode);
  await begin(device);
  const shard = device.engine.shard('till/till-1');
  await shard.save(groupId(new Uint8Array(16).fill(call)), { kind: 'ops', inputs: [line('s', 'sku')] });
  device.stop(mode);
  await begin(device);
  expect(device.engine.shard('till/till-1').store.head.seq).toBe(1);
  const files = (await device.vault.markers()).size;
  expect(files).toBeLessThanOrEqual(2); // the workspace file and one shard: nothing was left lying about
  const own = (await device.engine.status()).own;
  expect(own).toHaveLength(1);
  device.stop('kill');
  return isWhole && calls < call;
}

describe('first start', () => {
  test.each<readonly [Backend, number]>([
    ['opfs-pool', 60],
    ['indexeddb', 12],
  ])(
    'a stop at any I/O step of it leaves something the next start finishes: kill and power cut, %s',
    async (backend, callsMin) => {
      let call = 1;
      while (!(await beginAndStop(51, call, call % 2 === 0 ? 'kill' : 'power', backend))) call += 1;
      expect(call).toBeGreaterThan(callsMin);
    },
    240_000,
  );
});
