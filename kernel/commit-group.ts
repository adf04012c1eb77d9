// A commit group: ops that land together. Its fixed header is what is hashed and linked; salt and body stand beside it.
// Pure: callers store the result. Layout: docs/format.md#group-header. Invariants kept here:
//   the header carries the body's hash, never the body · the salt is never in the header · one header has one encoding

import { type Bytes, isSameBytes } from './bytes.ts';
import { taggedHash } from './digest.ts';
import { groupBodyBytesMax, groupOpsMax } from './limits.ts';
import { jsonOpsCodec } from './op-body.ts';
import {
  type Epoch,
  epoch,
  type GroupId,
  groupId,
  type Hash,
  type Head,
  hash,
  integerMax,
  type Seq,
  type ShardId,
  seq,
  shardId,
  type TimeMs,
  timeMs,
} from './units.ts';
import { Reader, Writer } from './wire.ts';

export interface GroupHeader {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly firstSeq: Seq;
  readonly opCount: number;
  /** Writer's wall time; advisory. */
  readonly time: TimeMs;
  readonly id: GroupId;
  /** Hash of the group before, or zeros at the start of the chain. */
  readonly prev: Hash;
  readonly bodyHash: Hash;
  readonly bodyLength: number;
  readonly codec: number;
}

/** A header with its body, or with the body erased. */
export interface CommitGroup {
  readonly header: GroupHeader;
  readonly hash: Hash;
  readonly content: { readonly kind: 'whole'; readonly salt: Bytes; readonly body: Bytes } | { readonly kind: 'erased' };
}

export const groupHeaderBytes = 136;
export const saltBytes = 16;

export const lastSeqOf = (header: GroupHeader): Seq => seq(header.firstSeq + header.opCount - 1);
export const headOf = (group: CommitGroup): Head => ({ seq: lastSeqOf(group.header), hash: group.hash });

export const bodyHashOf = (salt: Uint8Array, body: Uint8Array): Hash => taggedHash('body', salt, body);
export const groupHashOf = (encodedHeader: Uint8Array): Hash => taggedHash('group', encodedHeader);

export interface GroupParts {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly after: Head;
  readonly opCount: number;
  readonly time: TimeMs;
  readonly id: GroupId;
  readonly salt: Bytes;
  readonly body: Bytes;
  /** Given when it was computed elsewhere (natively); otherwise computed here. */
  readonly bodyHash?: Hash;
}

/** The next group of a chain whose head is `after`. */
export function linkGroup(parts: GroupParts): CommitGroup {
  const header: GroupHeader = {
    shard: parts.shard,
    epoch: parts.epoch,
    firstSeq: seq(parts.after.seq + 1),
    opCount: parts.opCount,
    time: parts.time,
    id: parts.id,
    prev: parts.after.hash,
    bodyHash: parts.bodyHash ?? bodyHashOf(parts.salt, parts.body),
    bodyLength: parts.body.length,
    codec: jsonOpsCodec,
  };
  return {
    header,
    hash: groupHashOf(encodeGroupHeader(header)),
    content: { kind: 'whole', salt: parts.salt, body: parts.body },
  };
}

export function encodeGroupHeader(header: GroupHeader): Bytes {
  return new Writer(groupHeaderBytes)
    .preamble('group')
    .bytes(header.shard)
    .u32(header.epoch)
    .u64(header.firstSeq)
    .u32(header.opCount)
    .u64(header.time)
    .bytes(header.id)
    .bytes(header.prev)
    .bytes(header.bodyHash)
    .u32(header.bodyLength)
    .u8(header.codec)
    .bytes(new Uint8Array(3))
    .done();
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded` */
export function decodeGroupHeader(bytes: Uint8Array, where: string): GroupHeader {
  const reader = new Reader(bytes, where);
  reader.preamble('group');
  const header: GroupHeader = {
    shard: shardId(reader.bytes(16)),
    epoch: epoch(reader.u32('epoch', undefined, 1)),
    firstSeq: seq(reader.u64('first seq', 1)),
    opCount: reader.u32('op count', groupOpsMax, 1),
    time: timeMs(reader.u64('time')),
    id: groupId(reader.bytes(16)),
    prev: hash(reader.bytes(32)),
    bodyHash: hash(reader.bytes(32)),
    bodyLength: reader.u32('body length', groupBodyBytesMax, 2),
    codec: readCodec(reader),
  };
  requireCountable(reader, header.firstSeq, header.opCount);
  reader.zeros(3);
  reader.end();
  return header;
}

/** Refuses a group whose last op would be numbered beyond what a seq can hold. */
export function requireCountable(reader: Reader, firstSeq: number, opCount: number): void {
  // Subtracted from the bound: a sum beyond 2^53 would be rounded, perhaps back into range.
  if (firstSeq > integerMax - (opCount - 1)) {
    throw reader.corrupt('outOfBounds', `${opCount} ops from seq ${firstSeq}`, 'seqs up to 2^53-1');
  }
}

export function readCodec(reader: Reader): number {
  const codec = reader.u8();
  if (codec !== jsonOpsCodec) throw reader.corrupt('badCodec', `body codec ${codec}`, `codec ${jsonOpsCodec} (JSON ops)`);
  return codec;
}

/** Whether salt and body are the ones the header promises. */
export function isBodyOf(header: GroupHeader, salt: Uint8Array, body: Uint8Array): boolean {
  return body.length === header.bodyLength && isSameBytes(bodyHashOf(salt, body), header.bodyHash);
}
