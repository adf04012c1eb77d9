// A shard is taken over while its device is offline with groups nobody has: what was saved strands, is kept, and is saved again where the cut says. Over the
// real relay core; nothing is lost, nothing is there twice, ids survive.

import { describe, expect, test } from 'vitest';
import { bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { groupId } from '../../kernel/units.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { verifiedStore } from '../relay/take-over.ts';
import { line } from '../sim/shop.ts';
import { noteFence, SimCounter, salesQuery, stateOf, stateOnDisk } from '../sim/sim-counter.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import { putFence, signerOf } from '../sim/sim-take-over.ts';
import { TwoTills } from '../sim/two-tills.ts';

async function levelWith(reader: SimDevice, shard: OwnShard): Promise<boolean> {
  const found = (await reader.engine.status()).followed.find(({ name }) => name === shard.store.identity.name);
  return found?.seq === shard.store.head.seq;
}

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('revoked of its till while offline, and given another: the tail is saved again there, under its ids and times', async () => {
    const counter = await SimCounter.open(101, { backend });
    const { shop, device } = counter;
    const old = await counter.shard();
    const next = await counter.shard('counter-2');
    await counter.sell(next, 1);
    await shop.committed(next);
    counter.offline();
    await counter.sell(old, 2);
    const times = old.store.db.all('SELECT id, substr(header, 41, 8) AS time FROM foldlog_group WHERE last_seq > 6');
    await counter.cut(await counter.fence(old), { destination: next.store.identity.id });
    counter.online();
    await shop.world.run('the tail is committed', async () => (await old.status()).fence.kind === 'handedOver' && next.committed.seq === 8);
    await counter.requireWhole([old, next]);
    expect(next.store.db.all('SELECT id, substr(header, 41, 8) AS time FROM foldlog_group WHERE last_seq > 2')).toEqual(times);
    expect(old.store.head.seq).toBe(6);
    await expect(counter.sell(old)).rejects.toMatchObject({ kind: 'fenced', retry: 'never' });
    await counter.sell(next);
    await shop.world.run('the outbox is let go', async () => (await old.status()).stranded.rebased === 0);
    expect(old.store.outbox.entries()).toEqual([]);
    // One state, folded by its writer, by who followed from the first slot on, and by who started from a checkpoint.
    const early = await shop.join('early');
    await shop.world.run('level', async () => levelWith(early, next));
    await shop.world.finish('publish', next.publish());
    await counter.sell(next);
    await shop.committed(next);
    const late = await shop.join('late');
    for (const reader of [early, late]) await shop.world.run('level', async () => levelWith(reader, next));
    const wanted = stateOf(next);
    for (const reader of [early, late]) expect(await stateOnDisk(reader, shop, next.store.identity.id)).toBe(wanted);
    device.stop('kill');
    await device.boot();
    await expect(counter.sell(await counter.shard())).rejects.toMatchObject({ kind: 'fenced' });
    await counter.requireWhole([await counter.shard(), await counter.shard('counter-2')]);
  });

  test('a fence without a cut: saves are refused for now, over a restart too, reads go on; with the cut to itself the tail is in its own shard again', async () => {
    const counter = await SimCounter.open(102, { backend });
    const { shop, device } = counter;
    let shard = await counter.shard();
    counter.offline();
    await counter.sell(shard, 2);
    const fenced = await counter.fence(shard, device);
    counter.online();
    for (let start = 0; start < 2; start++) {
      await shop.world.run('the fence is met', async () => (await shard.status()).fence.kind === 'fenced');
      await expect(counter.sell(shard)).rejects.toMatchObject({ kind: 'fenced', reason: 'fenced', retry: 'later' });
      expect(await shard.read([salesQuery])).toEqual([expect.arrayContaining([{ sale: 'c4', n: 2 }])]);
      if (start === 0) device.stop('kill');
      if (start === 0) await device.boot();
      else await noteFence(device, shop, fenced);
      shard = await counter.shard();
    }
    await shop.world.run('the shard is open again', async () => (await shard.status()).fence.kind === 'open');
    await counter.sell(shard, 1);
    await shop.committed(shard);
    await counter.requireWhole([shard]);
    expect(shard.store.log.base.epoch).toBe(2);
    // Two sales of two ops, each behind the op that says where it was.
    expect(shard.store.head.seq).toBe(6 + 2 * 3 + 2);
    const [range] = shard.store.db.all('SELECT epoch, first_seq, last_seq FROM foldlog_origin');
    expect(range).toEqual({ epoch: 1, first_seq: 7, last_seq: 10 });
    await shop.world.run('the outbox is let go', async () => (await shard.status()).stranded.rebased === 0);
    expect(shard.store.outbox.entries()).toEqual([]);
    const folded = stateOf(shard);
    await shop.world.finish('publish', shard.publish());
    expect((await device.engine.audit())[0]?.verdict).toEqual({ kind: 'sound', covers: 'log and state' });
    expect(stateOf(shard)).toBe(folded);
  });

  test('another copy of the key, which did not put the fence, saves nothing more', async () => {
    const counter = await SimCounter.open(103, { backend });
    const { shop, device } = counter;
    const shard = await counter.shard();
    counter.offline();
    await counter.sell(shard, 1);
    await counter.cut(await counter.fence(shard, device), { writer: device, destination: shard.store.identity.id }, device);
    counter.online();
    await shop.world.run('it is told', async () => (await shard.status()).fence.kind === 'handedOver');
    await expect(counter.sell(shard)).rejects.toMatchObject({ kind: 'fenced', retry: 'never' });
    expect((await shard.status()).stranded).toMatchObject({ waiting: 1, rebased: 0 });
  });

  test('restored from a backup: what was committed since is fetched, what the backup sold in its place is kept apart, nothing is signed twice', async () => {
    const counter = await SimCounter.open(104, { backend });
    const { shop, device } = counter;
    const before = { disk: device.disk.image(), pages: device.pages.state };
    await counter.sell(await counter.shard(), 2);
    await shop.committed(await counter.shard());
    device.stop('kill');
    device.disk.load(before.disk);
    device.pages.load(before.pages);
    counter.offline();
    await device.boot();
    const shard = await counter.shard();
    expect(shard.store.head.seq).toBe(6);
    const lost = new Map(counter.ledger);
    await counter.sell(shard, 1);
    const forked = [...counter.ledger.keys()].filter((id) => !lost.has(id));
    counter.online();
    await shop.world.run('the fork is met', async () => (await shard.status()).fence.kind === 'fenced');
    await expect(counter.sell(shard)).rejects.toMatchObject({ kind: 'fenced' });
    await shop.world.finish('taken over from itself', device.engine.takeOvers.takeOver('till', 'counter-1'));
    await shop.world.run('the shard is open again', async () => (await shard.status()).fence.kind === 'open');
    await counter.sell(shard, 1);
    await shop.committed(shard);
    const [entry] = shard.store.outbox.entries();
    expect(entry).toMatchObject({
      from: { epoch: 1, firstSeq: 7, lastSeq: 8 },
      cut: 10,
      state: { kind: 'refused', reason: expect.stringContaining('another copy') },
    });
    expect(forked).toEqual([bytesToHex(entry?.id ?? new Uint8Array())]);
    for (const id of forked) counter.ledger.delete(id);
    await counter.requireWhole([shard]);
  });

  test('stranded twice: the second move still says where the sales were born, and a third reader counts them once', async () => {
    const counter = await SimCounter.open(105, { backend });
    const { shop } = counter;
    const [first, second, third] = [await counter.shard(), await counter.shard('counter-2'), await counter.shard('counter-3')];
    for (const shard of [second, third]) {
      await counter.sell(shard);
      await shop.committed(shard);
    }
    counter.offline();
    await counter.sell(first, 2);
    await counter.cut(await counter.fence(first), { destination: second.store.identity.id });
    counter.loses(/push$/);
    counter.online();
    await shop.world.run('it is saved in the second', () => second.store.head.seq === 2 + 2 * 3);
    await counter.cut(await counter.fence(second), { destination: third.store.identity.id });
    counter.loses(undefined);
    await shop.world.run(
      'all is committed in the third',
      async () => third.committed.seq === 2 + 2 * 3 && (await second.status()).fence.kind === 'handedOver',
    );
    await counter.requireWhole([first, second, third]);
    const ranges = third.store.db.all('SELECT shard, epoch, first_seq, last_seq FROM foldlog_origin');
    expect(ranges).toEqual([{ shard: first.store.identity.id, epoch: 1, first_seq: 7, last_seq: 10 }]);
  });

  test('a group whose fold throws is kept with the reason and holds up nobody; a person lets it be, or has it tried again', async () => {
    const counter = await SimCounter.open(106, { backend });
    const { shop } = counter;
    const [old, next] = [await counter.shard(), await counter.shard('counter-2')];
    await next.save(groupId(new Uint8Array(16).fill(1)), { kind: 'ops', inputs: [line('c4', 'sku-b')] }); // the same key as in the tail
    await shop.committed(next);
    counter.offline();
    await counter.sell(old, 3); // c3, c4, c5
    await counter.cut(await counter.fence(old), { destination: next.store.identity.id });
    counter.online();
    await shop.world.run('two of three are there', async () => next.committed.seq === 1 + 2 * 3);
    const [refused] = old.store.outbox.entries().filter(({ state }) => state.kind === 'refused');
    expect(refused?.state).toMatchObject({ kind: 'refused', reason: expect.stringContaining('reducerFailed') });
    expect((await old.status()).stranded).toMatchObject({ waiting: 0, refused: 1 });
    const id = bytesToHex(refused?.id ?? new Uint8Array());
    await expect(old.save(groupId(hexToBytes(id, 'id')), { kind: 'ops', inputs: [line('c4', 'sku-b')] })).rejects.toMatchObject({
      kind: 'fenced',
    });
    expect(await old.outbox()).toEqual([
      expect.objectContaining({
        id,
        epoch: 1,
        firstSeq: 9,
        lastSeq: 10,
        state: 'refused',
        reason: expect.stringContaining('reducerFailed'),
      }),
    ]);
    await old.discardEntry(id);
    await expect(old.discardEntry(id)).rejects.toMatchObject({ kind: 'misuse', reason: 'notStranded' });
    expect((await old.status()).stranded).toMatchObject({ refused: 0, discarded: 1 });
    expect(await old.exportEntry(id)).toBeInstanceOf(Uint8Array);
    // What stood in its way is gone: tried again, it goes through.
    next.store.db.run(`DELETE FROM saleLine WHERE sale = 'c4'`);
    await old.retryEntry(id);
    await shop.world.run('it is there', () => next.committed.seq === 1 + 3 * 3);
    await shop.world.run('the outbox is let go', async () => (await old.outbox()).length === 0);
  });

  test('taken over by the office, to which the tail is carried by hand: verified there, attested, saved under its id, and once only', async () => {
    const counter = await SimCounter.open(107, { backend });
    const { shop } = counter;
    const old = await counter.shard();
    const office = await shop.reopen();
    counter.offline();
    await counter.sell(old, 3);
    // Two that share a seal: the first of them is proved by the second's, whose body stays at home.
    await Promise.all([counter.sell(old), counter.sell(old)]);
    await counter.cut(await counter.fence(old), { destination: office.store.identity.id });
    counter.online();
    await shop.world.run('the tail waits', async () => (await old.status()).stranded.waiting === 5);
    const items = await old.outbox();
    expect(items.map(({ state, destination }) => [state, destination])).toEqual(
      items.map(() => ['waiting', bytesToHex(office.store.identity.id)]),
    );
    const before = office.store.head.seq;
    await expect(office.importTail(await old.exportEntry(items[0]?.id ?? ''))).rejects.toMatchObject({
      reason: 'controlBehind',
      retry: 'later',
    });
    await shop.world.run(
      'the office knows the cut',
      async () => (await office.importTail(await old.exportEntry(items[0]?.id ?? '')).catch(() => '')) !== '',
    );
    for (const { id } of items) {
      const tail = await old.exportEntry(id);
      expect(new TextDecoder().decode(tail).split('sale.line').length - 1).toBeLessThanOrEqual(2);
      for (const at of [9, 30, 60, tail.length - 20]) {
        const bent = tail.slice();
        bent[at] = (bent[at] as number) ^ 1;
        await expect(office.importTail(bent)).rejects.toBeInstanceOf(FoldlogError);
      }
      expect(await office.importTail(tail)).toBe(id);
      expect(await office.importTail(tail)).toBe(id);
    }
    await shop.world.run('the office has committed them', () => office.committed.seq === before + 5 * 3);
    const [first] = office.store.db.all<{ body: Uint8Array }>('SELECT body FROM foldlog_group WHERE last_seq > ? ORDER BY last_seq', [
      before,
    ]);
    expect(new TextDecoder().decode(first?.body)).toMatch(/^\[\["foldlog.rebased",1,\{"from":.*"attest":\{"key":/);
    const reader = await shop.join('reader');
    await shop.level(reader, office);
    const [rows] = await reader.engine.readAcross('till/till-1', [salesQuery]);
    expect(rows?.map(({ sale }) => sale)).toEqual(expect.arrayContaining([...counter.ledger.values()].slice(-5)));
    for (const { id } of items) await old.discardEntry(id);
    expect(await old.status()).toMatchObject({ stranded: { waiting: 0, discarded: 5 } });
    // Not an admin, or not the destination: refused.
    const other = await counter.shard('counter-2');
    await expect(other.importTail(await old.exportEntry(items[0]?.id ?? ''))).rejects.toMatchObject({ reason: 'wrongDestination' });
  });

  test('key lost, file kept: the new key, once the shard is its own, saves the tail again under an admin’s word', async () => {
    const counter = await SimCounter.open(108, { backend });
    const { shop, device } = counter;
    let shard = await counter.shard();
    counter.offline();
    await counter.sell(shard, 2);
    device.stop('kill');
    device.vault.clear();
    await device.boot('follow');
    shard = await counter.shard();
    await expect(counter.sell(shard)).rejects.toMatchObject({ kind: 'corrupt', reason: 'keyLost' });
    const fenced = await counter.fence(shard);
    counter.online();
    const link = await shop.world.finish('invite', shop.owner.engine.invite({ role: 'admin' }));
    await shop.world.finish('join', device.engine.join(link, 'counter again'));
    await counter.cut(fenced, { writer: device, destination: shard.store.identity.id });
    await shop.world.run('the shard is open', async () => (await shard.status()).fence.kind === 'open');
    await counter.sell(shard, 1);
    await shop.committed(shard);
    await counter.requireWhole([shard]);
    expect(shard.store.db.value('SELECT count(*) FROM foldlog_group WHERE instr(body, ?) > 0', ['"attest"'])).toBe(2);
    expect((await device.engine.status()).lost).toEqual([]);
  });

  test('back after a year, three take-overs later: the tail of the first epoch goes where its own cut says', async () => {
    const counter = await SimCounter.open(109, { backend });
    const { shop, device } = counter;
    const [old, home] = [await counter.shard(), await counter.shard('counter-2')];
    await counter.sell(home);
    await shop.committed(home);
    counter.offline();
    await counter.sell(old, 4);
    device.stop('kill');
    let fenced = await counter.fence(old);
    await counter.cut(fenced, { writer: shop.owner, destination: home.store.identity.id });
    for (let again = 0; again < 2; again++) {
      fenced = await putFence(shop, fenced.shard, fenced.epoch, await signerOf(shop.owner));
      await counter.cut(fenced, {});
    }
    shop.owner.stop('kill');
    const until = shop.world.clock.now() + 365 * 24 * 3600 * 1000;
    let isOver = false;
    shop.world.scheduler.after(365 * 24 * 3600 * 1000, () => {
      isOver = true;
    });
    await shop.world.run('a year', () => isOver, 366 * 24 * 3600 * 1000);
    expect(shop.world.clock.now()).toBeGreaterThanOrEqual(until);
    counter.loses(undefined);
    await device.boot();
    counter.online();
    const [back, there] = [await counter.shard(), await counter.shard('counter-2')];
    await shop.world.run(
      'the tail is committed',
      async () => (await back.status()).fence.kind === 'handedOver' && there.committed.seq === 2 + 4 * 3,
    );
    await counter.requireWhole([back, there]);
    expect(back.store.log.base.epoch).toBe(4);
    await shop.world.run('the outbox is let go', async () => (await back.outbox()).length === 0);
  });

  test('taken over by the office in its own name: the tail, carried there, follows in the new epoch, and every reader holds one state', async () => {
    const tills = new TwoTills(311, { backend });
    const { first, second, firstNet, world } = tills;
    const old = await tills.begin(3);
    const early = await tills.screen('early');
    await world.run('level', async () => (await tills.followedSeq(early)) === 6);
    firstNet.requestLost = 1;
    await tills.sell(old, 3);
    const ids = old.store.db.all('SELECT id FROM foldlog_group WHERE last_seq > 6');
    const taken = second.engine.shard(await tills.takeOver());
    await tills.sell(taken, 1);
    await tills.committed(taken);
    firstNet.requestLost = 0;
    first.engine.wake(true);
    await world.run('the tail waits', async () => (await old.status()).stranded.waiting === 3);
    for (const { id } of await old.outbox()) await taken.importTail(await old.exportEntry(id));
    await world.run('committed', () => taken.committed.seq === 6 + 2 + 3 * 3);
    const moved = taken.store.db.all('SELECT id FROM foldlog_group WHERE last_seq > 8');
    expect(moved).toEqual(ids);
    await world.run('level', async () => (await tills.followedSeq(early)) === 17);
    await world.finish('publish', taken.publish());
    const late = await tills.screen('late');
    await world.run('level', async () => (await tills.followedSeq(late)) === 17);
    const wanted = stateOf(taken);
    for (const reader of [early, late]) expect(await stateOnDisk(reader, tills, taken.store.identity.id)).toBe(wanted);
    expect((await verifiedStore(tills.store)).join('\n')).toContain('groups 7, ops 17, void 0, erased 0, epoch 2');
    // Carried once more, or saved once more where it came from: taken already.
    for (const { id } of await old.outbox()) expect(await taken.importTail(await old.exportEntry(id))).toBe(id);
    await world.run('settled', async () => (await taken.status()).stranded.waiting === 0);
    expect(taken.store.head.seq).toBe(17);
  });

  test('lost to the office and taken back: what the office sold is fetched, and the tail of the first epoch is in its own shard after all', async () => {
    const counter = await SimCounter.open(112, { backend }, { role: 'admin' });
    const { shop, device } = counter;
    const shard = await counter.shard();
    counter.offline();
    await counter.sell(shard, 70); // more than one batch of ids
    const { engine } = shop.owner;
    const office = engine.shard(await shop.world.finish('taken', engine.takeOvers.takeOver('till', 'counter-1')));
    await shop.sell(office, 2);
    await shop.committed(office);
    counter.online();
    await shop.world.run('handed over', async () => (await shard.status()).fence.kind === 'handedOver');
    expect((await shard.status()).stranded).toMatchObject({ waiting: 70 });
    device.stop('kill');
    await device.boot();
    const again = await counter.shard();
    expect(again.store.head.seq).toBe(6);
    await shop.world.finish('taken back', device.engine.takeOvers.takeOver('till', 'counter-1'));
    await shop.world.run('saved again', async () => (await again.status()).stranded.waiting === 0);
    await shop.committed(again);
    expect(again.store.log.base.epoch).toBe(3);
    expect(again.store.head.seq).toBe(6 + 2 * 2 + 70 * 3);
    expect(again.store.db.all('SELECT epoch, first_seq, last_seq FROM foldlog_origin')).toEqual([
      { epoch: 1, first_seq: 7, last_seq: 146 },
    ]);
    for (const [id] of counter.ledger) expect(await again.find(groupId(hexToBytes(id, 'id')))).toBeDefined();
    expect((await device.engine.audit())[0]?.verdict).toEqual({ kind: 'sound', covers: 'log and state' });
    await shop.world.run('the office is told', async () => (await office.status()).fence.kind === 'handedOver');
  });
});
