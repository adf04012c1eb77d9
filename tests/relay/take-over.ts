// What tests of fences and cuts share: signing a fence over the end of a log, sending it and its cut, and reading the whole store as a stranger does.

import { type Bytes, bytesToHex } from '../../kernel/bytes.ts';
import type { Act } from '../../kernel/control/acts.ts';
import type { FenceObject } from '../../kernel/fence.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import {
  decodeSlotObject,
  encodeSignedFence,
  type FenceClaim,
  type SlotBinding,
  type SlotObject,
  signFence,
} from '../../kernel/segment.ts';
import { chainStart, type Epoch, epoch, type Head, noHash, type ShardId, slot } from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import type { ObjectStore } from '../../relay/object-store.ts';
import { reachOf } from '../../relay/slots.ts';
import { keysOf } from '../conformance/faulty-store.ts';
import { readFolder } from '../vectors/read-folder.ts';
import {
  type Answer,
  foundedShop,
  okBody,
  type Send,
  sendTo,
  type TestDevice,
  type TestShard,
  type TestWorkspace,
  testHost,
} from './fixtures.ts';

/** The end of a log as a device reads it. */
export interface LogEnd {
  readonly binding: SlotBinding;
  readonly epoch: Epoch;
  readonly head: Head;
}

export async function endOf(shard: ShardId, objects: readonly Bytes[]): Promise<LogEnd> {
  const last = objects.at(-1);
  if (last === undefined) return { binding: { shard, slot: slot(1), prevObject: noHash }, epoch: epoch(1), head: chainStart };
  const object: SlotObject = decodeSlotObject(last, 'last slot');
  return {
    binding: { shard, slot: slot(object.slot + 1), prevObject: object.objectHash },
    epoch: object.kind === 'fence' ? object.fence.newEpoch : object.run.epoch,
    head: (await reachOf(webDeflate, object)).head,
  };
}

/** A fence over that end, as `author` sends it; `change` makes it wrong. */
export async function fenceOver(
  shard: TestShard,
  author: TestDevice,
  end: LogEnd,
  change: { readonly binding?: Partial<SlotBinding>; readonly claim?: Partial<FenceClaim> } = {},
): Promise<Bytes> {
  const binding = { ...end.binding, ...change.binding };
  const claim = { closedEpoch: end.epoch, newEpoch: epoch(end.epoch + 1), head: end.head, controlHead: shard.workspace.head };
  return encodeSignedFence({ ...binding, fence: await signFence(author.signer, binding, { ...claim, ...change.claim }) });
}

export const sendFence = (shard: TestShard, send: Send, author: TestDevice, signed: Bytes): Promise<Answer> =>
  shard.workspace.signed(send, author, 'POST', relayPaths.fence(shard.workspace.id, shard.id), signed);

export function asFence(bytes: Bytes): FenceObject {
  const object = decodeSlotObject(bytes, 'fence');
  if (object.kind !== 'fence') throw new Error(`a ${object.kind}`);
  return object;
}

/** Reads the log and fences its end. */
export async function fence(shard: TestShard, send: Send, author: TestDevice): Promise<FenceObject> {
  const end = await endOf(shard.id, await shard.readLog(send, author));
  return asFence(okBody(await sendFence(shard, send, author, await fenceOver(shard, author, end))));
}

export const cutOf = (object: FenceObject, writer?: TestDevice, change: Partial<Extract<Act, { act: 'cut' }>> = {}): Act => ({
  act: 'cut',
  shard: object.shard,
  epoch: object.fence.newEpoch,
  ...(writer === undefined ? {} : { writer: writer.id }),
  fence: object.objectHash,
  seq: object.fence.head.seq,
  head: object.fence.head.hash,
  ...change,
});

/** The shard as its next writer goes on with it: from the cut, without a receipt. */
export function takenBy(shard: TestShard, writer: TestDevice, object: FenceObject): TestShard {
  const next = shard.heldBy(writer);
  next.epoch = object.fence.newEpoch;
  next.head = object.fence.head;
  next.receipt = undefined;
  return next;
}

/** Everything in the store, verified by the procedure of docs/format.md; one line for each shard. */
export async function verifiedStore(store: ObjectStore): Promise<readonly string[]> {
  const objects = new Map<string, Bytes>();
  for (const key of await keysOf(store, 'w/')) {
    const found = await store.get(key);
    if (found.kind === 'found') objects.set(key, found.bytes);
  }
  return readFolder(webVerifier(), objects);
}

/** What a push of a closed epoch is answered. */
export const fenced = { status: 409, kind: 'fenced', reason: 'fenced' };

/** A shop with a second till that may take the first one's shard. */
export async function shopOfTwo(options: Parameters<typeof foundedShop>[0] = {}) {
  const shop = await foundedShop(options);
  const heir = await shop.workspace.join(shop.send, 'till-2', 'writer');
  return { ...shop, heir, owner: shop.workspace.owner };
}

export const appendAnswer = async (workspace: TestWorkspace, send: Send, author: TestDevice, acts: readonly Act[]) =>
  workspace.post(send, relayPaths.controlAppend(workspace.id), await workspace.entry(author, acts));

/** A second instance over the same store: of the same relay. */
export const otherOver = (store: ObjectStore, host: { readonly time: ReturnType<typeof testHost>['time'] }, seed?: string): Send =>
  sendTo(testHost({ store, time: host.time, ...(seed === undefined ? {} : { seed }) }));

/** What a reader of the whole store says of a shard. */
export const logLine = (lines: readonly string[], shard: TestShard): string =>
  lines.find((line) => line.startsWith(`shard ${bytesToHex(shard.id)}`)) ?? '';
