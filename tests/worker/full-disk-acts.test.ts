// A disk that fails any one call while people found, invite, follow or join: each of these ends well or in a typed error, with nothing half done.

import { describe, expect, test } from 'vitest';
import { FoldlogError } from '../../kernel/errors.ts';
import { SimShop } from '../sim/sim-shop.ts';

/** Runs `work` with the disk of the owner failing at its `call`-th call. Tells whether the call was reached. */
async function failAt(call: number, work: (shop: SimShop) => Promise<unknown>, prepare: (shop: SimShop) => Promise<unknown>) {
  const shop = new SimShop(7);
  await prepare(shop);
  const before = shop.owner.medium.calls;
  shop.owner.medium.failAfter(call);
  let error: unknown;
  await work(shop).catch((reason: unknown) => {
    error = reason;
  });
  const isReached = shop.owner.medium.calls - before >= call;
  shop.owner.stop('kill');
  return { error, isReached, shop };
}

const founded = async (shop: SimShop) => shop.committed(await shop.found());

describe('a disk that fails one call', () => {
  test.each([
    ['create', (shop: SimShop) => shop.owner.engine.create({ workspace: 'acme', device: 'Till 1' }), (shop: SimShop) => shop.owner.boot()],
    ['invite', (shop: SimShop) => shop.world.finish('invite', shop.owner.engine.invite({})), founded],
    ['follow', (shop: SimShop) => shop.owner.engine.follow('till/*'), founded],
    ['open a shard', (shop: SimShop) => shop.owner.engine.openShard('till', 'till-2'), founded],
  ] as const)('%s ends in a typed error', async (_name, work, prepare) => {
    let failed = 0;
    for (let call = 1; ; call += call < 8 ? 1 : 5) {
      const { error, isReached } = await failAt(call, work, prepare);
      if (!isReached) break;
      if (error === undefined) continue; // the failed call belonged to something that tries again by itself
      failed++;
      expect(error, `call ${call}`).toBeInstanceOf(FoldlogError);
    }
    expect(failed).toBeGreaterThan(0);
  });
});
