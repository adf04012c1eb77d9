// Which groups that were saved again a reader takes: the cut, its destination and an admin's word, all by the control log.

import { beforeEach, describe, expect, test } from 'vitest';
import { utf8 } from '../../kernel/bytes.ts';
import { type CommitGroup, linkGroup } from '../../kernel/commit-group.ts';
import type { Act } from '../../kernel/control/acts.ts';
import { keyIdOf, shardIdOf } from '../../kernel/digest.ts';
import { encodeOps } from '../../kernel/op-body.ts';
import type { Signer } from '../../kernel/ports.ts';
import { requireRebases } from '../../kernel/rebase-proof.ts';
import { readStrandedBody, rebasedBody } from '../../kernel/rebased-body.ts';
import { attestMessage, type Origin, type RebasedOp } from '../../kernel/system-ops.ts';
import { chainStart, epoch, groupId, hash, type Slot, seq, slot } from '../../kernel/units.ts';
import { fill, owner, workspace } from '../vectors/cast.ts';
import { shardAct, verifier, World } from './control/world.ts';

const [left, home, elsewhere] = [0x70, 0x71, 0x72].map((nonce) => shardIdOf(workspace, fill(nonce, 16)));
if (left === undefined || home === undefined || elsewhere === undefined) throw new Error('no shards');
const id = (device: Signer) => keyIdOf(device.publicKey);
const from: Origin = { shard: left, epoch: epoch(1), firstSeq: seq(11), lastSeq: seq(11) };

let world: World;
let old: Signer;
let next: Signer;
let admin: Signer;
let cutSlot: Slot;
beforeEach(async () => {
  world = await World.begin();
  old = await world.join('writer', 0x50);
  next = await world.join('writer', 0x58);
  admin = await world.join('admin', 0x40);
  await world.append(old, [shardAct(0x70, 'left', old)]);
  await world.append(old, [shardAct(0x71, 'home', old)]);
  const cut: Act = {
    ...{ act: 'cut', shard: left, epoch: epoch(2), fence: hash(fill(2, 32)), seq: seq(10), head: hash(fill(0xaa, 32)) },
    destination: home,
  };
  cutSlot = (await world.append(owner, [cut])).slot;
});

function group(change: Partial<RebasedOp>): CommitGroup {
  const body = encodeOps([{ class: 'sale.line', version: 1, payload: {} }], 'test');
  const made: RebasedOp = { kind: 'rebased', from, cut: seq(10), controlSlot: cutSlot, born: undefined, attest: undefined, ...change };
  const moved = rebasedBody(body, readStrandedBody(body, 1, 'test'), made, 'test');
  return linkGroup({
    ...{ shard: home as typeof from.shard, epoch: epoch(1), after: chainStart, opCount: 2, time: 1 as never, id: groupId(fill(1, 16)) },
    ...{ salt: fill(2, 16), body: moved.body },
  });
}

/** `taken`, or the reason of the refusal. */
async function judged(
  change: Partial<RebasedOp>,
  into: { readonly writer?: Signer; readonly shard?: typeof from.shard } = {},
): Promise<string> {
  if (world.state === undefined) throw new Error('no control log');
  const place = { shard: into.shard ?? (home as typeof from.shard), writer: id(into.writer ?? old) };
  return requireRebases(verifier, world.state, place, [group(change)], 'test').then(
    () => 'taken',
    (error: { reason: string }) => error.reason,
  );
}

async function word(by: Signer, change: { readonly destination?: typeof from.shard; readonly from?: Origin } = {}) {
  const stood = hash(fill(9, 32));
  const message = attestMessage({
    destination: change.destination ?? (home as typeof from.shard),
    from: change.from ?? from,
    group: stood,
  });
  return { key: id(by), group: stood, signature: await by.sign(message) };
}

describe('a group saved again', () => {
  test('is taken where its cut sends it, from the key that sealed it before', async () => {
    expect(await judged({})).toBe('taken');
  });

  test.each<[string, Partial<RebasedOp>]>([
    ['a cut at another seq', { cut: seq(9) }],
    ['a control slot that made no such cut', { controlSlot: slot(3) }],
    ['an epoch that no cut closed', { from: { ...from, epoch: epoch(2) } }],
    ['a shard that was never cut', { from: { ...from, shard: home } }],
  ])('that names %s is refused', async (_, change) => {
    expect(await judged(change)).toBe('wrongRebase');
  });

  test('from a shard whose cut names no destination is refused', async () => {
    const other = { ...from, shard: elsewhere };
    await world.append(old, [shardAct(0x72, 'elsewhere', old)]);
    const cut: Act = {
      ...{ act: 'cut', shard: elsewhere, epoch: epoch(2), fence: hash(fill(3, 32)), seq: seq(10), head: hash(fill(0xab, 32)) },
    };
    const { slot: controlSlot } = await world.append(owner, [cut]);
    expect(await judged({ from: other, controlSlot })).toBe('wrongRebase');
  });

  test('from an epoch in which nobody could write needs a word as well', async () => {
    const closed: Act = {
      ...{ act: 'cut', shard: left, epoch: epoch(3), fence: hash(fill(4, 32)), seq: seq(10), head: hash(fill(0xaa, 32)) },
      destination: home,
    };
    const { slot: controlSlot } = await world.append(owner, [closed]);
    const inNobodys = { ...from, epoch: epoch(2) };
    expect(await judged({ from: inNobodys, controlSlot })).toBe('wrongRebase');
    const attest = await word(admin, { from: inNobodys });
    expect(await judged({ from: inNobodys, controlSlot, attest })).toBe('taken');
  });

  test('whose body cannot be read, or is gone, proves nothing either way', async () => {
    if (world.state === undefined) throw new Error('no control log');
    const sound = group({ cut: seq(9) });
    const place = { shard: home as typeof from.shard, writer: id(old) };
    const garbled = { ...sound, content: { kind: 'whole', salt: fill(2, 16), body: utf8('[["foldlog.rebased",1,{}]]') } } as CommitGroup;
    const erased = { ...sound, content: { kind: 'erased' } } as CommitGroup;
    const plain = { ...sound, content: { kind: 'whole', salt: fill(2, 16), body: utf8('[["sale.line",1,{}]]') } } as CommitGroup;
    await expect(requireRebases(verifier, world.state, place, [garbled, erased, plain], 'test')).resolves.toBeUndefined();
    await expect(requireRebases(verifier, world.state, place, [sound], 'test')).rejects.toMatchObject({ reason: 'wrongRebase' });
  });

  test('in another shard than the cut names is refused', async () => {
    expect(await judged({}, { shard: elsewhere })).toBe('wrongRebase');
  });

  test('that names a control slot nobody here has seen is asked about later', async () => {
    expect(await judged({ controlSlot: slot(cutSlot + 1) })).toBe('controlBehind');
  });

  test('by another key needs the word of an admin or owner for this destination, range and group', async () => {
    expect(await judged({}, { writer: next })).toBe('wrongRebase');
    for (const by of [admin, owner]) expect(await judged({ attest: await word(by) }, { writer: next })).toBe('taken');
    for (const by of [next, old]) expect(await judged({ attest: await word(by) }, { writer: next })).toBe('wrongRebase');
    expect(await judged({ attest: await word(admin, { destination: elsewhere }) }, { writer: next })).toBe('wrongRebase');
    expect(await judged({ attest: await word(admin, { from: { ...from, lastSeq: seq(12) } }) }, { writer: next })).toBe('wrongRebase');
    const other = await word(admin);
    expect(await judged({ attest: { ...other, group: hash(fill(8, 32)) } }, { writer: next })).toBe('wrongRebase');
  });
});
