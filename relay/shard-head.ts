// The head of a shard's log as the store has it: the newest slot, checked to stand on the one before it under a relay key of the control log, and
// what the next slot builds on. Pushes, fences and cuts all begin here.

import { isSameBytes } from '../kernel/bytes.ts';
import { relayKeyOf } from '../kernel/control/fold.ts';
import type { FenceObject } from '../kernel/fence.ts';
import type { Deflate, Verifier } from '../kernel/ports.ts';
import { type SlotObject, verifySlotObject } from '../kernel/segment.ts';
import {
  chainStart,
  type Epoch,
  epoch,
  type Hash,
  type Head,
  noHash,
  type PublicKey,
  type Slot,
  short,
  slot,
  type TimeMs,
  timeMs,
} from '../kernel/units.ts';
import { objectKeys, type ShardPlace } from '../shards/object-keys.ts';
import type { ControlView } from './control.ts';
import { rolledBack, slotName, storeTrouble } from './refusals.ts';
import { type SettlePorts, untilKnown } from './settle.ts';
import { newestSlot, reachOf, readSlot } from './slots.ts';

export interface HeadPorts extends SettlePorts {
  readonly deflate: Deflate;
  readonly verifier: Verifier;
}

/** The newest slot as far as the next one builds on it. */
export interface LogHead {
  readonly slot: Slot;
  readonly objectHash: Hash;
  readonly head: Head;
  /** The epoch reached: after a fence its new one. */
  readonly epoch: Epoch;
  /** There when the newest slot is a fence. */
  readonly fence: FenceObject | undefined;
  readonly time: TimeMs;
  /** Bytes of all slot objects up to this one. */
  readonly shardBytes: number;
}

export const emptyLog: LogHead = {
  slot: slot(0),
  objectHash: noHash,
  head: chainStart,
  epoch: epoch(1),
  fence: undefined,
  time: timeMs(0),
  shardBytes: 0,
};

/** Where to look: the log, the control log that names its relay keys, and the key that signs now. */
export interface HeadAt {
  readonly place: ShardPlace;
  readonly view: ControlView;
  readonly relayKey: PublicKey;
}

/** @throws {FoldlogError} `unavailable` `rolledBack`, `storeUnavailable` · `corrupt` */
export async function readLogHead(ports: HeadPorts, at: HeadAt, hint: Slot): Promise<LogHead> {
  const newest = await newestSlot(ports, at.place, hint);
  if (newest === 0) return emptyLog;
  const where = slotName(at.place.shard, newest);
  const stored = await readSlot(ports, at.place, newest);
  if (stored === undefined) throw rolledBack(where, 'nothing', 'the object that was there a moment ago');
  const { object, bytes } = stored;
  await requireLinked(ports, at, object, newest);
  const { head } = await reachOf(ports.deflate, object);
  return {
    slot: newest,
    objectHash: object.objectHash,
    head,
    epoch: object.kind === 'fence' ? object.fence.newEpoch : object.run.epoch,
    fence: object.kind === 'fence' ? object : undefined,
    time: object.time,
    shardBytes: object.bytesBefore + bytes.length,
  };
}

async function requireLinked(ports: HeadPorts, at: HeadAt, object: SlotObject, newest: Slot): Promise<void> {
  const { place, view } = at;
  const where = slotName(place.shard, newest);
  let prevObject: Hash = noHash;
  if (newest > 1) {
    const before = slot(newest - 1);
    const head = await untilKnown(ports, () => ports.store.head(objectKeys.logSlot(place, before)));
    if (head.kind === 'unknown') throw storeTrouble(where, head.cause);
    if (head.kind === 'absent') throw rolledBack(slotName(place.shard, before), 'nothing', 'the object before the newest');
    prevObject = head.digest;
  }
  if (!isSameBytes(object.prevObject, prevObject)) {
    throw rolledBack(where, `an object after ${short(object.prevObject)}`, `one after ${short(prevObject)}, which stands before it`);
  }
  const relay = relayKeyOf(view.state, object.relayKey) ?? at.relayKey;
  await verifySlotObject(ports.verifier, { shard: place.shard, slot: newest, prevObject, relay, timeMin: timeMs(0) }, object, where);
}
