// Followers while an app evolves: of an older release than the writer, of a newer one, and new devices that begin from a checkpoint. The writer, the
// relay and the follower are the real ones, in the simulated world.

import { describe, expect, test, vi } from 'vitest';
import { groupId } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { sql } from '../../shards/index.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { ReplicaStatus } from '../../worker/engine/replica-status.ts';
import { till1Patched, till1WithNotes, till1WithSignedNotes, till2, till2Careless, till2Writing, till3 } from '../sim/evolving.ts';
import { till } from '../sim/shop.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';

/** Each test starts several engines, each with a SQLite of its own. */
vi.setConfig({ testTimeout: 60_000 });

async function shopWithSales(seed: number): Promise<{ readonly shop: SimShop; readonly shard: OwnShard }> {
  const shop = new SimShop(seed);
  const shard = await shop.found();
  await shop.sell(shard, 3);
  await shop.committed(shard);
  return { shop, shard };
}

/** Ends the device's engine as an update does, and starts the release `definition` is of. */
async function restart(shop: SimShop, device: SimDevice, definition: ShardDefinition): Promise<void> {
  await shop.world.finish('closed', device.engine.close());
  device.stop('kill');
  device.install([definition]);
  await device.boot();
}

async function updateOwner(shop: SimShop, definition: ShardDefinition): Promise<OwnShard> {
  await restart(shop, shop.owner, definition);
  return shop.world.finish('opened', shop.reopen());
}

const rows = async (device: SimDevice, columns = 'sale, sku, qty') =>
  (await device.engine.readAcross('till/*', [{ text: `SELECT ${columns} FROM saleLine ORDER BY sale, sku`, params: [] }]))[0];

async function untilStatus(shop: SimShop, device: SimDevice, what: string, is: (status: ReplicaStatus) => boolean): Promise<ReplicaStatus> {
  let found: ReplicaStatus | undefined;
  await shop.world.run(what, async () => {
    found = await shop.followed(device);
    return found !== undefined && is(found);
  });
  return found as ReplicaStatus;
}

const isLevel = (shop: SimShop, device: SimDevice): Promise<boolean> =>
  shop.followed(device).then(
    (status) => status?.bootstrap.isLevel === true,
    () => false,
  );

async function untilStopped(device: SimDevice): Promise<void> {
  for (let turns = 0; turns < 200 && !device.medium.isStopped; turns++) await new Promise((resolve) => setImmediate(resolve));
}

describe('a follower older than the writer', () => {
  test('stops before the move, serves the shard as of there, and folds on after its own update', async () => {
    const { shop, shard } = await shopWithSales(81);
    const office = await shop.join('office');
    await shop.level(office, shard);
    const before = await rows(office);
    const moved = await updateOwner(shop, till2);
    await shop.sell(moved, 2);
    await shop.committed(moved);
    const stopped = await untilStatus(shop, office, 'stopped', (status) => status.stopped !== undefined);
    expect(stopped).toMatchObject({ seq: 6, stopped: { kind: 'upgradeNeeded', reason: 'newerSchema' } });
    expect(await rows(office)).toEqual(before);
    await restart(shop, office, till);
    await untilStatus(shop, office, 'stopped again', (status) => status.stopped !== undefined);
    expect(await rows(office)).toEqual(before);
    await restart(shop, office, till2);
    await shop.level(office, moved);
    expect(await rows(office, 'sale, sku, vat')).toEqual(await rows(shop.owner, 'sale, sku, vat'));
    expect((await shop.followed(office))?.bootstrap.path).toBe('open');
  });

  test.each([
    ['a class', till, till1WithNotes, 'unknownClass'],
    ['a version of a class', till1WithNotes, till1WithSignedNotes, 'newerClass'],
  ] as const)('stops at %s it does not know, says so, and folds on after its update', async (_, old, next, reason) => {
    const { shop } = await shopWithSales(82);
    const shard = await updateOwner(shop, old);
    const office = await shop.join('office', [old]);
    await shop.level(office, shard);
    const moved = await updateOwner(shop, next);
    const at = moved.store.head.seq;
    const note = { words: 'wet floor', by: 'Ada' };
    await moved.save(groupId(new Uint8Array(16).fill(7)), { kind: 'ops', inputs: [['sale.noted', note]] });
    await shop.sell(moved, 1);
    await shop.committed(moved);
    const stopped = await untilStatus(shop, office, 'stopped', (status) => status.stopped !== undefined);
    expect(stopped).toMatchObject({ seq: at, stopped: { kind: 'upgradeNeeded', reason } });
    await restart(shop, office, next);
    await shop.level(office, moved);
    expect(await rows(office)).toEqual(await rows(shop.owner));
  });

  test('a class is written in its old version for one release, so that nobody stops; then in the new one', async () => {
    const { shop } = await shopWithSales(83);
    const reading = await updateOwner(shop, till2);
    await shop.sell(reading, 1);
    await shop.committed(reading);
    const classes = (shard: OwnShard) =>
      shard.store.db
        .all<{ body: Uint8Array }>('SELECT body FROM foldlog_group ORDER BY last_seq DESC LIMIT 1')
        .map(({ body }) => (JSON.parse(new TextDecoder().decode(body)) as [string, number][])[0]?.slice(0, 2));
    expect(classes(reading)).toEqual([['sale.line', 1]]);
    const office = await shop.join('office', [till2]);
    await shop.level(office, reading);
    const writing = await updateOwner(shop, till2Writing);
    const line = { sale: 'new', sku: 'mug', qty: 1, cents: 100, vat: 7 };
    await writing.save(groupId(new Uint8Array(16).fill(9)), { kind: 'ops', inputs: [['sale.line', line]] });
    expect(classes(writing)).toEqual([['sale.line', 2]]);
    await shop.committed(writing);
    await shop.level(office, writing);
    const vats = await rows(office, 'sale, vat');
    expect(vats).toEqual(await rows(shop.owner, 'sale, vat'));
    expect(vats?.[0]).toMatchObject({ sale: 'new', vat: 7 });
  });

  test('does not load a checkpoint of a newer schema, and says why', async () => {
    const { shop } = await shopWithSales(84);
    const moved = await updateOwner(shop, till2);
    await shop.committed(moved);
    await shop.world.run('published', async () => (await shop.keys('/checkpoint/')).length > 0);
    const phone = await shop.join('phone');
    await shop.world.run('told', async () => (await phone.engine.status()).troubles.length > 0);
    const { troubles, followed } = await phone.engine.status();
    expect(troubles.join()).toMatch(/schema version 2/);
    expect(followed).toEqual([]);
    await restart(shop, phone, till2);
    await shop.level(phone, moved);
    expect((await shop.followed(phone))?.bootstrap.path).toBe('checkpoint');
  });
});

