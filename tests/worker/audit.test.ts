// The audit: what it finds and what follows. Damage is made by hand in the tables, as a bad disk would leave it; bits are flipped in
// tests/worker/flipped-bits.test.ts.

import { describe, expect, test } from 'vitest';
import { sliceMsMax } from '../../kernel/limits.ts';
import { sql } from '../../shards/index.ts';
import type { Database } from '../../worker/engine/database.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { setExclusive, setPragmas } from '../../worker/engine/shard-file.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { SimShop } from '../sim/sim-shop.ts';
import { bootMirrorPool, bootPool } from '../sim/sim-sqlite.ts';

const totals = sql<{ qty: number; cents: number }>`SELECT sum(qty) AS qty, sum(cents) AS cents FROM total`;
const totalsOf = async (shard: OwnShard): Promise<unknown> => (await shard.read([totals]))[0]?.[0];
const spoilState = (db: Database): void => db.run('UPDATE total SET qty = qty + 1');

async function shopWithSales(backend: Backend, sales = 20): Promise<{ readonly shop: SimShop; readonly shard: OwnShard }> {
  const shop = new SimShop(91, { backend });
  const shard = await shop.found();
  await shop.sell(shard, sales);
  return { shop, shard };
}

/** Closes a device, changes what it stored, and starts it again. */
async function spoilStored(shop: SimShop, device: SimDevice, file: string): Promise<void> {
  await shop.world.finish('close', device.engine.close());
  device.stop('kill');
  const isMirror = device.medium === device.pages;
  const pool = isMirror ? await bootMirrorPool(device.pages, shop.world.scheduler) : await bootPool(device.disk);
  const db = await pool.open(file);
  setExclusive(db, pool);
  setPragmas(db, pool);
  spoilState(db);
  await pool.flush(file);
  db.close();
  await pool.close();
  device.stop('kill');
  await device.boot();
}

/** Three sales under a state that is wrong on disk. */
async function spoiledShop(backend: Backend): Promise<{ readonly shop: SimShop; readonly right: unknown }> {
  const { shop, shard } = await shopWithSales(backend, 3);
  const right = await totalsOf(shard);
  spoilState(shard.store.db);
  await shard.store.flush();
  return { shop, right };
}

async function untilStopped(device: SimDevice): Promise<void> {
  while (!device.medium.isStopped) await new Promise((resolve) => setImmediate(resolve));
}

/** How many of the steps are stopped at, evenly spread. */
const stopsMax = 60;

