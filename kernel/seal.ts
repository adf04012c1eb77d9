// A seal: the writer's signature over the last group of a run. Seal and links together authenticate every group of the run.
// Layout: docs/format.md#seal. The position (shard, epoch, seq, hash) is signed but never stored twice: inside a segment the
// reader computes it from the groups, so a seal can only fit the run it was made for.

import { type Bytes, isSameBytes } from './bytes.ts';
import { keyIdOf, tagged } from './digest.ts';
import { FoldlogError } from './errors.ts';
import type { Signer, Verifier } from './ports.ts';
import {
  type Epoch,
  type Hash,
  type Head,
  hash,
  type KeyId,
  keyId,
  type PublicKey,
  type ShardId,
  type Signature,
  short,
  signature,
} from './units.ts';
import { type Reader, Writer } from './wire.ts';

/** What the seal is about. */
export interface SealedPosition {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly head: Head;
}

export interface Seal {
  readonly key: KeyId;
  /** Control head the writer believed in; zeros before it knew one. */
  readonly controlHead: Hash;
  /** Newest `foldlog.headsSeen` group of this chain; zeros before the first. */
  readonly headsSeen: Hash;
  readonly signature: Signature;
}

/** Stored size: key id, two hashes, signature. */
export const sealBytes = 144;

function sealMessage(position: SealedPosition, seal: Omit<Seal, 'signature'>): Bytes {
  const signed = new Writer(8 + 16 + 32 + 32 + 16 + 4 + 8 + 32)
    .preamble('seal')
    .bytes(seal.key)
    .bytes(seal.controlHead)
    .bytes(seal.headsSeen)
    .bytes(position.shard)
    .u32(position.epoch)
    .u64(position.head.seq)
    .bytes(position.head.hash)
    .done();
  return tagged('seal', signed);
}

/** A device signs thousands of seals with one key: its id is hashed once. */
const keyIds = new WeakMap<Signer, KeyId>();

function keyIdOfSigner(signer: Signer): KeyId {
  let id = keyIds.get(signer);
  if (id === undefined) {
    id = keyIdOf(signer.publicKey);
    keyIds.set(signer, id);
  }
  return id;
}

export async function makeSeal(
  signer: Signer,
  position: SealedPosition,
  believed: { readonly controlHead: Hash; readonly headsSeen: Hash },
): Promise<Seal> {
  const unsigned = { key: keyIdOfSigner(signer), ...believed };
  return { ...unsigned, signature: await signer.sign(sealMessage(position, unsigned)) };
}

/** @throws {FoldlogError} `corrupt` `wrongSeal`: not by this key, or not over this position */
export async function verifySeal(verifier: Verifier, key: PublicKey, position: SealedPosition, seal: Seal, where: string): Promise<void> {
  const isNamed = isSameBytes(seal.key, keyIdOf(key));
  if (!isNamed || !(await verifier.verify(key, sealMessage(position, seal), seal.signature))) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongSeal',
      found: `a seal by key ${short(seal.key)} that does not verify`,
      expected: `a valid seal over seq ${position.head.seq} in epoch ${position.epoch}`,
    });
  }
}

export function encodeSeal(seal: Seal): Bytes {
  return new Writer(sealBytes).bytes(seal.key).bytes(seal.controlHead).bytes(seal.headsSeen).bytes(seal.signature).done();
}

export function readSeal(reader: Reader): Seal {
  return {
    key: keyId(reader.bytes(16)),
    controlHead: hash(reader.bytes(32)),
    headsSeen: hash(reader.bytes(32)),
    signature: signature(reader.bytes(64)),
  };
}
