// What a start costs and in which order it opens things, on a device that was here before.

import { expect, test, vi } from 'vitest';
import { till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';
import { SimWorld } from '../sim/sim-world.ts';

const totals = [{ text: 'SELECT sku, qty FROM total ORDER BY sku', params: [] }];

test.each(['opfs-pool', 'indexeddb'] as const)('a start writes no marker that stands already: %s', async (backend) => {
  const device = new SimDevice(new SimWorld(91), 'till', [till], undefined, { backend });
  const mark = vi.spyOn(device.vault, 'mark');
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  await device.engine.openShard('till', 'till-1');
  const before = mark.mock.calls.length;
  expect(new Set(mark.mock.calls.map(([file]) => file)).size).toBe(2);
  device.stop('kill');
  await device.boot();
  await device.engine.openShard('till', 'till-1');
  expect(mark).toHaveBeenCalledTimes(before);
});

test('replicas that are here are read right after a start that did not wait for them, without the relay', async () => {
  const shop = new SimShop(92);
  const shard = await shop.found();
  await shop.sell(shard, 3);
  await shop.committed(shard);
  const follower = await shop.join('till 2');
  await shop.level(follower, shard);
  const before = await follower.engine.readAcross('till/*', totals);
  expect(before[0]?.length).toBeGreaterThan(0);
  follower.stop('kill');
  shop.faults.requestLost = 1;
  const engine = await follower.boot();
  expect((await engine.status()).followed).toEqual([]);
  expect(await engine.readAcross('till/*', totals)).toEqual(before);
});
