// Takes a shard of the simulated shop over, as an admin's device would: a fence in the shard's next slot, then the control entry that says who writes on.
// Exists so that tests can hold the two steps apart, and put in between what a real device never would.

import { type Bytes, bytesToHex } from '../../kernel/bytes.ts';
import type { Act } from '../../kernel/control/acts.ts';
import { decodeControlSlot, signControlEntry } from '../../kernel/control/entry.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import type { Signer } from '../../kernel/ports.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import { unpackRun } from '../../kernel/run.ts';
import { decodeSlotObject, encodeSignedFence, signFence } from '../../kernel/segment.ts';
import {
  chainStart,
  type Epoch,
  epoch,
  type Hash,
  type Head,
  noHash,
  type ShardId,
  slot,
  type WorkspaceId,
  workspaceId,
} from '../../kernel/units.ts';
import type { SimDevice } from './sim-device.ts';
import type { SimShop } from './sim-shop.ts';
import { syncDeflate } from './sim-world.ts';

export interface Fenced {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly head: Head;
  readonly fence: Hash;
  /** The slot object. */
  readonly object: Bytes;
}

export async function signerOf(device: SimDevice): Promise<Signer> {
  const signer = await device.vault.signer();
  if (signer === undefined) throw new Error(`${device.name} has no key`);
  return signer;
}

/** The control log as stored: its objects in order. */
async function controlLog(shop: SimShop) {
  const keys = await shop.keys('/control/');
  const objects = await Promise.all(keys.toSorted().map(async (key) => decodeControlSlot(await bytesAt(shop, key), key)));
  const last = objects.at(-1);
  if (last === undefined) throw new Error('no control log');
  return { head: last.objectHash, workspace: workspaceOf(shop, keys[0] as string), slots: objects.length };
}

const workspaceOf = (_: SimShop, key: string): WorkspaceId => workspaceId(Uint8Array.from(Buffer.from(key.split('/')[1] as string, 'hex')));

async function bytesAt(shop: SimShop, key: string): Promise<Uint8Array<ArrayBuffer>> {
  const found = await shop.store.get(key);
  if (found.kind !== 'found') throw new Error(`no object ${key}`);
  return found.bytes;
}

/** Closes the shard's present epoch at the head of its log. */
export async function putFence(shop: SimShop, shard: ShardId, closed: Epoch, author: Signer): Promise<Fenced> {
  const { head: controlHead } = await controlLog(shop);
  const keys = (await shop.keys(`${bytesToHex(shard)}/log/`)).toSorted();
  const objects = await Promise.all(keys.map(async (key) => ({ bytes: await bytesAt(shop, key), key })));
  let head: Head = chainStart;
  for (const { bytes, key } of objects) {
    const object = decodeSlotObject(bytes, key);
    head = object.kind === 'fence' ? object.fence.head : (await unpackRun(syncDeflate, shard, object.run, key)).head;
  }
  const last = objects.at(-1);
  const decoded = last === undefined ? undefined : decodeSlotObject(last.bytes, last.key);
  const binding = { shard, slot: slot((decoded?.slot ?? 0) + 1), prevObject: decoded?.objectHash ?? noHash };
  const claim = await signFence(author, binding, { closedEpoch: closed, newEpoch: epoch(closed + 1), head, controlHead });
  const { workspace } = await controlLog(shop);
  const path = relayPaths.fence(workspace, shard);
  const body = encodeSignedFence({ ...binding, fence: claim });
  const authorization = await signRequest(author, { workspace, method: 'POST', path, body }, shop.world.clock.now());
  const answer = await shop.relay.fetch(new Request(`http://relay.test${path}`, { method: 'POST', headers: { authorization }, body }));
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (answer.status !== 200) throw new Error(`fence refused: ${new TextDecoder().decode(bytes)}`);
  return { shard, epoch: epoch(closed + 1), head, fence: decodeSlotObject(bytes, 'fence').objectHash, object: bytes };
}

/** Appends acts by their author over the present head. @throws when the relay refuses them */
export async function appendActs(shop: SimShop, author: Signer, acts: readonly Act[]): Promise<void> {
  const { head, workspace } = await controlLog(shop);
  const body = await signControlEntry(author, { workspace, prev: head }, acts);
  const request = new Request(`http://relay.test${relayPaths.controlAppend(workspace)}`, { method: 'POST', body });
  const answer = await shop.relay.fetch(request);
  if (answer.status !== 200) throw new Error(`control entry refused: ${await answer.text()}`);
}

export const cutOf = (
  fenced: Fenced,
  to: { readonly writer?: Signer | undefined; readonly destination?: ShardId | undefined },
): Extract<Act, { act: 'cut' }> => ({
  act: 'cut',
  shard: fenced.shard,
  epoch: fenced.epoch,
  ...(to.writer === undefined ? {} : { writer: keyIdOf(to.writer.publicKey) }),
  fence: fenced.fence,
  seq: fenced.head.seq,
  head: fenced.head.hash,
  ...(to.destination === undefined ? {} : { destination: to.destination }),
});
