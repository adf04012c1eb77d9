// Random tails and random cuts: how many sales were committed, how many were not and in which flushes, whether replies were lost, whether the shard comes back or
// goes to another, whether a checkpoint is there, whether the machine stops in between. Whatever it was: each sale is there once, under its id.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { noteFence, SimCounter, stateOf } from '../sim/sim-counter.ts';

interface Case {
  readonly committed: number;
  /** Sales per flush. */
  readonly tail: readonly number[];
  /** Sales whose push landed without a receipt, before the fence. */
  readonly unanswered: number;
  readonly isPublished: boolean;
  readonly isSame: boolean;
  readonly stopAt: number | undefined;
}

const cases: fc.Arbitrary<Case> = fc.record({
  committed: fc.integer({ min: 1, max: 4 }),
  tail: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 }),
  unanswered: fc.integer({ min: 0, max: 2 }),
  isPublished: fc.boolean(),
  isSame: fc.boolean(),
  stopAt: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
});

async function play(backend: Backend, seed: number, at: Case): Promise<void> {
  const counter = await SimCounter.open(seed, { backend }, { sales: at.committed });
  const { shop, device } = counter;
  let shard = await counter.shard();
  let other = await counter.shard('counter-2');
  await counter.sell(other);
  await shop.committed(other);
  if (at.isPublished) await shop.world.finish('publish', shard.publish());
  if (at.unanswered > 0) {
    const slots = (await shop.keys('/log/')).length;
    counter.losesReplies(true);
    await counter.sell(shard, at.unanswered);
    await shop.world.run('the push landed unanswered', async () => (await shop.keys('/log/')).length > slots);
  }
  counter.offline();
  counter.losesReplies(false);
  for (const sales of at.tail) await Promise.all(Array.from({ length: sales }, () => counter.sell(shard)));
  const destination = (at.isSame ? shard : other).store.identity.id;
  const fenced = await counter.fence(shard, at.isSame ? device : shop.owner);
  await counter.cut(fenced, { writer: at.isSame ? device : undefined, destination }, at.isSame ? device : shop.owner);
  if (at.isSame) await noteFence(device, shop, fenced);
  if (at.stopAt !== undefined) device.medium.stopAfter(at.stopAt);
  counter.online();
  const isSettled = async (): Promise<boolean> => {
    [shard, other] = [await counter.shard(), await counter.shard('counter-2')];
    const { fence, stranded } = await shard.status();
    const isLevel = [shard, other].every(({ committed, store }) => committed.seq === store.head.seq);
    return (
      fence.kind === (at.isSame ? 'open' : 'handedOver') &&
      stranded.waiting + stranded.rebased === 0 &&
      isLevel &&
      shard.store.log.base.epoch === 2
    );
  };
  if (at.stopAt !== undefined) {
    await shop.world.run('stopped or settled', async () => device.medium.isStopped || (await isSettled().catch(() => false)));
    device.stop(at.stopAt % 2 === 0 ? 'kill' : 'power');
    await device.boot();
  }
  await shop.world.run('settled', isSettled);
  await counter.requireWhole([shard, other]);
  const state = stateOf(shard);
  for (const { verdict } of await device.engine.audit()) expect(verdict).toEqual({ kind: 'sound', covers: 'log and state' });
  expect(stateOf(await counter.shard())).toBe(state);
  device.stop('kill');
  shop.owner.stop('kill');
}

test.each<readonly [Backend, number]>([
  ['opfs-pool', 20],
  ['indexeddb', 20],
])(
  'every sale of a random tail is there once, whatever cut it off: %s',
  async (backend, numRuns) => {
    let seed = 500;
    await fc.assert(
      fc.asyncProperty(cases, (at) => play(backend, seed++, at)),
      { numRuns, seed: 20_261_121 },
    );
  },
  300_000,
);
