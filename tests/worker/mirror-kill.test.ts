// Stops a device whose files are mirrored over IndexedDB at every step of a day's transactions: founding, selling, receipts, publishing a
// checkpoint, closing; and joining, importing that checkpoint, following. What was acknowledged is there, and the day can be finished.

import { expect, test } from 'vitest';
import type { SimDevice } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';

const mirror = { backend: 'indexeddb' } as const;

interface Ledger {
  saved: number;
  isClosed: boolean;
}

/** Does what is still to do of the owner's day, which may have been begun before. */
async function ownersDay(shop: SimShop, ledger: Ledger): Promise<void> {
  const { owner, world } = shop;
  await owner.boot();
  if ((await owner.engine.status()).workspace === undefined) await owner.engine.create({ workspace: 'acme', device: 'Till 1' });
  const shard = await shop.reopen();
  expect(shard.store.head.seq).toBeGreaterThanOrEqual(ledger.saved);
  expect(shard.store.db.value('PRAGMA integrity_check')).toBe('ok');
  while (shard.store.head.seq < 12) {
    await shop.sell(shard);
    ledger.saved = shard.store.head.seq;
  }
  await shop.committed(shard);
  await world.finish('publish', shard.publish());
  await shop.sell(shard, 2);
  ledger.saved = shard.store.head.seq;
  await owner.engine.close();
  ledger.isClosed = true;
}

async function followersDay(shop: SimShop, device: SimDevice, link: string): Promise<void> {
  await device.boot();
  // A device that was stopped while it joined may be in already, and its control loop pulls while this does.
  await shop.world.finish('join', device.engine.join(link, 'Till 2'));
  await device.engine.follow('till/*');
  const head = shop.owner.engine.shard('till/till-1').store.head.seq;
  await shop.world.run('the follower is level', async () => (await shop.followed(device))?.seq === head);
  await device.engine.close();
}

test('a day of the owner, stopped at every step, is finished with everything that was acknowledged', async () => {
  let call = 0;
  for (let isWhole = false; !isWhole; ) {
    call++;
    const shop = new SimShop(71, mirror);
    const ledger: Ledger = { saved: 0, isClosed: false };
    shop.owner.pages.stopAfter(call);
    await ownersDay(shop, ledger).catch(() => undefined);
    isWhole = ledger.isClosed && shop.owner.pages.calls < call;
    shop.owner.stop('kill');
    await ownersDay(shop, ledger);
    await shop.owner.boot();
    const shard = await shop.reopen();
    expect(shard.store.head.seq).toBe(ledger.saved);
  }
  expect(call).toBeGreaterThan(40);
}, 240_000);

test('a follower that starts from a checkpoint, stopped at every step, ends with the same totals', async () => {
  let call = 0;
  for (let isWhole = false; !isWhole; ) {
    call++;
    const shop = new SimShop(72, mirror);
    const shard = await shop.found();
    await shop.sell(shard, 6);
    await shop.committed(shard);
    await shop.world.finish('publish', shard.publish());
    await shop.sell(shard, 2);
    await shop.committed(shard);
    const link = await shop.world.finish('invite', shop.owner.engine.invite({}));
    const bob = shop.device('bob');
    bob.pages.stopAfter(call);
    isWhole = await followersDay(shop, bob, link).then(
      () => bob.pages.calls < call,
      () => false,
    );
    bob.stop('kill');
    await followersDay(shop, bob, link);
    await bob.boot();
    await shop.world.run('opened', async () => (await shop.followed(bob))?.seq === shard.store.head.seq);
    const [rows] = await bob.engine.readAcross('till/*', [{ text: 'SELECT sum(qty) AS qty FROM total', params: [] }]);
    expect(rows).toEqual([{ qty: shard.store.head.seq }]);
  }
  expect(call).toBeGreaterThan(20);
}, 240_000);