describe('a follower newer than the writer', () => {
  test('migrates its replica on open, folds by upcast, and at the move finds the same state', async () => {
    const { shop, shard } = await shopWithSales(85);
    const office = await shop.join('office');
    await shop.level(office, shard);
    await restart(shop, office, till2);
    await shop.sell(shard, 2);
    await shop.committed(shard);
    await shop.level(office, shard);
    const status = await shop.followed(office);
    expect(status).toMatchObject({ seq: 10, bootstrap: { path: 'open' }, schema: { version: 2, move: undefined } });
    expect((await rows(office, 'vat'))?.every((row) => row.vat === 50)).toBe(true);
    const moved = await updateOwner(shop, till2);
    await shop.sell(moved, 1);
    const settled = await untilStatus(shop, office, 'compared', (each) => each.schema.move !== undefined);
    expect(settled.schema).toMatchObject({ move: { kind: 'same', atSeq: 11, isDifferent: false }, writerFold: settled.schema.foldId });
    await shop.level(office, moved);
    expect(await rows(office, 'sale, sku, vat')).toEqual(await rows(shop.owner, 'sale, sku, vat'));
  });

  test('stopped at any step of migrating its replica it has the old one or the new one, and folds on', async () => {
    const { shop, shard } = await shopWithSales(91);
    const office = await shop.join('office');
    await shop.level(office, shard);
    await shop.world.finish('closed', office.engine.close());
    office.stop('kill');
    const disk = office.disk.image();
    office.install([till2]);
    const start = async (): Promise<number> => {
      office.disk.load(disk);
      const before = office.medium.calls;
      await office.boot();
      await shop.level(office, shard);
      return office.medium.calls - before;
    };
    const calls = await start();
    office.stop('kill');
    const stops = 24;
    for (let i = 1; i <= stops; i++) {
      office.disk.load(disk);
      office.medium.stopAfter(Math.ceil((i * calls) / stops));
      const booting = office.boot().catch(() => undefined);
      await Promise.race([booting, untilStopped(office)]);
      if (!office.medium.isStopped)
        await shop.world.run('stopped or level', async () => office.medium.isStopped || (await isLevel(shop, office)));
      office.stop('kill');
      await office.boot();
      await shop.level(office, shard);
      expect((await rows(office, 'vat'))?.every((row) => row.vat === 50)).toBe(true);
      expect((await shop.followed(office))?.bootstrap.path).toBe('open');
      office.stop('kill');
    }
  }, 120_000);

  test('is not taken for damaged by the audit because its tables changed', async () => {
    const { shop, shard } = await shopWithSales(92);
    const office = await shop.join('office');
    await shop.level(office, shard);
    await office.engine.audit();
    expect(await office.engine.audit()).toMatchObject([{ verdict: { kind: 'sound', covers: 'state since the last audit' } }]);
    await restart(shop, office, till2);
    await shop.level(office, shard);
    expect(await office.engine.audit()).toMatchObject([{ verdict: { kind: 'sound', covers: 'pages' } }]);
  });

  test('that made other rows of the past takes the checkpoint of the move, and reports it', async () => {
    const { shop, shard } = await shopWithSales(86);
    // Folds from genesis by upcast, where the writer will migrate rows: with this release the two differ.
    const office = await shop.join('office', [till2Careless]);
    await shop.level(office, shard);
    expect((await rows(office, 'vat'))?.every((row) => row.vat === 50)).toBe(true);
    const moved = await updateOwner(shop, till2Careless);
    const settled = await untilStatus(shop, office, 'settled', (each) => each.schema.move !== undefined);
    expect(settled.schema.move).toEqual({ kind: 'taken', atSeq: 7, isDifferent: true });
    await shop.sell(moved, 2);
    await shop.committed(moved);
    await shop.level(office, moved);
    expect((await shop.followed(office))?.bootstrap.path).toBe('checkpoint');
    const wanted = await rows(shop.owner, 'sale, sku, vat');
    expect(wanted?.some((row) => row.vat === 0)).toBe(true);
    expect(await rows(office, 'sale, sku, vat')).toEqual(wanted);
  });

  test('that was stopped while it compared goes on from there', async () => {
    const { shop, shard } = await shopWithSales(87);
    const office = await shop.join('office', [till2Careless]);
    await shop.level(office, shard);
    // The writer moves and is away before its checkpoint: the follower crosses the move and goes on alone.
    shop.faults.requestLost = 1;
    const moved = await updateOwner(shop, till2Careless);
    await shop.sell(moved, 1);
    shop.faults.requestLost = 0;
    await shop.level(office, moved);
    office.stop('kill');
    await office.boot();
    await shop.world.run('published', async () => (await shop.keys('/checkpoint/')).length > 0);
    await untilStatus(shop, office, 'settled', (each) => each.schema.move !== undefined);
    await shop.level(office, moved);
    expect(await rows(office, 'sale, sku, vat')).toEqual(await rows(shop.owner, 'sale, sku, vat'));
  });

  test('of the same version and another fold follows, and tells both', async () => {
    const { shop, shard } = await shopWithSales(88);
    const office = await shop.join('office', [till1Patched]);
    await shop.level(office, shard);
    await shop.world.finish('published', shard.publish());
    const phone = await shop.join('phone', [till1Patched]);
    await shop.level(phone, shard);
    expect(await rows(phone)).toEqual(await rows(shop.owner));
    const { schema, bootstrap } = (await shop.followed(phone)) as ReplicaStatus;
    expect(bootstrap.path).toBe('checkpoint');
    expect(schema.writerFold).not.toBe(schema.foldId);
  });
});

