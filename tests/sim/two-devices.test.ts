import { describe, expect, test } from 'vitest';
import { groupId } from '../../kernel/units.ts';
import { memoryStore } from '../../relay/index.ts';
import { sql } from '../../shards/index.ts';
import { line, till } from './shop.ts';
import { SimDevice } from './sim-device.ts';
import { type NetworkFaults, simHttp, simRelay } from './sim-relay.ts';
import { SimWorld } from './sim-world.ts';

/** Two devices sell, lose requests and replies, are killed and restarted, publish, join and follow. Returns the trace. */
async function shopDay(seed: number, faults: NetworkFaults) {
  const world = new SimWorld(seed);
  const relay = simRelay(world, memoryStore());
  const alice = new SimDevice(world, 'alice', [till], simHttp(world, relay, 'alice', faults));
  const bob = new SimDevice(world, 'bob', [till], simHttp(world, relay, 'bob', faults));
  const ids = world.random('ids');
  const sell = async (device: SimDevice, handle: string, sale: string, lines: number) => {
    const inputs = Array.from({ length: lines }, (_, i) => line(sale, `sku-${(i * 7) % 23}`, 1 + (i % 3)));
    const place = await device.engine.shard(handle).save(groupId(ids.bytes(16)), { kind: 'ops', inputs });
    world.note(`${device.name} saved ${place.lastSeq}`);
  };

  await alice.boot();
  await alice.engine.create({ workspace: 'acme', device: 'Till 1' });
  const first = await alice.engine.openShard('till', 'till-1');
  for (let i = 0; i < 12; i++) await sell(alice, first, `a${i}`, 1 + (i % 4));
  alice.stop('kill');
  await alice.boot();
  await alice.engine.openShard('till', 'till-1');
  const shard = () => alice.engine.shard(first);
  await world.run('alice is committed', () => shard().committed.seq === shard().store.head.seq);
  await world.finish(
    'publish',
    retry(world, () => shard().publish()),
  );
  for (let i = 12; i < 18; i++) await sell(alice, first, `a${i}`, 2);

  const link = await world.finish(
    'invite',
    retry(world, () => alice.engine.invite({})),
  );
  await bob.boot();
  await world.finish(
    'join',
    retry(world, () => bob.engine.join(link, 'Till 2')),
  );
  const second = await bob.engine.openShard('till', 'till-2');
  await sell(bob, second, 'b0', 3);
  await bob.engine.follow('till/*');
  await alice.engine.follow('till/*');
  const seqAt = async (device: SimDevice, name: string) =>
    (await device.engine.status()).followed.find((shard) => shard.name === name)?.seq;
  await world.run('bob is level', async () => (await seqAt(bob, 'till-1')) === shard().store.head.seq);
  bob.stop('power');
  await bob.boot();
  await bob.engine.openShard('till', 'till-2');
  await world.run('alice sees bob', async () => (await seqAt(alice, 'till-2')) === 3);

  const query = sql`SELECT sku, sum(qty) AS qty, sum(cents) AS cents FROM total GROUP BY sku ORDER BY sku`;
  const [atAlice] = await alice.engine.readAcross('till/*', [query]);
  const [atBob] = await bob.engine.readAcross('till/*', [query]);
  const status = await bob.engine.status();
  world.note(JSON.stringify(atAlice));
  return { trace: world.traceHash(), atAlice, atBob, status };
}

/** Commands that need the relay are typed `unavailable` while requests get lost; a person would press the button again. */
async function retry<T>(world: SimWorld, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if ((error as { kind?: string }).kind !== 'unavailable') throw error;
      await new Promise<void>((resolve) => world.scheduler.after(500, resolve));
    }
  }
}

describe('two devices over a real relay core', () => {
  test('one seed gives one trace: seed 1 with lost requests and replies', async () => {
    const faults = { requestLost: 0.15, replyLost: 0.15 };
    const once = await shopDay(1, faults);
    const again = await shopDay(1, faults);
    expect(once.trace.events).toBeGreaterThan(50);
    expect(again.trace).toEqual(once.trace);
  });

  test('both devices read the same totals across shards: seed 2', async () => {
    const { atAlice, atBob, status } = await shopDay(2, { requestLost: 0.1, replyLost: 0.1 });
    expect(atAlice?.length).toBeGreaterThan(3);
    expect(atBob).toEqual(atAlice);
    expect(status.followed.map(({ name }) => name)).toEqual(['till-1']);
    expect(status.troubles).toEqual([]);
  });

  test('a device without data starts from the checkpoint and says what it took: seed 3, calm network', async () => {
    const { status } = await shopDay(3, { requestLost: 0, replyLost: 0 });
    const [followed] = status.followed;
    expect(followed?.bootstrap.path).toBe('open'); // after the power cut its own file is there
    expect(followed?.seq).toBeGreaterThan(30);
  });

  test('another seed gives another trace', async () => {
    const faults = { requestLost: 0.1, replyLost: 0.1 };
    expect((await shopDay(4, faults)).trace.hash).not.toBe((await shopDay(5, faults)).trace.hash);
  });
});
