// A shard taken over while its writer is away, and what that one finds when it comes back; from oneself; revoked. Whole engines over a real relay core.

import { describe, expect, test, vi } from 'vitest';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { verifiedStore } from '../relay/take-over.ts';
import { salesQuery, TwoTills } from './two-tills.ts';

// Three or four whole engines each, with a key pair and a SQLite of their own.
vi.setConfig({ testTimeout: 120_000 });

const fenced = { kind: 'fenced', reason: 'fenced' };

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('taken over while the old writer is offline: it comes back, stops saving, knows why and keeps everything', async () => {
    const tills = new TwoTills(301, { backend });
    const { first, second, world, firstNet } = tills;
    const old = await tills.begin(3);
    firstNet.requestLost = 1;
    await tills.sell(old, 2); // its tail: saved, never committed
    const handle = await tills.takeOver();
    expect(handle).toBe('till/till-1');
    const taken = second.engine.shard(handle);
    expect(taken.store.log.base).toMatchObject({ epoch: 2, head: { seq: 6 } });
    expect(taken.committed.seq).toBe(6);
    await tills.sell(taken, 2);
    await tills.committed(taken);
    expect((await second.engine.status()).own).toMatchObject([{ name: 'till-1', savedSeq: 10, committedSeq: 10, closed: undefined }]);
    expect((await second.engine.status()).followed).toEqual([]);

    firstNet.requestLost = 0;
    first.engine.wake(true);
    await world.run('the old writer knows', async () => (await old.status()).fence.kind === 'handedOver');
    await expect(tills.sell(old)).rejects.toMatchObject(fenced);
    const [status] = (await first.engine.status()).own;
    // What it could not commit waits in its outbox; its state is that of the cut again.
    expect(status).toMatchObject({ savedSeq: 6, push: { kind: 'stopped', error: fenced }, closed: fenced, stranded: { waiting: 2 } });
    const [[count] = []] = await old.read([salesQuery]);
    expect(count).toEqual({ n: 3 });
    // Over a restart without a line too: the note is in its file.
    firstNet.requestLost = 1;
    first.stop('kill');
    await first.boot();
    const again = await tills.open(first);
    expect(again.closed).toMatchObject(fenced);
    await expect(tills.sell(again)).rejects.toMatchObject(fenced);
    expect(again.store.head.seq).toBe(6);
    expect(await again.outbox()).toHaveLength(2);
    expect((await first.engine.status()).lost).toEqual([]);
    expect((await verifiedStore(tills.store)).join('\n')).toContain('groups 5, ops 10, void 0, erased 0, epoch 2');
  });

  test('a writer that only met the fence notes it: no save after the next start, although nobody answers', async () => {
    const tills = new TwoTills(302, { backend });
    const { first, second, world, firstNet } = tills;
    const old = await tills.begin(2);
    const screen = await tills.screen('screen');
    // The second till stops after its fence: its cut never leaves.
    tills.secondMisses = /^POST .*\/control$/;
    await expect(world.finish('fenced', second.engine.takeOvers.takeOver('till', 'till-1'))).rejects.toMatchObject({ kind: 'unavailable' });
    second.stop('kill');
    expect(old.closed).toBeUndefined();
    await tills.sell(old);
    await world.run('the push met the fence', () => old.closed !== undefined);
    expect(old.closed).toMatchObject(fenced);
    firstNet.requestLost = 1;
    first.stop('kill');
    await first.boot();
    await expect(tills.sell(await tills.open(first))).rejects.toMatchObject(fenced);
    const waits = async () => (await screen.engine.status()).followed[0]?.stopped;
    await world.run('the screen waits at the fence', async () => (await waits())?.reason === 'noCutYet');
    expect(await waits()).toMatchObject({ kind: 'unavailable', retry: 'later' });
    expect(await tills.sales(screen)).toBe(2);
    // The one that fenced comes back and goes on from its note.
    tills.secondMisses = undefined;
    await second.boot();
    await tills.takeOver();
    const taken = await tills.open(second);
    await tills.sell(taken);
    await tills.committed(taken);
    await world.run('the screen goes on', async () => (await tills.followedSeq(screen)) === 6);
  });

  test('a follower waits at the fence, then goes on with the new writer', async () => {
    const tills = new TwoTills(303, { backend });
    const { second, world } = tills;
    await tills.begin(2);
    const screen = await tills.screen('screen');
    await world.run('the screen is level', async () => (await tills.followedSeq(screen)) === 4);
    await tills.takeOver();
    const taken = await tills.open(second);
    await tills.sell(taken, 3);
    await tills.committed(taken);
    await world.run('the screen follows the new writer', async () => (await tills.followedSeq(screen)) === 10);
    expect(await tills.sales(screen)).toBe(5);
    expect((await screen.engine.status()).followed).toMatchObject([{ stopped: undefined }]);
    // Over a restart it goes on from its cursor, in the epoch it had reached.
    screen.stop('power');
    await screen.boot();
    await tills.sell(taken, 1);
    await tills.committed(taken);
    await world.run('the screen goes on', async () => (await tills.followedSeq(screen)) === 12);
    // A device without data starts in the new epoch from its checkpoint, or reads through the fence.
    await world.finish('publish', taken.publish());
    const late = await tills.screen('late');
    await world.run('the late one is level', async () => (await tills.followedSeq(late)) === 12);
    await tills.sell(taken, 1);
    await tills.committed(taken);
    await world.run('and follows on', async () => (await tills.followedSeq(late)) === 14);
    expect(await tills.sales(late)).toBe(7);
  });

  test('from oneself: the copy that noted the fence goes on in the new epoch, a clone of the device stops', async () => {
    const tills = new TwoTills(304, { backend });
    const { first, second, world } = tills;
    const shard = await tills.begin(2);
    const clone = tills.cloneOf(first);
    await tills.takeOver(first);
    expect(shard.store.log.base).toMatchObject({ epoch: 2, cut: { seq: 4 } });
    await tills.sell(shard, 2);
    await tills.committed(shard);
    await world.run('its follower went along', async () => (await tills.followedSeq(second)) === 8);
    first.stop('kill');
    await first.boot();
    const again = await tills.open(first);
    expect(again.closed).toBeUndefined();
    await tills.sell(again);
    await tills.committed(again);
    // The clone holds the same key and none of the note.
    await clone.boot();
    const copy = await tills.open(clone);
    await world.run('the clone knows', () => copy.closed !== undefined);
    await expect(tills.sell(copy)).rejects.toMatchObject(fenced);
  });

  test('its file is lost, its key is not: it follows its own shard and takes it over from itself', async () => {
    const tills = new TwoTills(305, { backend });
    const { first, world } = tills;
    await tills.begin(3);
    tills.evictShards(first);
    await first.boot('follow');
    await world.run('the lost shard is level', async () => (await tills.followedSeq(first)) === 6);
    await tills.takeOver(first);
    const own = await tills.open(first);
    await tills.sell(own, 2);
    await tills.committed(own);
    expect((await first.engine.status()).lost).toEqual([]);
    expect(await tills.sales(first)).toBe(5);
    first.stop('power');
    await first.boot();
    expect((await tills.open(first)).store.head.seq).toBe(10);
  });

  test('revoked: one entry with the cut of every shard it writes; it is told, and keeps everything', async () => {
    const tills = new TwoTills(306, { backend });
    const { first, second, world, firstNet } = tills;
    const old = await tills.begin(2);
    const other = await tills.open(first, 'till-9');
    await tills.sell(other);
    await tills.committed(other);
    firstNet.requestLost = 1;
    await tills.sell(old);
    const id = (await second.engine.status()).devices.find(({ name }) => name === 'Till 1')?.id as string;
    await tills.waited('revoke', () => second.engine.takeOvers.revoke(id));
    expect((await second.engine.status()).devices.map(({ name }) => name)).toEqual(['Office']);
    firstNet.requestLost = 0;
    first.engine.wake(true);
    await tills.sell(other).catch(() => undefined);
    await world.run('the revoked one knows', () => old.closed !== undefined && other.closed !== undefined);
    for (const shard of [old, other]) await expect(tills.sell(shard)).rejects.toMatchObject(fenced);
    const [[count] = []] = await old.read([salesQuery]);
    expect(count).toEqual({ n: 3 });
    // Both are taken up by whoever may; nobody writes them before.
    await tills.takeOver();
    const taken = await tills.open(second);
    expect(taken.store.log.base).toMatchObject({ epoch: 3, head: { seq: 4 } });
    await tills.sell(taken);
    await tills.committed(taken);
    await expect(world.finish('again', second.engine.takeOvers.revoke(id))).rejects.toMatchObject({
      kind: 'misuse',
      reason: 'notEnrolled',
    });
  });
});

