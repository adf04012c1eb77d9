// A relay's folder with a longer life than the worked example: a second relay key, a second incarnation, an admin who joined, a void
// group, two checkpoints. Made with kernel functions and the host's deflate, for verifiers to be tried on.
import { type Bytes, concatBytes, utf8 } from '../../kernel/bytes.ts';
import { signCheckpoint } from '../../kernel/checkpoint.ts';
import { type CommitGroup, headOf } from '../../kernel/commit-group.ts';
import type { Act } from '../../kernel/control/acts.ts';
import { makeControlSlot, signControlEntry } from '../../kernel/control/entry.ts';
import { enrolMessage } from '../../kernel/control/fold.ts';
import { keyIdOf, objectHash, sha256, shardIdOf, tagged } from '../../kernel/digest.ts';
import { portableSigner, signPortable } from '../../kernel/ed25519.ts';
import type { Deflate, Signer } from '../../kernel/ports.ts';
import { epoch, type Hash, incarnation, noHash, slot } from '../../kernel/units.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { objectKeys } from '../../shards/object-keys.ts';
import { at, catalogueShard, controlLog, fill, owner, relay, till, tillShard, workspace } from './cast.ts';
import { erased, ShardLog, type StoredSlot } from './shard-log.ts';

export const laterRelay: Signer = portableSigner(fill(0x12, 32));
export const laterLife = incarnation(fill(0x31, 16));
const adminSeed = fill(0x15, 32);
export const admin: Signer = portableSigner(adminSeed);
const adminInvite = fill(0x14, 32);
const secondTillNonce = fill(0x22, 16);
const secondTillShard = shardIdOf(workspace, secondTillNonce);

/** Leaves small runs raw, so that both packings appear. */
const largeDeflate: Deflate = {
  deflate: async (bytes) => (bytes.length < 400 ? (bytes.slice() as Bytes) : webDeflate.deflate(bytes)),
  inflate: webDeflate.inflate,
};

export interface MadeFolder {
  readonly objects: Map<string, Bytes>;
  readonly tillLog: ShardLog;
  readonly catalogueLog: ShardLog;
  /** In its second life: fenced twice, cut, continued; fenced by its writer, cut, continued. */
  readonly takenLog: ShardLog;
}

/** Every call builds it anew, so that a test may spoil its copy. */
export async function makeFolder(image: Uint8Array, stateHash: Hash): Promise<MadeFolder> {
  const objects = new Map<string, Bytes>();
  const control = await longerControlLog();
  const controlHead = objectHash(control.at(-1) as Bytes);
  const parts = { controlHead, deflate: largeDeflate };

  const tillLog = new ShardLog({ ...parts, shard: tillShard, writer: till });
  const groups = linkTill(tillLog);
  await tillLog.append(groups.slice(0, 1), at(20));
  await tillLog.append(groups.slice(1, 9), at(30));
  tillLog.relay = laterRelay;
  await tillLog.append([...groups.slice(9, 11), erased(groups[11] as CommitGroup), ...groups.slice(12, 14)], at(40));
  await tillLog.append(groups.slice(14), at(40));
  tillLog.store(objects);

  const catalogueLog = new ShardLog({ ...parts, shard: catalogueShard, writer: owner });
  await catalogueLog.append([catalogueLog.link(1, [{ class: 'price.set', version: 1, payload: 250 }], at(1))], at(50));
  await catalogueLog.fence(admin, at(60));
  catalogueLog.store(objects);

  const again = new ShardLog({ ...parts, shard: tillShard, writer: till, incarnation: laterLife });
  again.relay = laterRelay;
  await again.append(linkTill(again).slice(0, 3), at(90));

  // The till is taken over by the admin, after a fence of the owner's that was given up, and revoked with its second, empty shard.
  const secondTill = new ShardLog({ ...parts, shard: secondTillShard, writer: till, incarnation: laterLife });
  secondTill.relay = laterRelay;
  await again.fence(owner, at(91));
  await again.fence(admin, at(92));
  await secondTill.fence(admin, at(93));
  const revoke: Act = { act: 'revoke', device: keyIdOf(till.publicKey) };
  await appendTo(control, admin, laterRelay, revoke, again.cut(admin), secondTill.cut(owner));
  const op = { class: 'sale.completed', version: 1, payload: 'after the take-over' };
  await again.append([again.link(0x61, [op], at(94)), again.link(0x62, [op], at(95))], at(96));
  await secondTill.append([secondTill.link(0x63, [op], at(97))], at(98));
  // The admin takes over from itself: a rotation, or a copy restored from a backup.
  await again.fence(admin, at(99));
  await appendTo(control, admin, laterRelay, again.cut(admin));
  await again.append([again.link(0x64, [op], at(100))], at(101));
  again.store(objects);
  secondTill.store(objects);
  for (const [i, bytes] of control.entries()) objects.set(objectKeys.controlSlot(workspace, slot(i + 1)), bytes);

  await publish({ objects, log: tillLog, controlHead, stateHash }, image, [
    { by: till, slot: 2, head: groups[5] as CommitGroup },
    { by: admin, slot: 4, head: groups.at(-1) as CommitGroup },
  ]);
  return { objects, tillLog, catalogueLog, takenLog: again };
}

