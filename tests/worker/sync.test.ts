// Pushing, following, publishing and starting over the real relay core, with the network, the store and the objects made to misbehave.

import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { decodeCheckpoint } from '../../kernel/checkpoint.ts';
import type { PackedRun } from '../../kernel/run.ts';
import { decodeSlotObject } from '../../kernel/segment.ts';
import { slot } from '../../kernel/units.ts';
import { ifMatch } from '../../relay/object-store.ts';
import { stateHashOf } from '../../worker/engine/image.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { till } from '../sim/shop.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';

const stateOf = (shard: OwnShard): string => bytesToHex(stateHashOf(shard.store.db, till));

async function replicaState(device: SimDevice): Promise<string> {
  const [rows] = await device.engine.readAcross('till/*', [{ text: 'SELECT sku, qty, cents FROM total ORDER BY sku', params: [] }]);
  return JSON.stringify(rows);
}

async function ownerState(shop: SimShop): Promise<string> {
  const [rows] = await shop.owner.engine.readAcross('till/*', [{ text: 'SELECT sku, qty, cents FROM total ORDER BY sku', params: [] }]);
  return JSON.stringify(rows);
}

/** Flips one bit of a stored object, as a relay operator or a bad disk would. */
async function flip(shop: SimShop, key: string, at: number): Promise<void> {
  const found = await shop.store.get(key);
  if (found.kind !== 'found') throw new Error(`no object ${key}`);
  const bytes = found.bytes.slice();
  bytes[at] = (bytes[at] as number) ^ 1;
  await shop.store.put(key, bytes, ifMatch(found.etag));
}

async function segmentAt(shop: SimShop, key: string): Promise<PackedRun> {
  const found = await shop.store.get(key);
  if (found.kind !== 'found') throw new Error(`no object ${key}`);
  const object = decodeSlotObject(found.bytes, key);
  if (object.kind !== 'segment') throw new Error('a fence');
  return object.run;
}

describe('push', () => {
  test('a group is committed once when replies are lost, and counts as committed only by its receipt', async () => {
    const shop = new SimShop(21);
    const shard = await shop.found();
    await shop.sell(shard, 3);
    await shop.committed(shard);
    const slots = (await shop.keys('/log/')).length;
    shop.faults.replyLost = 1;
    await shop.sell(shard, 2);
    await shop.world.run('the push landed unanswered', async () => (await shop.keys('/log/')).length > slots);
    expect(shard.committed.seq).toBe(6);
    expect((await shard.status()).pending).toMatchObject({ groups: 2, ops: 4 });
    shop.faults.replyLost = 0;
    await shop.committed(shard);
    const runs = await Promise.all((await shop.keys('/log/')).map((key) => segmentAt(shop, key)));
    expect(runs.reduce((sum, run) => sum + run.groupCount, 0)).toBe(5);
    expect((await shard.status()).pending).toEqual({ groups: 0, ops: 0, bytes: 0 });
  });

  test('everything resumes after a kill at any request of a day: seeds 30-41', async () => {
    for (let seed = 30; seed < 42; seed++) {
      const shop = new SimShop(seed);
      shop.faults.replyLost = 0.3;
      let shard = await shop.found();
      const chance = shop.world.stream('kills');
      for (let round = 0; round < 5; round++) {
        await shop.sell(shard, 2);
        const steps = Math.floor(chance() * 6);
        for (let i = 0; i < steps; i++) await new Promise<void>((resolve) => setImmediate(resolve));
        shop.owner.stop('kill');
        await shop.owner.boot();
        shard = await shop.reopen();
      }
      shop.faults.replyLost = 0;
      await shop.committed(shard);
      expect(shard.committed.seq).toBe(20);
    }
  }, 60_000);

  test('a store wiped under the relay never swallows a group: the push stops as rolledBack and everything stays queued', async () => {
    const shop = new SimShop(22);
    const shard = await shop.found();
    await shop.sell(shard, 3);
    await shop.committed(shard);
    for (const key of await shop.keys('/log/')) await shop.store.delete(key);
    await shop.sell(shard, 1);
    await shop.world.run('the loss is noticed', () => shard.pushState.kind === 'stopped');
    expect(shard.pushState).toMatchObject({ error: { reason: 'rolledBack' } });
    expect((await shard.status()).pending).toMatchObject({ groups: 1 });
    await shop.sell(shard, 1); // selling goes on
    expect(shard.store.head.seq).toBe(10 - 2 + 2);
  });

  test('answers that are not the relay’s prove nothing: the queue stays and drains later', async () => {
    const shop = new SimShop(23);
    const real = shop.relay.fetch.bind(shop.relay);
    let garbage: ((answer: Response) => Response | Promise<Response>) | undefined;
    shop.relay.fetch = async (request) => {
      const answer = await real(request);
      return garbage === undefined ? answer : garbage(answer);
    };
    const shard = await shop.found();
    await shop.sell(shard, 1);
    await shop.committed(shard);
    for (const make of [
      () => new Response('<html>captive portal</html>', { status: 200 }),
      () => new Response(new Uint8Array(276), { status: 200 }),
      () => new Response('bad gateway', { status: 502 }),
      async (answer: Response) => {
        const forged = new Uint8Array(await answer.arrayBuffer());
        forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1; // the last byte of a receipt is its signature's
        return new Response(forged, { status: answer.status === 204 ? 200 : answer.status });
      },
      () => new Response('{"foldlogError":1}', { status: 409 }),
    ]) {
      garbage = make;
      const before = shard.committed.seq;
      await shop.sell(shard, 1);
      await shop.world.run('the push waits', () => shard.pushState.kind === 'waiting');
      expect(shard.committed.seq).toBe(before);
      garbage = undefined;
      shard.wake(true);
      await shop.committed(shard);
    }
  });
});

