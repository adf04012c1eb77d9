// What a device's last receipt is worth to the relay that issued it. A receipt under a declared key is evidence for ever: what it
// names must stand. Young, under the current or previous key and by the same writer in the same epoch, it is also a capability:
// the next slot may be written without reading the log (decision 0008).

import { isSameBytes } from '../kernel/bytes.ts';
import type { ShardEntry } from '../kernel/control/fold.ts';
import { keyIdOf } from '../kernel/digest.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { receiptCapabilityMsMax } from '../kernel/limits.ts';
import type { Verifier } from '../kernel/ports.ts';
import { type Receipt, verifyReceipt } from '../kernel/receipt.ts';
import { type KeyId, short, type TimeMs } from '../kernel/units.ts';
import type { ShardPlace } from '../shards/object-keys.ts';
import type { ControlView } from './control.ts';

export type ReceiptWorth =
  /** No receipt, or one of an earlier life of the store. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'evidence'; readonly receipt: Receipt }
  | { readonly kind: 'capability'; readonly receipt: Receipt };

/** @throws {FoldlogError} `misuse` `wrongWorkspace`, `wrongShard` · `corrupt` `wrongReceipt`: no declared relay key signed it */
export async function judgeReceipt(
  verifier: Verifier,
  view: ControlView,
  place: ShardPlace,
  writer: { readonly shard: ShardEntry; readonly key: KeyId },
  receipt: Receipt | undefined,
  now: TimeMs,
): Promise<ReceiptWorth> {
  if (receipt === undefined) return { kind: 'nothing' };
  const bad = (reason: string, found: string, expected: string) =>
    FoldlogError.misuse({ where: 'receipt in push', reason, found, expected, todo: 'send the last receipt of this shard, or none' });
  if (!isSameBytes(receipt.workspace, place.workspace)) {
    throw bad('wrongWorkspace', `a receipt of workspace ${short(receipt.workspace)}`, short(place.workspace));
  }
  if (!isSameBytes(receipt.shard, place.shard)) throw bad('wrongShard', `a receipt of shard ${short(receipt.shard)}`, short(place.shard));

  const keys = view.state.relayKeys.filter((key) => isSameBytes(keyIdOf(key), receipt.relayKey));
  const key = keys.at(-1);
  if (key === undefined) {
    throw FoldlogError.corrupt({
      where: 'receipt in push',
      reason: 'wrongReceipt',
      found: `a receipt under relay key ${short(receipt.relayKey)}`,
      expected: 'a relay key of the control log',
    });
  }
  await verifyReceipt(verifier, key, receipt, 'receipt in push');
  if (!isSameBytes(receipt.incarnation, place.incarnation)) return { kind: 'nothing' };

  const isRecentKey = view.state.relayKeys.slice(-2).some((recent) => isSameBytes(recent, key));
  const isSameWriter = isSameBytes(receipt.writer, writer.key) && receipt.epoch === writer.shard.epoch;
  return { kind: isRecentKey && isSameWriter && isYoung(receipt, now) ? 'capability' : 'evidence', receipt };
}

/** Judged before the put and again after it: a slot may be collected once its receipts have aged (docs/relay-api.md#push). */
export const isYoung = (receipt: Receipt, now: TimeMs): boolean => now - receipt.time < receiptCapabilityMsMax;
