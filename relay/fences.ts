// Taking over, as the relay sees it: a fence goes into a shard's next slot, and a cut into the control log only while that fence is the shard's last
// slot. Nothing is remembered between the two. Table of what each crash leaves: decision 0003. Invariants kept here:
//   a fence stands on the very slot its author signed over · who is being revoked cannot outrun an admin · no cut without its fence

import { type Bytes, isSameBytes } from '../kernel/bytes.ts';
import { type Act, cutHead, isRoleAtLeast } from '../kernel/control/acts.ts';
import type { ControlEntry } from '../kernel/control/entry.ts';
import { type Device, deviceOf } from '../kernel/control/fold.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { fenceReservedMs } from '../kernel/limits.ts';
import type { Signer } from '../kernel/ports.ts';
import { isSameHead } from '../kernel/run.ts';
import { decodeSignedFence, isFenceBy, makeFence, type SignedFence } from '../kernel/segment.ts';
import { type KeyId, type PublicKey, type ShardId, short, slot, timeMs } from '../kernel/units.ts';
import { objectKeys, type ShardPlace } from '../shards/object-keys.ts';
import type { ControlView } from './control.ts';
import { ifAbsent } from './object-store.ts';
import { rolledBack, slotName, storeUnknown } from './refusals.ts';
import { putUntilDecided } from './settle.ts';
import { type HeadPorts, type LogHead, readLogHead } from './shard-head.ts';
import { readSlot } from './slots.ts';

export interface FencePorts extends HeadPorts {
  readonly signer: Signer;
}

/** Rounds of losing the slot before the author is told to look again. */
const roundsMax = 4;

/**
 * Puts a fence into the slot it was signed for and returns the slot object, also when an earlier attempt had put it there.
 * `author` is an enrolled device that may take the shard over.
 * @throws {FoldlogError} every ending of docs/relay-api.md#fence that is not the object
 */
export async function putFence(
  ports: FencePorts,
  at: { readonly view: ControlView; readonly place: ShardPlace; readonly author: Device },
  body: Uint8Array,
): Promise<Bytes> {
  const signed = decodeSignedFence(body, 'fence');
  await requireAuthor(ports, at, signed);
  for (let round = 0; round < roundsMax; round++) {
    const head = await readLogHead(ports, { ...at, relayKey: ports.signer.publicKey }, slot(signed.slot - 1));
    if (signed.slot <= head.slot) return standing(ports, at.place, signed, head);
    requireContinues(at.place.shard, signed, head);
    requireTurn(head, at.author, ports.clock.now());
    const time = timeMs(Math.max(ports.clock.now(), head.time));
    const object = await makeFence(ports.signer, { ...signed, time, bytesBefore: head.shardBytes }, signed.fence);
    const outcome = await putUntilDecided(ports, objectKeys.logSlot(at.place, signed.slot), object, ifAbsent);
    if (outcome.kind === 'unknown') throw storeUnknown(slotName(at.place.shard, signed.slot), outcome.cause);
    if (outcome.kind === 'written') return object;
    // Lost: to a run, to another fence, or to this one landing late. The next round reads which.
  }
  throw slotTaken(at.place.shard, 'slots that keep being taken');
}

async function requireAuthor(
  ports: FencePorts,
  at: { readonly place: ShardPlace; readonly author: Device },
  signed: SignedFence,
): Promise<void> {
  const { place, author } = at;
  if (!isSameBytes(signed.shard, place.shard)) {
    const found = `a fence of shard ${short(signed.shard)}`;
    throw FoldlogError.misuse({
      where: 'fence',
      reason: 'wrongShard',
      found,
      expected: `one of shard ${short(place.shard)}, as in the path`,
    });
  }
  if (!isSameBytes(signed.fence.author, author.id) || !(await isFenceBy(ports.verifier, author.key, signed, signed.fence))) {
    throw FoldlogError.misuse({
      where: 'fence',
      reason: 'wrongSignature',
      found: `a fence by key ${short(signed.fence.author)} whose signature does not verify, or of another than who asks`,
      expected: `one by device ${author.name}`,
    });
  }
}

/** What stands in the slot already: this fence, from an attempt whose reply was lost, or what its author must sign over. */
async function standing(ports: FencePorts, place: ShardPlace, signed: SignedFence, head: LogHead): Promise<Bytes> {
  const stored = await readSlot(ports, place, signed.slot);
  if (stored === undefined) throw rolledBack(slotName(place.shard, signed.slot), 'nothing', 'an object below the newest');
  const { object } = stored;
  const isThis = object.kind === 'fence' && isSameBytes(object.fence.signature, signed.fence.signature);
  if (isThis && isSameBytes(object.prevObject, signed.prevObject)) return stored.bytes;
  throw slotTaken(place.shard, `a ${object.kind} in slot ${signed.slot}; the newest is slot ${head.slot}`);
}

