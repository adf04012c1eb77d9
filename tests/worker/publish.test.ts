// Publishing while other work goes on: what ends a copy that is being made, what a try that was cut off leaves, and how often what fails is tried again.

import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { decodeCheckpoint } from '../../kernel/checkpoint.ts';
import { frozenWalBytesMax, sliceMsMax } from '../../kernel/limits.ts';
import { groupId } from '../../kernel/units.ts';
import { ifMatch } from '../../relay/object-store.ts';
import { sql } from '../../shards/index.ts';
import { stateHashOf } from '../../worker/engine/image.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import type { DeviceOptions } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';

const sold = sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`;

/** A shop with enough rows that a copy takes many slices. */
async function largeShop(seed: number, options: DeviceOptions = {}): Promise<{ readonly shop: SimShop; readonly shard: OwnShard }> {
  const shop = new SimShop(seed, options);
  const shard = await shop.found();
  for (let sale = 0; sale < 4; sale++) {
    const inputs = Array.from({ length: 1_000 }, (_, n) => line(`bulk-${sale}`, `sku-${n}`));
    await shard.save(idOf(shop), { kind: 'ops', inputs });
  }
  await shop.committed(shard);
  return { shop, shard };
}

function idOf(shop: SimShop) {
  return groupId(shop.world.random('test ids').bytes(16));
}

const scratchFiles = (shop: SimShop): readonly string[] => [...shop.owner.pool.files()].filter((file) => file.startsWith('/scratch-'));

async function turnsOfTheCopy(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

describe('a copy on OPFS is dropped, and can be made again, when', () => {
  test('a query across shards wants the newest commits in the file; the query sees them', async () => {
    const { shop, shard } = await largeShop(300);
    const publishing = shard.publish();
    publishing.catch(() => undefined);
    await turnsOfTheCopy();
    expect(shard.store.isFrozen).toBe(true);
    await shop.sell(shard, 1, 3);
    const [rows] = await shop.owner.engine.readAcross('till/*', [sold]);
    expect(rows).toEqual([{ n: 4_003 }]);
    await expect(shop.world.finish('publish', publishing)).rejects.toMatchObject({ kind: 'unavailable', reason: 'extractionDropped' });
    await requireAfterDrop(shop, shard);
  });

  test('the WAL passes its bound; it is taken into the file then', async () => {
    const { shop, shard } = await largeShop(301);
    const publishing = shard.publish();
    publishing.catch(() => undefined);
    await turnsOfTheCopy();
    const bytes = 1_000_000;
    let most = 0;
    for (let n = 0; n * bytes < 2 * frozenWalBytesMax && shard.store.isFrozen; n++) {
      await shard.save(idOf(shop), { kind: 'ops', inputs: [line(`big-${n}`, 'x'.repeat(bytes))] });
      most = Math.max(most, await shard.store.mutex.own('other', () => shard.store.walBytes()));
    }
    await expect(shop.world.finish('publish', publishing)).rejects.toMatchObject({ reason: 'extractionDropped' });
    expect(most).toBeGreaterThan(frozenWalBytesMax - 2 * bytes);
    expect(most).toBeLessThan(frozenWalBytesMax + 4 * bytes);
    expect(shard.store.walBytes()).toBeLessThan(bytes);
    await requireAfterDrop(shop, shard);
  }, 60_000);

  test('a failed commit makes the file open anew; the new connection takes its WAL in by itself again', async () => {
    const { shop, shard } = await largeShop(302);
    const publishing = shard.publish();
    publishing.catch(() => undefined);
    await turnsOfTheCopy();
    await shard.store.mutex.own('save', () => shard.store.reopen());
    await expect(shop.world.finish('publish', publishing)).rejects.toMatchObject({ reason: 'extractionDropped' });
    expect(shard.store.db.value('PRAGMA wal_autocheckpoint')).toBe(1_000);
    await requireAfterDrop(shop, shard);
  });

  test('the shard is closed; no scratch file stays', async () => {
    const { shop, shard } = await largeShop(303);
    const publishing = shard.publish();
    publishing.catch(() => undefined);
    await turnsOfTheCopy();
    const { pool } = shop.owner;
    await shop.world.finish('close', shard.close());
    await expect(publishing).rejects.toMatchObject({ reason: 'extractionDropped' });
    expect(pool.files().filter((file) => file.startsWith('/scratch-'))).toEqual([]);
  });

  async function requireAfterDrop(shop: SimShop, shard: OwnShard): Promise<void> {
    expect(shard.store.isFrozen).toBe(false);
    expect(shard.store.db.value('PRAGMA wal_autocheckpoint')).toBe(1_000);
    expect(scratchFiles(shop)).toEqual([]);
    expect(shard.store.db.value('PRAGMA integrity_check')).toBe('ok');
    await shop.sell(shard, 1);
    const { stateHash, head } = await shop.world.finish('publish', shard.publish());
    expect(head).toEqual(shard.store.head);
    expect(bytesToHex(stateHash)).toBe(bytesToHex(stateHashOf(shard.store.db, till)));
    expect(scratchFiles(shop)).toEqual([]);
  }
});

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('saves land between the slices of a copy, and no turn is longer than a slice', async () => {
    const { shop, shard } = await largeShop(304, { backend });
    const at = shard.store.head.seq;
    const publishing = shard.publish();
    let during = 0;
    await turnsOfTheCopy();
    while (scratchFiles(shop).length > 0 && during < 5) {
      await shop.sell(shard, 1);
      during++;
    }
    expect(during).toBe(5);
    const { head } = await shop.world.finish('publish', publishing);
    expect(head.seq).toBe(at);
    expect(shard.store.head.seq).toBe(at + 10);
    // The simulated clock counts looks at it, not work: this holds the loop to asking it.
    const { copy = 0 } = (await shard.status()).upkeep?.longestTurnsMs ?? {};
    expect(copy).toBeGreaterThan(0);
    expect(copy).toBeLessThan(sliceMsMax + 1);
  });

  test('a statement whose answer was lost, with a stop after it, is noted by the next try; one of another key is not', async () => {
    const { shop, shard } = await largeShop(305, { backend });
    const real = shop.relay.fetch.bind(shop.relay);
    let isCut = false;
    shop.relay.fetch = async (request) => {
      const answer = await real(request);
      if (request.method === 'POST' && /checkpoints?$/.test(new URL(request.url).pathname)) {
        isCut = true;
        return new Promise(() => undefined);
      }
      return answer;
    };
    shard.publish().catch(() => undefined);
    await shop.world.run('the statement stands', () => isCut);
    shop.owner.stop('kill');
    shop.relay.fetch = real;
    const [key = ''] = await shop.keys('/checkpoint/');
    const stored = await shop.store.get(key);
    if (stored.kind !== 'found') throw new Error('no statement');
    await shop.owner.boot();
    const again = await shop.reopen();
    await shop.world.run('online', async () => (await shop.owner.engine.status()).link.kind === 'online');
    expect((await again.status()).checkpointSeq).toBe(0);
    // Its signature is no more than another key's.
    const forged = stored.bytes.slice();
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    await shop.store.put(key, forged, ifMatch(stored.etag));
    expect(await shop.world.finish('settle', again.settleCheckpoint())).toBe(false);
    expect((await again.status()).checkpointSeq).toBe(0);
    const now = await shop.store.get(key);
    await shop.store.put(key, stored.bytes, ifMatch(now.kind === 'found' ? now.etag : stored.etag));
    expect(await shop.world.finish('settle', again.settleCheckpoint())).toBe(true);
    expect((await again.status()).upkeep?.checkpoint).toEqual({ number: 1, seq: decodeCheckpoint(stored.bytes, 'statement').head.seq });
    expect(await shop.world.finish('truncate', again.truncate())).toMatchObject({ toSeq: 3_000 });
  });

  test('what fails is tried again by the clock, not by the receipt', async () => {
    const shop = new SimShop(306, { backend });
    const shard = await shop.found();
    const real = shop.relay.fetch.bind(shop.relay);
    let tries = 0;
    shop.relay.fetch = async (request) => {
      if (!/\/chunks?\//.test(new URL(request.url).pathname)) return real(request);
      tries++;
      return new Response('full', { status: 507 });
    };
    for (let sale = 0; sale < 18; sale++) {
      const inputs = Array.from({ length: 1_000 }, (_, n) => line(`bulk-${sale}`, `sku-${n}`));
      await shard.save(idOf(shop), { kind: 'ops', inputs });
    }
    await shop.committed(shard);
    await shop.world.run('it failed', async () => (await shard.status()).upkeep?.retryAtMs !== undefined);
    expect((await shard.status()).upkeep?.lastError).toMatchObject({ kind: 'unavailable' });
    const before = tries;
    const at = shop.world.clock.now();
    for (let n = 0; n < 20; n++) {
      await shop.sell(shard, 1);
      await shop.committed(shard);
    }
    const passedMs = shop.world.clock.now() - at;
    // Half a second doubled at each failure: more tries than this would be more than the back-off allows.
    expect(tries - before).toBeLessThanOrEqual(Math.ceil(Math.log2(2 + passedMs / 250)));
    shop.relay.fetch = real;
    await shop.world.run('it was published', async () => (await shard.status()).upkeep?.checkpoint !== undefined, 700_000);
    expect((await shard.status()).upkeep).toMatchObject({ lastError: undefined, retryAtMs: undefined });
  }, 60_000);
});

test('where files share a cap a copy that could make a save be refused is not made', async () => {
  const { shop, shard } = await largeShop(307, { backend: 'indexeddb', bytesMax: 12 * 1024 * 1024 });
  await shard.save(idOf(shop), { kind: 'ops', inputs: [line('big', 'x'.repeat(3_000_000))] });
  await shop.committed(shard);
  await expect(shop.world.finish('publish', shard.publish())).rejects.toMatchObject({ kind: 'storageFull', reason: 'noRoomToCopy' });
  expect(scratchFiles(shop)).toEqual([]);
  await shop.sell(shard, 3);
});
