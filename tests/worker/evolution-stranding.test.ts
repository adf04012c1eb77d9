// An update of the app and a change of who writes, on one shard: sales of both releases that strand together, a move that strands with them, a shard taken
// over by a device of another release, and a state restored across a move. Nothing is lost, the chain says what the tables are, readers have the same.

import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { decodeGroupHeader } from '../../kernel/commit-group.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import { readSystemOp, type SystemOp } from '../../kernel/system-ops.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { sql } from '../../shards/index.ts';
import { Meta } from '../../worker/engine/meta.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { spoil } from '../sim/damage.ts';
import { till2 } from '../sim/evolving.ts';
import { noteFence, SimCounter, stateOf, stateOnDisk } from '../sim/sim-counter.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import { TwoTills } from '../sim/two-tills.ts';

/** Groups of a log in order: the engine's own op that stands alone, or nothing. */
function groupsOf({ store }: OwnShard): readonly { readonly seq: number; readonly id: string; readonly move: SystemOp | undefined }[] {
  const rows = store.db.all<{ id: Uint8Array; last_seq: number; header: Uint8Array; body: Uint8Array }>(
    'SELECT id, last_seq, header, body FROM foldlog_group ORDER BY last_seq',
  );
  return rows.map(({ id, last_seq, header, body }) => {
    const [op] = decodeOps(body, decodeGroupHeader(header, 'stored').opCount, 'stored');
    return { seq: last_seq, id: bytesToHex(id), move: op?.class === 'foldlog.schemaMoved' ? readSystemOp(op, 'stored') : undefined };
  });
}

const movesOf = (shard: OwnShard) => groupsOf(shard).flatMap(({ seq, move }) => (move === undefined ? [] : [{ seq, move }]));
const toTill2 = (from: number) => ({ kind: 'schemaMoved', from, to: 2, foldId: till2.foldId });
const isUnsaid = ({ store }: OwnShard): boolean => new Meta(store.db).number('unsaidFrom') !== undefined;

/** Every acknowledged sale stands in one of the logs under its id, and in the states with both its lines, and the column of release 2. */
async function requireWhole(counter: SimCounter, shards: readonly OwnShard[]): Promise<void> {
  const ids = shards.flatMap((shard) => groupsOf(shard).flatMap(({ id, move }) => (move === undefined ? [id] : [])));
  expect(ids.toSorted()).toEqual([...counter.ledger.keys()].toSorted());
  const sales: { sale: string; n: number; vats: number }[] = [];
  for (const shard of shards) {
    const [rows = []] = await shard.read([sql`SELECT sale, count(*) AS n, sum(vat = cents / 5) AS vats FROM saleLine GROUP BY sale`]);
    sales.push(...(rows as unknown as typeof sales));
  }
  expect(sales.toSorted((a, b) => (a.sale < b.sale ? -1 : 1))).toEqual(
    [...counter.ledger.values()].toSorted().map((sale) => ({ sale, n: 2, vats: 2 })),
  );
}

async function update(device: SimDevice, definition: ShardDefinition): Promise<void> {
  device.stop('kill');
  device.install([definition]);
  await device.boot();
}

async function isLevelWith(reader: SimDevice, shard: OwnShard): Promise<boolean> {
  const found = (await reader.engine.status()).followed.find(({ name }) => name === shard.store.identity.name);
  return found?.seq === shard.store.head.seq;
}

/** Sales of release 1, an update, a sale of release 2: all without network. Six ops are committed, four wait, then the move and two more. */
async function updatedOffline(seed: number, backend: Backend): Promise<{ readonly counter: SimCounter; readonly shard: OwnShard }> {
  const counter = await SimCounter.open(seed, { backend });
  await counter.shard('counter-2');
  await counter.shop.world.run(
    'the second till is in the control log',
    () => counter.device.engine.shard('till/counter-2').pushState.kind === 'idle',
  );
  counter.offline();
  await counter.sell(await counter.shard(), 2);
  await update(counter.device, till2);
  const shard = await counter.shard();
  await counter.sell(shard, 1);
  expect(movesOf(shard)).toEqual([{ seq: 11, move: toTill2(1) }]);
  return { counter, shard };
}

