import { beforeAll, describe, expect, test } from 'vitest';
import { type Bytes, bytesToHex } from '../../kernel/bytes.ts';
import { keyIdOf, objectHash } from '../../kernel/digest.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import {
  decodeSignedFence,
  decodeSlotObject,
  encodeSignedFence,
  type FenceClaim,
  isFenceBy,
  makeFence,
  makeSegment,
  type RelayPlace,
  type SlotObject,
  signedFenceBytes,
  signFence,
  verifySlotObject,
} from '../../kernel/segment.ts';
import {
  chainStart,
  epoch,
  type Hash,
  integerMax,
  type KeyId,
  noHash,
  type Slot,
  seq,
  shardId,
  slot,
  type TimeMs,
  timeMs,
} from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { fill, owner, relay, till, tillShard } from '../vectors/cast.ts';
import { vector } from './support/decoders.ts';

const run = vector('run-deflated');
const place: RelayPlace = {
  shard: tillShard,
  slot: slot(7),
  prevObject: fill(3, 32) as Hash,
  time: timeMs(1000),
  bytesBefore: 12_345,
};
const expected = { ...place, relay: relay.publicKey, timeMin: timeMs(1000) };
const corrupt = (reason: string) => ({ kind: 'corrupt', reason });
const verify = (object: SlotObject, change: Partial<typeof expected> = {}) =>
  verifySlotObject(portableVerifier, { ...expected, ...change }, object, 'slot 7');

let segment: Bytes;
let object: SlotObject;
beforeAll(async () => {
  segment = await makeSegment(relay, place, run);
  object = decodeSlotObject(segment, 'slot 7');
});

describe('segment', () => {
  test('it holds the run byte for byte, with its place and the relay’s word', async () => {
    expect(object).toMatchObject({ kind: 'segment', ...place, relayKey: keyIdOf(relay.publicKey) });
    expect(bytesToHex(segment)).toContain(bytesToHex(run));
    expect(object.objectHash).toEqual(objectHash(segment));
    expect(segment).toHaveLength(64 + run.length + 96);
    await verify(object);
  });

  test('numbers at the end of their range come back', async () => {
    const last = { ...place, slot: integerMax as Slot, time: integerMax as TimeMs, bytesBefore: integerMax };
    expect(decodeSlotObject(await makeSegment(relay, last, run), 'test')).toMatchObject(last);
  });

  test.each<readonly [string, Partial<typeof expected>, string]>([
    ['another slot', { slot: slot(8) }, 'wrongSlot'],
    ['another shard', { shard: shardId(fill(1, 16)) }, 'wrongSlot'],
    ['after another object', { prevObject: noHash }, 'brokenObjectLink'],
    ['when a later time was reached', { timeMin: timeMs(1001) }, 'timeFell'],
    ['under another relay key', { relay: owner.publicKey }, 'wrongRelaySignature'],
  ])('it is refused in %s', async (_what, change, reason) => {
    await expect(verify(object, change)).rejects.toMatchObject(corrupt(reason));
  });

  test('an earlier time than the object’s is no reason to refuse it', async () => {
    await verify(object, { timeMin: timeMs(0) });
  });

  test('every bit is under the relay’s signature, or names another place', async () => {
    const verifier = webVerifier();
    for (let bit = 0; bit < segment.length * 8; bit += 3) {
      const flipped = segment.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const outcome = await Promise.resolve()
        .then(() => verifySlotObject(verifier, expected, decodeSlotObject(flipped, 'slot 7'), 'slot 7'))
        .catch((error: unknown) => error);
      expect(outcome, `bit ${bit}`).toMatchObject({ name: 'FoldlogError' });
    }
  });

  test('a relay that signs under another name than its key’s is refused', async () => {
    const misnamed = await makeSegment({ ...relay, publicKey: owner.publicKey }, place, run);
    await expect(verify(decodeSlotObject(misnamed, 'slot 7'))).rejects.toMatchObject(corrupt('wrongRelaySignature'));
  });
});

