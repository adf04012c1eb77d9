// How a followed shard starts (decision 0013): from a checkpoint first, from the first slot while the log is short, and from genesis when a person
// asked for it.

import { beforeAll, describe, expect, test } from 'vitest';
import { genesisOpsMax } from '../../kernel/limits.ts';
import { groupId } from '../../kernel/units.ts';
import { planStart } from '../../shards/start-plan.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';

const longOps = genesisOpsMax.phone + 1_000;

/** A shop with more ops than a phone folds unasked; its relay has lost every checkpoint. */
async function longShop(seed: number, ops = longOps): Promise<{ readonly shop: SimShop; readonly shard: OwnShard }> {
  const shop = new SimShop(seed);
  const shard = await shop.found();
  const random = shop.world.random('groups');
  for (let g = 0; g < ops / 1_000; g++) {
    const inputs = Array.from({ length: 1_000 }, (_, i) => line(`s${g}-${i}`, `sku-${i % 97}`));
    await shard.save(groupId(random.bytes(16)), { kind: 'ops', inputs });
  }
  await shop.committed(shard);
  await shop.world.finish('published', shard.publish());
  for (const key of await shop.keys('/checkpoint/')) await shop.store.delete(key);
  return { shop, shard };
}

async function joined(shop: SimShop, name: string, formFactor: 'phone' | 'desktop'): Promise<SimDevice> {
  const link = await shop.world.finish('invite', shop.owner.engine.invite({}));
  const device = new SimDevice(shop.world, name, [till], shop.http(name), { formFactor });
  await device.boot();
  await shop.world.finish('join', device.engine.join(link, name));
  await device.engine.follow('till/*');
  return device;
}

const totals = { text: 'SELECT sku, qty, cents FROM total ORDER BY sku', params: [] };
const rowsAt = async (device: SimDevice): Promise<string> => JSON.stringify(await device.engine.readAcross('till/*', [totals]));

describe('a long log without a checkpoint', () => {
  let shop: SimShop;
  let shard: OwnShard;
  beforeAll(async () => {
    ({ shop, shard } = await longShop(61));
  }, 60_000);

  test('is not folded on a phone unasked: the status says why, and no rows are shown', async () => {
    const phone = await joined(shop, 'phone', 'phone');
    await shop.world.run('the refusal is told', async () =>
      (await phone.engine.status()).troubles.some((text) => text.includes('to fold')),
    );
    expect(await rowsAt(phone)).toBe('[[]]');
    await expect(phone.engine.startFromGenesis('till', 'till-1')).rejects.toMatchObject({ kind: 'misuse', reason: 'notOnPhone' });

    const level = phone.engine.startFromGenesis('till', 'till-1', { evenOnPhone: true });
    const bootstrap = await shop.world.finish('genesis on the phone', level);
    expect(bootstrap).toMatchObject({ path: 'genesis', opsFolded: longOps, seqAtRelay: longOps, isLevel: true });
    expect(bootstrap.rowsTouched).toBeGreaterThanOrEqual(2 * longOps);
    expect(await rowsAt(phone)).toBe(await rowsAt(shop.owner));
    phone.stop('kill');
  }, 60_000);

  test('starts as soon as a checkpoint is there again', async () => {
    const phone = await joined(shop, 'phone-2', 'phone');
    await shop.world.run('the refusal is told', async () => (await phone.engine.status()).troubles.length > 0);
    await shop.world.finish('published', shard.publish());
    await shop.level(phone, shard);
    expect(await shop.followed(phone)).toMatchObject({ bootstrap: { path: 'checkpoint' } });
    expect((await phone.engine.status()).troubles).toEqual([]);
    phone.stop('kill');
  }, 60_000);
});

