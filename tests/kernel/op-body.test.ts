import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSameBytes, textFromUtf8, utf8 } from '../../kernel/bytes.ts';
import { appGroupBodyBytesMax, appGroupOpsMax, groupOpsMax, payloadDepthMax } from '../../kernel/limits.ts';
import { decodeOps, encodeOps, isClassName, type JsonValue, jsonFault, type Op, parseCanonicalJson } from '../../kernel/op-body.ts';
import { anyJson, anyOp } from './support/arbitraries.ts';

const op = (payload: unknown): Op => ({ class: 'sale.completed', version: 1, payload: payload as JsonValue });
const badPayload = (where: string) =>
  expect.objectContaining({ kind: 'misuse', reason: 'badPayload', where: expect.stringContaining(where) });
const badBody = expect.objectContaining({ kind: 'corrupt', reason: 'badBody' });

const nested = (depth: number, isObject = false): unknown => {
  let value: unknown = 0;
  for (let i = 0; i < depth; i++) value = isObject ? { a: value } : [value];
  return value;
};

describe('encoding and decoding', () => {
  test('any ops come back as they were', () => {
    fc.assert(
      fc.property(fc.array(anyOp, { minLength: 1, maxLength: 5 }), (ops) => {
        const body = encodeOps(ops, 'test');
        expect(decodeOps(body, ops.length, 'test')).toEqual(ops.map((each) => ({ ...each })));
        return isSameBytes(encodeOps(decodeOps(body, ops.length, 'test'), 'test'), body);
      }),
    );
  });

  test('a damaged body is void or another body, never anything else', () => {
    const body = encodeOps([{ ...op({ sku: 'tea', lines: [1, 2.5, null] }), id: 'x' }], 'test');
    fc.assert(
      fc.property(fc.nat(body.length - 1), fc.nat(255), (at, value) => {
        const damaged = body.slice();
        damaged[at] = value;
        try {
          return isSameBytes(encodeOps(decodeOps(damaged, 1, 'test'), 'test'), damaged);
        } catch (error) {
          return (error as { reason?: string }).reason === 'badBody';
        }
      }),
      { numRuns: 1000 },
    );
  });

  test('a body is the text JSON.stringify would write', () => {
    const text = textFromUtf8(encodeOps([op({ b: 1, a: [true] }), { ...op(null), id: 'é' }], 'test'), 'test');
    expect(text).toBe('[["sale.completed",1,{"b":1,"a":[true]}],["sale.completed",1,null,"é"]]');
  });

  test('text that looks like an escaped surrogate is text', () => {
    const body = encodeOps([op({ '\\ud800': ['\\udfff', '\ud83e\uddc0'] })], 'test');
    expect(decodeOps(body, 1, 'test')).toEqual([op({ '\\ud800': ['\\udfff', '🧀'] })]);
  });

  test('a payload of null prototype or of another realm is plain', () => {
    const foreign: unknown = runInNewContext('({ a: [1] })');
    const bare: unknown = Object.assign(Object.create(null) as object, { a: 1 });
    expect(textFromUtf8(encodeOps([op(foreign), op(bare)], 'test'), 'test')).toContain('{"a":[1]}');
  });
});

// Bad inputs 21, 22 and 25 of the reliability notes: names that bend prototypes, numbers that bend, depth and size.
describe('what JSON would bend is refused before it is saved, with the path', () => {
  test.each<readonly [string, unknown, string]>([
    ['__proto__ as a key', JSON.parse('{"a":{"__proto__":1}}'), 'payload.a'],
    ['constructor as a key', [{ constructor: 1 }], 'payload[0]'],
    ['prototype as a key', { prototype: 1 }, 'payload'],
    ['a lone surrogate', { a: ['x', '\ud800'] }, 'payload.a[1]'],
    ['a lone low surrogate', '\udc00', 'payload'],
    ['a key with a lone surrogate', { '\ud800': 1 }, 'payload'],
    ['NaN', { a: Number.NaN }, 'payload.a'],
    ['Infinity', [Number.POSITIVE_INFINITY], 'payload[0]'],
    ['1e309', JSON.parse('[1e309]'), 'payload[0]'],
    ['-0', { a: -0 }, 'payload.a'],
    ['2^53', { a: 2 ** 53 }, 'payload.a'],
    ['2^53 + 1, as text it would differ', JSON.parse('9007199254740993'), 'payload'],
    ['-2^53', -(2 ** 53), 'payload'],
    ['undefined', { a: undefined }, 'payload.a'],
    ['a hole in a list', new Array(1), 'payload[0]'],
    ['a function', [() => 1], 'payload[0]'],
    ['a symbol', [Symbol('x')], 'payload[0]'],
    ['a bigint', [1n], 'payload[0]'],
    ['a Date', { at: new Date(0) }, 'payload.at'],
    ['a Map', { a: new Map() }, 'payload.a'],
    ['bytes', { a: new Uint8Array(1) }, 'payload.a'],
    ['a class instance', new (class Sale {})(), 'payload'],
    ['an object with toJSON', { a: { toJSON: () => 1 } }, 'payload.a'],
    ['a list with toJSON', [Object.assign([1], { toJSON: () => 1e300 })], 'payload[0]'],
    ['a hidden toJSON', Object.defineProperty({}, 'toJSON', { value: () => undefined }), 'payload'],
    ['depth 65', nested(payloadDepthMax + 1), `payload${'[0]'.repeat(payloadDepthMax)}`],
    ['depth 65 in objects', nested(payloadDepthMax + 1, true), `payload${'.a'.repeat(payloadDepthMax)}`],
  ])('%s', (_what, payload, where) => {
    expect(() => encodeOps([op(payload)], 'save')).toThrow(badPayload(where));
  });

  test('nesting of 10,000 and a cycle end with an error, not with the stack', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    for (const payload of [nested(10_000), cycle]) expect(() => encodeOps([op(payload)], 'save')).toThrow(badPayload('payload'));
    for (const depth of [10_000, 1_000_000]) {
      const deep = utf8(`[["a",1,${'['.repeat(depth)}${']'.repeat(depth)}]]`);
      expect(() => decodeOps(deep, 1, 'body')).toThrow(badBody);
    }
  });

  test('the deepest payload that is taken comes back', () => {
    for (const isObject of [false, true]) {
      const body = encodeOps([op(nested(payloadDepthMax, isObject))], 'save');
      expect(decodeOps(body, 1, 'body')).toHaveLength(1);
    }
  });

  test('the second op is named', () => {
    expect(() => encodeOps([op(1), op(-0)], 'save to till/till-1')).toThrow(
      'save to till/till-1, op 2 (sale.completed), payload: found -0, expected a finite number',
    );
  });
});

