// Verifies a folder of relay objects with the kernel's own functions, from the first control slot on (docs/format.md#verifying-a-relay-folder).
// tests/vectors/verify_folder.py does the same from the format's text alone; the replay asks both.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesToHex, concatBytes, hexToBytes, isSameBytes } from '../../kernel/bytes.ts';
import { type Checkpoint, decodeCheckpoint, verifyCheckpoint } from '../../kernel/checkpoint.ts';
import { type CommitGroup, headOf } from '../../kernel/commit-group.ts';
import { decodeControlSlot } from '../../kernel/control/entry.ts';
import { type ControlState, deviceOf, foldControl, type ShardEntry, speakerFor } from '../../kernel/control/fold.ts';
import { sha256 } from '../../kernel/digest.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import type { Verifier } from '../../kernel/ports.ts';
import { unpackRun, verifyRun } from '../../kernel/run.ts';
import { decodeSlotObject, type SlotObject, verifySlotObject } from '../../kernel/segment.ts';
import {
  type Hash,
  type Head,
  incarnation,
  noHash,
  type ShardId,
  seq,
  shardId,
  slot,
  timeMs,
  type WorkspaceId,
  workspaceId,
} from '../../kernel/units.ts';
import { bestVerifier } from '../../kernel/web/web-crypto.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { objectKeys, type ShardPlace } from '../../shards/object-keys.ts';

export interface VerifiedShard {
  readonly id: ShardId;
  readonly kind: string;
  readonly name: string;
  readonly groups: readonly CommitGroup[];
  readonly head: Head;
  readonly slots: number;
  /** Of slot objects: what a relay keeps for ever. */
  readonly slotBytes: number;
  readonly checkpoints: readonly VerifiedCheckpoint[];
}

export interface VerifiedCheckpoint {
  readonly checkpoint: Checkpoint;
  /** The database its chunks make; its state hash is not compared here. */
  readonly image: Uint8Array;
}

/** @throws {Error} the first object that does not verify, by name */
export async function verifyRelayFolder(folder: string): Promise<readonly VerifiedShard[]> {
  const verifier = await bestVerifier();
  const shards: VerifiedShard[] = [];
  for (const name of await namesIn(join(folder, 'w'))) {
    const workspace = workspaceId(hexToBytes(name, 'workspace folder'));
    const state = await verifyControl(verifier, folder, workspace);
    const lives = (await namesIn(join(folder, 'w', name))).filter((life) => life !== 'control');
    for (const life of lives) {
      if (life !== bytesToHex(state.relay?.incarnation ?? noHash)) throw new Error(`incarnation ${life}: not the one declared`);
      for (const id of await namesIn(join(folder, 'w', name, life, 's'))) {
        const entry = state.shards.get(id);
        if (entry === undefined) throw new Error(`shard ${id}: not in the control log`);
        const place = { workspace, incarnation: incarnation(hexToBytes(life, 'life')), shard: shardId(hexToBytes(id, 'shard')) };
        shards.push(await verifyShard(verifier, folder, place, state, entry));
      }
    }
  }
  return shards;
}

async function verifyControl(verifier: Verifier, folder: string, workspace: WorkspaceId): Promise<ControlState> {
  const keys = await numbered(folder, objectKeys.controlSlot(workspace, slot(1)));
  const slots = await Promise.all(keys.map(async (key) => decodeControlSlot(await bytesOf(folder, key), key)));
  const state = await foldControl(verifier, workspace, undefined, slots);
  if (state?.relay === undefined) throw new Error(`control log of ${bytesToHex(workspace)}: no relay was declared, so nothing is proven`);
  return state;
}

