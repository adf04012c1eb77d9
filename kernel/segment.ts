// What stands in a slot of a shard's log: a segment (a run with its seal) or a fence (a signed empty end of an epoch),
// bound to shard, slot and the object before it, with the relay's commit time and signature. Layout: docs/format.md#segment.
// The hash of the whole object is what the next slot names, so a shard's slots form a second chain beside the groups'.

import { type Bytes, concatBytes, isSameBytes } from './bytes.ts';
import { keyIdOf, objectHash, sha256, tagged } from './digest.ts';
import { FoldlogError } from './errors.ts';
import type { Signer, Verifier } from './ports.ts';
import { type PackedRun, readPackedRun } from './run.ts';
import {
  type Epoch,
  epoch,
  type Hash,
  type Head,
  hash,
  type KeyId,
  keyId,
  type PublicKey,
  type ShardId,
  type Signature,
  type Slot,
  seq,
  shardId,
  short,
  signature,
  slot,
  type TimeMs,
  timeMs,
} from './units.ts';
import { preambleBytes, Reader, Writer } from './wire.ts';

/** Which place of which log, and what stands before it. */
export interface SlotBinding {
  readonly shard: ShardId;
  readonly slot: Slot;
  /** Object hash of the slot before; zeros at slot 1. */
  readonly prevObject: Hash;
}

export interface RelayPart {
  /** Relay's time; never falls along a shard. */
  readonly time: TimeMs;
  /** Bytes of all slot objects of the shard before this one: what quotas count, known from any one object. */
  readonly bytesBefore: number;
  readonly relayKey: KeyId;
  readonly relaySignature: Signature;
}

/** All that the relay adds to what it was sent. */
export type RelayPlace = SlotBinding & Pick<RelayPart, 'time' | 'bytesBefore'>;

/** Signed by an admin or the device that takes over; closes `closedEpoch` at `head` (decision 0003). */
export interface FenceClaim {
  readonly closedEpoch: Epoch;
  readonly newEpoch: Epoch;
  readonly head: Head;
  readonly controlHead: Hash;
  readonly author: KeyId;
  readonly signature: Signature;
}

interface SlotObjectBase extends SlotBinding, RelayPart {
  /** SHA-256 of the whole object as stored. */
  readonly objectHash: Hash;
  /** What the relay signed: everything before its signature. */
  readonly signedDigest: Hash;
}

export type SlotObject =
  | (SlotObjectBase & { readonly kind: 'segment'; readonly run: PackedRun })
  | (SlotObjectBase & { readonly kind: 'fence'; readonly fence: FenceClaim });

const relaySignatureBytes = 64;

/** The object for a slot: the run exactly as the device sent it, between the binding and the relay's word. */
export async function makeSegment(relay: Signer, place: RelayPlace, encodedRun: Uint8Array): Promise<Bytes> {
  return signSlotObject(relay, 'segment', place, encodedRun);
}

export async function makeFence(relay: Signer, place: RelayPlace, fence: FenceClaim): Promise<Bytes> {
  return signSlotObject(relay, 'fence', place, concatBytes(fenceClaimBytes(fence), fence.signature));
}

/** The fence claim an admin or a new writer signs. It fits one slot only: the loser of a race signs again over the new head. */
export async function signFence(
  author: Signer,
  binding: SlotBinding,
  claim: Omit<FenceClaim, 'author' | 'signature'>,
): Promise<FenceClaim> {
  const unsigned = { ...claim, author: keyIdOf(author.publicKey) };
  return { ...unsigned, signature: await author.sign(fenceMessage(binding, unsigned)) };
}

export async function isFenceBy(verifier: Verifier, author: PublicKey, binding: SlotBinding, fence: FenceClaim): Promise<boolean> {
  const isNamed = isSameBytes(fence.author, keyIdOf(author));
  return isNamed && verifier.verify(author, fenceMessage(binding, fence), fence.signature);
}

/** A fence as its author sends it: the object up to and with the author's signature. The relay adds its part. Layout: docs/format.md#fence */
export interface SignedFence extends SlotBinding {
  readonly fence: FenceClaim;
}

export const signedFenceBytes = preambleBytes + 16 + 8 + 32 + 96 + 64;

