// What is measured of a store on a device, when a number of it is worth telling, and what then is to be done. Decides, does not do: worker/engine/metrics.ts
// gathers and acts. A rule falls at another number than the one it rose at, so that a value at its edge does not flicker. Table: docs/metrics.md.

import type { FormFactor } from '../kernel/limits.ts';
import { judgeQueue } from '../kernel/queue-rule.ts';

/** One look at a store; names and units as they are told everywhere. Undefined: not known here, or nothing yet to measure. */
export interface Metrics {
  /** The largest database file, of an own shard or a replica, MB. */
  readonly db_file_size_mb: number;
  /** What the host says is used of what it grants, %. */
  readonly quota_used_pct: number | undefined;
  /** Most ops of an own shard after its newest checkpoint. */
  readonly open_period_ops: number;
  /** How the dearest start of a replica since the store was opened went. */
  readonly bootstrap_path: 'open' | 'checkpoint' | 'genesis' | undefined;
  readonly vfs_backend: 'opfs-pool' | 'indexeddb' | 'memory';
  /** What is saved and not committed, in all own shards, MB before compression. */
  readonly offline_queue_mb: number;
  /** Since the oldest of it was saved, days. */
  readonly offline_queue_age_days: number;
  /** 95th percentile of the folds since the store was opened: a save's ops, or a pulled run, ms. */
  readonly fold_ms_p95: number | undefined;
  /** What the battery holds, %. */
  readonly battery_pct: number | undefined;
}

/** What a rule has to know beside the numbers. */
export interface MetricContext {
  readonly formFactor: FormFactor;
  readonly isDischarging: boolean;
  /** A better place for the files works here, and they are not there. */
  readonly isBetterBackendThere: boolean;
}

/**
 * `tell`: to whoever looks after the shop · `truncate`, `publish`: of own shards · `tier`: move old rows to a cold shard · `send`: bring the device
 * online · `move`: open again, so that files move to the better place · `throttle`: following, publishing and auditing go slower.
 */
export type MetricAction = 'tell' | 'truncate' | 'publish' | 'tier' | 'send' | 'move' | 'throttle';

export type AlertName =
  | 'largeDatabase'
  | 'quotaUsed'
  | 'longPeriod'
  | 'genesisStart'
  | 'slowBackend'
  | 'queueGrows'
  | 'queueLong'
  | 'slowFold'
  | 'lowBattery';

export interface Alert {
  readonly name: AlertName;
  readonly metric: keyof Metrics;
  /** The metric when it was looked at last. */
  readonly value: number | string;
  readonly expected: string;
  readonly actions: readonly MetricAction[];
}

interface Rule {
  readonly name: AlertName;
  readonly metric: keyof Metrics;
  readonly expected: string;
  readonly actions: readonly MetricAction[];
  readonly rises: (metrics: Metrics, context: MetricContext) => boolean;
  /** Whether a raised one stays; what rises always stays. */
  readonly stays: (metrics: Metrics, context: MetricContext) => boolean;
}

const msPerDay = 24 * 3600 * 1000;

/** Rises above one number and stays above another; what is not known raises nothing and holds nothing. */
function numberRule(
  name: AlertName,
  metric: Exclude<keyof Metrics, 'bootstrap_path' | 'vfs_backend'>,
  above: { readonly rises: number; readonly stays: number },
  actions: readonly MetricAction[],
  applies: (context: MetricContext) => boolean = () => true,
): Rule {
  const isAbove = (metrics: Metrics, bound: number): boolean => (metrics[metric] ?? Number.NEGATIVE_INFINITY) > bound;
  return {
    name,
    metric,
    expected: `at most ${above.rises}`,
    actions,
    rises: (metrics, context) => applies(context) && isAbove(metrics, above.rises),
    stays: (metrics, context) => applies(context) && isAbove(metrics, above.stays),
  };
}

const isPhone = ({ formFactor }: MetricContext): boolean => formFactor === 'phone';
const queueOf = (metrics: Metrics, part: number) =>
  judgeQueue({
    bytes: (metrics.offline_queue_mb * 1024 * 1024) / part,
    ageMs: (metrics.offline_queue_age_days * msPerDay) / part,
  });

const isGenesisOnPhone: Rule['rises'] = (metrics, context) => isPhone(context) && metrics.bootstrap_path === 'genesis';
const isInWorsePlace: Rule['rises'] = (metrics, context) => context.isBetterBackendThere && metrics.vfs_backend === 'indexeddb';

const rules: readonly Rule[] = [
  numberRule('largeDatabase', 'db_file_size_mb', { rises: 100, stays: 90 }, ['tell', 'tier']),
  numberRule('quotaUsed', 'quota_used_pct', { rises: 70, stays: 65 }, ['tell', 'truncate']),
  numberRule('longPeriod', 'open_period_ops', { rises: 300_000, stays: 270_000 }, ['publish', 'truncate']),
  {
    name: 'genesisStart',
    metric: 'bootstrap_path',
    expected: 'a start from a checkpoint on a phone',
    actions: ['tell'],
    rises: isGenesisOnPhone,
    stays: isGenesisOnPhone,
  },
  {
    name: 'slowBackend',
    metric: 'vfs_backend',
    expected: 'the origin private file system, which works here',
    actions: ['tell', 'move'],
    rises: isInWorsePlace,
    stays: isInWorsePlace,
  },
  {
    name: 'queueGrows',
    metric: 'offline_queue_mb',
    expected: 'at most 40 MB, none older than 6 days',
    actions: ['tell', 'send'],
    rises: ({ offline_queue_mb: mb, offline_queue_age_days: days }) => mb > 40 || days > 6,
    stays: ({ offline_queue_mb: mb, offline_queue_age_days: days }) => mb > 30 || days > 5,
  },
  {
    name: 'queueLong',
    metric: 'offline_queue_mb',
    expected: 'at most 50 MB, none older than 7 days',
    actions: ['tell', 'send', 'truncate'],
    rises: (metrics) => queueOf(metrics, 1).kind === 'long',
    stays: (metrics) => queueOf(metrics, 0.9).kind === 'long',
  },
  numberRule('slowFold', 'fold_ms_p95', { rises: 1_000, stays: 800 }, ['tell', 'publish'], isPhone),
  {
    name: 'lowBattery',
    metric: 'battery_pct',
    expected: 'at least 20, or charging',
    actions: ['throttle'],
    rises: ({ battery_pct: pct }, { isDischarging }) => pct !== undefined && isDischarging && pct < 20,
    stays: ({ battery_pct: pct }, { isDischarging }) => pct !== undefined && isDischarging && pct < 25,
  },
];

/** The names of alerts, in the order of docs/metrics.md. */
export const alertNames: readonly AlertName[] = rules.map(({ name }) => name);

/** Which alerts stand after a look, given which stood before it. */
export function judgeMetrics(metrics: Metrics, context: MetricContext, before: ReadonlySet<AlertName>): readonly Alert[] {
  return rules
    .filter((rule) => rule.rises(metrics, context) || (before.has(rule.name) && rule.stays(metrics, context)))
    .map(({ name, metric, expected, actions }) => ({ name, metric, value: metrics[metric] ?? 'unknown', expected, actions }));
}
