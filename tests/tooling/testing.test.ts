// `foldlog/testing`: that each of its checks finds what it is for, and that the example in the documentation is the one that runs.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { blob, defineShard, int, op, real, table, text } from '../../shards/index.ts';
import {
  changesSince,
  type FixtureGroup,
  foldFixture,
  foldOnFrom,
  releaseOf,
  stateFixture,
  upcastCoverage,
} from '../../tooling/testing.ts';
import { till1Edited, till1Patched, till2, till2Careless, till3 } from '../sim/evolving.ts';
import { line, till } from '../sim/shop.ts';
import { fixtures } from './example/fixtures.ts';
import { till as example } from './example/till.ts';

const sold: readonly FixtureGroup[] = [
  { ops: [line('s1', 'mug', 2), line('s1', 'cup')] },
  { ops: [line('s2', 'mug')], timeMs: 5 },
  { ops: [line('s3', 'mug', 4)] },
];
/** The same as they stand in a chain since release 1. */
const stored = sold.map(({ ops }) => ({ ops: ops.map(([name, payload]) => [name, payload, 1] as const) }));

describe('fixtures', () => {
  test('fold as on a device, and give the same state whatever checkpoints lie between', async () => {
    const straight = await foldFixture(till, sold);
    expect(straight.seq).toBe(4);
    expect(straight.rows('SELECT sku, qty FROM total ORDER BY sku')).toEqual([
      { sku: 'cup', qty: 1 },
      { sku: 'mug', qty: 7 },
    ]);
    for (const checkpointsAfter of [[1], [2], [1, 2, 3]]) {
      expect((await foldFixture(till, sold, { checkpointsAfter })).stateHash).toBe(straight.stateHash);
    }
    expect((await foldFixture(till, sold.slice(0, 2))).stateHash).not.toBe(straight.stateHash);
  });

  test('a reducer that keeps state outside the tables is found by a checkpoint', async () => {
    const counts = new WeakMap<object, number>();
    const leaky = defineShard('leaky', {
      version: 1,
      tables: { t: table({ a: text(), n: int() }, { key: ['a'] }) },
      ops: {
        put: op(v.object({ a: v.string() }), (db, { a }) => {
          const count = (counts.get(db) ?? 0) + 1;
          counts.set(db, count);
          db.run('INSERT INTO t VALUES (?, ?)', [a, count]);
        }),
      },
    });
    const groups = ['x', 'y'].map((a) => ({ ops: [['put', { a }] as const] }));
    const once = await foldFixture(leaky, groups);
    expect((await foldFixture(leaky, groups)).stateHash).toBe(once.stateHash);
    expect((await foldFixture(leaky, groups, { checkpointsAfter: [1] })).stateHash).not.toBe(once.stateHash);
  });

  test('what a save would refuse is refused', async () => {
    await expect(foldFixture(till, [{ ops: [['sale.line', { sale: 1 }]] }])).rejects.toMatchObject({ reason: 'badPayload' });
    await expect(foldFixture(till, [{ ops: [['bad.clock', {}]] }])).rejects.toMatchObject({ reason: 'impureReducer' });
  });

  test('rows of an older release are migrated, and folded on from', async () => {
    const state = stateFixture(till, await foldFixture(till, sold.slice(0, 2)));
    expect(state).toMatchObject({ version: 1, seq: 3 });
    expect(JSON.parse(JSON.stringify(state))).toEqual(state);
    const updated = await foldOnFrom(till2, state, stored.slice(2));
    expect(updated.rows('SELECT sale, vat FROM saleLine ORDER BY sale, sku')).toHaveLength(4);
    expect(updated.stateHash).toBe((await foldFixture(till2, stored)).stateHash);
    // A migration that forgets what the upcast fills in shows itself.
    const careless = await foldOnFrom(till2Careless, state, stored.slice(2));
    expect(careless.stateHash).not.toBe((await foldFixture(till2Careless, stored)).stateHash);
  });

  test('values of every type come back from a fixture as they were', async () => {
    const typed = defineShard('typed', {
      version: 1,
      tables: { t: table({ a: text(), n: int(), r: real(), b: blob() }, { key: ['a'] }) },
      ops: {
        put: op(v.object({ a: v.string() }), (db, { a }) =>
          db.run('INSERT INTO t VALUES (?, ?, ?, ?)', [a, -3, 0.5, Uint8Array.of(0, 255)]),
        ),
      },
    });
    const state = await foldFixture(typed, [{ ops: [['put', { a: 'é' }]] }]);
    expect((await foldOnFrom(typed, stateFixture(typed, state))).stateHash).toBe(state.stateHash);
  });

  test.each([
    ['a version to come', { version: 9, seq: 0, rows: {} }],
    ['a table that is not there', { version: 1, seq: 0, rows: { nope: [] } }],
    ['a column that is not there', { version: 1, seq: 0, rows: { total: [{ sku: 'a', qty: 1, cents: 1, vat: 1 }] } }],
  ])('a fixture with %s is refused', async (_, fixture) => {
    await expect(foldOnFrom(till2, fixture)).rejects.toMatchObject({ kind: 'misuse', reason: 'badFixture' });
  });
});

describe('upcast coverage', () => {
  test('names versions without a fixture, and fixtures that do not come up', async () => {
    const ours = (await upcastCoverage(till2, stored)).missing.filter((each) => each.startsWith('sale.line'));
    expect(ours).toEqual(['sale.line v2']);
    const broken = await upcastCoverage(till2, [{ ops: [['sale.line', { sale: 's', sku: 'a', qty: 'many', cents: 1 }, 1]] }]);
    expect(broken.refused).toEqual([expect.stringMatching(/^sale\.line v1: .*qty/)]);
  });
});

describe('releases', () => {
  test('a version that was released keeps its tables and its code', async () => {
    const released = JSON.parse(JSON.stringify(await releaseOf([till])));
    const whatOf = async (...definitions: Parameters<typeof changesSince>[1]) =>
      (await changesSince(released, definitions)).map(({ what }) => what);
    expect(await whatOf(till)).toEqual([]);
    expect(await whatOf(till2)).toEqual([]);
    expect(await whatOf(till3)).toEqual([]);
    expect(await whatOf(till1Edited)).toEqual(['tables']);
    expect(await whatOf()).toEqual(['gone']);
    expect(await whatOf(till1Patched)).toEqual([]); // another kind of id: nothing can be said
    expect(await changesSince(await releaseOf([till2]), [till])).toMatchObject([{ what: 'version' }]);
    expect(await changesSince(await releaseOf([till2]), [till2Careless])).toMatchObject([{ what: 'fold' }]);
    const patched = await releaseOf([till1Patched]);
    const again = defineShard('till', till.spec, { source: 'ef'.repeat(32), mode: 'production' });
    expect(await changesSince(patched, [again])).toMatchObject([{ kind: 'till', what: 'fold' }]);
  });
});

describe('docs/evolution.md', () => {
  const at = (path: string): string => readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8');
  const shown = [...at('../../docs/evolution.md').matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);
  const asUsed = (code: string): string =>
    code
      .replace(/^\/\/.*\n\n/, '')
      .replaceAll('../../../tooling/testing.ts', 'foldlog/testing')
      .replaceAll('../../../shards/index.ts', 'foldlog/schema');

  test('shows the example that runs', () => {
    expect(shown).toContain(asUsed(at('./example/till.ts')));
    expect(shown).toContain(asUsed(at('./example/till.test.ts')));
  });

  test('whose fixtures are of its releases', async () => {
    expect(example.spec.version).toBe(2);
    expect(fixtures.state.version).toBe(1);
  });
});
