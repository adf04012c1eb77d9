// Verifies the objects of a relay's store with kernel functions, by the procedure of docs/format.md#verifying-a-relay-folder, and says
// what it found in the words of verify_folder.py: two readers that must agree.
import { type Bytes, bytesToHex, concatBytes, hexToBytes, isSameBytes } from '../../kernel/bytes.ts';
import { decodeCheckpoint, verifyCheckpoint } from '../../kernel/checkpoint.ts';
import { headOf } from '../../kernel/commit-group.ts';
import { decodeControlSlot } from '../../kernel/control/entry.ts';
import { type ControlState, foldControl, type ShardEntry, shardOf, signatoryOf, speakerFor } from '../../kernel/control/fold.ts';
import { keyIdOf, sha256 } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { openingOf, verifyFence } from '../../kernel/fence.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import type { Verifier } from '../../kernel/ports.ts';
import { isSameHead, type Run, unpackRun, verifyRun } from '../../kernel/run.ts';
import { decodeSlotObject, type SlotObject, verifySlotObject } from '../../kernel/segment.ts';
import {
  chainStart,
  type Epoch,
  epoch,
  type Hash,
  noHash,
  type PublicKey,
  shardId,
  slot,
  timeMs,
  workspaceId,
} from '../../kernel/units.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { objectKeys, type ShardPlace } from '../../shards/object-keys.ts';

export type Objects = ReadonlyMap<string, Bytes>;

interface Control {
  readonly state: ControlState;
  readonly relays: ReadonlyMap<string, PublicKey>;
  readonly incarnations: ReadonlySet<string>;
}

interface StandingSlot {
  readonly object: SlotObject;
  readonly run: Run | undefined;
}

/** @throws {FoldlogError} at the first object that does not verify */
export async function readFolder(verifier: Verifier, objects: Objects): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const name of namesAt(objects, /^w\/([0-9a-f]{64})\//)) {
    const workspace = workspaceId(hexToBytes(name));
    const control = await readControl(verifier, objects, workspace);
    const { state } = control;
    const counts = `devices ${state.devices.size}, shards ${state.shards.size}`;
    const what = `control slots ${state.slot}, head ${bytesToHex(state.head)}, ${counts}`;
    lines.push(`workspace ${name} ${JSON.stringify(state.name)}: ${what}`);
    for (const place of placesIn(objects, workspace)) {
      if (!control.incarnations.has(bytesToHex(place.incarnation))) throw fault('incarnation', 'undeclared');
      lines.push(...(await readShard(verifier, objects, control, place)));
    }
  }
  return lines;
}

async function readControl(verifier: Verifier, objects: Objects, workspace: ReturnType<typeof workspaceId>): Promise<Control> {
  const stored = numbered(objects, (number) => objectKeys.controlSlot(workspace, slot(number)));
  const slots = stored.map((bytes, i) => decodeControlSlot(bytes, `control slot ${i + 1}`));
  const state = await foldControl(verifier, workspace, undefined, slots);
  if (state?.relay === undefined) throw fault('control log', 'no relay');
  const relayActs = slots.flatMap(({ entry }) => entry.acts).filter((act) => act.act === 'relay');
  return {
    state,
    relays: new Map(relayActs.map(({ key }) => [bytesToHex(keyIdOf(key)), key])),
    incarnations: new Set(relayActs.map((act) => bytesToHex(act.incarnation))),
  };
}

async function readShard(verifier: Verifier, objects: Objects, control: Control, place: ShardPlace): Promise<readonly string[]> {
  const entry = shardOf(control.state, place.shard);
  if (entry === undefined) throw fault('shard', 'undeclared');
  let at = { head: chainStart, prevObject: noHash, bytes: 0, time: timeMs(0), epoch: epoch(1) };
  const counts = { groups: 0, ops: 0, void: 0, erased: 0 };
  const standing: StandingSlot[] = [];
  let open = entry.epochs[0];
  for (const [i, bytes] of numbered(objects, (number) => objectKeys.logSlot(place, slot(number))).entries()) {
    const where = `slot ${i + 1}`;
    const object = decodeSlotObject(bytes, where);
    const relay = control.relays.get(bytesToHex(object.relayKey));
    if (relay === undefined) throw fault(where, 'wrongRelaySignature');
    const binding = { shard: place.shard, slot: slot(i + 1), prevObject: at.prevObject };
    await verifySlotObject(verifier, { ...binding, relay, timeMin: at.time }, object, where);
    if (object.bytesBefore !== at.bytes) throw fault(where, 'bytesBefore');
    let run: Run | undefined;
    if (object.kind === 'segment') {
      const writer = open?.writer === undefined ? undefined : signatoryOf(control.state, open.writer);
      if (writer === undefined || object.run.epoch !== at.epoch) throw fault(where, 'epoch');
      run = await unpackRun(webDeflate, place.shard, object.run, where);
      await verifyRun(verifier, { head: at.head, writer: writer.key }, run, where);
      countRun(counts, run);
      at = { ...at, head: run.head };
    } else {
      await verifyFence(verifier, { state: control.state, shard: entry }, at, object, where);
      open = openingOf(entry, object, where);
      at = { ...at, epoch: object.fence.newEpoch };
    }
    at = { ...at, prevObject: object.objectHash, bytes: at.bytes + bytes.length, time: object.time };
    standing.push({ object, run });
  }
  const title = `${entry.kind}/${entry.name}`;
  const found = `groups ${counts.groups}, ops ${counts.ops}, void ${counts.void}, erased ${counts.erased}`;
  const head = `head ${at.head.seq} ${bytesToHex(at.head.hash)}`;
  return [
    `shard ${bytesToHex(place.shard)} ${title}: slots ${standing.length}, ${found}, epoch ${at.epoch}, bytes ${at.bytes}, ${head}`,
    ...(await readCheckpoints(verifier, objects, control.state, { place, standing, title, entry })),
  ];
}