describe('follow', () => {
  test('a flipped bit anywhere in a slot object is refused, and cursor and rows stay', async () => {
    const shop = new SimShop(24);
    const shard = await shop.found();
    await shop.sell(shard, 4);
    await shop.committed(shard);
    const follower = await shop.join('till 2');
    await shop.level(follower, shard);
    const before = await shop.followed(follower);
    follower.stop('kill');
    await shop.sell(shard, 1);
    await shop.committed(shard);
    const key = (await shop.keys('/log/')).at(-1) as string;
    const found = await shop.store.get(key);
    const size = found.kind === 'found' ? found.bytes.length : 0;
    for (let at = 5; at < size; at += 23) {
      await flip(shop, key, at);
      await follower.boot();
      await shop.world.run(`bit ${at} is refused`, async () => (await shop.followed(follower))?.stopped !== undefined);
      const now = await shop.followed(follower);
      expect([now?.seq, now?.slot]).toEqual([before?.seq, before?.slot]);
      expect(now?.stopped?.kind).toMatch(/corrupt|upgradeNeeded/);
      follower.stop('kill');
      await flip(shop, key, at);
    }
    await follower.boot();
    await shop.level(follower, shard);
  });

  test('a follower killed at any I/O call goes on from its cursor to the same rows: seed 25', async () => {
    const shop = new SimShop(25);
    const shard = await shop.found();
    await shop.sell(shard, 6, 3);
    await shop.committed(shard);
    await shop.world.finish('publish', shard.publish());
    await shop.sell(shard, 6, 3);
    await shop.committed(shard);
    const wanted = await ownerState(shop);
    const follower = await shop.join('till 2');
    for (let call = 3; call < 260; call += 9) {
      follower.disk.stopAfter(call);
      await shop.world.run(
        'level or stopped',
        async () => follower.disk.isStopped || (await shop.followed(follower))?.seq === shard.store.head.seq,
      );
      follower.stop(call % 2 === 0 ? 'kill' : 'power');
      await follower.boot();
    }
    await shop.level(follower, shard);
    expect(await replicaState(follower)).toBe(wanted);
  }, 60_000);
});