test('who may not is told before anything is sent', async () => {
  const tills = new TwoTills(307);
  const { first, second, world } = tills;
  await tills.begin(1);
  const own = await tills.open(second, 'office');
  await tills.sell(own);
  await tills.committed(own);
  await expect(world.finish('asked', first.engine.takeOvers.takeOver('till', 'office'))).rejects.toMatchObject({
    kind: 'misuse',
    reason: 'notAllowed',
  });
  await expect(world.finish('asked', first.engine.takeOvers.takeOver('till', 'nowhere'))).rejects.toMatchObject({
    kind: 'misuse',
    reason: 'unknownShard',
  });
  const ids = (await second.engine.status()).devices.map(({ id }) => id);
  for (const id of ids)
    await expect(world.finish('asked', first.engine.takeOvers.revoke(id))).rejects.toMatchObject({ kind: 'misuse', reason: 'notAllowed' });
  await expect(world.finish('asked', second.engine.takeOvers.revoke(ids[0] as string))).rejects.toMatchObject({
    kind: 'misuse',
    reason: 'lastOwner',
  });
  await expect(world.finish('asked', second.engine.takeOvers.revoke('ff'.repeat(16)))).rejects.toMatchObject({
    kind: 'misuse',
    reason: 'notEnrolled',
  });
  await world.run('nothing happened', () => true);
  expect((await verifiedStore(tills.store)).join('\n')).not.toContain('epoch 2');
});
