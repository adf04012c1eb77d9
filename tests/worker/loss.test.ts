// Files gone while the vault stays, and the vault gone while files stay: each is told by name and changes nothing; by choice the store goes on with
// what is left, and the relay's copy of what is not. In a real browser: tests/browser/loss.test.ts.

import { describe, expect, test } from 'vitest';
import { groupId } from '../../kernel/units.ts';
import { sql } from '../../shards/index.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { filesIn } from '../sim/damage.ts';
import { line } from '../sim/shop.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';

const salesQuery = sql<{ n: number }>`SELECT count(DISTINCT sale) AS n FROM saleLine`;

/** Evicts all files and leaves the vault. */
function evictFiles(device: SimDevice): void {
  device.stop('kill');
  for (const path of device.disk.paths()) device.disk.remove(path);
  device.pages.load({ owner: undefined, files: new Map(), pages: new Map() });
}

/** Evicts the files of shards and leaves the workspace file. */
function evictShardFiles(device: SimDevice): void {
  device.stop('kill');
  for (const [path, file] of filesIn(device.disk.image())) if (file.startsWith('/s-')) device.disk.remove(path);
  device.pages.edit(({ files, pages }) => {
    for (const file of [...files.keys()].filter((name) => name.startsWith('/s-'))) {
      files.delete(file);
      pages.delete(file);
    }
  });
}

/** Seven sales of two ops, committed, a checkpoint after five; then one that is only saved. */
async function shopWithSales(backend: Backend): Promise<SimShop> {
  const shop = new SimShop(81, { backend });
  const shard = await shop.found();
  await shop.sell(shard, 5);
  await shop.committed(shard);
  await shop.world.finish('publish', shard.publish());
  await shop.sell(shard, 2);
  await shop.committed(shard);
  shop.faults.requestLost = 1;
  await shop.sell(shard, 1);
  await shop.world.run('its push is lost', () => shard.pushState.kind === 'waiting');
  return shop;
}

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('files gone, vault there: told by name with the last committed seq; nothing is created', async () => {
    const shop = await shopWithSales(backend);
    const { owner, faults } = shop;
    evictFiles(owner);
    const offline = await owner.boot().catch((error: unknown) => error);
    expect(offline).toMatchObject({ kind: 'corrupt', reason: 'missingFile', found: expect.stringContaining('the workspace file') });
    expect(offline).toMatchObject({ found: expect.stringContaining('own shard till/till-1 (the relay does not answer)') });
    owner.stop('kill');
    faults.requestLost = 0;
    const online = await owner.boot().catch((error: unknown) => error);
    expect(online).toMatchObject({ found: expect.stringContaining('own shard till/till-1 (committed up to seq 14)') });
    expect((await owner.vault.markers()).size).toBe(2);
  });

  test('files gone, by choice: the lost shard is followed from its checkpoint and never opened empty; saving goes on under another name', async () => {
    const shop = await shopWithSales(backend);
    const { owner, world, faults } = shop;
    evictFiles(owner);
    faults.requestLost = 0;
    for (let start = 0; start < 2; start++) {
      const engine = await owner.boot('follow');
      await expect(engine.openShard('till', 'till-1')).rejects.toMatchObject({ kind: 'corrupt', reason: 'missingFile' });
      await world.run('the lost shard is level', async () => (await shop.followed(owner))?.seq === 14);
      const { lost, followed } = await engine.status();
      expect(lost).toEqual([{ kind: 'till', name: 'till-1', why: 'file' }]);
      expect(followed[0]?.bootstrap.path).toBe(start === 0 ? 'checkpoint' : 'open');
      const [[count] = []] = await engine.readAcross('till/till-1', [salesQuery]);
      expect(count).toEqual({ n: 7 });
      if (start === 0) owner.stop('kill');
    }
    const next = owner.engine.shard(await owner.engine.openShard('till', 'till-2'));
    await next.save(groupId(new Uint8Array(16).fill(9)), { kind: 'ops', inputs: [line('after', 'sku')] });
    await shop.committed(next);
    const [[all] = []] = await owner.engine.readAcross('till/*', [salesQuery]);
    expect(all).toEqual({ n: 8 });
  });

  test('a replica gone starts again from a checkpoint by itself', async () => {
    const shop = await shopWithSales(backend);
    shop.faults.requestLost = 0;
    const shard = shop.owner.engine.shard('till/till-1');
    const other = await shop.join('other');
    await shop.committed(shard);
    await shop.level(other, shard);
    evictShardFiles(other);
    await other.boot();
    await shop.level(other, shard);
    expect((await shop.followed(other))?.bootstrap.path).toBe('checkpoint');
  });

  test('vault gone, files there: told, and nothing is changed; by choice they are read, what waits is sent, no save is signed by another key', async () => {
    const shop = await shopWithSales(backend);
    const { owner, world, faults } = shop;
    owner.stop('kill');
    owner.vault.clear();
    await expect(owner.boot()).rejects.toMatchObject({ kind: 'corrupt', reason: 'keyLost' });
    expect(await owner.vault.signer()).toBeUndefined();
    owner.stop('kill');
    const engine = await owner.boot('follow');
    const shard = await shop.reopen();
    const [[count] = []] = await shard.read([salesQuery]);
    expect(count).toEqual({ n: 8 });
    await expect(shop.sell(shard)).rejects.toMatchObject({ kind: 'corrupt', reason: 'keyLost' });
    expect((await engine.status()).lost).toEqual([{ kind: 'till', name: 'till-1', why: 'key' }]);
    faults.requestLost = 0;
    engine.wake(true);
    await world.run('what waited is committed', () => shard.committed.seq === 16);
  });
});
