// Writers for what only its signer writes in the kernel: the same layouts from decoded fields, so that a fuzzed object can be written back.
import { type Bytes, concatBytes, utf8 } from '../../kernel/bytes.ts';
import type { Checkpoint } from '../../kernel/checkpoint.ts';
import { actsToJson } from '../../kernel/control/acts.ts';
import type { ControlEntry, ControlSlot } from '../../kernel/control/entry.ts';
import { encodePackedRun } from '../../kernel/run.ts';
import type { SlotObject } from '../../kernel/segment.ts';
import { Writer } from '../../kernel/wire.ts';

export function encodeSlotObject(object: SlotObject): Bytes {
  const content = object.kind === 'segment' ? encodePackedRun(object.run) : encodeFence(object.fence);
  return new Writer(8 + 16 + 8 + 32 + content.length + 8 + 8 + 16 + 64)
    .preamble(object.kind)
    .bytes(object.shard)
    .u64(object.slot)
    .bytes(object.prevObject)
    .bytes(content)
    .u64(object.time)
    .u64(object.bytesBefore)
    .bytes(object.relayKey)
    .bytes(object.relaySignature)
    .done();
}

function encodeFence(fence: Extract<SlotObject, { kind: 'fence' }>['fence']): Bytes {
  return new Writer(4 + 4 + 8 + 32 + 32 + 16 + 64)
    .u32(fence.closedEpoch)
    .u32(fence.newEpoch)
    .u64(fence.head.seq)
    .bytes(fence.head.hash)
    .bytes(fence.controlHead)
    .bytes(fence.author)
    .bytes(fence.signature)
    .done();
}

export function encodeCheckpoint(statement: Checkpoint): Bytes {
  const writer = new Writer(8 + 16 + 8 + 32 + 4 + 8 + 32 + 8 + 32 + 8 + 4 + 32 + 32 + 8 + 32 + 16 + 4 + 40 * statement.chunks.length + 64)
    .preamble('checkpoint')
    .bytes(statement.shard)
    .u64(statement.number)
    .bytes(statement.prev)
    .u32(statement.epoch)
    .u64(statement.head.seq)
    .bytes(statement.head.hash)
    .u64(statement.slot)
    .bytes(statement.slotObject)
    .u64(statement.slotTime)
    .u32(statement.schemaVersion)
    .bytes(statement.foldId)
    .bytes(statement.stateHash)
    .u64(statement.time)
    .bytes(statement.controlHead)
    .bytes(statement.key)
    .u32(statement.chunks.length);
  for (const { hash, storedLength, rawLength } of statement.chunks) writer.bytes(hash).u32(storedLength).u32(rawLength);
  return writer.bytes(statement.signature).done();
}

export function encodeControlEntry(entry: Omit<ControlEntry, 'signed'>): Bytes {
  const acts = utf8(JSON.stringify(actsToJson(entry.acts)));
  return new Writer(8 + 32 + 32 + 16 + 4 + acts.length + 64)
    .preamble('controlEntry')
    .bytes(entry.workspace)
    .bytes(entry.prev)
    .bytes(entry.author)
    .u32(acts.length)
    .bytes(acts)
    .bytes(entry.signature)
    .done();
}

export function encodeControlSlot(object: ControlSlot): Bytes {
  const entry = encodeControlEntry(object.entry);
  const signed = new Writer(8 + 32 + 8 + 4 + entry.length + 8 + 16)
    .preamble('controlSlot')
    .bytes(object.workspace)
    .u64(object.slot)
    .u32(entry.length)
    .bytes(entry)
    .u64(object.time)
    .bytes(object.relayKey)
    .done();
  return concatBytes(signed, object.relaySignature);
}
