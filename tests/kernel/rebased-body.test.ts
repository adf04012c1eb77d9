// Bodies of groups that are saved again: the op bytes stay as they were, whatever stood in front.

import { describe, expect, test } from 'vitest';
import { textFromUtf8, utf8 } from '../../kernel/bytes.ts';
import { groupOpsMax } from '../../kernel/limits.ts';
import { encodeOps, type Op } from '../../kernel/op-body.ts';
import { beginsWithRebase, leadingRebase, readStrandedBody, rebasedBody } from '../../kernel/rebased-body.ts';
import { bornIn, type RebasedOp, systemOp } from '../../kernel/system-ops.ts';
import { epoch, hash, seq, shardId, slot } from '../../kernel/units.ts';

const from = { shard: shardId(new Uint8Array(16).fill(7)), epoch: epoch(1), firstSeq: seq(4), lastSeq: seq(5) };
const made: RebasedOp = { kind: 'rebased', from, cut: seq(3), controlSlot: slot(6), born: undefined, attest: undefined };
const lines: readonly Op[] = [
  { class: 'sale.line', version: 2, payload: { sku: 'tea', qty: 1 } },
  { class: 'sale.line', version: 1, payload: { sku: 'café' }, id: 'line-1' },
];
const moved = systemOp({ kind: 'schemaMoved', from: 1, to: 2, foldId: hash(new Uint8Array(32)) });

const read = (body: Uint8Array, count: number) => readStrandedBody(body, count, 'test');

describe('a body that is saved again', () => {
  test('has one op in front, and its own bytes behind it', () => {
    const body = encodeOps(lines, 'test');
    const again = rebasedBody(body, read(body, 2), made, 'test');
    expect(textFromUtf8(again.body, 'test').endsWith(textFromUtf8(body, 'test').slice(1))).toBe(true);
    expect(again.ops).toEqual([systemOp(made), ...lines]);
    expect(beginsWithRebase(again.body)).toBe(true);
    expect(beginsWithRebase(body)).toBe(false);
    expect(leadingRebase(again.ops, 'test')).toEqual(made);
    expect(bornIn(made)).toBe(from);
  });

  test('again has the newer op in place of the older', () => {
    const body = encodeOps(lines, 'test');
    const once = rebasedBody(body, read(body, 2), made, 'test').body;
    const stranded = read(once, 3);
    expect(stranded).toMatchObject({ rebased: made, isSystemOnly: false });
    const second: RebasedOp = { ...made, from: { ...from, epoch: epoch(2), lastSeq: seq(6) }, born: from };
    const twice = rebasedBody(once, stranded, second, 'test');
    expect(twice.ops).toEqual([systemOp(second), ...lines]);
    expect(bornIn(second)).toBe(from);
  });

  test('finds the end of the op in front also when that has an id of its own', () => {
    const front = { ...systemOp(made), id: 'mine' };
    const body = encodeOps([front, ...lines], 'test');
    expect(rebasedBody(body, read(body, 3), made, 'test').ops).toEqual([systemOp(made), ...lines]);
  });

  test('of the engine alone is told apart, and another op of the engine in front is none of a rebase', () => {
    const body = encodeOps([moved], 'test');
    expect(read(body, 1)).toMatchObject({ rebased: undefined, isSystemOnly: true });
    expect(leadingRebase([], 'test')).toBeUndefined();
  });

  test('beyond what a group may hold is misuse', () => {
    const full = utf8(JSON.stringify(Array.from({ length: groupOpsMax }, () => ['a', 1, 0])));
    expect(() => rebasedBody(full, read(full, groupOpsMax), made, 'test')).toThrow(
      expect.objectContaining({ kind: 'misuse', reason: 'groupTooLarge' }),
    );
  });
});