describe.each<Backend>(['opfs-pool', 'indexeddb'])('an updated shard whose tail strands, on %s', (backend) => {
  test('into its own next epoch: the move is said again before the sales, which are all there; followers of both kinds have the same state', async () => {
    const { counter } = await updatedOffline(201, backend);
    const { shop, device } = counter;
    const early = await shop.join('early', [till2]);
    await shop.world.run('level', async () =>
      (await early.engine.status()).followed.some(({ name, seq }) => name === 'counter-1' && seq === 6),
    );
    const fenced = await counter.fence(await counter.shard(), device);
    counter.online();
    await shop.world.run('the fence is met', async () => (await (await counter.shard()).status()).fence.kind === 'fenced');
    await noteFence(device, shop, fenced);
    const shard = await counter.shard();
    await shop.world.run('the shard is open again', async () => (await shard.status()).fence.kind === 'open');
    await counter.sell(shard, 1);
    await shop.committed(shard);
    expect(movesOf(shard)).toEqual([{ seq: 7, move: toTill2(1) }]);
    expect(isUnsaid(shard)).toBe(false);
    await requireWhole(counter, [shard]);
    await shop.world.run('the outbox is let go, and a checkpoint says what lies below the move', async () => {
      const { stranded, checkpointSeq } = await shard.status();
      return stranded.rebased === 0 && stranded.waiting === 0 && checkpointSeq >= 7;
    });
    await shop.world.run('the early follower settled the move', async () => {
      const found = (await early.engine.status()).followed.find(({ name }) => name === 'counter-1');
      return (await isLevelWith(early, shard)) && found?.schema.move?.isDifferent === false;
    });
    const late = await shop.join('late', [till2]);
    await shop.world.run('level', async () => isLevelWith(late, shard));
    const wanted = stateOf(shard);
    for (const reader of [early, late]) expect(await stateOnDisk(reader, shop, shard.store.identity.id, till2)).toBe(wanted);
    await update(device, till2);
    const again = await counter.shard();
    expect([movesOf(again), stateOf(again)]).toEqual([[{ seq: 7, move: toTill2(1) }], wanted]);
  });

  test('into another till of the device: nothing is signed in the closed one, and what was its is counted once', async () => {
    const { counter, shard: old } = await updatedOffline(202, backend);
    const { shop, device } = counter;
    const next = await counter.shard('counter-2');
    await counter.cut(await counter.fence(old), { destination: next.store.identity.id });
    counter.online();
    await shop.world.run('handed over', async () => (await old.status()).fence.kind === 'handedOver' && next.store.head.seq >= 10);
    await shop.committed(next);
    expect([movesOf(old), movesOf(next)]).toEqual([[], [{ seq: 1, move: toTill2(1) }]]);
    await requireWhole(counter, [old, next]);
    for (let start = 0; start < 2; start++) {
      await update(device, till2);
      const again = await counter.shard();
      expect([again.store.head.seq, movesOf(again)]).toEqual([6, []]);
      await expect(counter.sell(again)).rejects.toMatchObject({ kind: 'fenced' });
      await requireWhole(counter, [again, await counter.shard('counter-2')]);
    }
  });
});

/** How many of the steps are stopped at, evenly spread. */
const stopsMax = 10;

test.each<Backend>(['opfs-pool', 'indexeddb'])(
  'stopped at any I/O step from the cut on, an updated shard says its move once and keeps every sale: kill and power cut, %s',
  async (backend) => {
    const begun = async (): Promise<SimCounter> => {
      const { counter, shard } = await updatedOffline(205, backend);
      await noteFence(counter.device, counter.shop, await counter.fence(shard, counter.device));
      await counter.shard();
      return counter;
    };
    const isSettled = async (counter: SimCounter): Promise<boolean> => {
      const shard = await counter.shard();
      const { fence, stranded } = await shard.status();
      const isOpen = shard.store.log.base.epoch === 2 && fence.kind === 'open';
      return isOpen && stranded.waiting + stranded.rebased === 0 && shard.committed.seq === shard.store.head.seq;
    };
    const whole = await begun();
    const before = whole.device.medium.calls;
    whole.online();
    await whole.shop.world.run('settled', () => isSettled(whole));
    const calls = whole.device.medium.calls - before;
    expect(calls).toBeGreaterThan(backend === 'indexeddb' ? 10 : 50);
    const step = Math.max(1, Math.floor(calls / stopsMax));
    for (let call = 1; call <= calls; call += step) {
      const counter = await begun();
      const { device, shop } = counter;
      device.medium.stopAfter(call);
      counter.online();
      await shop.world.run('stopped', async () => device.medium.isStopped || (await isSettled(counter)));
      device.stop(Math.floor(call / step) % 2 === 0 ? 'kill' : 'power');
      await device.boot();
      await shop.world.run('settled', () => isSettled(counter));
      const shard = await counter.shard();
      expect([movesOf(shard), isUnsaid(shard)]).toEqual([[{ seq: 7, move: toTill2(1) }], false]);
      await requireWhole(counter, [shard]);
      device.stop('kill');
      shop.owner.stop('kill');
    }
  },
  240_000,
);

