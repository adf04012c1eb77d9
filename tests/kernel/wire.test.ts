import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { integerMax } from '../../kernel/units.ts';
import { objectKind, Reader, Writer } from '../../kernel/wire.ts';

const outOfBounds = expect.objectContaining({ kind: 'corrupt', reason: 'outOfBounds' });

describe('writer and reader', () => {
  test('every integer comes back, big-endian', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.nat({ max: 0xffff_ffff }), fc.maxSafeInteger(), (a, b, c) => {
        const wide = Math.abs(c);
        const bytes = new Writer(13).u8(a).u32(b).u64(wide).done();
        const view = new DataView(bytes.buffer);
        const reader = new Reader(bytes, 'test');
        return (
          view.getUint32(1) === b &&
          view.getBigUint64(5) === BigInt(wide) &&
          reader.u8() === a &&
          reader.u32('b') === b &&
          reader.u64('c') === wide &&
          reader.left === 0
        );
      }),
    );
  });

  test.each([integerMax + 1, 2 ** 53 + 2, 2 ** 63, 2 ** 64 - 2048])('a number of %d is out of bounds', (value) => {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt(value));
    expect(() => new Reader(new Uint8Array(view.buffer), 'test').u64('n')).toThrow(outOfBounds);
  });

  test('bounds of a field are kept on both sides', () => {
    const read = (value: number, min: number, max: number) => new Reader(new Writer(4).u32(value).done(), 'test').u32('n', max, min);
    expect([read(2, 2, 4), read(4, 2, 4)]).toEqual([2, 4]);
    for (const value of [1, 5]) expect(() => read(value, 2, 4)).toThrow(outOfBounds);
    expect(() => new Reader(new Writer(8).u64(0).done(), 'test').u64('n', 1)).toThrow(outOfBounds);
  });

  test('bytes read are a copy', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const reader = new Reader(bytes, 'test');
    const read = reader.bytes(2);
    bytes[0] = 9;
    expect([...read]).toEqual([1, 2]);
    expect([...reader.since(1)]).toEqual([2]);
    expect([reader.at, reader.left, reader.where]).toEqual([2, 1, 'test']);
  });

  test('reserved bytes must be zero, and nothing may follow the end', () => {
    new Reader(new Uint8Array(3), 'test').zeros(3);
    expect(() => new Reader(Uint8Array.of(0, 1), 'test').zeros(2)).toThrow(expect.objectContaining({ reason: 'badReserved' }));
    expect(() => new Reader(new Uint8Array(1), 'test').end()).toThrow(expect.objectContaining({ reason: 'trailingBytes' }));
  });

  test('a fault says where: object and byte', () => {
    const reader = new Reader(new Uint8Array(5), 'slot 3');
    reader.u32('n');
    expect(() => reader.u32('n')).toThrow('slot 3 at byte 4: found 1 bytes left, expected 4 more');
  });

  test('a layout that is not filled exactly is a defect', () => {
    expect(() => new Writer(5).u32(1).done()).toThrow(expect.objectContaining({ kind: 'misuse', reason: 'badLayout' }));
    expect(() => new Writer(3).u32(1)).toThrow(RangeError);
  });
});

test.each(Object.keys(objectKind) as (keyof typeof objectKind)[])('the preamble of a %s is read as it was written', (kind) => {
  const bytes = new Writer(8).preamble(kind).done();
  const reader = new Reader(bytes, 'test');
  expect(reader.peekKind()).toBe(kind);
  expect(reader.at).toBe(0);
  reader.preamble(kind);
  expect(reader.left).toBe(0);
});

test('a Node Buffer is read without sharing its memory', () => {
  const buffer = Buffer.from([1, 2, 3, 4]);
  const copied = new Reader(buffer, 'buffer').bytes(4);
  buffer[0] = 9;
  expect([...copied]).toEqual([1, 2, 3, 4]);
});
