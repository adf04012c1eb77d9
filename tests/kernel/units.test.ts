import { describe, expect, test } from 'vitest';
import * as units from '../../kernel/units.ts';

const integers = [
  ['seq', units.seq, 0, units.integerMax],
  ['epoch', units.epoch, 1, 0xffff_ffff],
  ['slot', units.slot, 0, units.integerMax],
  ['timeMs', units.timeMs, 0, units.integerMax],
] as const;

const byteStrings = [
  ['hash', units.hash, 32],
  ['shardId', units.shardId, 16],
  ['workspaceId', units.workspaceId, 32],
  ['keyId', units.keyId, 16],
  ['groupId', units.groupId, 16],
  ['incarnation', units.incarnation, 16],
  ['publicKey', units.publicKey, 32],
  ['signature', units.signature, 64],
] as const;

const badUnit = expect.objectContaining({ kind: 'misuse', reason: 'badUnit' });

describe.each(integers)('%s', (_name, make, low, high) => {
  test('takes its range', () => {
    expect([make(low), make(high)]).toEqual([low, high]);
  });

  test.each([low - 1, high + 1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '1', null, 1n])('refuses %s', (value) => {
    expect(() => make(value as number)).toThrow(badUnit);
  });
});

describe.each(byteStrings)('%s', (_name, make, length) => {
  test('takes bytes of its length as they are', () => {
    const bytes = new Uint8Array(length);
    expect(make(bytes)).toBe(bytes);
  });

  test.each([new Uint8Array(length - 1), new Uint8Array(length + 1), new Array(length).fill(0), 'text', undefined])(
    'refuses anything else (%#)',
    (value) => {
      expect(() => make(value as Uint8Array)).toThrow(badUnit);
    },
  );
});

test('zeros mean nothing before', () => {
  expect(units.isNoHash(units.noHash)).toBe(true);
  expect(units.isNoHash(units.noHash.map((byte, i) => (i === 31 ? 1 : byte)))).toBe(false);
  expect(units.chainStart).toEqual({ seq: 0, hash: units.noHash });
});

test('short names an id by its first eight digits', () => {
  expect(units.short(Uint8Array.of(0xab, 0xcd, 0x01, 0x02, 0xff))).toBe('abcd0102');
});
