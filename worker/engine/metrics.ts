// Looks at a store now and then and says what is worth telling: gathers the numbers, has them judged (shards/metric-rules.ts), and tells what rose and
// what fell. What an alert asks for is done by whoever it concerns; this file only says that it is due.

import { type FormFactor, foldSamplesMax } from '../../kernel/limits.ts';
import type { PowerUse, StorageUse } from '../../kernel/ports.ts';
import { type Alert, type AlertName, judgeMetrics, type MetricAction, type Metrics } from '../../shards/metric-rules.ts';

/** One look, for people and programs. */
export interface MetricsReport {
  readonly values: Metrics;
  readonly alerts: readonly Alert[];
}

/** An alert that rose, or fell again. */
export interface AlertChange {
  readonly change: 'raised' | 'fell';
  readonly alert: Alert;
}

/** What an own shard knows of itself at one moment. */
export interface ShardFacts {
  readonly fileBytes: number;
  /** Saved after the newest checkpoint. */
  readonly openOps: number;
  readonly queueBytes: number;
  readonly oldestPendingMs: number | undefined;
}

/** The same of the parts of a store. */
export interface StoreFacts {
  readonly backend: Metrics['vfs_backend'];
  readonly isBetterBackendThere: boolean;
  readonly formFactor: FormFactor;
  readonly storage: StorageUse | undefined;
  readonly power: PowerUse | undefined;
  readonly nowMs: number;
  /** Of every open database file. */
  readonly fileBytes: readonly number[];
  readonly own: readonly Omit<ShardFacts, 'fileBytes'>[];
  readonly bootstraps: readonly ('open' | 'checkpoint' | 'genesis')[];
}

const mb = 1024 * 1024;
const dayMs = 24 * 3600 * 1000;

export class MetricsBoard {
  readonly #onChange: (change: AlertChange) => void;
  /** The newest folds, ms, oldest overwritten. */
  readonly #folds: number[] = [];
  #nextFold = 0;
  #alerts: readonly Alert[] = [];

  constructor(onChange: (change: AlertChange) => void) {
    this.#onChange = onChange;
  }

  /** How long folding took that somebody waited for: the ops of a save, or a pulled run. */
  noteFold(ms: number): void {
    this.#folds[this.#nextFold] = ms;
    this.#nextFold = (this.#nextFold + 1) % foldSamplesMax;
  }

  /** Whether an alert that stands asks for it. */
  isDue(action: MetricAction): boolean {
    return this.#alerts.some(({ actions }) => actions.includes(action));
  }

  look(facts: StoreFacts): MetricsReport {
    const values = this.#measure(facts);
    const { formFactor, isBetterBackendThere, power } = facts;
    const context = { formFactor, isBetterBackendThere, isDischarging: power?.isDischarging ?? false };
    const before = new Map<AlertName, Alert>(this.#alerts.map((alert) => [alert.name, alert]));
    this.#alerts = judgeMetrics(values, context, new Set(before.keys()));
    for (const alert of this.#alerts) if (!before.delete(alert.name)) this.#onChange({ change: 'raised', alert });
    for (const alert of before.values()) this.#onChange({ change: 'fell', alert: { ...alert, value: values[alert.metric] ?? 'unknown' } });
    return { values, alerts: this.#alerts };
  }

  #measure({ backend, storage, power, nowMs, fileBytes, own, bootstraps }: StoreFacts): Metrics {
    const oldest = own.flatMap(({ oldestPendingMs }) => oldestPendingMs ?? []);
    const dearest = (['genesis', 'checkpoint', 'open'] as const).find((path) => bootstraps.includes(path));
    return {
      db_file_size_mb: rounded(Math.max(0, ...fileBytes) / mb),
      quota_used_pct:
        storage === undefined || storage.grantedBytes <= 0 ? undefined : rounded((100 * storage.usedBytes) / storage.grantedBytes),
      open_period_ops: Math.max(0, ...own.map(({ openOps }) => openOps)),
      bootstrap_path: dearest,
      vfs_backend: backend,
      offline_queue_mb: rounded(own.reduce((sum, { queueBytes }) => sum + queueBytes, 0) / mb),
      // A clock that was set back makes nothing young for ever: the next group is as old as it says.
      offline_queue_age_days: oldest.length === 0 ? 0 : Math.max(0, rounded((nowMs - Math.min(...oldest)) / dayMs)),
      fold_ms_p95: percentile(this.#folds, 0.95),
      battery_pct: power?.pct,
    };
  }
}

/** Nearest rank; undefined without samples. */
function percentile(samples: readonly number[], part: number): number | undefined {
  const sorted = [...samples].sort((a, b) => a - b);
  const value = sorted[Math.ceil(part * sorted.length) - 1];
  return value === undefined ? undefined : rounded(value);
}

const rounded = (value: number): number => Math.round(value * 1_000) / 1_000;
