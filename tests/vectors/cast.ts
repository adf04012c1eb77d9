// Who and what appears in vectors, fixtures and kernel tests: fixed keys, names and times, so that every byte can be made again.

import type { Bytes } from '../../kernel/bytes.ts';
import type { Act } from '../../kernel/control/acts.ts';
import {
  decodeControlEntry,
  decodeControlSlot,
  makeControlSlot,
  signControlEntry,
  workspaceIdOfGenesis,
} from '../../kernel/control/entry.ts';
import { enrolMessage } from '../../kernel/control/fold.ts';
import { keyIdOf, shardIdOf } from '../../kernel/digest.ts';
import { portableSigner, signPortable } from '../../kernel/ed25519.ts';
import type { Signer } from '../../kernel/ports.ts';
import { incarnation, noHash, slot, timeMs, workspaceId } from '../../kernel/units.ts';

/** `length` bytes of one value. */
export const fill = (value: number, length: number): Bytes => new Uint8Array(length).fill(value);

export const seeds = {
  owner: fill(0x01, 32),
  relay: fill(0x02, 32),
  recovery: fill(0x03, 32),
  invite: fill(0x04, 32),
  till: fill(0x05, 32),
} as const;

export const owner: Signer = portableSigner(seeds.owner);
export const relay: Signer = portableSigner(seeds.relay);
export const recovery: Signer = portableSigner(seeds.recovery);
export const invite: Signer = portableSigner(seeds.invite);
export const till: Signer = portableSigner(seeds.till);

/** 2025-11-21T12:00:00Z. */
export const noon = 1_763_726_400_000;
export const at = (seconds: number) => timeMs(noon + 1000 * seconds);

export const life = incarnation(fill(0x30, 16));
export const tillNonce = fill(0x20, 16);
export const catalogueNonce = fill(0x21, 16);

export const genesisAct: Act = {
  act: 'genesis',
  name: 'Corner shop',
  owner: owner.publicKey,
  device: 'Office',
  recovery: recovery.publicKey,
  nonce: fill(0x10, 16),
  time: at(0),
};
export const genesisEntry: Bytes = await signControlEntry(owner, { workspace: workspaceId(new Uint8Array(32)), prev: noHash }, [
  genesisAct,
]);
export const workspace = workspaceIdOfGenesis(decodeControlEntry(genesisEntry, 'genesis'));

export const tillShard = shardIdOf(workspace, tillNonce);
export const catalogueShard = shardIdOf(workspace, catalogueNonce);

/** The acts after genesis, one entry each: relay, invite, device, shard of the till, shard of the owner. */
export const story: readonly (readonly [author: Signer, act: Act])[] = [
  [owner, { act: 'relay', key: relay.publicKey, incarnation: life }],
  [owner, { act: 'invite', key: invite.publicKey, role: 'writer', expiresAt: at(86_400), uses: 1 }],
  [
    till,
    {
      act: 'device',
      key: till.publicKey,
      name: 'Till 1',
      invite: keyIdOf(invite.publicKey),
      proof: signPortable(seeds.invite, enrolMessage(workspace, till.publicKey)),
    },
  ],
  [till, { act: 'shard', nonce: tillNonce, kind: 'till', name: 'till-1', writer: keyIdOf(till.publicKey) }],
  [owner, { act: 'shard', nonce: catalogueNonce, kind: 'catalogue', name: 'main', writer: keyIdOf(owner.publicKey) }],
];

/** The control log of the story, as stored. */
export async function controlLog(): Promise<readonly Bytes[]> {
  const objects = [await makeControlSlot(relay, { workspace, slot: slot(1), time: at(1) }, genesisEntry)];
  for (const [author, act] of story) {
    const number = objects.length + 1;
    const prev = decodeControlSlot(objects.at(-1) as Bytes, 'last').objectHash;
    const entry = await signControlEntry(author, { workspace, prev }, [act]);
    objects.push(await makeControlSlot(relay, { workspace, slot: slot(number), time: at(number) }, entry));
  }
  return objects;
}