describe('a fold from genesis', () => {
  test('that was called off leaves the shard to the usual path', async () => {
    const { shop, shard } = await longShop(62, 3_000);
    await shop.world.finish('published', shard.publish());
    const device = await joined(shop, 'office', 'desktop');
    await shop.level(device, shard);
    const level = device.engine.startFromGenesis('till', 'till-1');
    const called = expect(level).rejects.toMatchObject({ kind: 'unavailable', reason: 'cancelled' });
    await expect(device.engine.startFromGenesis('till', 'till-1')).rejects.toMatchObject({ reason: 'genesisRunning' });
    await device.engine.cancelGenesis('till', 'till-1');
    await shop.world.run('it starts again', async () => (await shop.followed(device))?.bootstrap.isLevel === true);
    await called;
    expect(await shop.followed(device)).toMatchObject({ bootstrap: { path: 'checkpoint' } });
    expect(await rowsAt(device)).toBe(await rowsAt(shop.owner));
  }, 60_000);

  test('goes on from its cursor after a kill at any of twelve moments, and ends with the same rows', async () => {
    const { shop, shard } = await longShop(63, 6_000);
    const device = await joined(shop, 'office', 'desktop');
    await shop.level(device, shard);
    const rows = await rowsAt(device);
    for (let moment = 1; moment <= 12; moment++) {
      device.engine.startFromGenesis('till', 'till-1').catch(() => undefined);
      for (let i = 0; i < moment * 3; i++) await new Promise<void>((resolve) => setImmediate(resolve));
      device.stop(moment % 2 === 0 ? 'kill' : 'power');
      await device.boot();
      await shop.level(device, shard);
      expect(await rowsAt(device)).toBe(rows);
    }
  }, 120_000);

  test('that is asked for while the shard is being pulled is one from genesis', async () => {
    const { shop, shard } = await longShop(66, 2_000);
    await shop.world.finish('published', shard.publish());
    const device = await joined(shop, 'office', 'desktop');
    await shop.level(device, shard);
    const fetch = shop.relay.fetch.bind(shop.relay);
    let goOn: (() => void) | undefined;
    shop.relay.fetch = async (request) => {
      if (request.url.includes('/log?'))
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
      return fetch(request);
    };
    device.engine.wake(true);
    await shop.world.run('a pull is under way', () => goOn !== undefined);
    const genesis = device.engine.startFromGenesis('till', 'till-1');
    shop.relay.fetch = fetch;
    goOn?.();
    expect(await shop.world.finish('genesis', genesis)).toMatchObject({ path: 'genesis', isLevel: true });
  }, 60_000);

  test('of a shard nobody follows, or that is not there, is misuse', async () => {
    const shop = new SimShop(64);
    const shard = await shop.found();
    await shop.sell(shard);
    await shop.committed(shard);
    const { engine } = shop.owner;
    await expect(engine.startFromGenesis('till', 'nowhere')).rejects.toMatchObject({ kind: 'misuse', reason: 'unknownShard' });
    await expect(engine.startFromGenesis('till', 'till-1')).rejects.toMatchObject({ kind: 'misuse', reason: 'notFollowed' });
  });

  test('that meets a damaged log says so, and shows what was folded until there', async () => {
    const shop = new SimShop(65);
    const shard = await shop.found();
    await shop.sell(shard, 3);
    await shop.committed(shard);
    const device = await joined(shop, 'office', 'desktop');
    await shop.level(device, shard);
    const [key = ''] = await shop.keys('/log/');
    const found = await shop.store.get(key);
    if (found.kind !== 'found') throw new Error(key);
    await shop.store.delete(key);
    const broken = found.bytes.slice();
    broken[broken.length - 1] = (broken.at(-1) as number) ^ 1;
    await shop.store.put(key, broken, { kind: 'absent' });
    await expect(shop.world.finish('genesis', device.engine.startFromGenesis('till', 'till-1'))).rejects.toMatchObject({
      kind: 'corrupt',
    });
  });
});

describe('where a shard starts', () => {
  const facts = { hasCheckpoint: false, committedOps: 0, isGenesisAsked: false, formFactor: 'phone' } as const;
  const max = genesisOpsMax.phone;
  test.each([
    ['a checkpoint', { hasCheckpoint: true, committedOps: 10 * max }, { kind: 'checkpoint' }],
    ['nothing but a short log', { committedOps: max }, { kind: 'genesis' }],
    ['nothing but a long log', { committedOps: max + 1 }, { kind: 'refuse', opsMax: max }],
    ['a wish for genesis', { hasCheckpoint: true, committedOps: 10 * max, isGenesisAsked: true }, { kind: 'genesis' }],
  ] as const)('with %s', (_, given, plan) => {
    expect(planStart({ ...facts, ...given })).toEqual(plan);
  });
});
