import { describe, expect, test } from 'vitest';
import { concatBytes } from '../../kernel/bytes.ts';
import { runBytesMax } from '../../kernel/limits.ts';
import { decodePush, encodePush, pushBytesMax } from '../../kernel/push.ts';
import { receiptBytes } from '../../kernel/receipt.ts';
import { tillShard } from '../vectors/cast.ts';
import { vector } from './support/decoders.ts';

const run = vector('run-deflated');
const receipt = vector('receipt');

describe('push', () => {
  test('it carries the run byte for byte, with a receipt or without', () => {
    const first = decodePush(encodePush(tillShard, undefined, run));
    expect(first).toMatchObject({ shard: tillShard, receipt: undefined, encodedRun: run });
    const later = decodePush(encodePush(tillShard, receipt, run));
    expect(later.receipt?.slot).toBe(3);
    expect(later.encodedRun).toEqual(run);
    expect(later.run).toEqual(first.run);
  });

  test.each([1, receiptBytes - 1])('a receipt of %d bytes is corrupt', (length) => {
    const bytes = encodePush(tillShard, receipt.subarray(0, length), run);
    expect(() => decodePush(bytes)).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badReceipt' }));
  });

  test('a receipt that is too long is corrupt before it is read', () => {
    const bytes = encodePush(tillShard, concatBytes(receipt, receipt), run);
    expect(() => decodePush(bytes)).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'outOfBounds' }));
  });

  test('a newer receipt is newer, not corrupt', () => {
    const newer = receipt.slice();
    newer[5] = 2;
    expect(() => decodePush(encodePush(tillShard, newer, run))).toThrow(
      expect.objectContaining({ kind: 'upgradeNeeded', reason: 'newerFormat' }),
    );
  });

  test('the largest run there may be fits in the largest push', () => {
    expect(pushBytesMax).toBeGreaterThanOrEqual(28 + receiptBytes + 60 + runBytesMax + 144);
  });
});