describe('checkpoint', () => {
  test('writer, follower from checkpoint and follower from genesis hold one state', async () => {
    const shop = new SimShop(26);
    const shard = await shop.found();
    await shop.sell(shard, 10, 3);
    await shop.committed(shard);
    const fromGenesis = await shop.join('till 2');
    await shop.level(fromGenesis, shard);
    const published = await shop.world.finish('publish', shard.publish());
    expect(bytesToHex(published.stateHash)).toBe(stateOf(shard));
    await shop.sell(shard, 5);
    await shop.committed(shard);
    const fromCheckpoint = await shop.join('till 3');
    await shop.level(fromCheckpoint, shard);
    await shop.level(fromGenesis, shard);
    expect((await shop.followed(fromGenesis))?.bootstrap.path).toBe('genesis');
    const started = (await shop.followed(fromCheckpoint))?.bootstrap;
    expect(started).toMatchObject({ path: 'checkpoint', groupsFolded: 5 });
    expect(started?.bytes).toBeGreaterThan(1_000);
    const wanted = await ownerState(shop);
    expect(await replicaState(fromGenesis)).toBe(wanted);
    expect(await replicaState(fromCheckpoint)).toBe(wanted);
  });

  test('a checkpoint made while saves go on holds the state at its head, not a later one', async () => {
    const shop = new SimShop(27);
    const shard = await shop.found();
    await shop.sell(shard, 20, 5);
    await shop.committed(shard);
    const publishing = shard.publish();
    for (let i = 0; i < 10; i++) await shop.sell(shard, 1, 3);
    const published = await shop.world.finish('publish', publishing);
    expect(published.head.seq).toBeLessThan(shard.store.head.seq);
    expect(bytesToHex(published.stateHash)).not.toBe(stateOf(shard));
    await shop.committed(shard);
    const follower = await shop.join('till 2');
    await shop.level(follower, shard);
    expect((await shop.followed(follower))?.bootstrap.path).toBe('checkpoint');
    expect(await replicaState(follower)).toBe(await ownerState(shop));
  });

  test.each([
    ['a chunk with a flipped bit', '/chunk/', 100, 'badChunk'],
    ['a statement with a flipped seal', '/checkpoint/', -1, 'wrongSeal'],
    ['a statement with a flipped state hash', '/checkpoint/', 170, 'wrongSeal'],
  ])('%s is refused typed, and nothing half-loaded stays', async (_, part, at, reason) => {
    const shop = new SimShop(28);
    const shard = await shop.found();
    await shop.sell(shard, 5);
    await shop.committed(shard);
    await shop.world.finish('publish', shard.publish());
    const [key] = await shop.keys(part);
    const stored = await shop.store.get(key as string);
    const size = stored.kind === 'found' ? stored.bytes.length : 0;
    await flip(shop, key as string, at < 0 ? size + at : at);
    const follower = await shop.join('till 2');
    await shop.world.run('the start is refused', async () => (await follower.engine.status()).troubles.length > 0);
    const { troubles, followed } = await follower.engine.status();
    expect(followed).toEqual([]);
    expect(troubles.join(' ')).toMatch(reason === 'badChunk' ? /chunk/ : /statement/);
  });

  test('a statement names the slot that ends at its head', async () => {
    const shop = new SimShop(29);
    const shard = await shop.found();
    await shop.sell(shard, 3);
    const published = await shop.world.finish('publish', shard.publish());
    const [key] = await shop.keys('/checkpoint/');
    const stored = await shop.store.get(key as string);
    if (stored.kind !== 'found') throw new Error('no statement');
    const statement = decodeCheckpoint(stored.bytes, 'statement');
    expect(statement.head).toEqual(published.head);
    expect(statement.slot).toBe(slot(1));
  });
});

test('what was saved in a shard is sent after a restart even when nobody opens it', async () => {
  const shop = new SimShop(27);
  const shard = await shop.found();
  await shop.committed(shard);
  shop.faults.requestLost = 1;
  await shop.sell(shard, 3);
  const { seq } = shard.store.head;
  shop.owner.stop('kill');
  shop.faults.requestLost = 0;
  await shop.owner.boot();
  await shop.world.run('sent', async () => (await shop.owner.engine.status()).own[0]?.committedSeq === seq);
});
