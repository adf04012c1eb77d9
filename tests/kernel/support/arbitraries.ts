// What kernel values look like to fast-check: every value in its range, with the edges of the range likely.
import fc from 'fast-check';
import type { Bytes } from '../../../kernel/bytes.ts';
import { type CommitGroup, type GroupHeader, headOf, linkGroup } from '../../../kernel/commit-group.ts';
import { groupBodyBytesMax, groupOpsMax } from '../../../kernel/limits.ts';
import { encodeOps, type JsonValue, type Op } from '../../../kernel/op-body.ts';
import type { Receipt } from '../../../kernel/receipt.ts';
import {
  type Epoch,
  type Hash,
  type Head,
  integerMax,
  type KeyId,
  type ShardId,
  type Signature,
  type Slot,
  type TimeMs,
} from '../../../kernel/units.ts';

export const anyBytes = (length: number): fc.Arbitrary<Bytes> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => new Uint8Array(bytes));

const edges = (low: number, high: number): fc.Arbitrary<number> =>
  fc.oneof(
    fc.constantFrom(low, low + 1, high - 1, high),
    fc.integer({ min: low, max: Math.min(high, low + 1000) }),
    fc.maxSafeInteger().map((n) => low + (Math.abs(n) % (high - low + 1))),
  );

export const anyHash = anyBytes(32) as fc.Arbitrary<Hash>;
export const anyKeyId = anyBytes(16) as fc.Arbitrary<KeyId>;
export const anyShard = anyBytes(16) as fc.Arbitrary<ShardId>;
export const anySignature = anyBytes(64) as fc.Arbitrary<Signature>;
export const anyEpoch = edges(1, 0xffff_ffff) as fc.Arbitrary<Epoch>;
export const anyTime = edges(0, integerMax) as fc.Arbitrary<TimeMs>;
export const anySlot = edges(1, integerMax) as fc.Arbitrary<Slot>;

export const anyHeader = fc
  .record({
    shard: anyShard,
    epoch: anyEpoch,
    opCount: edges(1, groupOpsMax),
    time: anyTime,
    id: anyBytes(16),
    prev: anyHash,
    bodyHash: anyHash,
    bodyLength: edges(2, groupBodyBytesMax),
    codec: fc.constant(1),
    firstSeqFrom: edges(1, integerMax - groupOpsMax),
  })
  .map(({ firstSeqFrom, ...rest }) => ({ ...rest, firstSeq: firstSeqFrom }) as unknown as GroupHeader);

export const anyReceipt = fc.record({
  workspace: anyHash,
  incarnation: anyBytes(16),
  shard: anyShard,
  epoch: anyEpoch,
  writer: anyKeyId,
  controlSlot: anyTime,
  slot: anySlot,
  head: fc.record({ seq: anySlot, hash: anyHash }),
  objectHash: anyHash,
  shardBytes: anyTime,
  time: anyTime,
  relayKey: anyKeyId,
  signature: anySignature,
}) as unknown as fc.Arbitrary<Receipt>;

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.constantFrom('', '\u0000', '"\\', '\u2028', '0', '10', 'toString'),
);
const anyKey = anyText.filter((key) => !['__proto__', 'constructor', 'prototype'].includes(key));

/** JSON with one meaning: what a payload may be. */
export const anyJson: fc.Arbitrary<JsonValue> = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constantFrom<JsonValue>(null, true, false),
    fc.maxSafeInteger().map((n) => n + 0),
    fc
      .double({ noNaN: true, noDefaultInfinity: true })
      .filter((n) => !Object.is(n, -0) && (!Number.isInteger(n) || Number.isSafeInteger(n))),
    anyText,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(anyKey, tie('value'), { maxKeys: 4 }),
  ),
})).value;

export const anyOp: fc.Arbitrary<Op> = fc
  .record(
    {
      class: fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,9}(\.[A-Za-z0-9_-]{1,9}){0,2}$/),
      version: edges(1, 0xffff),
      payload: anyJson,
      id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
    },
    { requiredKeys: ['class', 'version', 'payload'] },
  )
  .map((op) => op as Op);

/** A chain of groups after a head; the second value says which are erased. */
export const anyChain = (shard: ShardId, after: Head): fc.Arbitrary<readonly CommitGroup[]> =>
  fc
    .array(
      fc.record({
        ops: fc.array(anyOp, { minLength: 1, maxLength: 3 }),
        time: anyTime,
        id: anyBytes(16),
        salt: anyBytes(16),
        isErased: fc.boolean(),
      }),
      { minLength: 1, maxLength: 6 },
    )
    .map((parts) => {
      let head = after;
      return parts.map(({ ops, time, id, salt, isErased }) => {
        const body = encodeOps(ops, 'test');
        const group = linkGroup({
          shard,
          epoch: 1 as Epoch,
          after: head,
          opCount: ops.length,
          time,
          id: id as unknown as CommitGroup['header']['id'],
          salt,
          body,
        });
        head = headOf(group);
        return isErased ? { ...group, content: { kind: 'erased' } as const } : group;
      });
    });
