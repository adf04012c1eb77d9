// Reads what devices and relay stored or sent, from docs/format.md alone: no decoder, hash or signature of the kernel. What it cannot read it throws
// over; the auditors say what that means.

import { createHash } from 'node:crypto';
import { inflateRawSync } from 'node:zlib';
import { isSigned } from './sim-crypto.ts';

export type Raw = Buffer;

export const raw = (bytes: Uint8Array): Raw => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
export const sha256Hex = (...parts: readonly Uint8Array[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};
const tag = (name: string): Raw => Buffer.from(`foldlog/v1/${name}\0`, 'latin1');
const bare = (name: string, message: Uint8Array): Raw => Buffer.concat([tag(name), message]);
const digested = (name: string, message: Uint8Array): Raw => bare(name, createHash('sha256').update(message).digest());

/** First 16 bytes of SHA-256(tag ‖ suite 1 ‖ key), as hex. */
export const keyIdHex = (key: Uint8Array): string => sha256Hex(tag('key'), Buffer.of(1), key).slice(0, 32);

const u32 = (bytes: Raw, at: number): number => bytes.readUInt32BE(at);
const u64 = (bytes: Raw, at: number): number => Number(bytes.readBigUInt64BE(at));
const hex = (bytes: Raw, at: number, size: number): string => bytes.toString('hex', at, at + size);

function requirePreamble(bytes: Raw, kind: number): void {
  const expected = `464f4c44${kind.toString(16).padStart(2, '0')}010100`;
  if (hex(bytes, 0, 8) !== expected) throw new Error(`preamble ${hex(bytes, 0, 8)}, ${expected} expected`);
}

export interface OwnGroup {
  readonly shard: string;
  readonly epoch: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly time: number;
  readonly id: string;
  readonly prev: string;
  readonly hash: string;
  readonly ops: readonly (readonly [string, number, unknown])[];
}

/** A group from its header, salt and body, as a device stores them. @throws what does not fit */
export function ownGroup(headerBytes: Uint8Array, salt: Uint8Array, body: Uint8Array): OwnGroup {
  const header = raw(headerBytes);
  if (header.length !== 136) throw new Error(`a header of ${header.length} bytes`);
  requirePreamble(header, 1);
  const [opCount, bodyLength] = [u32(header, 36), u32(header, 128)];
  if (bodyLength !== body.length) throw new Error(`a body of ${body.length} bytes, ${bodyLength} said`);
  if (sha256Hex(tag('body'), salt, body) !== hex(header, 96, 32)) throw new Error('a body that is not its header’s');
  const ops = JSON.parse(raw(body).toString('utf8')) as [string, number, unknown][];
  if (ops.length !== opCount) throw new Error(`${ops.length} ops, ${opCount} said`);
  const firstSeq = u64(header, 28);
  return {
    ...{ shard: hex(header, 8, 16), epoch: u32(header, 24), firstSeq, lastSeq: firstSeq + opCount - 1, time: u64(header, 40), ops },
    ...{ id: hex(header, 48, 16), prev: hex(header, 64, 32), hash: sha256Hex(tag('group'), header) },
  };
}

/** Whether a stored seal (144 bytes) is by this key over this group. */
export function isSealed(seal: Uint8Array, key: Uint8Array, { shard, epoch, lastSeq, hash }: OwnGroup): boolean {
  const stored = raw(seal);
  const end = Buffer.alloc(60);
  end.write(shard, 0, 'hex');
  end.writeUInt32BE(epoch, 16);
  end.writeBigUInt64BE(BigInt(lastSeq), 20);
  end.write(hash, 28, 'hex');
  const message = Buffer.concat([Buffer.from('464f4c4402010100', 'hex'), stored.subarray(0, 80), end]);
  return hex(stored, 0, 16) === keyIdHex(key) && isSigned(key, bare('seal', message), stored.subarray(80, 144));
}

export interface OwnRun {
  readonly epoch: number;
  readonly groups: readonly OwnGroup[];
  readonly seal: Raw;
  readonly length: number;
}

/** A run at the beginning of `bytes`. @throws */
export function ownRun(bytes: Raw, shard: string): OwnRun {
  const [epoch, count, packing] = [u32(bytes, 0), u32(bytes, 44), bytes[48]];
  const [recordsLength, storedLength] = [u32(bytes, 52), u32(bytes, 56)];
  const stored = bytes.subarray(60, 60 + storedLength);
  const records = packing === 1 ? inflateRawSync(stored) : stored;
  if (stored.length !== storedLength || records.length !== recordsLength) throw new Error('records of another length than said');
  const groups: OwnGroup[] = [];
  let at = 0;
  let next = { seq: u64(bytes, 4), prev: hex(bytes, 12, 32) };
  while (groups.length < count) {
    if (records[at] !== 1) throw new Error(`record kind ${records[at]}`);
    const bodyLength = u32(records, at + 30);
    const salt = records.subarray(at + 34, at + 50);
    const body = records.subarray(at + 50, at + 50 + bodyLength);
    const header = Buffer.alloc(136);
    header.write('464f4c4401010100', 0, 'hex');
    header.write(shard, 8, 'hex');
    header.writeUInt32BE(epoch, 24);
    header.writeBigUInt64BE(BigInt(next.seq), 28);
    records.copy(header, 36, at + 2, at + 30); // op count, time, group id
    header.write(next.prev, 64, 'hex');
    header.write(sha256Hex(tag('body'), salt, body), 96, 'hex');
    header.writeUInt32BE(bodyLength, 128);
    header[132] = records[at + 1] as number;
    const group = ownGroup(header, salt, body);
    groups.push(group);
    next = { seq: group.lastSeq + 1, prev: group.hash };
    at += 50 + bodyLength;
  }
  if (at !== records.length) throw new Error('bytes after the last record');
  return { epoch, groups, seal: bytes.subarray(60 + storedLength, 204 + storedLength), length: 204 + storedLength };
}

export interface OwnSegment {
  readonly shard: string;
  readonly slot: number;
  readonly prevObject: string;
  readonly run: OwnRun;
  readonly time: number;
  readonly bytesBefore: number;
  readonly relayKey: string;
  isSignedBy(key: Uint8Array): boolean;
}

/** @throws */
export function ownSegment(object: Uint8Array): OwnSegment {
  const bytes = raw(object);
  requirePreamble(bytes, 3);
  const shard = hex(bytes, 8, 16);
  const run = ownRun(bytes.subarray(64), shard);
  const at = 64 + run.length;
  if (bytes.length !== at + 96) throw new Error(`a segment of ${bytes.length} bytes, ${at + 96} expected`);
  return {
    ...{ shard, slot: u64(bytes, 24), prevObject: hex(bytes, 32, 32), run, time: u64(bytes, at), bytesBefore: u64(bytes, at + 8) },
    relayKey: hex(bytes, at + 16, 16),
    isSignedBy: (key) => isSigned(key, digested('commit', bytes.subarray(0, -64)), bytes.subarray(-64)),
  };
}

/** Shard and groups of a push. @throws */
export function ownPush(body: Uint8Array): { readonly shard: string; readonly run: OwnRun } {
  const bytes = raw(body);
  requirePreamble(bytes, 5);
  const shard = hex(bytes, 8, 16);
  return { shard, run: ownRun(bytes.subarray(28 + u32(bytes, 24)), shard) };
}

export interface OwnReceipt {
  readonly workspace: string;
  readonly incarnation: string;
  readonly shard: string;
  readonly slot: number;
  readonly seq: number;
  readonly hash: string;
  readonly object: string;
  isSignedBy(key: Uint8Array): boolean;
}

/** @throws */
export function ownReceipt(body: Uint8Array): OwnReceipt {
  const bytes = raw(body);
  if (bytes.length !== 276) throw new Error(`a receipt of ${bytes.length} bytes`);
  requirePreamble(bytes, 6);
  return {
    ...{ workspace: hex(bytes, 8, 32), incarnation: hex(bytes, 40, 16), shard: hex(bytes, 56, 16), slot: u64(bytes, 100) },
    ...{ seq: u64(bytes, 108), hash: hex(bytes, 116, 32), object: hex(bytes, 148, 32) },
    isSignedBy: (key) => isSigned(key, bare('receipt', bytes.subarray(0, 212)), bytes.subarray(212)),
  };
}

export interface OwnControlSlot {
  readonly workspace: string;
  readonly slot: number;
  readonly prev: string;
  readonly author: string;
  readonly acts: readonly Readonly<Record<string, unknown>>[];
  isEntrySignedBy(key: Uint8Array): boolean;
  readonly object: string;
}

/** @throws */
export function ownControlSlot(object: Uint8Array): OwnControlSlot {
  const bytes = raw(object);
  requirePreamble(bytes, 8);
  const entry = bytes.subarray(52, 52 + u32(bytes, 48));
  requirePreamble(entry, 7);
  return {
    ...{ workspace: hex(bytes, 8, 32), slot: u64(bytes, 40), prev: hex(entry, 40, 32), author: hex(entry, 72, 16) },
    acts: JSON.parse(entry.toString('utf8', 92, 92 + u32(entry, 88))) as Readonly<Record<string, unknown>>[],
    isEntrySignedBy: (key) => isSigned(key, bare('control', entry.subarray(0, -64)), entry.subarray(-64)),
    object: sha256Hex(bytes),
  };
}

/** Shard id of a nonce in a workspace, as hex. */
export const shardIdHex = (workspace: string, nonce: Uint8Array): string =>
  sha256Hex(tag('shard'), Buffer.from(workspace, 'hex'), nonce).slice(0, 32);
