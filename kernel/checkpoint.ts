// A checkpoint statement: the signed word that folding a shard up to a head gives this state, stored as these chunks of a
// database image. Chained by number like slots. Layout: docs/format.md#checkpoint. What a loader must check: docs/durability.md.

import { type Bytes, concatBytes, isSameBytes } from './bytes.ts';
import { keyIdOf, objectHash, sha256, tagged } from './digest.ts';
import { FoldlogError } from './errors.ts';
import { chunkBytes, chunksMax } from './limits.ts';
import type { Signer, Verifier } from './ports.ts';
import {
  type Epoch,
  epoch,
  type Hash,
  type Head,
  hash,
  type KeyId,
  keyId,
  type PublicKey,
  type ShardId,
  type Signature,
  type Slot,
  seq,
  shardId,
  short,
  signature,
  slot,
  type TimeMs,
  timeMs,
} from './units.ts';
import { preambleBytes, Reader, Writer } from './wire.ts';

export interface Chunk {
  /** SHA-256 of the stored (deflated) bytes: its name. */
  readonly hash: Hash;
  readonly storedLength: number;
  readonly rawLength: number;
}

export interface CheckpointFacts {
  readonly shard: ShardId;
  /** 1, 2, 3 … per shard. */
  readonly number: number;
  /** Object hash of statement `number - 1`; zeros at 1. */
  readonly prev: Hash;
  readonly epoch: Epoch;
  readonly head: Head;
  /** Slot whose segment ends at `head`, and its object hash: a loader goes on with the slot after it. */
  readonly slot: Slot;
  readonly slotObject: Hash;
  /** Commit time of that slot. */
  readonly slotTime: TimeMs;
  readonly schemaVersion: number;
  readonly foldId: Hash;
  /** kernel/state-hash.ts over declared and replicated system tables. */
  readonly stateHash: Hash;
  readonly time: TimeMs;
  readonly controlHead: Hash;
  readonly chunks: readonly Chunk[];
}

export interface Checkpoint extends CheckpointFacts {
  readonly key: KeyId;
  readonly signature: Signature;
  readonly signedDigest: Hash;
  readonly objectHash: Hash;
}

const fixedBytes = preambleBytes + 16 + 8 + 32 + 4 + 8 + 32 + 8 + 32 + 8 + 4 + 32 + 32 + 8 + 32 + 16 + 4;
const perChunkBytes = 32 + 4 + 4;
/** The most a statement may be. */
export const checkpointBytesMax = fixedBytes + perChunkBytes * chunksMax + 64;

export async function signCheckpoint(signer: Signer, facts: CheckpointFacts): Promise<Bytes> {
  const writer = new Writer(fixedBytes + perChunkBytes * facts.chunks.length)
    .preamble('checkpoint')
    .bytes(facts.shard)
    .u64(facts.number)
    .bytes(facts.prev)
    .u32(facts.epoch)
    .u64(facts.head.seq)
    .bytes(facts.head.hash)
    .u64(facts.slot)
    .bytes(facts.slotObject)
    .u64(facts.slotTime)
    .u32(facts.schemaVersion)
    .bytes(facts.foldId)
    .bytes(facts.stateHash)
    .u64(facts.time)
    .bytes(facts.controlHead)
    .bytes(keyIdOf(signer.publicKey))
    .u32(facts.chunks.length);
  for (const chunk of facts.chunks) writer.bytes(chunk.hash).u32(chunk.storedLength).u32(chunk.rawLength);
  const signed = writer.done();
  return concatBytes(signed, await signer.sign(tagged('checkpoint', sha256(signed))));
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded`; the signature is not yet checked */
export function decodeCheckpoint(bytes: Uint8Array, where: string): Checkpoint {
  const reader = new Reader(bytes, where);
  reader.preamble('checkpoint');
  const facts = {
    shard: shardId(reader.bytes(16)),
    number: reader.u64('number', 1),
    prev: hash(reader.bytes(32)),
    epoch: epoch(reader.u32('epoch', undefined, 1)),
    head: { seq: seq(reader.u64('seq', 1)), hash: hash(reader.bytes(32)) },
    slot: slot(reader.u64('slot', 1)),
    slotObject: hash(reader.bytes(32)),
    slotTime: timeMs(reader.u64('slot time')),
    schemaVersion: reader.u32('schema version', undefined, 1),
    foldId: hash(reader.bytes(32)),
    stateHash: hash(reader.bytes(32)),
    time: timeMs(reader.u64('time')),
    controlHead: hash(reader.bytes(32)),
  };
  const key = keyId(reader.bytes(16));
  const count = reader.u32('chunk count', chunksMax, 1);
  const chunks: Chunk[] = [];
  for (let i = 0; i < count; i++) {
    chunks.push({
      hash: hash(reader.bytes(32)),
      storedLength: reader.u32('stored length', 2 * chunkBytes, 1),
      rawLength: reader.u32('raw length', chunkBytes, 1),
    });
  }
  const signedDigest = sha256(bytes.subarray(0, reader.at));
  const statementSignature = signature(reader.bytes(64));
  reader.end();
  return { ...facts, key, chunks, signature: statementSignature, signedDigest, objectHash: objectHash(bytes) };
}

/** @throws {FoldlogError} `corrupt` `wrongSeal`: not signed by this key */
export async function verifyCheckpoint(verifier: Verifier, key: PublicKey, checkpoint: Checkpoint, where: string): Promise<void> {
  const isNamed = isSameBytes(checkpoint.key, keyIdOf(key));
  if (!isNamed || !(await verifier.verify(key, tagged('checkpoint', checkpoint.signedDigest), checkpoint.signature))) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongSeal',
      found: `a statement under key ${short(checkpoint.key)} that does not verify`,
      expected: `a signature by key ${short(keyIdOf(key))}`,
    });
  }
}
