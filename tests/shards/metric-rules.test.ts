// Each rule of docs/metrics.md at its edges: where it rises, where it stays, where it falls; and that the document says the same.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type AlertName, alertNames, judgeMetrics, type MetricContext, type Metrics } from '../../shards/metric-rules.ts';
import { root } from '../vectors/fixtures.ts';

const calm: Metrics = {
  db_file_size_mb: 3,
  quota_used_pct: 1,
  open_period_ops: 10,
  bootstrap_path: 'checkpoint',
  vfs_backend: 'opfs-pool',
  offline_queue_mb: 0,
  offline_queue_age_days: 0,
  fold_ms_p95: 2,
  battery_pct: 80,
};
const phone: MetricContext = { formFactor: 'phone', isDischarging: true, isBetterBackendThere: true };

const raised = (change: Partial<Metrics>, before: readonly AlertName[] = [], context: Partial<MetricContext> = {}): readonly AlertName[] =>
  judgeMetrics({ ...calm, ...change }, { ...phone, ...context }, new Set(before)).map(({ name }) => name);

test('nothing is told of a calm store, nor of one that knows nothing', () => {
  expect(raised({})).toEqual([]);
  const unknown = { quota_used_pct: undefined, bootstrap_path: undefined, fold_ms_p95: undefined, battery_pct: undefined };
  expect(raised(unknown, alertNames)).toEqual([]);
});

const edges: readonly (readonly [
  AlertName,
  at: Partial<Metrics>,
  above: Partial<Metrics>,
  stays: Partial<Metrics>,
  falls: Partial<Metrics>,
])[] = [
  ['largeDatabase', { db_file_size_mb: 100 }, { db_file_size_mb: 100.1 }, { db_file_size_mb: 90.1 }, { db_file_size_mb: 90 }],
  ['quotaUsed', { quota_used_pct: 70 }, { quota_used_pct: 70.1 }, { quota_used_pct: 65.1 }, { quota_used_pct: 65 }],
  ['longPeriod', { open_period_ops: 300_000 }, { open_period_ops: 300_001 }, { open_period_ops: 270_001 }, { open_period_ops: 270_000 }],
  ['slowFold', { fold_ms_p95: 1_000 }, { fold_ms_p95: 1_000.1 }, { fold_ms_p95: 800.1 }, { fold_ms_p95: 800 }],
  ['lowBattery', { battery_pct: 20 }, { battery_pct: 19 }, { battery_pct: 24 }, { battery_pct: 25 }],
  ['queueGrows', { offline_queue_mb: 40 }, { offline_queue_mb: 40.1 }, { offline_queue_mb: 30.1 }, { offline_queue_mb: 30 }],
  [
    'queueGrows',
    { offline_queue_age_days: 6 },
    { offline_queue_age_days: 6.1 },
    { offline_queue_age_days: 5.1 },
    { offline_queue_age_days: 5 },
  ],
];

test.each(edges)('%s rises above its number, stays to a lower one, and falls', (name, at, above, stays, falls) => {
  expect(raised(at)).toEqual([]);
  expect(raised(above)).toEqual([name]);
  expect(raised(stays)).toEqual([]);
  expect(raised(stays, [name])).toEqual([name]);
  expect(raised(falls, [name])).toEqual([]);
});

test.each([
  [{ offline_queue_mb: 50 }, { offline_queue_mb: 50.1 }, { offline_queue_mb: 45.1 }],
  [{ offline_queue_age_days: 7 }, { offline_queue_age_days: 7.1 }, { offline_queue_age_days: 6.4 }],
])('a long queue asks for truncation beside the early word: %j', (at, above, stays) => {
  expect(raised(at)).toEqual(['queueGrows']);
  expect(raised(above)).toEqual(['queueGrows', 'queueLong']);
  expect(raised(stays, ['queueGrows', 'queueLong'])).toEqual(['queueGrows', 'queueLong']);
  expect(raised({}, ['queueGrows', 'queueLong'])).toEqual([]);
  const [, long] = judgeMetrics({ ...calm, ...above }, phone, new Set());
  expect(long?.actions).toEqual(['tell', 'send', 'truncate']);
});

describe('what depends on the device', () => {
  test('a start from genesis and slow folds are told on phones alone', () => {
    expect(raised({ bootstrap_path: 'genesis', fold_ms_p95: 5_000 })).toEqual(['genesisStart', 'slowFold']);
    expect(raised({ bootstrap_path: 'genesis', fold_ms_p95: 5_000 }, alertNames, { formFactor: 'desktop' })).toEqual([]);
  });

  test('IndexedDB is told only where a better place works', () => {
    expect(raised({ vfs_backend: 'indexeddb' })).toEqual(['slowBackend']);
    expect(raised({ vfs_backend: 'indexeddb' }, ['slowBackend'], { isBetterBackendThere: false })).toEqual([]);
  });

  test('a low battery counts while it discharges', () => {
    expect(raised({ battery_pct: 5 })).toEqual(['lowBattery']);
    expect(raised({ battery_pct: 5 }, ['lowBattery'], { isDischarging: false })).toEqual([]);
  });
});

test('an alert says metric, value, what is expected and what to do', () => {
  expect(judgeMetrics({ ...calm, quota_used_pct: 81 }, phone, new Set())).toEqual([
    { name: 'quotaUsed', metric: 'quota_used_pct', value: 81, expected: 'at most 70', actions: ['tell', 'truncate'] },
  ]);
});

test('docs/metrics.md has a row for each metric and each alert, with its actions', () => {
  const text = readFileSync(join(root, 'docs/metrics.md'), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));
  for (const metric of Object.keys(calm))
    expect(
      rows.some((row) => row.includes(`\`${metric}\``)),
      metric,
    ).toBe(true);
  const extreme: Partial<Metrics> = {
    ...{ db_file_size_mb: 1e6, quota_used_pct: 100, open_period_ops: 1e9, bootstrap_path: 'genesis', vfs_backend: 'indexeddb' },
    ...{ offline_queue_mb: 1e6, offline_queue_age_days: 1e3, fold_ms_p95: 1e6, battery_pct: 1 },
  };
  const all = judgeMetrics({ ...calm, ...extreme }, phone, new Set());
  expect(all.map(({ name }) => name)).toEqual(alertNames);
  for (const { name, actions } of all) {
    const row = rows.find((line) => line.startsWith(`| \`${name}\``));
    expect(row, name).toBeDefined();
    expect(
      row
        ?.split('|')
        .at(-2)
        ?.match(/`\w+`/g)
        ?.map((word) => word.slice(1, -1)),
      name,
    ).toEqual(actions);
  }
});
