// What the fold makes of `cut` and `revoke`: who may, which heads and epochs, and what a revocation must bring along (decision 0003).
import { beforeEach, describe, expect, test } from 'vitest';
import type { Act } from '../../../kernel/control/acts.ts';
import { type ControlState, cutAbove, deviceOf, shardOf, signatoryOf, speakerFor, writerAt } from '../../../kernel/control/fold.ts';
import { keyIdOf, shardIdOf } from '../../../kernel/digest.ts';
import type { Signer } from '../../../kernel/ports.ts';
import { type Epoch, epoch, hash, noHash, seq } from '../../../kernel/units.ts';
import { at, fill, owner, workspace } from '../../vectors/cast.ts';
import { deviceAct, inviteAct, shardAct, signerOf, World } from './world.ts';

type CutAct = Extract<Act, { act: 'cut' }>;
const till = shardIdOf(workspace, fill(0x70, 16));
const second = shardIdOf(workspace, fill(0x71, 16));
const office = shardIdOf(workspace, fill(0x72, 16));
const id = (device: Signer) => keyIdOf(device.publicKey);

const cut = (opens: number, writer: Signer | undefined, change: Partial<CutAct> = {}): CutAct => ({
  act: 'cut',
  shard: till,
  epoch: epoch(opens),
  ...(writer === undefined ? {} : { writer: id(writer) }),
  fence: hash(fill(opens, 32)),
  seq: seq(10),
  head: hash(fill(0xaa, 32)),
  ...change,
});
const revoke = (device: Signer): Act => ({ act: 'revoke', device: id(device) });

let world: World;
let admin: Signer;
let old: Signer;
let next: Signer;
let reader: Signer;
let stateNow: () => ControlState;
beforeEach(async () => {
  world = await World.begin();
  stateNow = () => world.state as ControlState;
  admin = await world.join('admin', 0x40);
  old = await world.join('writer', 0x50);
  next = await world.join('writer', 0x58);
  reader = await world.join('reader', 0x60);
  await world.append(old, [shardAct(0x70, 'till-1', old)]);
});

