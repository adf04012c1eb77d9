// A run: gap-free groups of one shard and epoch with the seal over the last. It is what a device pushes and what a segment holds,
// byte for byte. Inside it a group is a record of what cannot be computed; the reader rebuilds each header and its hash.
// Layout: docs/format.md#run. Nothing of a run may be folded before `verifyRun` returned.

import { type Bytes, concatBytes, isSameBytes } from './bytes.ts';
import {
  bodyHashOf,
  type CommitGroup,
  encodeGroupHeader,
  type GroupHeader,
  groupHashOf,
  headOf,
  readCodec,
  requireCountable,
  saltBytes,
} from './commit-group.ts';
import { FoldlogError } from './errors.ts';
import { groupBodyBytesMax, groupOpsMax, inflateRatioMax, runBytesMax, runGroupsMax } from './limits.ts';
import type { Deflate, Verifier } from './ports.ts';
import { encodeSeal, readSeal, type Seal, sealBytes, verifySeal } from './seal.ts';
import { type Epoch, epoch, groupId, type Hash, type Head, hash, type PublicKey, type ShardId, seq, short, timeMs } from './units.ts';
import { Reader, Writer } from './wire.ts';

/** A run as it travels: records still packed, nothing verified. */
export interface PackedRun {
  readonly epoch: Epoch;
  readonly after: Head;
  readonly groupCount: number;
  readonly packing: 'raw' | 'deflated';
  readonly recordsLength: number;
  readonly records: Bytes;
  readonly seal: Seal;
}

export interface Run {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly after: Head;
  readonly groups: readonly CommitGroup[];
  readonly head: Head;
  readonly seal: Seal;
}

const runHeadBytes = 60;
const recordHeadBytes = 34;
const wholeRecord = 1;
const erasedRecord = 2;

export const recordBytesOf = (bodyLength: number): number => recordHeadBytes + saltBytes + bodyLength;

/**
 * Packs groups for sending. Deflates when that saves anything.
 * @throws {FoldlogError} `misuse` `emptyRun`, `runTooLarge`: no reader would take it
 */
export async function packRun(deflate: Deflate, after: Head, groups: readonly CommitGroup[], seal: Seal): Promise<PackedRun> {
  const first = groups[0];
  if (first === undefined) throw FoldlogError.misuse({ where: 'packRun', reason: 'emptyRun', found: '0 groups', expected: '1 or more' });
  const raw = concatBytes(...groups.map(encodeRecord));
  if (groups.length > runGroupsMax || raw.length > runBytesMax) {
    throw FoldlogError.misuse({
      where: 'packRun',
      reason: 'runTooLarge',
      found: `${groups.length} groups in ${raw.length} bytes`,
      expected: `at most ${runGroupsMax} groups in ${runBytesMax} bytes`,
      todo: 'cut the groups into several runs',
    });
  }
  const deflated = await deflate.deflate(raw);
  const isSmaller = deflated.length < raw.length;
  return {
    epoch: first.header.epoch,
    after,
    groupCount: groups.length,
    packing: isSmaller ? 'deflated' : 'raw',
    recordsLength: raw.length,
    records: isSmaller ? deflated : raw,
    seal,
  };
}

export function encodePackedRun(run: PackedRun): Bytes {
  return new Writer(runHeadBytes + run.records.length + sealBytes)
    .u32(run.epoch)
    .u64(run.after.seq + 1)
    .bytes(run.after.hash)
    .u32(run.groupCount)
    .u8(run.packing === 'deflated' ? 1 : 0)
    .bytes(new Uint8Array(3))
    .u32(run.recordsLength)
    .u32(run.records.length)
    .bytes(run.records)
    .bytes(encodeSeal(run.seal))
    .done();
}

export function readPackedRun(reader: Reader): PackedRun {
  const epochFound = epoch(reader.u32('epoch', undefined, 1));
  const firstSeq = reader.u64('first seq', 1);
  const prev = hash(reader.bytes(32));
  const groupCount = reader.u32('group count', runGroupsMax, 1);
  const packing = reader.u8();
  if (packing > 1) throw reader.corrupt('badPacking', `packing ${packing}`, '0 (raw) or 1 (deflated)');
  reader.zeros(3);
  const recordsLength = reader.u32('records length', runBytesMax, 1);
  const storedLength = reader.u32('stored length', runBytesMax, 1);
  if (packing === 0 && storedLength !== recordsLength) {
    throw reader.corrupt('badPacking', `${storedLength} raw bytes`, `${recordsLength}`);
  }
  if (recordsLength > storedLength * inflateRatioMax) {
    throw reader.corrupt('bomb', `${storedLength} bytes that claim ${recordsLength}`, `at most ${inflateRatioMax} times as many`);
  }
  const records = reader.bytes(storedLength);
  const seal = readSeal(reader);
  return {
    epoch: epochFound,
    after: { seq: seq(firstSeq - 1), hash: prev },
    groupCount,
    packing: packing === 1 ? 'deflated' : 'raw',
    recordsLength,
    records,
    seal,
  };
}