/** The one own shard's verdict. */
const auditOf = async (shop: SimShop) => (await shop.owner.engine.audit())[0]?.verdict;

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('a sound shard is called so, at its seq, in status', async () => {
    const { shop } = await shopWithSales(backend);
    expect(await auditOf(shop)).toEqual({ kind: 'sound', covers: 'log and state' });
    const { own, troubles } = await shop.owner.engine.status();
    expect(own[0]?.audit).toMatchObject({ atSeq: 40, verdict: { kind: 'sound' } });
    expect(troubles).toEqual([]);
  });

  test('damaged state is filled anew from the log, in the next generation of the file; saves go on, and the next start has one file', async () => {
    const { shop, shard } = await shopWithSales(backend);
    const right = await totalsOf(shard);
    spoilState(shard.store.db);
    await shard.store.flush();
    expect(await totalsOf(shard)).not.toEqual(right);
    expect(await auditOf(shop)).toMatchObject({ kind: 'damaged', part: 'state', error: { kind: 'corrupt', reason: 'damagedState' } });
    expect(await totalsOf(shard)).toEqual(right);
    expect(await auditOf(shop)).toMatchObject({ kind: 'sound' });
    await shop.sell(shard);
    shop.owner.stop('kill');
    await shop.owner.boot();
    const again = await shop.reopen();
    expect(again.store.head.seq).toBe(42);
    expect([...(await shop.owner.vault.markers()).keys()].filter((file) => file.startsWith('/s-'))).toEqual([again.store.file]);
    expect(again.store.file).toMatch(/-2\.db$/);
  });

  test('the way to the next generation, stopped all along it, is gone to its end by the next start and the next audit: kill and power cut', async () => {
    const whole = await spoiledShop(backend);
    const before = whole.shop.owner.medium.calls;
    expect(await auditOf(whole.shop)).toMatchObject({ kind: 'damaged', part: 'state' });
    const calls = whole.shop.owner.medium.calls - before;
    whole.shop.owner.stop('kill');
    const step = Math.max(1, Math.floor(calls / stopsMax));
    for (let call = 1; call <= calls; call += step) {
      const mode: StopMode = (call / step) % 2 < 1 ? 'kill' : 'power';
      const { shop, right } = await spoiledShop(backend);
      const { owner } = shop;
      owner.medium.stopAfter(call);
      await Promise.race([auditOf(shop).catch(() => undefined), untilStopped(owner)]);
      owner.stop(mode);
      await owner.boot();
      const again = await shop.reopen();
      expect(again.store.head.seq).toBe(6);
      await owner.engine.audit();
      expect(await totalsOf(again)).toEqual(right);
      expect([...(await owner.vault.markers()).keys()].filter((file) => file.startsWith('/s-'))).toEqual([again.store.file]);
      owner.stop('kill');
    }
    expect(calls).toBeGreaterThan(5);
  }, 120_000);

  test('a damaged log is told, kept, and not saved upon', async () => {
    const { shop, shard } = await shopWithSales(backend);
    shard.store.db.run('UPDATE foldlog_group SET body = zeroblob(length(body)) WHERE last_seq = 6');
    expect(await auditOf(shop)).toMatchObject({ kind: 'damaged', part: 'log', error: { reason: 'damagedLog' } });
    await expect(shop.sell(shard)).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedLog' });
    expect((await shop.owner.engine.status()).troubles).toEqual([expect.stringContaining('a body with another hash')]);
    expect(await totalsOf(shard)).toBeDefined();
  });

  test('a replica whose state changed by itself since the last audit is dropped and starts again', async () => {
    const { shop, shard } = await shopWithSales(backend);
    await shop.committed(shard);
    const other = await shop.join('other');
    await shop.level(other, shard);
    expect((await other.engine.audit())[0]?.verdict).toEqual({ kind: 'sound', covers: 'pages' });
    expect((await other.engine.audit())[0]?.verdict).toEqual({ kind: 'sound', covers: 'state since the last audit' });
    const read = async () => (await other.engine.readAcross('till/*', [totals]))[0]?.[0];
    const right = await read();
    const file = [...(await other.vault.markers()).keys()].find((name) => name.startsWith('/s-'));
    expect(file).toBeDefined();
    await spoilStored(shop, other, file ?? '');
    await shop.world.run('the replica is here', async () => (await shop.followed(other)) !== undefined);
    expect(await read()).not.toEqual(right);
    expect((await other.engine.audit())[0]?.verdict).toMatchObject({ kind: 'damaged', part: 'state' });
    await shop.level(other, shard);
    expect(await read()).toEqual(right);
  });
});

test('ids that are missing from their table are found and written again from the log, so that a late retry is not saved twice', async () => {
  const { shop, shard } = await shopWithSales('opfs-pool', 70);
  const id = shard.store.db.value('SELECT id FROM foldlog_group WHERE last_seq = 4') as never;
  shard.store.db.run('DELETE FROM foldlog_id WHERE last_seq = 4');
  expect(await shard.find(id)).toBeUndefined();
  expect(await auditOf(shop)).toMatchObject({ kind: 'damaged', part: 'ids' });
  expect((await shard.find(id))?.lastSeq).toBe(4);
  expect(await auditOf(shop)).toMatchObject({ kind: 'sound' });
});

test('an audit holds the shard 8 ms at a time, on the clock of the simulated world, and saves that come are answered before it ends', async () => {
  const { shop, shard } = await shopWithSales('opfs-pool', 600);
  const { mutex } = shard.store;
  const { clock } = shop.world;
  const own = mutex.own.bind(mutex);
  const turnsMs: number[] = [];
  const timed: typeof mutex.own = (rank, work) =>
    own(rank, async () => {
      const began = clock.ticks();
      try {
        return await work();
      } finally {
        if (rank === 'other') turnsMs.push(clock.ticks() - began);
      }
    });
  Object.assign(mutex, { own: timed });
  const ended: string[] = [];
  const auditing = shop.owner.engine.audit().then(() => ended.push('audit'));
  for (let i = 0; i < 3; i++) await shop.sell(shard).then(() => ended.push('save'));
  await auditing;
  expect(ended).toEqual(['save', 'save', 'save', 'audit']);
  expect(turnsMs.length).toBeGreaterThan(15);
  expect(Math.max(...turnsMs)).toBeLessThan(sliceMsMax + 0.5);
});
