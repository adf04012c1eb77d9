// A shard is taken over while its device is offline with groups nobody has: what was saved strands, is kept, and is saved again where the cut says. Over the
// real relay core; nothing is lost, nothing is there twice, ids survive.

import { describe, expect, test } from 'vitest';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { SimCounter } from '../sim/sim-counter.ts';

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
    await expect(counter.sell(old)).rejects.toMatchObject({ kind: 'fenced', reason: 'takenOver' });
    await counter.sell(next);
    await shop.world.run('the outbox is let go', async () => (await old.status()).stranded.rebased === 0);
    expect(old.store.outbox.entries()).toEqual([]);
    device.stop('kill');
    await device.boot();
    await expect(counter.sell(await counter.shard())).rejects.toMatchObject({ kind: 'fenced' });
    await counter.requireWhole([await counter.shard(), await counter.shard('counter-2')]);
  });
});