/**
 * Inflates a run and rebuilds its groups and their hashes. The links hold by construction; whether they are the right ones
 * only the seal says.
 * @throws {FoldlogError} `corrupt`
 */
export async function unpackRun(deflate: Deflate, shard: ShardId, packed: PackedRun, where: string): Promise<Run> {
  const records =
    packed.packing === 'raw' ? packed.records : await deflate.inflate(packed.records, packed.recordsLength, `${where}, records`);
  if (records.length !== packed.recordsLength) {
    throw FoldlogError.corrupt({
      where,
      reason: 'badPacking',
      found: `${records.length} inflated bytes`,
      expected: `${packed.recordsLength}`,
    });
  }
  const reader = new Reader(records, `${where}, records`);
  const groups: CommitGroup[] = [];
  let head = packed.after;
  for (let i = 0; i < packed.groupCount; i++) {
    const group = readRecord(reader, shard, packed.epoch, head);
    groups.push(group);
    head = headOf(group);
  }
  reader.end();
  return { shard, epoch: packed.epoch, after: packed.after, groups, head, seal: packed.seal };
}

/**
 * Checks that the run continues `head` and carries a valid seal by the writer's key.
 * @throws {FoldlogError} `corrupt` `brokenLink` or `wrongSeal`
 */
export async function verifyRun(
  verifier: Verifier,
  expected: { readonly head: Head; readonly writer: PublicKey },
  run: Run,
  where: string,
): Promise<void> {
  requireLink(expected.head, run.after, where);
  await verifySeal(verifier, expected.writer, run, run.seal, where);
}

/** @throws {FoldlogError} `corrupt` `brokenLink` unless `after` is the head reached so far. */
export function requireLink(head: Head, after: Head, where: string): void {
  if (!isSameHead(head, after)) {
    throw FoldlogError.corrupt({
      where,
      reason: 'brokenLink',
      found: `a run after seq ${after.seq} (${short(after.hash)})`,
      expected: `one after seq ${head.seq} (${short(head.hash)})`,
    });
  }
}

/** Two runs are the same when they begin and end alike; bytes of deflate or signature never count (decision 0001). */
export function isSameRun(a: { readonly after: Head; readonly head: Head }, b: { readonly after: Head; readonly head: Head }): boolean {
  return a.after.seq === b.after.seq && isSameHead(a.head, b.head);
}

export const isSameHead = (a: Head, b: Head): boolean => a.seq === b.seq && isSameBytes(a.hash, b.hash);

function encodeRecord(group: CommitGroup): Bytes {
  const { header, content } = group;
  const rest = content.kind === 'whole' ? [content.salt, content.body] : [header.bodyHash];
  const writer = new Writer(recordHeadBytes + rest.reduce((sum, part) => sum + part.length, 0))
    .u8(content.kind === 'whole' ? wholeRecord : erasedRecord)
    .u8(header.codec)
    .u32(header.opCount)
    .u64(header.time)
    .bytes(header.id)
    .u32(header.bodyLength);
  for (const part of rest) writer.bytes(part);
  return writer.done();
}

function readRecord(reader: Reader, shard: ShardId, epochOfRun: Epoch, after: Head): CommitGroup {
  const kind = reader.u8();
  if (kind !== wholeRecord && kind !== erasedRecord) throw reader.corrupt('badRecord', `record kind ${kind}`, '1 (whole) or 2 (erased)');
  const codec = readCodec(reader);
  const opCount = reader.u32('op count', groupOpsMax, 1);
  requireCountable(reader, after.seq + 1, opCount);
  const time = timeMs(reader.u64('time'));
  const id = groupId(reader.bytes(16));
  const bodyLength = reader.u32('body length', groupBodyBytesMax, 2);
  let content: CommitGroup['content'] = { kind: 'erased' };
  let bodyHash: Hash;
  if (kind === wholeRecord) {
    const salt = reader.bytes(saltBytes);
    const body = reader.bytes(bodyLength);
    content = { kind: 'whole', salt, body };
    bodyHash = bodyHashOf(salt, body);
  } else {
    bodyHash = hash(reader.bytes(32));
  }
  const header: GroupHeader = {
    shard,
    epoch: epochOfRun,
    firstSeq: seq(after.seq + 1),
    opCount,
    time,
    id,
    prev: after.hash,
    bodyHash,
    bodyLength,
    codec,
  };
  return { header, hash: groupHashOf(encodeGroupHeader(header)), content };
}