describe('a shard taken over by a device of a newer release', () => {
  test.each([
    ['whose replica was migrated', true, 1],
    ['that folded it from its first slot', false, 2],
  ])('%s: its first op says the version; an older follower stops there, a newer one has the same state', async (_, wasThere, from) => {
    const tills = new TwoTills(203);
    const { world, second } = tills;
    const shard = await tills.begin();
    const { seq } = shard.store.head;
    const [older, newer] = [await tills.screen('older'), await tills.screen('newer')];
    for (const screen of [older, newer]) await world.run('level', async () => isLevelWith(screen, shard));
    await update(newer, till2);
    if (!wasThere) tills.evictShards(second);
    await update(second, till2);
    await world.run('level', async () => (await tills.followedSeq()) === seq);
    await tills.takeOver();
    const taken = await tills.open(second);
    await tills.sell(taken, 2);
    await world.run('committed', () => taken.committed.seq === taken.store.head.seq);
    expect(movesOf(taken)).toEqual([{ seq: seq + 1, move: toTill2(from) }]);
    await world.run('the newer follower is level', async () => isLevelWith(newer, taken));
    await world.run('the older one stops', async () => (await older.engine.status()).followed[0]?.stopped?.reason === 'newerSchema');
    expect((await older.engine.status()).followed[0]).toMatchObject({ seq, stopped: { kind: 'upgradeNeeded' } });
    expect(await stateOnDisk(newer, tills, taken.store.identity.id, till2)).toBe(stateOf(taken));
  });
});

describe.each<Backend>(['opfs-pool', 'indexeddb'])('a truncated log with a move, its state damaged, on %s', (backend) => {
  test.each([
    ['behind the checkpoint of the move', true],
    ['behind a checkpoint of the version before', false],
  ])('%s: the state is filled from it, migrated where it must be, and the move is not made twice', async (_, isPublished) => {
    const counter = await SimCounter.open(204, { backend }, { sales: 4 });
    const { shop, device } = counter;
    const first = await counter.shard();
    await shop.world.finish('publish', first.publish());
    if (!isPublished) {
      await counter.sell(first, 1); // what a truncated log keeps is never nothing
      await shop.committed(first);
      await shop.world.finish('truncate', first.truncate());
      counter.loses(/checkpoints$/); // statements; they can be read
    }
    await update(device, till2);
    const shard = await shop.world.finish('open', counter.shard());
    await counter.sell(shard, 3);
    await shop.committed(shard);
    const [move] = movesOf(shard);
    if (isPublished) {
      await shop.world.run('the checkpoint of the move', async () => (await shard.status()).checkpointSeq >= (move?.seq ?? 0));
      await shop.world.finish('truncate', shard.truncate());
    }
    const base = shard.store.log.base.head.seq;
    expect(base > 0 && (isPublished ? base >= (move?.seq ?? 0) : base < (move?.seq ?? 0))).toBe(true);
    const right = stateOf(shard);
    spoil(shard.store.db);
    await shard.store.flush();
    await shop.world.run('no checkpoint is being made', async () => {
      const { upkeep } = await shard.status();
      return upkeep?.job === 'idle' && (isPublished || upkeep.lastError !== undefined);
    });
    const [report] = await shop.world.finish('audit', device.engine.audit());
    expect(report?.verdict).toMatchObject({ kind: 'damaged', part: 'state' });
    expect(shard.store.file).toMatch(/-2\.db$/);
    expect(stateOf(shard)).toBe(right);
    expect((await shop.world.finish('audit', device.engine.audit()))[0]?.verdict).toEqual({ kind: 'sound', covers: 'log' });
    const before = movesOf(shard);
    await update(device, till2);
    const again = await shop.world.finish('open', counter.shard());
    expect([movesOf(again), stateOf(again)]).toEqual([before, right]);
    await counter.sell(again, 1);
    await shop.committed(again);
  });
});
