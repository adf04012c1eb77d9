// A follower against a relay that lies about a take-over: hides the fence, goes on in the old epoch, lets the old key into the new one, or shows another
// fence than the cut names. Each is found before anything of it is folded. The relay's own key signs every lie.

import { describe, expect, test, vi } from 'vitest';
import type { Bytes } from '../../kernel/bytes.ts';
import { headOf, linkGroup } from '../../kernel/commit-group.ts';
import { portableSigner } from '../../kernel/ed25519.ts';
import { encodePackedRun, packRun } from '../../kernel/run.ts';
import { makeSeal } from '../../kernel/seal.ts';
import { decodeSlotObject, makeFence, makeSegment, signFence } from '../../kernel/segment.ts';
import { epoch, noHash, seq } from '../../kernel/units.ts';
import { ifAbsent } from '../../relay/object-store.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { keysOf } from '../conformance/faulty-store.ts';
import type { SimDevice } from '../sim/sim-device.ts';
import { SimWorld, syncDeflate } from '../sim/sim-world.ts';
import { TwoTills } from '../sim/two-tills.ts';

// Three or four whole engines each, with a key pair and a SQLite of their own.
vi.setConfig({ testTimeout: 120_000 });

const relaySigner = (seed: number) => portableSigner(new SimWorld(seed).random('relay/key').bytes(32));

/** Key and object of a slot of the till's log. */
async function slotOf(tills: TwoTills, number: number) {
  const name = `/log/${String(number).padStart(16, '0')}`;
  const key = (await keysOf(tills.store)).find((each) => each.endsWith(name));
  const found = key === undefined ? undefined : await tills.store.get(key);
  if (key === undefined || found?.kind !== 'found') throw new Error(`no slot ${number}`);
  return { key, bytes: found.bytes, object: decodeSlotObject(found.bytes, key) };
}

async function replace(tills: TwoTills, key: string, bytes: Bytes): Promise<void> {
  await tills.store.delete(key);
  await tills.store.put(key, bytes, ifAbsent);
}

/** A shop with a taken-over till and a screen that was away: it knows the log up to the fence's slot, and nothing of fence and cut. */
async function takenOver(seed: number): Promise<{ tills: TwoTills; old: OwnShard; taken: OwnShard; screen: SimDevice; fence: number }> {
  const tills = new TwoTills(seed);
  const old = await tills.begin(2);
  const screen = await tills.screen('screen');
  await tills.world.run('the screen is level', async () => (await tills.followedSeq(screen)) === 4);
  screen.stop('kill');
  tills.firstNet.requestLost = 1;
  await tills.sell(old, 1);
  const fence = (await keysOf(tills.store)).filter((key) => key.includes('/log/')).length + 1;
  await tills.takeOver();
  const taken = await tills.open(tills.second);
  await tills.sell(taken, 1);
  await tills.committed(taken);
  expect((await slotOf(tills, fence)).object.kind).toBe('fence');
  return { tills, old, taken, screen, fence };
}

/** What the screen says of the shard, once it says anything. */
async function finding(tills: TwoTills, screen: SimDevice, knows: 'the cut' | 'nothing yet' = 'the cut') {
  if (knows === 'the cut') {
    tills.misses.set('screen', /\/log\?/);
    await screen.boot();
    await tills.pass(3_000); // it reads the control log first
    tills.misses.clear();
  } else {
    await screen.boot();
  }
  const stopped = async () => (await screen.engine.status()).followed[0]?.stopped;
  await tills.world.run('the screen found it', async () => (await stopped())?.kind === 'corrupt');
  await tills.world.run('what stood before', async () => (await tills.sales(screen)) === 2); // nothing of the lie is folded
  return stopped();
}

