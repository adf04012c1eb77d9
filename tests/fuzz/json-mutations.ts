// Damaged JSON values: what still parses and says something else. Beside mutations.ts, whose texts mostly fail before their fields are read.
import type { Random } from '../../bench/crash/random.ts';
import type { JsonValue } from '../../kernel/op-body.ts';
import { anyText, isOneIn, oneOf } from './mutations.ts';

const numbersThatMatter = [0, 1, 2, 3, 255, 65_535, 65_536, 4_294_967_295, 4_294_967_296, 2 ** 53 - 1, -1, 0.5, 1e-300];

/** A value with one meaning, of a few levels. */
export function anyJson(random: Random, depth = 0): JsonValue {
  switch (random.between(0, depth > 3 ? 4 : 7)) {
    case 0:
      return null;
    case 1:
      return isOneIn(random, 2);
    case 2:
      return oneOf(random, numbersThatMatter);
    case 3:
    case 4:
      return wellFormed(anyText(random));
    case 5:
      return Array.from({ length: random.between(0, 3) }, () => anyJson(random, depth + 1));
    default:
      return Object.fromEntries(Array.from({ length: random.between(0, 3) }, () => [keyOf(random), anyJson(random, depth + 1)] as const));
  }
}

/** Keys that JavaScript keeps in the order they were written: those that look like an index are moved to the front. */
const keyOf = (random: Random): string => `k${wellFormed(anyText(random)).slice(0, 12)}`;
const wellFormed = (text: string): string => text.replace(/[\ud800-\udfff]/g, '\ufffd');

/** What an app might hand in by mistake, JSON or not. */
export function anyValue(random: Random): unknown {
  const odd: readonly (() => unknown)[] = [
    () => undefined,
    () => Number.NaN,
    () => Number.POSITIVE_INFINITY,
    () => -0,
    () => 2 ** 53,
    () => '\ud800',
    () => new Date(0),
    () => new Map([[1, 2]]),
    () => Uint8Array.of(1, 2),
    () => 10n,
    () => Symbol('a'),
    () => () => 1,
    () => JSON.parse('{"__proto__":{"a":1}}') as unknown,
    () => ({ constructor: 1 }),
    () => ({ toJSON: () => 'other' }),
    () => nested(random.between(60, 70)),
    () => nested(20_000),
    () => cyclic(),
    () => new Array(3),
    () => Object.create({ inherited: 1 }) as unknown,
  ];
  return isOneIn(random, 2) ? oneOf(random, odd)() : mutatedJson(random, anyJson(random), () => oneOf(random, odd)());
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

function cyclic(): unknown {
  const value: Record<string, unknown> = {};
  value.self = value;
  return value;
}

/** The same value with one node replaced, taken out, doubled, renamed or moved. */
export function mutatedJson(random: Random, value: unknown, replacement: () => unknown = () => anyJson(random)): unknown {
  const isLeaf = typeof value !== 'object' || value === null;
  if (isLeaf || isOneIn(random, 5)) return isOneIn(random, 4) && typeof value === 'string' ? `${value}${anyText(random)}` : replacement();
  if (Array.isArray(value)) {
    const items: unknown[] = [...(value as unknown[])];
    const at = random.between(0, Math.max(0, items.length - 1));
    const what = random.between(0, 4);
    if (what === 0) items.splice(at, 1);
    else if (what === 1) items.splice(at, 0, items[at]);
    else if (what === 2) items.splice(at, 0, replacement());
    else if (items.length > 0) items[at] = mutatedJson(random, items[at], replacement);
    return items;
  }
  const fields = Object.entries(value);
  const at = random.between(0, Math.max(0, fields.length - 1));
  const field = fields[at];
  const what = random.between(0, 6);
  if (field === undefined || what === 0) fields.push([keyOf(random), replacement()]);
  else if (what === 1) fields.splice(at, 1);
  else if (what === 2) fields.splice(random.between(0, fields.length - 1), 0, ...fields.splice(at, 1));
  else if (what === 3) fields[at] = [keyOf(random), field[1]];
  else fields[at] = [field[0], mutatedJson(random, field[1], replacement)];
  return Object.fromEntries(fields);
}
