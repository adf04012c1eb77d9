// Reading a shard's log for followers: slot objects as stored, in order. The relay checks nothing in them, readers check all of it
// (links, seals, relay signature); what it does check is that the reader's own position still stands.

import type { Bytes } from '../kernel/bytes.ts';
import type { Deflate } from '../kernel/ports.ts';
import type { LogLength } from '../kernel/relay-api.ts';
import { type Slot, slot } from '../kernel/units.ts';
import { objectKeys, type ShardPlace } from '../shards/object-keys.ts';
import { rolledBack, slotName, storeTrouble } from './refusals.ts';
import { type SettlePorts, untilKnown } from './settle.ts';
import { newestSlot, reachOf, readSlot } from './slots.ts';

/** Slots asked for at once: starts at one, since most polls find nothing, and grows while there is more. */
const readAheadMax = 8;

/** What an object takes in an answer: behind its length. */
export const framedBytes = (object: Uint8Array): number => 4 + object.length;

/**
 * Slot objects after `after`: at least one when there is one, then as many as fit in `bytesMax`.
 * @throws {FoldlogError} `unavailable` `rolledBack`: the slot the reader has reached is gone
 */
export async function readLog(ports: SettlePorts, place: ShardPlace, after: Slot, bytesMax: number): Promise<readonly Bytes[]> {
  const standing = after === 0 ? Promise.resolve() : requireSlot(ports, place, after);
  const [objects] = await Promise.all([readOn(ports, place, after, bytesMax), standing]);
  return objects;
}

/** How far the log reaches: slots probed for, the newest one read. */
export async function readLength(ports: SettlePorts & { readonly deflate: Deflate }, place: ShardPlace): Promise<LogLength> {
  const newest = await newestSlot(ports, place, slot(0));
  const stored = newest === 0 ? undefined : await readSlot(ports, place, newest);
  if (stored === undefined) return { slot: 0, seq: 0, bytes: 0 };
  const { head } = await reachOf(ports.deflate, stored.object);
  return { slot: newest, seq: head.seq, bytes: stored.object.bytesBefore + stored.bytes.length };
}

async function readOn(ports: SettlePorts, place: ShardPlace, after: Slot, bytesMax: number): Promise<readonly Bytes[]> {
  const objects: Bytes[] = [];
  let bytes = 0;
  for (let ahead = 1; ; ahead = Math.min(2 * ahead, readAheadMax)) {
    const first = after + objects.length + 1;
    const read = await Promise.all(Array.from({ length: ahead }, (_, i) => readObject(ports, place, slot(first + i))));
    for (const object of read) {
      if (object === undefined) return objects;
      bytes += framedBytes(object);
      if (objects.length > 0 && bytes > bytesMax) return objects;
      objects.push(object);
    }
  }
}

async function readObject(ports: SettlePorts, place: ShardPlace, number: Slot): Promise<Bytes | undefined> {
  const found = await untilKnown(ports, () => ports.store.get(objectKeys.logSlot(place, number)));
  if (found.kind === 'unknown') throw storeTrouble(slotName(place.shard, number), found.cause);
  return found.kind === 'absent' ? undefined : found.bytes;
}

async function requireSlot(ports: SettlePorts, place: ShardPlace, number: Slot): Promise<void> {
  const where = slotName(place.shard, number);
  const head = await untilKnown(ports, () => ports.store.head(objectKeys.logSlot(place, number)));
  if (head.kind === 'unknown') throw storeTrouble(where, head.cause);
  if (head.kind === 'absent') throw rolledBack(where, 'nothing', 'the slot that the reader has reached');
}