describe('fence', () => {
  const claim = { closedEpoch: epoch(1), newEpoch: epoch(2), head: chainStart, controlHead: fill(4, 32) as Hash };
  const readFence = async (fence: FenceClaim, where: RelayPlace = place) => {
    const decoded = decodeSlotObject(await makeFence(relay, where, fence), 'slot 7');
    if (decoded.kind !== 'fence') throw new Error('no fence');
    return decoded;
  };

  test('it comes back, verifies under relay and author, also over an empty chain', async () => {
    const fence = await signFence(owner, place, claim);
    const decoded = await readFence(fence);
    expect(decoded.fence).toEqual(fence);
    await verify(decoded);
    expect(await isFenceBy(portableVerifier, owner.publicKey, decoded, decoded.fence)).toBe(true);
  });

  test('it fits one place, one author and one claim', async () => {
    const fence = await signFence(owner, place, claim);
    const isBy = (change: Partial<RelayPlace>, other: Partial<FenceClaim> = {}, key = owner.publicKey) =>
      isFenceBy(portableVerifier, key, { ...place, ...change }, { ...fence, ...other });
    expect(await isBy({})).toBe(true);
    expect(await isBy({ time: timeMs(1), bytesBefore: 1 })).toBe(true);
    expect(await isBy({ slot: slot(8) })).toBe(false);
    expect(await isBy({ prevObject: noHash })).toBe(false);
    expect(await isBy({ shard: shardId(fill(1, 16)) })).toBe(false);
    expect(await isBy({}, { newEpoch: epoch(3) })).toBe(false);
    expect(await isBy({}, { head: { seq: seq(1), hash: noHash } })).toBe(false);
    expect(await isBy({}, { controlHead: noHash })).toBe(false);
    expect(await isBy({}, {}, till.publicKey)).toBe(false);
    expect(await isBy({}, { author: keyIdOf(till.publicKey) as KeyId })).toBe(false);
  });

  test.each([
    [2, 2],
    [3, 2],
    [1, 3],
    [0xffff_ffff, 0xffff_ffff],
  ])('closing epoch %d for epoch %d is corrupt: epochs grow by one', async (closed, next) => {
    const fence = await signFence(owner, place, { ...claim, closedEpoch: epoch(closed), newEpoch: epoch(next) });
    await expect(readFence(fence)).rejects.toMatchObject(corrupt('outOfBounds'));
  });

  test('the last epoch there is can be fenced into', async () => {
    const fence = await signFence(owner, place, { ...claim, closedEpoch: epoch(0xffff_fffe), newEpoch: epoch(0xffff_ffff) });
    expect((await readFence(fence)).fence).toEqual(fence);
  });

  test('what its author sends is the object up to the author’s signature, and comes back', async () => {
    const signed = { shard: place.shard, slot: place.slot, prevObject: place.prevObject, fence: await signFence(owner, place, claim) };
    const bytes = encodeSignedFence(signed);
    expect(bytes.length).toBe(signedFenceBytes);
    expect(bytes).toEqual((await makeFence(relay, place, signed.fence)).slice(0, signedFenceBytes));
    expect(decodeSignedFence(bytes, 'fence')).toEqual(signed);
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeSignedFence(bytes.subarray(0, length), 'fence')).toThrow(expect.objectContaining(corrupt('truncated')));
    }
    const longer = new Uint8Array([...bytes, 0]);
    expect(() => decodeSignedFence(longer, 'fence')).toThrow(expect.objectContaining(corrupt('trailingBytes')));
    const segment = new Uint8Array(bytes);
    segment[4] = 3;
    expect(() => decodeSignedFence(segment, 'fence')).toThrow(expect.objectContaining(corrupt('wrongKind')));
  });
});

test('another known object is not a slot object', () => {
  expect(() => decodeSlotObject(vector('receipt'), 'slot 7')).toThrow(expect.objectContaining(corrupt('wrongKind')));
});