describe('cut', () => {
  test('it opens the next epoch for its writer, and closes all before it at its head', async () => {
    const act = cut(2, next, { destination: till });
    await world.append(admin, [act]);
    const state = stateNow();
    const entry = shardOf(state, till);
    expect(entry).toMatchObject({ epoch: 2, writer: id(next) });
    expect(entry?.epochs).toEqual([
      {
        epoch: 1,
        writer: id(old),
        cut: { seq: 0, hash: noHash },
        fence: noHash,
        destination: undefined,
        controlSlot: state.slot - 1,
        author: id(old),
      },
      {
        epoch: 2,
        writer: id(next),
        cut: { seq: 10, hash: act.head },
        fence: act.fence,
        destination: till,
        controlSlot: state.slot,
        author: id(admin),
      },
    ]);
    expect([1, 2, 3].map((each) => writerAt(state, till, epoch(each)))).toEqual([id(old), id(next), undefined]);
    expect(cutAbove(state, till, epoch(1))?.epoch).toBe(2);
    expect(cutAbove(state, till, epoch(2))).toBeUndefined();
  });

  test('it covers epochs that no cut opened: a fence may be superseded', async () => {
    await world.append(admin, [cut(4, next)]);
    expect([1, 2, 3].map((each) => cutAbove(stateNow(), till, epoch(each))?.epoch)).toEqual([4, 4, 4]);
    expect(writerAt(stateNow(), till, epoch(3))).toBeUndefined();
    await world.append(admin, [cut(7, undefined, { seq: seq(12) })]);
    expect([1, 4, 6].map((each) => cutAbove(stateNow(), till, epoch(each) as Epoch)?.epoch)).toEqual([4, 7, 7]);
    expect(shardOf(stateNow(), till)).toMatchObject({ epoch: 7, writer: undefined });
  });

  test('the writer, an admin and an owner may; nobody else', async () => {
    const made = await Promise.all([owner, admin, old].map((author) => world.reason(author, [cut(2, next)])));
    expect(made).toEqual(['applies', 'applies', 'applies']);
    expect(await world.reason(next, [cut(2, next)])).toBe('notAllowed');
    expect(await world.reason(reader, [cut(2, next)])).toBe('notAllowed');
    await world.append(admin, [cut(2, next)]);
    // The old writer's word ended with its epoch.
    expect(await world.reason(old, [cut(3, undefined)])).toBe('notAllowed');
    expect(await world.reason(next, [cut(3, undefined)])).toBe('applies');
    await world.append(admin, [cut(3, undefined)]);
    expect(await world.reason(next, [cut(4, undefined)])).toBe('notAllowed');
  });

  test('epochs rise, and no cut lies below the last one', async () => {
    expect(await world.reason(admin, [cut(2, next, { shard: second })])).toBe('unknownShard');
    await world.append(admin, [cut(3, next)]);
    for (const opens of [2, 3]) expect(await world.reason(admin, [cut(opens, undefined)])).toBe('epochFell');
    expect(await world.reason(admin, [cut(4, undefined, { seq: seq(9) })])).toBe('badCut');
    expect(await world.reason(admin, [cut(4, undefined, { head: hash(fill(0xbb, 32)) })])).toBe('badCut');
    expect(await world.reason(admin, [cut(4, undefined)])).toBe('applies');
    expect(await world.reason(admin, [cut(4, undefined, { seq: seq(11), head: hash(fill(0xbb, 32)) })])).toBe('applies');
  });

  test('a shard without groups is cut at its start, and nowhere else without a hash', async () => {
    expect(await world.reason(admin, [cut(2, next, { seq: seq(0), head: noHash })])).toBe('applies');
    expect(await world.reason(admin, [cut(2, next, { seq: seq(0) })])).toBe('badCut');
    expect(await world.reason(admin, [cut(2, next, { head: noHash })])).toBe('badCut');
  });

  test('its writer is a device that may write', async () => {
    expect(await world.reason(admin, [cut(2, reader)])).toBe('badWriter');
    expect(await world.reason(admin, [cut(2, signerOf(0x99))])).toBe('badWriter');
  });

  test('a key that wrote before goes on only by its own word: it may sit in a backup', async () => {
    expect(await world.reason(admin, [cut(2, old)])).toBe('usedWriter');
    expect(await world.reason(owner, [cut(2, old)])).toBe('usedWriter');
    expect(await world.reason(old, [cut(2, old)])).toBe('applies');
    await world.append(admin, [cut(2, next)]);
    expect(await world.reason(next, [cut(3, old)])).toBe('usedWriter');
    expect(await world.reason(next, [cut(3, next)])).toBe('applies');
  });

  test('a tail goes to a shard of its kind, or nowhere', async () => {
    await world.append(owner, [shardAct(0x71, 'till-2', next), { ...shardAct(0x72, 'main', owner), kind: 'catalogue' }]);
    expect(await world.reason(admin, [cut(2, next, { destination: second })])).toBe('applies');
    expect(await world.reason(admin, [cut(2, next, { destination: till })])).toBe('applies');
    expect(await world.reason(admin, [cut(2, next, { destination: office })])).toBe('badDestination');
    expect(await world.reason(admin, [cut(2, next, { destination: shardIdOf(workspace, fill(0x79, 16)) })])).toBe('badDestination');
  });
});

