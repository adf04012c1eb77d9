// The example of docs/evolution.md, word for word (tests/tooling/testing.test.ts holds the two together).

import { expect, test } from 'vitest';
import { changesSince, foldFixture, foldOnFrom, upcastCoverage } from '../../../tooling/testing.ts';
import { fixtures, released } from './fixtures.ts';
import { till } from './till.ts';

const { groups, state } = fixtures; // kept since release 1: what was saved, and the rows it gave

test('what was released is as it was', async () => {
  expect(await changesSince(released, [till])).toEqual([]);
});

test('every version that was ever saved can still be read', async () => {
  expect(await upcastCoverage(till, groups)).toEqual({ missing: [], refused: [] });
});

test('a device that updates and one that begins anew have the same rows', async () => {
  const updated = await foldOnFrom(till, state);
  const anew = await foldFixture(till, groups.slice(0, 2));
  expect(anew.stateHash).toBe(updated.stateHash);
});

test('where checkpoints lie makes no difference', async () => {
  const straight = await foldFixture(till, groups);
  const often = await foldFixture(till, groups, { checkpointsAfter: [1, 2] });
  expect(often.stateHash).toBe(straight.stateHash);
  expect(straight.rows('SELECT id, vat FROM sale ORDER BY id')).toEqual([
    { id: 'a', vat: 50 },
    { id: 'b', vat: 3 },
    { id: 'c', vat: 1 },
  ]);
});
