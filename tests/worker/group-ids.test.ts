// A group is found by its id however old it is: among the newest in memory, or in the table they reach by the batch. Killed at any I/O call around
// a batch, every acknowledged id still gives its place.

import { expect, test } from 'vitest';
import { groupId } from '../../kernel/units.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import { SimWorld } from '../sim/sim-world.ts';

const batch = 64;

async function startShop(seed: number) {
  const world = new SimWorld(seed);
  const device = new SimDevice(world, 'till', [till], undefined);
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  const shard = await openTill(device);
  const random = world.random('ids');
  return { device, shard, newId: () => groupId(random.bytes(16)) };
}

async function openTill(device: SimDevice): Promise<OwnShard> {
  return device.engine.shard(await device.engine.openShard('till', 'till-1'));
}

const source = (n: number) => ({ kind: 'ops', inputs: [line(`s${n}`, 'sku')] }) as const;
const count = (shard: OwnShard, table: string): number => Number(shard.store.db.value(`SELECT count(*) FROM ${table}`));

test('every id of a long log gives its place, before and after a restart', async () => {
  const { device, shard, newId } = await startShop(1);
  const places = [];
  for (let n = 0; n < 3 * batch + 10; n++) {
    const id = newId();
    places.push({ id, n, place: await shard.save(id, source(n)) });
  }
  expect(count(shard, 'foldlog_id')).toBeGreaterThan(2 * batch);
  for (const { id, n, place } of places) expect(await shard.save(id, source(n))).toEqual(place);
  device.stop('kill');
  await device.boot();
  const again = await openTill(device);
  for (const { id, n, place } of places) expect(await again.save(id, source(n))).toEqual(place);
  expect(count(again, 'foldlog_group')).toBe(places.length);
});

test('a kill at any I/O call around a batch loses no id and saves nothing twice', async () => {
  let settledAtRestart = 0;
  for (let call = 1; call <= 60; call += 3) {
    const { device, shard, newId } = await startShop(100 + call);
    const calls = Array.from({ length: batch + 4 }, (_, n) => ({ id: newId(), n }));
    const [early, late] = [calls.slice(0, batch - 1), calls.slice(batch - 1)];
    const places = new Map(await Promise.all(early.map(async ({ id, n }) => [n, await shard.save(id, source(n))] as const)));
    device.disk.stopAfter(call);
    for (const { id, n } of late) {
      const place = await shard.save(id, source(n)).catch(() => undefined);
      if (place === undefined) break;
      places.set(n, place);
    }
    device.stop('kill');
    await device.boot();
    const again = await openTill(device);
    if (count(again, 'foldlog_id') > 0) settledAtRestart++;
    for (const { id, n } of calls) {
      const place = await again.save(id, source(n));
      if (places.has(n)) expect(place).toEqual(places.get(n));
    }
    expect(count(again, 'foldlog_group')).toBe(calls.length);
    expect(count(again, 'saleLine')).toBe(calls.length);
    device.stop('kill');
  }
  expect(settledAtRestart).toBeGreaterThan(0);
  expect(settledAtRestart).toBeLessThan(20);
});