describe('a new device', () => {
  test('takes a checkpoint of an older schema, checked at its version, and migrates it before anybody sees it', async () => {
    const { shop, shard } = await shopWithSales(89);
    await shop.world.finish('published', shard.publish());
    await shop.sell(shard, 2);
    await shop.committed(shard);
    const phone = await shop.join('phone', [till3]);
    await shop.level(phone, shard);
    expect((await shop.followed(phone))?.bootstrap).toMatchObject({ path: 'checkpoint', groupsFolded: 2 });
    const found = await rows(phone, 'sale, vat');
    expect(found).toHaveLength(10);
    expect(found?.every((row) => row.vat === 50)).toBe(true);
    expect(await phone.engine.readAcross('till/*', [sql`SELECT count(*) AS n FROM note`])).toEqual([[{ n: 0 }]]);
  });

  test('stopped at any step of loading and migrating it begins again, and ends level', async () => {
    const { shop, shard } = await shopWithSales(90);
    await shop.world.finish('published', shard.publish());
    const link = () => shop.world.finish('invite', shop.owner.engine.invite({}));
    const count = async (stopAfter: number | undefined): Promise<number> => {
      const phone = shop.device(`phone ${stopAfter}`, [till2]);
      await phone.boot();
      await shop.world.finish('join', phone.engine.join(await link(), 'phone'));
      const before = phone.medium.calls;
      if (stopAfter !== undefined) phone.medium.stopAfter(stopAfter);
      const following = phone.engine.follow('till/*').catch(() => undefined);
      if (stopAfter !== undefined) {
        void following;
        // Late steps may not be needed any more: a device that is level may be stopped as well.
        await shop.world.run('stopped or level', async () => phone.medium.isStopped || (await isLevel(shop, phone)));
        phone.stop('kill');
        await phone.boot();
        await phone.engine.follow('till/*');
      }
      await shop.level(phone, shard);
      expect((await rows(phone, 'vat'))?.every((row) => row.vat === 50)).toBe(true);
      expect((await phone.engine.status()).troubles).toEqual([]);
      const calls = phone.medium.calls - before;
      phone.stop('kill');
      return calls;
    };
    const calls = await count(undefined);
    expect(calls).toBeGreaterThan(20);
    const step = Math.max(1, Math.floor(calls / 12));
    for (let call = 1; call < calls; call += step) await count(call);
  }, 240_000);
});
