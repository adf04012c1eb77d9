// Forty seeds of the simulator: nothing may be found, and one in twenty must replay to the same trace. Whether every fault and every branch of recovery
// is met takes more of them: `npm run sim -- --seeds 2000` asks that too.

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runSeeds } from './seeds.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('seeds 1 to 40 find nothing, and replay to the same trace', async () => {
  const settings = { root, from: 1, count: 40, threads: availableParallelism(), shrinkTries: 0, failuresMax: 3 };
  const result = await runSeeds(settings);
  console.log(
    `${result.seeds} seeds, ${result.replayed} of them twice, ${result.ops} ops, ${result.opsPerSecond} ops/s, ${result.msPerSeed} ms a seed`,
  );
  expect(result.failures.map(({ seed, invariant, what, command }) => ({ seed, invariant, what, command }))).toEqual([]);
  expect(result.replayed).toBe(2);
});