describe('a relay that lies about a take-over is found', () => {
  // Who reads the log before the control log folds the lie, and starts again when it learns of the cut.
  test.each(['the cut', 'nothing yet'] as const)(
    'the fence hidden, what the old writer made after it in its place; the reader knows %s',
    async (knows) => {
      const { tills, old, screen, fence } = await takenOver(501);
      const run = old.store.log.pendingRun(old.committed, { bytesMax: 1_000_000, upTo: undefined });
      if (run === undefined) throw new Error('no tail');
      const encoded = encodePackedRun(await packRun(syncDeflate, run.after, run.groups, run.seal));
      const { key, object } = await slotOf(tills, fence);
      await replace(tills, key, await makeSegment(relaySigner(501), object, encoded));
      expect(await finding(tills, screen, knows)).toMatchObject({ kind: 'corrupt' });
      await tills.world.run('named', async () => (await screen.engine.status()).followed[0]?.stopped?.reason === 'aboveCut');
    },
  );

  test('a run of the old epoch behind the fence', async () => {
    const { tills, old, screen, fence } = await takenOver(502);
    const run = old.store.log.pendingRun(old.committed, { bytesMax: 1_000_000, upTo: undefined });
    if (run === undefined) throw new Error('no tail');
    const encoded = encodePackedRun(await packRun(syncDeflate, run.after, run.groups, run.seal));
    const { key, object } = await slotOf(tills, fence + 1);
    await replace(tills, key, await makeSegment(relaySigner(502), object, encoded));
    expect(await finding(tills, screen)).toMatchObject({ reason: 'wrongEpoch' });
  });

  test('a run of the new epoch by the old key', async () => {
    const { tills, taken, screen, fence } = await takenOver(503);
    const oldKey = await tills.first.vault.signer();
    if (oldKey === undefined) throw new Error('no key');
    const after = taken.store.log.base.head;
    const shard = taken.store.identity.id;
    const [first] = taken.store.log.pendingRun(after, { bytesMax: 1_000_000, upTo: undefined })?.groups ?? [];
    if (first?.content.kind !== 'whole') throw new Error('no group');
    const { opCount, time, id } = first.header;
    const group = linkGroup({ shard, epoch: epoch(2), after, opCount, time, id, salt: first.content.salt, body: first.content.body });
    const seal = await makeSeal(oldKey, { shard, epoch: epoch(2), head: headOf(group) }, { controlHead: noHash, headsSeen: noHash });
    const { key, object } = await slotOf(tills, fence + 1);
    const encoded = encodePackedRun(await packRun(syncDeflate, after, [group], seal));
    await replace(tills, key, await makeSegment(relaySigner(503), object, encoded));
    expect(await finding(tills, screen)).toMatchObject({ reason: 'wrongSeal' });
  });

  test('another fence than the cut names, by an author who may, over the same head', async () => {
    const { tills, screen, fence } = await takenOver(504);
    const author = await tills.second.vault.signer();
    const { key, object } = await slotOf(tills, fence);
    if (object.kind !== 'fence' || author === undefined) throw new Error('no fence');
    const claim = { ...object.fence, controlHead: noHash };
    await replace(tills, key, await makeFence(relaySigner(504), object, await signFence(author, object, claim)));
    expect(await finding(tills, screen)).toMatchObject({ reason: 'wrongCut' });
  });

  test('a fence that closes another head', async () => {
    const { tills, screen, fence } = await takenOver(505);
    const author = await tills.second.vault.signer();
    const { key, object } = await slotOf(tills, fence);
    if (object.kind !== 'fence' || author === undefined) throw new Error('no fence');
    const claim = { ...object.fence, head: { ...object.fence.head, seq: seq(2) } };
    await replace(tills, key, await makeFence(relaySigner(505), object, await signFence(author, object, claim)));
    expect(await finding(tills, screen)).toMatchObject({ reason: 'wrongFence' });
  });

  test('the control: nothing changed, and the screen goes on over fence and cut', async () => {
    const { tills, screen } = await takenOver(506);
    await screen.boot();
    await tills.world.run('the screen goes on', async () => (await tills.followedSeq(screen)) === 6);
    expect(await tills.sales(screen)).toBe(3);
  });
});
