// Two thousand seeds of the simulator, or as many as this machine runs in three minutes: nothing may be found, every fault and every branch of recovery must
// have been met, and one seed in twenty must replay to the same trace.

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { actions } from './actions.ts';
import { incidents } from './incidents.ts';
import { requiredMarks } from './required-marks.ts';
import { runSeeds } from './seeds.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Fewer than this prove too little about what is met seldom. */
const seedsForMarks = 400;

test('seeds 1 to 2000, as many as three minutes allow, find nothing and meet every fault', async () => {
  const settings = { root, from: 1, count: 2_000, threads: availableParallelism(), stopAfterMs: 170_000, shrinkTries: 0, failuresMax: 3 };
  const result = await runSeeds(settings);
  console.log(
    `${result.seeds} seeds, ${result.replayed} of them twice, ${result.ops} ops, ${result.opsPerSecond} ops/s, ${result.msPerSeed} ms a seed`,
  );
  expect(result.failures.map(({ seed, invariant, what, command }) => ({ seed, invariant, what, command }))).toEqual([]);
  expect(result.replayed).toBeGreaterThan(0);
  const wanted = [...incidents.map(({ name }) => name), ...actions.map(({ name }) => `action ${name}`), ...requiredMarks];
  if (result.seeds >= seedsForMarks) expect(wanted.filter((name) => (result.marks[name] ?? 0) === 0)).toEqual([]);
});
