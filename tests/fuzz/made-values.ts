// Values in their range, from a seeded stream: what decoders must give back from their own bytes.
import type { Random } from '../../bench/crash/random.ts';
import type { GroupHeader } from '../../kernel/commit-group.ts';
import { groupBodyBytesMax, groupOpsMax, runBytesMax } from '../../kernel/limits.ts';
import type { Op } from '../../kernel/op-body.ts';
import type { Push } from '../../kernel/push.ts';
import type { Receipt } from '../../kernel/receipt.ts';
import { encodePackedRun, type PackedRun } from '../../kernel/run.ts';
import type { Seal } from '../../kernel/seal.ts';
import {
  epoch,
  groupId,
  hash,
  incarnation,
  integerMax,
  keyId,
  seq,
  shardId,
  signature,
  slot,
  timeMs,
  workspaceId,
} from '../../kernel/units.ts';
import { anyJson } from './json-mutations.ts';
import { anyBytes, isOneIn, oneOf } from './mutations.ts';

/** A whole number between the two, its edges likely. */
export function inRange(random: Random, low: number, high: number): number {
  if (isOneIn(random, 3)) return oneOf(random, [low, low + 1, high - 1, high]);
  return Math.min(high, low + random.magnitude(high - low + 1) - 1);
}

const anyHash = (random: Random) => hash(anyBytes(random, 32));
const anySeq = (random: Random) => seq(inRange(random, 1, integerMax - groupOpsMax));
const anyEpoch = (random: Random) => epoch(inRange(random, 1, 0xffff_ffff));
const anyTime = (random: Random) => timeMs(inRange(random, 0, integerMax));
const anyKeyId = (random: Random) => keyId(anyBytes(random, 16));

export const madeHeader = (random: Random): GroupHeader => ({
  shard: shardId(anyBytes(random, 16)),
  epoch: anyEpoch(random),
  firstSeq: anySeq(random),
  opCount: inRange(random, 1, groupOpsMax),
  time: anyTime(random),
  id: groupId(anyBytes(random, 16)),
  prev: anyHash(random),
  bodyHash: anyHash(random),
  bodyLength: inRange(random, 2, groupBodyBytesMax),
  codec: 1,
});

export const madeSeal = (random: Random): Seal => ({
  key: anyKeyId(random),
  controlHead: anyHash(random),
  headsSeen: anyHash(random),
  signature: signature(anyBytes(random, 64)),
});

export const madeReceipt = (random: Random): Receipt => ({
  workspace: workspaceId(anyBytes(random, 32)),
  incarnation: incarnation(anyBytes(random, 16)),
  shard: shardId(anyBytes(random, 16)),
  epoch: anyEpoch(random),
  writer: anyKeyId(random),
  controlSlot: slot(inRange(random, 0, integerMax)),
  slot: slot(inRange(random, 1, integerMax)),
  head: { seq: seq(inRange(random, 1, integerMax)), hash: anyHash(random) },
  objectHash: anyHash(random),
  shardBytes: inRange(random, 0, integerMax),
  time: anyTime(random),
  relayKey: anyKeyId(random),
  signature: signature(anyBytes(random, 64)),
});

export function madeRun(random: Random): PackedRun {
  const records = anyBytes(random, random.magnitude(200));
  const isRaw = isOneIn(random, 2);
  return {
    epoch: anyEpoch(random),
    after: { seq: seq(inRange(random, 0, integerMax - 1)), hash: anyHash(random) },
    groupCount: inRange(random, 1, 100_000),
    packing: isRaw ? 'raw' : 'deflated',
    recordsLength: isRaw ? records.length : inRange(random, 1, Math.min(runBytesMax, records.length * 1100)),
    records,
    seal: madeSeal(random),
  };
}

export function madePush(random: Random): Push {
  const run = madeRun(random);
  return {
    shard: shardId(anyBytes(random, 16)),
    receipt: isOneIn(random, 2) ? madeReceipt(random) : undefined,
    run,
    encodedRun: encodePackedRun(run),
  };
}

const classes = ['sale.completed', 'a', 'foldlog.rebased', 'a-b.c_d.9', 'x'.repeat(64)];

export const madeOps = (random: Random): readonly Op[] =>
  Array.from({ length: random.magnitude(3) }, (): Op => {
    const op = { class: oneOf(random, classes), version: inRange(random, 1, 0xffff), payload: anyJson(random) };
    return isOneIn(random, 3) ? { ...op, id: `id ${random.between(0, 9_999)} é` } : op;
  });