/** The author read what it signs over from this log: when that is not there, the store lost it. */
function requireContinues(shard: ShardId, signed: SignedFence, head: LogHead): void {
  const where = slotName(shard, signed.slot);
  if (signed.slot !== head.slot + 1 || !isSameBytes(signed.prevObject, head.objectHash)) {
    throw rolledBack(
      where,
      `slot ${head.slot} (${short(head.objectHash)}) before it`,
      `the object ${short(signed.prevObject)} it was signed over`,
    );
  }
  const { closedEpoch, head: closedHead } = signed.fence;
  if (closedEpoch === head.epoch && isSameHead(closedHead, head.head)) return;
  throw FoldlogError.corrupt({
    where,
    reason: 'wrongFence',
    found: `a fence that closes epoch ${closedEpoch} at seq ${closedHead.seq} (${short(closedHead.hash)})`,
    expected: `epoch ${head.epoch} at seq ${head.head.seq} (${short(head.head.hash)})`,
  });
}

/**
 * A fence without its cut is its author's and the admins' for a while: a device that is being revoked cannot put another over it.
 * @throws {FoldlogError} `unavailable` `fenceReserved`
 */
function requireTurn(head: LogHead, by: Device, now: number): void {
  const { fence } = head;
  if (fence === undefined || isSameBytes(fence.fence.author, by.id) || isRoleAtLeast(by.role, 'admin')) return;
  const leftMs = fence.time + fenceReservedMs - now;
  if (leftMs <= 0) return;
  throw new FoldlogError('unavailable', {
    where: slotName(fence.shard, fence.slot),
    reason: 'fenceReserved',
    retry: 'later',
    found: `a fence by key ${short(fence.fence.author)}, ${Math.ceil(leftMs / 1000)} s before others may follow it`,
    expected: 'its author, an admin or an owner',
    todo: 'wait for its cut, or try again then',
  });
}

/**
 * Looks at the slots for the cuts of an entry that the fold accepts: each names the fence that stands last in its shard's log, with its epoch and
 * head, and its author has the turn.
 * @throws {FoldlogError} `unavailable` `fenceMoved`, `fenceReserved`, `rolledBack` · `misuse` `wrongCut`
 */
export async function requireFences(
  ports: FencePorts,
  at: { readonly view: ControlView; readonly placeOf: (shard: ShardId) => ShardPlace },
  entry: ControlEntry,
): Promise<void> {
  for (const act of entry.acts) {
    if (act.act !== 'cut') continue;
    const relayKey: PublicKey = ports.signer.publicKey;
    const head = await readLogHead(ports, { view: at.view, place: at.placeOf(act.shard), relayKey }, slot(0));
    requireCutOf(act, head);
    requireTurn(head, authorOf(at.view, entry.author), ports.clock.now());
  }
}

function requireCutOf(act: Extract<Act, { act: 'cut' }>, head: LogHead): void {
  const where = `cut of shard ${short(act.shard)}`;
  const { fence } = head;
  if (fence === undefined || !isSameBytes(fence.objectHash, act.fence)) {
    throw new FoldlogError('unavailable', {
      where,
      reason: 'fenceMoved',
      retry: 'later',
      found: `slot ${head.slot} holds ${fence === undefined ? 'no fence' : `the fence ${short(fence.objectHash)}`}`,
      expected: `the fence ${short(act.fence)} as the last slot of its log`,
      todo: 'read the log, and put another fence or cut the one that stands',
    });
  }
  if (fence.fence.newEpoch === act.epoch && isSameHead(fence.fence.head, cutHead(act))) return;
  throw FoldlogError.misuse({
    where,
    reason: 'wrongCut',
    found: `epoch ${act.epoch} from seq ${act.seq} (${short(act.head)}) on`,
    expected: `epoch ${fence.fence.newEpoch} from seq ${fence.fence.head.seq} (${short(fence.fence.head.hash)}) on, as its fence says`,
  });
}

function authorOf(view: ControlView, id: KeyId): Device {
  const device = deviceOf(view.state, id);
  if (device !== undefined) return device;
  // The fold has accepted the entry, and only an enrolled device can cut.
  throw FoldlogError.corrupt({ where: 'control log', reason: 'unknownDevice', found: `key ${short(id)}`, expected: 'an enrolled device' });
}

const slotTaken = (shard: ShardId, found: string): FoldlogError =>
  new FoldlogError('unavailable', {
    where: `shard ${short(shard)}`,
    reason: 'slotTaken',
    retry: 'later',
    found,
    expected: 'the slot that the fence was signed for, free',
    todo: 'read the log to its end and sign the fence again over that',
  });
