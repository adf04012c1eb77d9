// A stranded group on its way to another device: as it was saved, with what proves it. The groups behind it, up to the one whose seal covers them all, come
// along without their bodies, so that the seal verifies and nothing else is given away. Layout: docs/format.md#tail, decision 0003.

import type { Bytes } from './bytes.ts';
import { FoldlogError } from './errors.ts';
import { encodePackedRun, type PackedRun, readPackedRun } from './run.ts';
import { type Seq, type ShardId, type Slot, seq, shardId, slot } from './units.ts';
import { preambleBytes, Reader, Writer } from './wire.ts';

export interface Tail {
  /** Where it was saved. */
  readonly shard: ShardId;
  /** The cut it stands above, and the control slot that made it. */
  readonly cut: Seq;
  readonly controlSlot: Slot;
  /** First the group itself, whole; those behind it erased. */
  readonly run: PackedRun;
}

export function encodeTail({ shard, cut, controlSlot, run }: Tail): Bytes {
  const encoded = encodePackedRun(run);
  return new Writer(preambleBytes + 16 + 8 + 8 + encoded.length)
    .preamble('tail')
    .bytes(shard)
    .u64(cut)
    .u64(controlSlot)
    .bytes(encoded)
    .done();
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded`; the seal is not yet checked · `corrupt` `badTail`: nothing of it is above its cut */
export function decodeTail(bytes: Uint8Array, where: string): Tail {
  const reader = new Reader(bytes, where);
  reader.preamble('tail');
  const shard = shardId(reader.bytes(16));
  const cut = seq(reader.u64('cut'));
  const controlSlot = slot(reader.u64('control slot', 1));
  const run = readPackedRun(reader);
  reader.end();
  if (run.after.seq >= cut) return { shard, cut, controlSlot, run };
  throw FoldlogError.corrupt({
    where,
    reason: 'badTail',
    found: `a group from seq ${run.after.seq + 1} on`,
    expected: `one above the cut at seq ${cut}`,
  });
}