export const encodeSignedFence = ({ fence, ...binding }: SignedFence): Bytes =>
  concatBytes(boundFence(binding), fenceClaimBytes(fence), fence.signature);

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded`; the signature is not yet checked */
export function decodeSignedFence(bytes: Uint8Array, where: string): SignedFence {
  const reader = new Reader(bytes, where);
  reader.preamble('fence');
  const signed = { ...readBinding(reader), fence: readFence(reader) };
  reader.end();
  return signed;
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded`; signatures are not yet checked */
export function decodeSlotObject(bytes: Uint8Array, where: string): SlotObject {
  const reader = new Reader(bytes, where);
  const kind = reader.peekKind();
  if (kind !== 'segment' && kind !== 'fence') throw reader.corrupt('wrongKind', `kind ${kind}`, 'a segment or a fence');
  reader.preamble(kind);
  const binding = readBinding(reader);
  const content = kind === 'segment' ? { kind, run: readPackedRun(reader) } : { kind, fence: readFence(reader) };
  const time = timeMs(reader.u64('commit time'));
  const bytesBefore = reader.u64('bytes before');
  const relayKey = keyId(reader.bytes(16));
  const signedDigest = sha256(bytes.subarray(0, reader.at));
  const relaySignature = signature(reader.bytes(relaySignatureBytes));
  reader.end();
  return { ...binding, ...content, time, bytesBefore, relayKey, relaySignature, signedDigest, objectHash: objectHash(bytes) };
}

/**
 * Checks that the object stands where it says, after the object it names, under the relay's signature, with time not falling.
 * @throws {FoldlogError} `corrupt` `wrongSlot`, `brokenObjectLink`, `wrongRelaySignature`, `timeFell`
 */
export async function verifySlotObject(
  verifier: Verifier,
  expected: SlotBinding & { readonly relay: PublicKey; readonly timeMin: TimeMs },
  object: SlotObject,
  where: string,
): Promise<void> {
  const bad = (reason: string, found: string, wanted: string) => FoldlogError.corrupt({ where, reason, found, expected: wanted });
  if (object.slot !== expected.slot || !isSameBytes(object.shard, expected.shard)) {
    throw bad('wrongSlot', `shard ${short(object.shard)} slot ${object.slot}`, `shard ${short(expected.shard)} slot ${expected.slot}`);
  }
  if (!isSameBytes(object.prevObject, expected.prevObject)) {
    throw bad('brokenObjectLink', `previous object ${short(object.prevObject)}`, short(expected.prevObject));
  }
  if (object.time < expected.timeMin) throw bad('timeFell', `commit time ${object.time}`, `${expected.timeMin} or later`);
  const isNamed = isSameBytes(object.relayKey, keyIdOf(expected.relay));
  if (!isNamed || !(await verifier.verify(expected.relay, tagged('commit', object.signedDigest), object.relaySignature))) {
    throw bad('wrongRelaySignature', `relay key ${short(object.relayKey)}`, `a signature by key ${short(keyIdOf(expected.relay))}`);
  }
}

async function signSlotObject(relay: Signer, kind: 'segment' | 'fence', place: RelayPlace, content: Uint8Array): Promise<Bytes> {
  const signed = new Writer(preambleBytes + 16 + 8 + 32 + content.length + 8 + 8 + 16)
    .preamble(kind)
    .bytes(place.shard)
    .u64(place.slot)
    .bytes(place.prevObject)
    .bytes(content)
    .u64(place.time)
    .u64(place.bytesBefore)
    .bytes(keyIdOf(relay.publicKey))
    .done();
  return concatBytes(signed, await relay.sign(tagged('commit', sha256(signed))));
}

function fenceClaimBytes(fence: Omit<FenceClaim, 'signature'>): Bytes {
  return new Writer(4 + 4 + 8 + 32 + 32 + 16)
    .u32(fence.closedEpoch)
    .u32(fence.newEpoch)
    .u64(fence.head.seq)
    .bytes(fence.head.hash)
    .bytes(fence.controlHead)
    .bytes(fence.author)
    .done();
}

/** Everything of the object before the author's signature. */
function fenceMessage(binding: SlotBinding, fence: Omit<FenceClaim, 'signature'>): Bytes {
  return tagged('fence', boundFence(binding), fenceClaimBytes(fence));
}

const boundFence = (binding: SlotBinding): Bytes =>
  new Writer(preambleBytes + 16 + 8 + 32).preamble('fence').bytes(binding.shard).u64(binding.slot).bytes(binding.prevObject).done();

const readBinding = (reader: Reader): SlotBinding => ({
  shard: shardId(reader.bytes(16)),
  slot: slot(reader.u64('slot', 1)),
  prevObject: hash(reader.bytes(32)),
});

function readFence(reader: Reader): FenceClaim {
  const closedEpoch = epoch(reader.u32('closed epoch', 0xffff_fffe, 1));
  return {
    closedEpoch,
    // The next one and no other: a writer could else use up all epochs and nobody could ever follow it.
    newEpoch: epoch(reader.u32('new epoch', closedEpoch + 1, closedEpoch + 1)),
    head: { seq: seq(reader.u64('head seq')), hash: hash(reader.bytes(32)) },
    controlHead: hash(reader.bytes(32)),
    author: keyId(reader.bytes(16)),
    signature: signature(reader.bytes(64)),
  };
}
