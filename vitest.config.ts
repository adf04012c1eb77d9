// Four projects: `fast` runs in Node alone, `sim` runs seeds of the simulator, `workerd` boots the relay's runtime, `browser` drives real
// browsers from Node. A test outside tests/workerd and tests/browser is fast, so none falls between.
// No retries anywhere: a test that passes the second time has found something.
import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    retry: 0,
    // What decides and what reads foreign bytes has no branch that no test takes. Measured by V8 itself over the tests of these folders alone
    // (`npm run coverage`; `npm test` runs them so), where no other test makes up for a missing one.
    coverage: {
      provider: 'v8',
      include: ['kernel/**/*.ts'],
      exclude: ['tests/**', '**/*.d.ts'],
      reporter: [['text', { skipFull: true }]],
      reportsDirectory: '.test-results/coverage',
      thresholds: { branches: 100, perFile: true },
    },
    projects: [
      {
        test: {
          name: 'fast',
          include: ['tests/**/*.test.ts'],
          exclude: [...configDefaults.exclude, 'tests/workerd/**', 'tests/browser/**'],
          environment: 'node',
          maxWorkers: '100%', // vitest's own choice leaves one core idle, which is half of a small machine
          testTimeout: 20_000,
          retry: 0,
        },
      },
      {
        test: {
          name: 'sim',
          include: ['tests/sim/**/*.sim.ts'],
          environment: 'node',
          testTimeout: 300_000,
          retry: 0,
        },
      },
      {
        test: {
          name: 'workerd',
          include: ['tests/workerd/**/*.test.ts'],
          environment: 'node',
          testTimeout: 60_000,
          hookTimeout: 60_000,
          retry: 0,
        },
      },
      {
        test: {
          name: 'browser',
          include: ['tests/browser/**/*.test.ts'],
          environment: 'node',
          // One browser at a time: kills, quotas and timings must not disturb each other.
          pool: 'forks',
          maxWorkers: 1,
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 120_000,
          retry: 0,
        },
      },
    ],
  },
});