function countRun(counts: { groups: number; ops: number; void: number; erased: number }, run: Run): void {
  for (const { header, content } of run.groups) {
    counts.groups += 1;
    counts.ops += header.opCount;
    if (content.kind === 'erased') {
      counts.erased += 1;
      continue;
    }
    try {
      decodeOps(content.body, header.opCount, 'body');
    } catch {
      counts.void += 1;
    }
  }
}

async function readCheckpoints(
  verifier: Verifier,
  objects: Objects,
  state: ControlState,
  log: {
    readonly place: ShardPlace;
    readonly standing: readonly StandingSlot[];
    readonly title: string;
    readonly entry: ShardEntry;
  },
): Promise<readonly string[]> {
  const lines: string[] = [];
  let prev: Hash = noHash;
  let floor = 0;
  for (const [i, bytes] of numbered(objects, (number) => objectKeys.checkpoint(log.place, number)).entries()) {
    const where = `checkpoint ${i + 1}`;
    const found = decodeCheckpoint(bytes, where);
    const isLinked = found.number === i + 1 && isSameBytes(found.prev, prev) && found.head.seq >= floor;
    const { object, run } = log.standing[found.slot - 1] ?? {};
    const isInLog =
      object !== undefined &&
      isSameBytes(object.objectHash, found.slotObject) &&
      object.time === found.slotTime &&
      (run?.epoch as Epoch) === found.epoch &&
      run?.groups.some((group) => isSameHead(headOf(group), found.head)) === true;
    const author = speakerFor(state, log.entry, found.key);
    if (!isLinked || !isInLog || !isSameBytes(found.shard, log.place.shard) || author === undefined) throw fault(where, 'statement');
    await verifyCheckpoint(verifier, author.key, found, where);
    const parts: Bytes[] = [];
    for (const chunk of found.chunks) {
      const stored = objects.get(objectKeys.chunk(log.place, chunk.hash));
      if (stored?.length !== chunk.storedLength || !isSameBytes(sha256(stored), chunk.hash)) throw fault(where, 'chunk');
      parts.push(await webDeflate.inflate(stored, chunk.rawLength, where));
      if (parts.at(-1)?.length !== chunk.rawLength) throw fault(where, 'chunk');
    }
    if (bytesToHex(concatBytes(...parts).subarray(0, 16)) !== '53514c69746520666f726d6174203300') throw fault(where, 'image');
    prev = found.objectHash;
    floor = found.head.seq;
    lines.push(`checkpoint ${i + 1} of ${log.title}: head ${floor} ${bytesToHex(found.head.hash)}`);
  }
  return lines;
}

/** Objects 1, 2, 3 …; one beyond a gap is a fault. */
function numbered(objects: Objects, keyOf: (number: number) => string): readonly Bytes[] {
  const found: Bytes[] = [];
  for (let object = objects.get(keyOf(1)); object !== undefined; object = objects.get(keyOf(found.length + 1))) found.push(object);
  const folder = keyOf(1).replace(/[^/]*$/, '');
  const standing = [...objects.keys()].filter((key) => key.startsWith(folder)).length;
  if (standing !== found.length) throw fault(keyOf(found.length + 1), 'missing');
  return found;
}

const namesAt = (objects: Objects, pattern: RegExp): readonly string[] =>
  [...new Set([...objects.keys()].flatMap((key) => pattern.exec(key)?.[1] ?? []))].sort();

function placesIn(objects: Objects, workspace: ReturnType<typeof workspaceId>): readonly ShardPlace[] {
  const prefix = `w/${bytesToHex(workspace)}/`;
  const pattern = new RegExp(`^${prefix}([0-9a-f]{32}/s/[0-9a-f]{32})/`);
  return namesAt(objects, pattern).map((name) => {
    const [life, shard] = name.split('/s/').map((hex) => hexToBytes(hex));
    return { workspace, incarnation: life as ShardPlace['incarnation'], shard: shardId(shard as Bytes) };
  });
}

const fault = (where: string, reason: string): FoldlogError =>
  FoldlogError.corrupt({ where, reason, found: 'a broken rule', expected: 'docs/format.md' });
