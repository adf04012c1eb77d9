// A push: one run on its way to the relay, with the last receipt the device holds. Layout: docs/format.md#push.

import type { Bytes } from './bytes.ts';
import { runBytesMax } from './limits.ts';
import { decodeReceipt, type Receipt, receiptBytes } from './receipt.ts';
import { type PackedRun, readPackedRun } from './run.ts';
import { type ShardId, shardId } from './units.ts';
import { Reader, Writer } from './wire.ts';

export interface Push {
  readonly shard: ShardId;
  readonly receipt: Receipt | undefined;
  readonly run: PackedRun;
  /** The run's own bytes, copied into the segment as they are. */
  readonly encodedRun: Bytes;
}

/** The most a push may be: a full run, its frame and a receipt. */
export const pushBytesMax = runBytesMax + 1024;

export function encodePush(shard: ShardId, receipt: Uint8Array | undefined, encodedRun: Uint8Array): Bytes {
  const receiptPart = receipt ?? new Uint8Array(0);
  return new Writer(8 + 16 + 4 + receiptPart.length + encodedRun.length)
    .preamble('push')
    .bytes(shard)
    .u32(receiptPart.length)
    .bytes(receiptPart)
    .bytes(encodedRun)
    .done();
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded` */
export function decodePush(bytes: Uint8Array): Push {
  const reader = new Reader(bytes, 'push');
  reader.preamble('push');
  const shard = shardId(reader.bytes(16));
  const receiptLength = reader.u32('receipt length', receiptBytes);
  if (receiptLength !== 0 && receiptLength !== receiptBytes) {
    throw reader.corrupt('badReceipt', `a receipt of ${receiptLength} bytes`, `0 or ${receiptBytes}`);
  }
  const receipt = receiptLength === 0 ? undefined : decodeReceipt(reader.bytes(receiptLength), 'receipt in push');
  const start = reader.at;
  const run = readPackedRun(reader);
  const encodedRun = reader.since(start);
  reader.end();
  return { shard, receipt, run, encodedRun };
}
