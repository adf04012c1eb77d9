// The published entry `foldlog`: what an app's page uses. Nothing durable happens on this side; the worker holds store and keys.

export { FoldlogError } from '../../kernel/errors.ts';
export type { Alert, AlertName, MetricAction, Metrics } from '../../shards/metric-rules.ts';
export { type Sql, type SqlValue, sql } from '../../shards/sql.ts';
export type { LostShard, OnLoss } from '../engine/loss.ts';
export type { InviteOptions } from '../engine/membership.ts';
export type { AlertChange, MetricsReport } from '../engine/metrics.ts';
export type { OutboxItem } from '../engine/outbox-acts.ts';
export type { Published } from '../engine/publish.ts';
export type { EngineStatus } from '../engine/status.ts';
export type { Backend } from '../engine/storage-pool.ts';
export type { Live } from './page/live.ts';
export type { GroupRef, OpOf, RowsOf, Saved, SaveOptions, Shard } from './page/shard.ts';
export { openWorkspace, type Workspace, type WorkspaceOptions } from './page/workspace.ts';
