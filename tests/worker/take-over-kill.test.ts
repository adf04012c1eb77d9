// Stops the device that takes over at every I/O step and after every request, and the old writer while it learns of it. What must come out each
// time: one writer, in an epoch its cut opened, a store that verifies, and nothing saved that is gone.

import { describe, expect, test } from 'vitest';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { verifiedStore } from '../relay/take-over.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { type Stage, TwoTills } from '../sim/two-tills.ts';

const fenced = { kind: 'fenced', reason: 'fenced' };
const modeOf = (step: number): StopMode => (step % 2 === 0 ? 'kill' : 'power');

/** Two sales committed, the second till level with them. */
async function staged(seed: number, backend: Backend): Promise<Stage> {
  const tills = new TwoTills(seed, { backend });
  await tills.begin(2);
  return tills.stage();
}

/** A take-over that ends with the device, or in time; never settles when its process is gone. */
async function begun(tills: TwoTills, device: SimDevice): Promise<boolean> {
  let isDone = false;
  let isOver = false;
  device.engine.takeOvers.takeOver('till', 'till-1').then(
    () => {
      isDone = true;
    },
    () => {
      isOver = true;
    },
  );
  await tills.world.run('taken over or stopped', () => isDone || isOver || device.medium.isStopped, 20_000);
  return isDone;
}

/** Whoever took it saves there, the other does not, and the relay's whole store verifies. */
async function expectOneWriter(tills: TwoTills, writer: SimDevice, other: OwnShard | undefined): Promise<void> {
  await tills.takeOver(writer);
  const taken = await tills.open(writer);
  const before = taken.store.head.seq;
  await tills.sell(taken);
  await tills.committed(taken);
  expect(taken.store.head.seq).toBe(before + 2);
  expect((await writer.engine.status()).troubles).toEqual([]);
  expect((await writer.engine.status()).own).toHaveLength(1);
  if (other !== undefined) {
    await tills.world.run('the other one knows', () => other.closed !== undefined);
    await expect(tills.sell(other)).rejects.toMatchObject(fenced);
  }
  expect((await verifiedStore(tills.store)).join('\n')).toContain(`head ${taken.store.head.seq} `);
}

describe.each<readonly [Backend, number]>([
  ['opfs-pool', 25],
  ['indexeddb', 6],
])('stopped at any I/O step, %s', (backend, callsMin) => {
  /** OPFS has many steps: every third, odd and even in turn, so that both ways of stopping come. */
  const stride = backend === 'opfs-pool' ? 3 : 1;
  test('taking over from another: the next start goes on from the note', async () => {
    const stage = await staged(401, backend);
    let call = 1;
    for (let isWhole = false; !isWhole; call += stride) {
      const isFirstAway = call % 8 !== 1; // what the old writer makes of it is the third test's
      const tills = await TwoTills.from(stage, isFirstAway);
      const old = isFirstAway ? undefined : await tills.open(tills.first);
      tills.second.medium.stopAfter(call);
      const isDone = await begun(tills, tills.second);
      isWhole = isDone && !tills.second.medium.isStopped;
      tills.second.stop(modeOf(call));
      await tills.second.boot();
      await expectOneWriter(tills, tills.second, old);
      expect(await tills.sales(tills.second)).toBe(3);
    }
    expect(call).toBeGreaterThan(callsMin);
  }, 300_000);

  test('taking over from itself: the same, and what it had saved stays', async () => {
    const stage = await staged(402, backend);
    let call = 1;
    for (let isWhole = false; !isWhole; call += stride) {
      const tills = await TwoTills.from(stage);
      await tills.open(tills.first);
      tills.first.medium.stopAfter(call);
      const isDone = await begun(tills, tills.first);
      isWhole = isDone && !tills.first.medium.isStopped;
      tills.first.stop(modeOf(call + 1));
      await tills.first.boot();
      await expectOneWriter(tills, tills.first, undefined);
      expect(await tills.sales(tills.first)).toBe(3);
    }
    expect(call).toBeGreaterThan(4);
  }, 300_000);

  test('the old writer, while it learns of it: everything saved is there, and no save is taken after the next answer', async () => {
    const begun = new TwoTills(403, { backend });
    const before = await begun.begin(1);
    begun.firstNet.requestLost = 1;
    await begun.sell(before, 2);
    await begun.takeOver();
    const stage = await begun.stage();
    let call = 1;
    for (let isWhole = false; !isWhole; call += stride) {
      const tills = await TwoTills.from(stage);
      const old = await tills.open(tills.first);
      tills.first.medium.stopAfter(call);
      await tills.world.run(
        'told or stopped',
        async () => tills.first.medium.isStopped || (await old.status().catch(() => undefined))?.fence.kind === 'handedOver',
      );
      isWhole = !tills.first.medium.isStopped;
      tills.first.stop(modeOf(call));
      await tills.first.boot();
      const again = await tills.open(tills.first);
      await tills.world.run('it knows', async () => (await again.status()).fence.kind === 'handedOver');
      await expect(tills.sell(again)).rejects.toMatchObject(fenced);
      // What the relay has is in the state, what it has not waits in the outbox.
      expect([again.store.head.seq, await tills.sales(tills.first)]).toEqual([2, 1]);
      expect((await again.status()).stranded).toMatchObject({ waiting: 2 });
    }
    expect(call).toBeGreaterThan(1);
  }, 120_000);
});

describe('requests and replies', () => {
  test('killed right after each request of a take-over, answered or not, the next start ends it, with one fence more at most', async () => {
    let requests = 0;
    const stage = await staged(404, 'opfs-pool');
    for (const isLost of [false, true]) {
      for (let at = 1, wasCut = true; wasCut; at++, requests++) {
        const tills = await TwoTills.from(stage);
        const old = await tills.open(tills.first);
        tills.secondStopsAt = { request: at, isLost };
        const isDone = await begun(tills, tills.second);
        wasCut = !isDone;
        tills.secondStopsAt = undefined;
        tills.second.stop('kill');
        await tills.second.boot();
        await expectOneWriter(tills, tills.second, old);
        const slots = (await verifiedStore(tills.store)).find((line) => line.includes('till/till-1'));
        expect(slots).toMatch(/epoch [23],/);
      }
    }
    expect(requests).toBeGreaterThan(10);
  }, 200_000);

  test('with a quarter of all requests and replies lost, the take-over and both sides come through: seeds', async () => {
    for (let seed = 0; seed < 6; seed++) {
      const tills = new TwoTills(420 + seed);
      const old = await tills.begin(2);
      for (const net of [tills.firstNet, tills.secondNet]) Object.assign(net, { requestLost: 0.25, replyLost: 0.25 });
      await tills.sell(old, 2);
      await tills.takeOver();
      const taken = await tills.open(tills.second);
      await tills.sell(taken, 2);
      await tills.committed(taken);
      await tills.world.run('the old writer knows', () => old.closed !== undefined, 600_000);
      await expect(tills.sell(old)).rejects.toMatchObject(fenced);
      // What the relay had given its word for lies below the cut.
      expect(old.committed.seq).toBeLessThanOrEqual(taken.store.log.base.head.seq);
      await verifiedStore(tills.store);
    }
  }, 120_000);
});