/** Twenty groups of one to three ops; the fourth is sealed and void. */
function linkTill(log: ShardLog): readonly CommitGroup[] {
  return Array.from({ length: 20 }, (_, i) => {
    if (i === 3) return log.linkBody(i, utf8('[["a",1,-0]]'), 1, at(i));
    const ops = Array.from({ length: 1 + (i % 3) }, (_op, line) => ({
      class: 'sale.completed',
      version: 1,
      payload: { sale: `s-${i}`, line, sku: 'Käse 🧀', qty: 0.5 * i, note: '\u0001"\\' },
    }));
    return log.link(i, ops, at(i));
  });
}

async function appendTo(objects: Bytes[], author: Signer, signer: Signer, ...acts: readonly Act[]): Promise<void> {
  const entry = await signControlEntry(author, { workspace, prev: objectHash(objects.at(-1) as Bytes) }, acts);
  const number = objects.length + 1;
  objects.push(await makeControlSlot(signer, { workspace, slot: slot(number), time: at(number) }, entry));
}

async function longerControlLog(): Promise<Bytes[]> {
  const objects = [...(await controlLog())];
  const append = (author: Signer, signer: Signer, ...acts: readonly Act[]): Promise<void> => appendTo(objects, author, signer, ...acts);
  const proof = signPortable(adminInvite, enrolMessage(workspace, admin.publicKey));
  const inviteKey = portableSigner(adminInvite).publicKey;
  await append(owner, relay, { act: 'invite', key: inviteKey, role: 'admin', expiresAt: at(3600), uses: 2 });
  const device = { act: 'device', key: admin.publicKey, name: 'दुकान 2', invite: keyIdOf(inviteKey), proof } as const;
  await append(admin, relay, device);
  // The entry that declares a new key stands in a slot of the old one.
  await append(owner, relay, { act: 'relay', key: laterRelay.publicKey, incarnation: laterLife });
  const shard = { act: 'shard', kind: 'till', name: 'till-2', writer: keyIdOf(till.publicKey) } as const;
  await append(admin, laterRelay, { ...shard, nonce: secondTillNonce });
  return objects;
}

async function publish(
  to: { readonly objects: Map<string, Bytes>; readonly log: ShardLog; readonly controlHead: Hash; readonly stateHash: Hash },
  image: Uint8Array,
  statements: readonly { readonly by: Signer; readonly slot: number; readonly head: CommitGroup }[],
): Promise<void> {
  const raw = [image.subarray(0, 1024), image.subarray(1024)];
  const stored = await Promise.all(raw.map((part) => webDeflate.deflate(part)));
  for (const bytes of stored) to.objects.set(objectKeys.chunk(to.log.place, sha256(bytes)), bytes);
  let prev = noHash;
  for (const [i, { by, slot: number, head }] of statements.entries()) {
    const { object } = to.log.slots[number - 1] as StoredSlot;
    const statement = await signCheckpoint(by, {
      shard: to.log.place.shard,
      number: i + 1,
      prev,
      epoch: epoch(1),
      head: headOf(head),
      slot: object.slot,
      slotObject: object.objectHash,
      slotTime: object.time,
      schemaVersion: 1,
      foldId: sha256(utf8('fold')),
      stateHash: to.stateHash,
      time: at(70 + i),
      controlHead: to.controlHead,
      chunks: stored.map((bytes, c) => ({
        hash: sha256(bytes),
        storedLength: bytes.length,
        rawLength: (raw[c] as Uint8Array).length,
      })),
    });
    prev = objectHash(statement);
    to.objects.set(objectKeys.checkpoint(to.log.place, i + 1), statement);
  }
}

/** The slot object with its signed part changed, and signed again by a relay that plays along. */
export async function forgeSlot(signer: Signer, bytes: Uint8Array, change: (signed: Bytes) => Uint8Array | undefined): Promise<Bytes> {
  const signed = bytes.slice(0, -64);
  const changed = change(signed) ?? signed;
  return concatBytes(changed, await signer.sign(tagged('commit', sha256(changed))));
}