describe('what no reader takes is not written', () => {
  test.each<readonly [string, Partial<Record<keyof Op, unknown>>]>([
    ['an empty class', { class: '' }],
    ['a class with a space', { class: 'sale completed' }],
    ['a class with NUL', { class: 'sale\u0000' }],
    ['a class of 65 characters', { class: 'c'.repeat(65) }],
    ['version 0', { version: 0 }],
    ['version 65536', { version: 65_536 }],
    ['a version with a fraction', { version: 1.5 }],
    ['an empty id', { id: '' }],
    ['an id of 257 characters', { id: 'x'.repeat(257) }],
    ['an id with a lone surrogate', { id: '\ud800' }],
    ['an id that is a number', { id: 7 }],
  ])('%s', (_what, change) => {
    expect(() => encodeOps([op(1), { ...op(1), ...change } as Op], 'save')).toThrow(
      expect.objectContaining({ kind: 'misuse', reason: 'badOp', where: 'save, op 2' }),
    );
  });

  test('no ops, and one op too many', () => {
    const tooLarge = expect.objectContaining({ kind: 'misuse', reason: 'groupTooLarge' });
    expect(() => encodeOps([], 'save')).toThrow(tooLarge);
    expect(() => encodeOps(new Array<Op>(appGroupOpsMax + 1).fill(op(1)), 'save')).toThrow(tooLarge);
    const most = encodeOps(new Array<Op>(appGroupOpsMax).fill(op(1)), 'save');
    expect(decodeOps(most, appGroupOpsMax, 'body')).toHaveLength(appGroupOpsMax);
    // A reader takes one more: the room that is left for the op a rebase puts first.
    const full = utf8(textFromUtf8(most, 'body').replace('[', '[["foldlog.rebased",1,{}],'));
    expect(decodeOps(full, groupOpsMax, 'body')).toHaveLength(groupOpsMax);
  });

  test('a body one byte too long, in one text or in 400,000 keys', () => {
    const frame = '[["sale.completed",1,""]]'.length;
    expect(encodeOps([op('x'.repeat(appGroupBodyBytesMax - frame))], 'save')).toHaveLength(appGroupBodyBytesMax);
    const tooLarge = expect.objectContaining({ kind: 'misuse', reason: 'groupTooLarge' });
    expect(() => encodeOps([op('x'.repeat(appGroupBodyBytesMax - frame + 1))], 'save')).toThrow(tooLarge);
    const keys = Object.fromEntries(Array.from({ length: 400_000 }, (_, i) => [`k${i}`, 0]));
    expect(() => encodeOps([op(keys)], 'save')).toThrow(tooLarge);
  });
});

describe('class names', () => {
  test.each(['a', 'sale.completed', 'A9_-.0-_', 'c'.repeat(64), 'foldlog.headsSeen'])('%s is one', (name) => {
    expect(isClassName(name)).toBe(true);
  });

  test.each(['', '1a', '_a', '.a', 'a.', 'a..b', 'a b', 'é', 'a\n', 'c'.repeat(65)])('%j is none', (name) => {
    expect(isClassName(name)).toBe(false);
  });
});

describe('canonical JSON', () => {
  test('any plain value is read from what JSON.stringify writes, and has no fault', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        expect(jsonFault(value, 0)).toBeUndefined();
        expect(JSON.stringify(parseCanonicalJson(utf8(JSON.stringify(value)), 'test'))).toBe(JSON.stringify(value));
      }),
    );
  });

  test.each(['', ' 1', '{"a":1,"a":1}', '[1e2]', '{"2":0,"1":0}', '-0', '"\\u0041"', '[', 'undefined'])('%j is refused', (text) => {
    expect(() => parseCanonicalJson(utf8(text), 'acts')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badJson' }));
  });

  test('what is canonical and still bends is refused with the reason', () => {
    expect(() => parseCanonicalJson(utf8('{"__proto__":1}'), 'acts')).toThrow('a key that names a prototype');
    expect(() => parseCanonicalJson(utf8('9007199254740992'), 'acts')).toThrow('an integer beyond 2^53-1');
  });
});
