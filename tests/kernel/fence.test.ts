// What a reader asks of a fence, and of the cut that should open what follows it.
import { beforeAll, describe, expect, test } from 'vitest';
import type { Bytes } from '../../kernel/bytes.ts';
import { type ControlState, type ShardEntry, shardOf } from '../../kernel/control/fold.ts';
import { keyIdOf, shardIdOf } from '../../kernel/digest.ts';
import { type FenceObject, openingOf, verifyFence } from '../../kernel/fence.ts';
import type { Signer } from '../../kernel/ports.ts';
import { decodeSlotObject, makeFence, signFence } from '../../kernel/segment.ts';
import { epoch, type Hash, type Head, hash, noHash, seq, slot } from '../../kernel/units.ts';
import { at, fill, owner, relay, workspace } from '../vectors/cast.ts';
import { shardAct, signerOf, verifier, World } from './control/world.ts';

const till = shardIdOf(workspace, fill(0x70, 16));
const head: Head = { seq: seq(10), hash: hash(fill(0xaa, 32)) };
const place = { shard: till, slot: slot(4), prevObject: hash(fill(3, 32)) as Hash, time: at(50), bytesBefore: 900 };
const reached = { epoch: epoch(1), head };

async function fenceBy(author: Signer, change: { readonly head?: Head; readonly closed?: number } = {}): Promise<FenceObject> {
  const closed = change.closed ?? 1;
  const claim = { closedEpoch: epoch(closed), newEpoch: epoch(closed + 1), head: change.head ?? head, controlHead: noHash };
  const bytes: Bytes = await makeFence(relay, place, await signFence(author, place, claim));
  const object = decodeSlotObject(bytes, 'slot 4');
  if (object.kind !== 'fence') throw new Error('no fence');
  return object;
}

let world: World;
let admin: Signer;
let writer: Signer;
let other: Signer;
const control = (): { state: ControlState; shard: ShardEntry } => {
  const state = world.state as ControlState;
  return { state, shard: shardOf(state, till) as ShardEntry };
};
beforeAll(async () => {
  world = await World.begin();
  admin = await world.join('admin', 0x40);
  writer = await world.join('writer', 0x50);
  other = await world.join('writer', 0x60);
  await world.append(writer, [shardAct(0x70, 'till-1', writer)]);
});

describe('a fence', () => {
  test('by owner, admin or writer over what was reached is good', async () => {
    for (const author of [owner, admin, writer]) await verifyFence(verifier, control(), reached, await fenceBy(author), 'slot 4');
  });

  test('over another epoch or head is corrupt', async () => {
    const wrong = { kind: 'corrupt', reason: 'wrongFence' };
    const judged = async (object: FenceObject) => verifyFence(verifier, control(), reached, object, 'slot 4');
    await expect(judged(await fenceBy(admin, { closed: 2 }))).rejects.toMatchObject(wrong);
    await expect(judged(await fenceBy(admin, { head: { ...head, seq: seq(9) } }))).rejects.toMatchObject(wrong);
    await expect(judged(await fenceBy(admin, { head: { ...head, hash: hash(fill(0xab, 32)) } }))).rejects.toMatchObject(wrong);
  });

  test('that another key signed in an admin’s name is corrupt', async () => {
    const object = await fenceBy({ ...signerOf(0x99), publicKey: admin.publicKey });
    await expect(verifyFence(verifier, control(), reached, object, 'slot 4')).rejects.toMatchObject({
      kind: 'corrupt',
      reason: 'wrongFence',
    });
  });

  test('by somebody this control log does not know to speak for the shard waits for a newer one', async () => {
    for (const author of [other, signerOf(0x99)]) {
      const judged = verifyFence(verifier, control(), reached, await fenceBy(author), 'slot 4');
      await expect(judged).rejects.toMatchObject({ kind: 'unavailable', reason: 'unknownAuthor', retry: 'later' });
    }
  });
});

describe('what opens the epoch after it', () => {
  test('nothing, while there is no cut; then the cut that names it; another fence or head is corrupt', async () => {
    const object = await fenceBy(admin);
    expect(openingOf(control().shard, object, 'slot 4')).toBeUndefined();
    const cut = { act: 'cut', shard: till, epoch: epoch(2), writer: keyIdOf(other.publicKey), fence: object.objectHash } as const;
    await world.append(admin, [{ ...cut, seq: head.seq, head: head.hash }]);
    expect(openingOf(control().shard, object, 'slot 4')).toMatchObject({ epoch: 2, writer: keyIdOf(other.publicKey), cut: head });
    const wrong = expect.objectContaining({ kind: 'corrupt', reason: 'wrongCut' });
    expect(() => openingOf(control().shard, { ...object, objectHash: noHash }, 'slot 4')).toThrow(wrong);
    const elsewhere = { ...object.fence, head: { ...head, seq: seq(11) } };
    expect(() => openingOf(control().shard, { ...object, fence: elsewhere }, 'slot 4')).toThrow(wrong);
    // A fence that was given up has no cut of its own.
    const givenUp = { ...object.fence, closedEpoch: epoch(2), newEpoch: epoch(3) };
    expect(openingOf(control().shard, { ...object, fence: givenUp }, 'slot 4')).toBeUndefined();
  });
});