describe('revoke', () => {
  test('one entry revokes the device and cuts what it writes; then it may nothing', async () => {
    await world.append(owner, [revoke(old), cut(2, next)]);
    const state = stateNow();
    expect(deviceOf(state, id(old))).toBeUndefined();
    expect(signatoryOf(state, id(old))).toMatchObject({ id: id(old), role: 'writer' });
    expect(await world.reason(old, [shardAct(0x79, 'till-9', old)])).toBe('unknownDevice');
    expect(await world.reason(owner, [shardAct(0x79, 'till-9', old)])).toBe('badWriter');
    expect(await world.reason(owner, [cut(3, old)])).toBe('badWriter');
    expect(await world.reason(owner, [revoke(old)])).toBe('notEnrolled');
  });

  test('without a cut of every shard it writes at that slot, the entry does not fold', async () => {
    expect(await world.reason(owner, [revoke(old)])).toBe('cutMissing');
    // A shard made while the revocation was on its way: the same cuts are not enough any more.
    await world.append(old, [shardAct(0x71, 'till-2', old)]);
    expect(await world.reason(owner, [revoke(old), cut(2, next)])).toBe('cutMissing');
    const both = [cut(2, next), cut(2, next, { shard: second })];
    expect(await world.reason(owner, [...both, revoke(old)])).toBe('applies');
    expect(await world.reason(owner, [revoke(old), ...both])).toBe('applies');
    // Nor may a cut hand a shard to who goes in the same entry.
    await world.append(owner, both);
    expect(await world.reason(owner, [{ ...shardAct(0x7a, 'till-8', reader) }, revoke(reader)])).toBe('badWriter');
    expect(await world.reason(owner, [shardAct(0x7a, 'till-8', admin), revoke(admin)])).toBe('cutMissing');
  });

  test('a shard it wrote before and writes no more needs none', async () => {
    await world.append(admin, [cut(2, next)]);
    expect(await world.reason(owner, [revoke(old)])).toBe('applies');
  });

  test('an admin may revoke up to its own role, an owner all but the last owner', async () => {
    expect(await world.reason(admin, [revoke(reader)])).toBe('applies');
    expect(await world.reason(admin, [revoke(owner)])).toBe('roleTooHigh');
    expect(await world.reason(next, [revoke(reader)])).toBe('notAllowed');
    expect(await world.reason(owner, [revoke(signerOf(0x99))])).toBe('notEnrolled');
    expect(await world.reason(owner, [revoke(owner)])).toBe('lastOwner');
    const other = await world.join('owner', 0x80);
    expect(await world.reason(owner, [revoke(other), revoke(owner)])).toBe('lastOwner');
    expect(await world.reason(owner, [revoke(owner)])).toBe('applies');
    expect(await world.reason(other, [revoke(owner)])).toBe('applies');
  });

  test('who revokes itself may nothing after it in the same entry', async () => {
    expect(await world.reason(admin, [revoke(admin), inviteAct(signerOf(0x90))])).toBe('notAllowed');
    expect(await world.reason(admin, [revoke(admin), cut(2, next)])).toBe('notAllowed');
    expect(await world.reason(admin, [cut(2, next), revoke(admin)])).toBe('applies');
  });

  test('invites it made let nobody in, those of others do', async () => {
    const [its, another] = [signerOf(0x90), signerOf(0x92)];
    await world.append(admin, [inviteAct(its, { uses: 5 })]);
    await world.append(owner, [inviteAct(another)]);
    await world.append(owner, [revoke(admin)]);
    const joining = signerOf(0x91);
    expect(await world.reason(joining, [await deviceAct(joining, its)])).toBe('inviteSpent');
    expect(await world.reason(joining, [await deviceAct(joining, another)])).toBe('applies');
  });

  test('its key id stays taken', async () => {
    await world.append(owner, [revoke(reader)]);
    const key = signerOf(0x92);
    await world.append(owner, [inviteAct(key)]);
    expect(await world.reason(reader, [await deviceAct(reader, key)])).toBe('keyTaken');
    expect(await world.reason(owner, [inviteAct(reader)])).toBe('keyTaken');
  });
});

test('who speaks for a shard: admins and those who wrote it, gone or not', async () => {
  await world.append(admin, [cut(2, next)]);
  await world.append(owner, [revoke(old), revoke(admin)]);
  const entry = shardOf(stateNow(), till);
  if (entry === undefined) throw new Error('no shard');
  const speaks = [owner, admin, old, next, reader, signerOf(0x99)].map((each) => speakerFor(stateNow(), entry, id(each)) !== undefined);
  expect(speaks).toEqual([true, true, true, true, false, false]);
  expect(stateNow().time).toBe(at(world.objects.length));
});