async function verifyShard(
  verifier: Verifier,
  folder: string,
  place: ShardPlace,
  state: ControlState,
  entry: ShardEntry,
): Promise<VerifiedShard> {
  const writer = entry.writer === undefined ? undefined : deviceOf(state, entry.writer);
  const relay = state.relay?.key;
  if (writer === undefined || relay === undefined) throw new Error(`shard ${entry.kind}/${entry.name}: its writer is no device`);
  const objects: { readonly object: SlotObject; readonly groups: readonly CommitGroup[] }[] = [];
  let prevObject: Hash = noHash;
  let timeMin = timeMs(0);
  let head: Head = { seq: seq(0), hash: noHash };
  let slotBytes = 0;
  for (const key of await numbered(folder, objectKeys.logSlot(place, slot(1)))) {
    const bytes = await bytesOf(folder, key);
    const object = decodeSlotObject(bytes, key);
    await verifySlotObject(verifier, { shard: entry.id, slot: slot(objects.length + 1), prevObject, relay, timeMin }, object, key);
    if (object.bytesBefore !== slotBytes) throw new Error(`${key}: ${object.bytesBefore} bytes before it, ${slotBytes} expected`);
    if (object.kind !== 'segment') throw new Error(`${key}: a fence, which no replay makes`);
    const run = await unpackRun(webDeflate, entry.id, object.run, key);
    await verifyRun(verifier, { head, writer: writer.key }, run, key);
    for (const group of run.groups) opsOf(group, key);
    objects.push({ object, groups: run.groups });
    prevObject = object.objectHash;
    timeMin = object.time;
    head = run.head;
    slotBytes += bytes.length;
  }

  const checkpoints: VerifiedCheckpoint[] = [];
  for (const key of await numbered(folder, objectKeys.checkpoint(place, 1))) {
    const checkpoint = decodeCheckpoint(await bytesOf(folder, key), key);
    const before = checkpoints.at(-1)?.checkpoint;
    const stands = objects[checkpoint.slot - 1];
    const isInLog =
      stands !== undefined &&
      isSameBytes(stands.object.objectHash, checkpoint.slotObject) &&
      stands.object.time === checkpoint.slotTime &&
      stands.groups.some((group) => headOf(group).seq === checkpoint.head.seq && isSameBytes(group.hash, checkpoint.head.hash));
    const isInPlace = isSameBytes(checkpoint.shard, entry.id) && checkpoint.number === checkpoints.length + 1;
    const isLinked = isSameBytes(checkpoint.prev, before?.objectHash ?? noHash) && checkpoint.head.seq >= (before?.head.seq ?? 0);
    if (!isInPlace || !isLinked || !isInLog) throw new Error(`${key}: not in its place, not linked, or its head is not in the log`);
    const author = speakerFor(state, entry, checkpoint.key);
    if (author === undefined) {
      throw new Error(`${key}: its author may not sign one`);
    }
    await verifyCheckpoint(verifier, author.key, checkpoint, key);
    checkpoints.push({ checkpoint, image: await readImage(folder, place, checkpoint) });
  }
  return {
    id: entry.id,
    kind: entry.kind,
    name: entry.name,
    groups: objects.flatMap(({ groups }) => groups),
    head,
    slots: objects.length,
    slotBytes,
    checkpoints,
  };
}

async function readImage(folder: string, place: ShardPlace, checkpoint: Checkpoint): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const chunk of checkpoint.chunks) {
    const key = objectKeys.chunk(place, chunk.hash);
    const stored = await bytesOf(folder, key);
    if (stored.length !== chunk.storedLength || !isSameBytes(sha256(stored), chunk.hash)) throw new Error(`${key}: length or hash`);
    const raw = await webDeflate.inflate(stored, chunk.rawLength, key);
    if (raw.length !== chunk.rawLength) throw new Error(`${key}: ${raw.length} raw bytes, ${chunk.rawLength} expected`);
    parts.push(raw);
  }
  return concatBytes(...parts);
}

/** Ops of a group that was not erased. @throws {FoldlogError} `corrupt` `badBody` */
export function opsOf(group: CommitGroup, where: string) {
  if (group.content.kind === 'erased') throw new Error(`${where}: an erased body, which no replay makes`);
  return decodeOps(group.content.body, group.header.opCount, where);
}

/** Keys 1, 2, 3 … beside `first`, without a gap; none when there is no such folder. */
async function numbered(folder: string, first: string): Promise<readonly string[]> {
  const parent = first.slice(0, first.lastIndexOf('/'));
  const names = await namesIn(join(folder, parent));
  return names.map((name, i) => {
    if (Number(name) !== i + 1) throw new Error(`${parent}: ${name} found, number ${i + 1} expected`);
    return `${parent}/${name}`;
  });
}

/** A plain array: a Buffer's `slice` shares its memory, which the kernel does not expect. */
const bytesOf = async (folder: string, key: string): Promise<Uint8Array> => new Uint8Array(await readFile(join(folder, key)));

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
