// A receipt: the relay's signed word that everything of a shard up to a head is committed. Cumulative; as evidence valid for
// ever, as a capability only for a while (decision 0008). Layout: docs/format.md#receipt.

import { type Bytes, concatBytes, isSameBytes } from './bytes.ts';
import { keyIdOf, tagged } from './digest.ts';
import { FoldlogError } from './errors.ts';
import type { Signer, Verifier } from './ports.ts';
import {
  type Epoch,
  epoch,
  type Hash,
  type Head,
  hash,
  type Incarnation,
  incarnation,
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
  type WorkspaceId,
  workspaceId,
} from './units.ts';
import { Reader, Writer } from './wire.ts';

export interface Receipt {
  readonly workspace: WorkspaceId;
  readonly incarnation: Incarnation;
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly writer: KeyId;
  /** Control slot whose fold said that the writer may write. */
  readonly controlSlot: Slot;
  readonly slot: Slot;
  readonly head: Head;
  /** Object hash of `slot`. */
  readonly objectHash: Hash;
  /** Bytes of all slot objects of the shard so far. */
  readonly shardBytes: number;
  readonly time: TimeMs;
  readonly relayKey: KeyId;
  readonly signature: Signature;
}

export const receiptBytes = 276;
const signedBytes = receiptBytes - 64;

export async function makeReceipt(relay: Signer, facts: Omit<Receipt, 'relayKey' | 'signature'>): Promise<Bytes> {
  const signed = encodeSigned({ ...facts, relayKey: keyIdOf(relay.publicKey) });
  return concatBytes(signed, await relay.sign(tagged('receipt', signed)));
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded`; the signature is not yet checked */
export function decodeReceipt(bytes: Uint8Array, where: string): Receipt {
  const reader = new Reader(bytes, where);
  reader.preamble('receipt');
  const receipt: Receipt = {
    workspace: workspaceId(reader.bytes(32)),
    incarnation: incarnation(reader.bytes(16)),
    shard: shardId(reader.bytes(16)),
    epoch: epoch(reader.u32('epoch', undefined, 1)),
    writer: keyId(reader.bytes(16)),
    controlSlot: slot(reader.u64('control slot')),
    slot: slot(reader.u64('slot', 1)),
    head: { seq: seq(reader.u64('seq', 1)), hash: hash(reader.bytes(32)) },
    objectHash: hash(reader.bytes(32)),
    shardBytes: reader.u64('shard bytes'),
    time: timeMs(reader.u64('time')),
    relayKey: keyId(reader.bytes(16)),
    signature: signature(reader.bytes(64)),
  };
  reader.end();
  return receipt;
}

/** @throws {FoldlogError} `corrupt` `wrongReceipt`: not signed by this relay key */
export async function verifyReceipt(verifier: Verifier, relay: PublicKey, receipt: Receipt, where: string): Promise<void> {
  const isNamed = isSameBytes(receipt.relayKey, keyIdOf(relay));
  if (!isNamed || !(await verifier.verify(relay, tagged('receipt', encodeSigned(receipt)), receipt.signature))) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongReceipt',
      found: `a receipt under relay key ${short(receipt.relayKey)} that does not verify`,
      expected: `a signature by key ${short(keyIdOf(relay))}`,
    });
  }
}

function encodeSigned(receipt: Omit<Receipt, 'signature'>): Bytes {
  return new Writer(signedBytes)
    .preamble('receipt')
    .bytes(receipt.workspace)
    .bytes(receipt.incarnation)
    .bytes(receipt.shard)
    .u32(receipt.epoch)
    .bytes(receipt.writer)
    .u64(receipt.controlSlot)
    .u64(receipt.slot)
    .u64(receipt.head.seq)
    .bytes(receipt.head.hash)
    .bytes(receipt.objectHash)
    .u64(receipt.shardBytes)
    .u64(receipt.time)
    .bytes(receipt.relayKey)
    .done();
}

export function encodeReceipt(receipt: Receipt): Bytes {
  return concatBytes(encodeSigned(receipt), receipt.signature);
}
