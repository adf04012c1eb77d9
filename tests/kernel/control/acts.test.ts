import { describe, expect, test } from 'vitest';
import { type Act, actsFromJson, actsToJson, isName, isRoleAtLeast, roles } from '../../../kernel/control/acts.ts';
import { keyIdOf } from '../../../kernel/digest.ts';
import { controlActsMax } from '../../../kernel/limits.ts';
import type { JsonValue } from '../../../kernel/op-body.ts';
import { epoch, hash, seq } from '../../../kernel/units.ts';
import { catalogueShard, fill, genesisAct, story, till, tillShard } from '../../vectors/cast.ts';

const acts: readonly Act[] = [genesisAct, ...story.map(([, act]) => act)];
const jsonOf = (act: Act): Record<string, JsonValue> => (actsToJson([act]) as Record<string, JsonValue>[])[0] as Record<string, JsonValue>;
const read = (...entries: readonly JsonValue[]) => actsFromJson(entries, 'entry');
const badAct = expect.objectContaining({ kind: 'corrupt', reason: 'badAct' });
const shard = jsonOf(acts.at(-1) as Act);
const cutAct: Act = {
  act: 'cut',
  shard: catalogueShard,
  epoch: epoch(2),
  writer: keyIdOf(till.publicKey),
  fence: hash(fill(7, 32)),
  seq: seq(3),
  head: hash(fill(8, 32)),
  destination: tillShard,
};
const revokeAct: Act = { act: 'revoke', device: keyIdOf(till.publicKey) };
const cut = jsonOf(cutAct);
const revoke = jsonOf(revokeAct);
const without = (json: Record<string, JsonValue>, ...fields: readonly string[]): JsonValue =>
  Object.fromEntries(Object.entries(json).filter(([name]) => !fields.includes(name)));
const invite = jsonOf(acts[2] as Act);

describe('acts', () => {
  test('every act comes back as it was', () => {
    const all = [...acts, cutAct, revokeAct];
    expect(actsFromJson(actsToJson(all), 'entry')).toEqual(all);
  });

  test('a cut without writer or destination is read so, and nothing is written for them', () => {
    const { writer: _writer, destination: _destination, ...bare } = cutAct as Extract<Act, { act: 'cut' }>;
    expect(Object.keys(jsonOf(bare))).toEqual(['act', 'shard', 'epoch', 'fence', 'seq', 'head']);
    expect(read(without(cut, 'writer', 'destination'))).toEqual([bare]);
    expect(read(without(cut, 'writer'))).toEqual([{ ...bare, destination: tillShard }]);
  });

  test('a list of none, of too many, or no list is refused', () => {
    expect(read(...new Array<JsonValue>(controlActsMax).fill(shard))).toHaveLength(controlActsMax);
    for (const json of [[], new Array(controlActsMax + 1).fill(shard), {}, 'acts', null])
      expect(() => actsFromJson(json as JsonValue, 'entry')).toThrow(badAct);
  });

  test.each(['fence', 'role', 'class', 'erase', 'branch', 'fork', 'checkpoint', 'x'.repeat(500), ''])(
    'the act %j is newer: the reader stops',
    (act) => {
      expect(() => read({ act })).toThrow(expect.objectContaining({ kind: 'upgradeNeeded', reason: 'unknownAct' }));
    },
  );

  test('a newer act behind a known one is found too', () => {
    expect(() => read(shard, { act: 'role' })).toThrow('entry, act 2: found the act "role"');
  });

  test.each<readonly [string, JsonValue]>([
    ['no object', 'shard'],
    ['null', null],
    ['a list', ['shard']],
    ['no act', {}],
    ['an act that is no text', { ...shard, act: 1 }],
    ['a field too many', { ...shard, epoch: 1 }],
    ['another order', Object.fromEntries(Object.entries(shard).reverse())],
    ['fields that are not there', { act: 'shard', nonce: shard.nonce as string }],
    ['a name of another type', { ...shard, name: 7 }],
    ['a bad name', { ...shard, name: '../x' }],
    ['a nonce of 15 bytes', { ...shard, nonce: 'ISEhISEhISEhISEhISEh' }],
    ['a nonce of 17 bytes', { ...shard, nonce: 'ISEhISEhISEhISEhISEhISE' }],
    ['an unknown role', { ...invite, role: 'god' }],
    ['an inherited role', { ...invite, role: 'toString' }],
    ['negative uses', { ...invite, uses: -1 }],
    ['half a use', { ...invite, uses: 0.5 }],
    ['uses as text', { ...invite, uses: '1' }],
    ['an expiry that is null', { ...invite, expiresAt: null }],
    ['a cut whose writer is null', { ...cut, writer: null }],
    ['a cut without its fence', without(cut, 'fence')],
    ['a cut without its head', without(cut, 'head')],
    ['a cut that opens epoch 1', { ...cut, epoch: 1 }],
    ['a cut beyond the last epoch', { ...cut, epoch: 2 ** 32 }],
    ['a cut with its destination first', { act: 'cut', destination: cut.destination as string, ...cut }],
    ['a cut with a field too many', { ...cut, tail: 1 }],
    ['a revocation of nobody', without(revoke, 'device')],
    ['a revocation with a reason', { ...revoke, why: 'stolen' }],
  ])('%s is refused', (_what, json) => {
    expect(() => read(json)).toThrow(badAct);
  });

  test.each(Object.keys(shard))('a shard without its %s is refused', (field) => {
    const { [field]: _gone, ...rest } = shard;
    expect(() => read(rest)).toThrow(badAct);
  });

  test.each(['ISEhISEhISEhISEhISEhIS=', 'ISEhISEhISEhISEhISEhI!', 'ISEhISEhISEhISEhISEhIT'])('the nonce %s is refused', (nonce) => {
    expect(() => read({ ...shard, nonce })).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badBase64' }));
  });
});

describe('names', () => {
  test.each([
    'a',
    '1',
    'Corner shop',
    'till-1',
    'v1.2_x',
    'Käse',
    'दुकान 1',
    'ร้านค้า',
    '商店',
    '🧀 shop',
    "Anna's",
    'A & B',
    'ب\u200cخ',
    'e\u0301tage',
    '𝒳',
    'n'.repeat(64),
  ])('%s is one', (name) => {
    expect(isName(name)).toBe(true);
  });

  test.each([
    '',
    ' a',
    '.a',
    '-a',
    '_a',
    'a ',
    'a*b',
    '\ud800',
    'a..b',
    'a/b',
    'a\\b',
    'a\n',
    'a\u0000',
    'a:b',
    'a\u202eb',
    'n'.repeat(65),
    '𝒳'.repeat(33),
  ])('%j is none', (name) => {
    expect(isName(name)).toBe(false);
  });
});

test('roles are ordered from owner to reader', () => {
  const table = roles.map((role) => roles.map((needed) => isRoleAtLeast(role, needed)));
  expect(table).toEqual([
    [true, true, true, true],
    [false, true, true, true],
    [false, false, true, true],
    [false, false, false, true],
  ]);
});
