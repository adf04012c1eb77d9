import { describe, expect, test } from 'vitest';
import { bytesToBase64url } from '../../kernel/bytes.ts';
import { decodeOps, encodeOps, type Op } from '../../kernel/op-body.ts';
import { isSystemOp, readSystemOp, type SystemOp, systemOp } from '../../kernel/system-ops.ts';
import { epoch, hash, keyId, seq, shardId, signature, slot } from '../../kernel/units.ts';

const shard = shardId(new Uint8Array(16).fill(7));
const from = { shard, epoch: epoch(3), firstSeq: seq(11), lastSeq: seq(14) };

const attest = {
  key: keyId(new Uint8Array(16).fill(1)),
  group: hash(new Uint8Array(32).fill(2)),
  signature: signature(new Uint8Array(64).fill(3)),
};

const made: readonly SystemOp[] = [
  { kind: 'schemaMoved', from: 1, to: 2, foldId: hash(new Uint8Array(32).fill(9)) },
  { kind: 'rebased', from, cut: seq(10), controlSlot: slot(5), born: undefined, attest: undefined },
  { kind: 'rebased', from, cut: seq(10), controlSlot: slot(5), born: { ...from, epoch: epoch(2) }, attest },
];

describe('an op of the engine itself', () => {
  test.each(made)('comes back from a body as it was made ($kind)', (op) => {
    const [read] = decodeOps(encodeOps([systemOp(op)], 'test'), 1, 'test') as [Op];
    expect(isSystemOp(read)).toBe(true);
    expect(readSystemOp(read, 'test')).toEqual(op);
  });

  test('of an unknown class or a newer version asks for an update', () => {
    expect(() => readSystemOp({ class: 'foldlog.later', version: 1, payload: {} }, 'test')).toThrow(
      expect.objectContaining({ kind: 'upgradeNeeded', reason: 'unknownClass' }),
    );
    const { class: name, payload } = systemOp(made[0] as SystemOp);
    expect(() => readSystemOp({ class: name, version: 2, payload }, 'test')).toThrow(
      expect.objectContaining({ kind: 'upgradeNeeded', reason: 'newerClass' }),
    );
  });

  const moved = { from: 2, to: 3, foldId: bytesToBase64url(new Uint8Array(32)) };
  test.each<[string, unknown]>([
    ['downward', { ...moved, to: 1 }],
    ['from version 0', { ...moved, from: 0 }],
    ['to a version beyond its field', { ...moved, to: 2 ** 32 }],
    ['with a shorter fold id', { ...moved, foldId: 'AAAA' }],
  ])('a move %s is refused', (_, payload) => {
    const op = { class: 'foldlog.schemaMoved', version: 1, payload } as Op;
    expect(() => readSystemOp(op, 'test')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badSystemOp' }));
  });

  const origin = { shard: bytesToBase64url(shard), epoch: 3, firstSeq: 11, lastSeq: 14 };
  const rebased = { from: origin, cut: 10, controlSlot: 5 };
  test.each<[string, unknown]>([
    ['another shape', 'text'],
    ['a field missing', { cut: 10, controlSlot: 5 }],
    ['a field too many', { ...rebased, extra: 1 }],
    ['fields in another order', { cut: 10, controlSlot: 5, from: origin }],
    ['a range that ends before it begins', { ...rebased, from: { ...origin, lastSeq: 10 } }],
    ['a range from 0', { ...rebased, from: { ...origin, firstSeq: 0 } }],
    ['epoch 0', { ...rebased, from: { ...origin, epoch: 0 } }],
    ['an epoch beyond its field', { ...rebased, from: { ...origin, epoch: 2 ** 32 } }],
    ['a shard id of another length', { ...rebased, from: { ...origin, shard: 'AAAA' } }],
    [
      'an attest without its group',
      { ...rebased, attest: { key: bytesToBase64url(attest.key), signature: bytesToBase64url(attest.signature) } },
    ],
    [
      'a signature of another length',
      { ...rebased, attest: { key: bytesToBase64url(attest.key), group: bytesToBase64url(attest.group), signature: 'AAAA' } },
    ],
    ['a negative cut', { ...rebased, cut: -1 }],
  ])('with %s is refused', (_, payload) => {
    const op = { class: 'foldlog.rebased', version: 1, payload } as Op;
    expect(() => readSystemOp(op, 'test')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badSystemOp' }));
  });
});
