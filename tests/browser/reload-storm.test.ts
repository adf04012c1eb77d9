// The reload storm, short: both backends. A thousand boots run in the gates.
import { expect, test } from 'vitest';
import { runReloadStorm } from './reload-storm.ts';

const seed = 20261122;

test.each([
  ['opfs-pool', 30],
  ['indexeddb', 20],
] as const)(`boots of three tabs that reload at random, %s, %i: none fails, none finds less (seed ${seed})`, async (backend, boots) => {
  const found = await runReloadStorm({ backend, seed, boots });
  expect(found).toMatchObject({ failedOpens: [], wipes: 0, lost: 0, doubled: 0 });
  expect(found.boots).toBeGreaterThanOrEqual(boots);
  // A storm in which one tab keeps the files and the others only attach would prove nothing.
  expect(found.ownerBoots).toBeGreaterThan(3);
  expect(found.cutBoots).toBeGreaterThan(3);
});
