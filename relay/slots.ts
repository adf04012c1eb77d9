// Reading numbered create-only places: one slot, the newest number, and where in a shard's log a seq stands.
// Slots have no gaps, so probing by doubling and bisecting finds the newest; a listing decides nothing (decision 0008).

import type { Bytes } from '../kernel/bytes.ts';
import { FoldlogError } from '../kernel/errors.ts';
import type { Deflate } from '../kernel/ports.ts';
import { type Run, unpackRun } from '../kernel/run.ts';
import { decodeSlotObject, type SlotObject } from '../kernel/segment.ts';
import { type Head, type Seq, type ShardId, type Slot, slot as slotUnit } from '../kernel/units.ts';
import { objectKeys, type ShardPlace } from '../shards/object-keys.ts';
import { slotName, storeTrouble } from './refusals.ts';
import { type SettlePorts, untilKnown } from './settle.ts';

export interface StoredSlot {
  readonly object: SlotObject;
  readonly bytes: Bytes;
}

/** @throws {FoldlogError} `unavailable`: the store does not answer · `corrupt`: what stands there is no object of this slot */
export async function readSlot(ports: SettlePorts, place: ShardPlace, slot: Slot): Promise<StoredSlot | undefined> {
  const where = slotName(place.shard, slot);
  const found = await untilKnown(ports, () => ports.store.get(objectKeys.logSlot(place, slot)));
  if (found.kind === 'unknown') throw storeTrouble(where, found.cause);
  if (found.kind === 'absent') return undefined;
  const object = decodeSlotObject(found.bytes, where);
  requirePlace(object, place.shard, slot, where);
  return { object, bytes: found.bytes };
}

function requirePlace(object: SlotObject, shard: ShardId, slot: Slot, where: string): void {
  if (object.slot !== slot || objectKeyPart(object.shard) !== objectKeyPart(shard)) {
    throw FoldlogError.corrupt({ where, reason: 'wrongSlot', found: slotName(object.shard, object.slot), expected: slotName(shard, slot) });
  }
}

const objectKeyPart = (shard: ShardId): string => shard.join('.');

/**
 * The newest of the numbered places, 0 when there is none: from the hint upward by doubling, then bisecting.
 * A hint whose place is empty is ignored. One read when the hint is the newest.
 * @throws {FoldlogError} `unavailable`
 */
export async function newestNumber(ports: SettlePorts, keyOf: (number: number) => string, hint: number): Promise<number> {
  const stands = async (number: number): Promise<boolean> => {
    const head = await untilKnown(ports, () => ports.store.head(keyOf(number)));
    if (head.kind === 'unknown') throw storeTrouble(keyOf(number), head.cause);
    return head.kind === 'found';
  };
  const start = hint > 0 && (await stands(hint)) ? hint : 0;
  let low = start;
  let step = 1;
  for (; await stands(start + step); step *= 2) low = start + step;
  // low stands (or is 0), start + step does not.
  let high = start + step;
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    if (await stands(middle)) low = middle;
    else high = middle;
  }
  return low;
}

export const newestSlot = async (ports: SettlePorts, place: ShardPlace, hint: Slot): Promise<Slot> =>
  slotUnit(await newestNumber(ports, (number) => objectKeys.logSlot(place, slotUnit(number)), hint));

/** The head that a shard's chain has reached with this slot, and the run in it when it is a segment. */
export interface SlotReach {
  readonly head: Head;
  readonly run: Run | undefined;
}

/** @throws {FoldlogError} `corrupt` */
export async function reachOf(deflate: Deflate, object: SlotObject): Promise<SlotReach> {
  if (object.kind === 'fence') return { head: object.fence.head, run: undefined };
  const run = await unpackRun(deflate, object.shard, object.run, slotName(object.shard, object.slot));
  return { head: run.head, run };
}

/** The newest slot up to `newest` whose groups begin at or below `seq`, by bisecting; a fence begins after the head it closes. */
export async function slotOfSeq(ports: SettlePorts, place: ShardPlace, newest: Slot, seq: Seq): Promise<StoredSlot | undefined> {
  let low = 0; // begins at or below seq
  let high = newest + 1; // begins above
  let found: StoredSlot | undefined;
  while (high - low > 1) {
    const middle = slotUnit(low + Math.floor((high - low) / 2));
    const stored = await readSlot(ports, place, middle);
    if (stored === undefined) return undefined;
    const { object } = stored;
    const after = object.kind === 'fence' ? object.fence.head.seq : object.run.after.seq;
    if (after < seq) {
      low = middle;
      found = stored;
    } else {
      high = middle;
    }
  }
  return found;
}
