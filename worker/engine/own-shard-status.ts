// What an own shard tells about itself: for people, and for what is measured.

import type { FoldlogError } from '../../kernel/errors.ts';
import type { Seq } from '../../kernel/units.ts';
import type { AuditReport } from './audit.ts';
import type { ShardFacts } from './metrics.ts';
import type { OutboxCounts } from './outbox.ts';
import type { PushState } from './push-loop.ts';
import { type Pending, queueBytes } from './queue-count.ts';
import type { SchemaStatus } from './schema-status.ts';
import type { ShardStore } from './shard-store.ts';
import type { StrandingState } from './stranding.ts';
import type { Upkeep, UpkeepStatus } from './upkeep.ts';

export interface OwnShardStatus {
  readonly kind: string;
  readonly name: string;
  readonly savedSeq: number;
  readonly committedSeq: number;
  readonly pending: Pending;
  /** Ops of relaxed saves that a power cut may still take. */
  readonly exposedOps: number;
  readonly push: PushState;
  readonly retryAtMs: number | undefined;
  readonly checkpointSeq: number;
  /** Whether the epoch is closed, and what that has come to (stranding.ts). */
  readonly fence: StrandingState;
  /** Groups that could not be committed in their place, by what became of them. */
  readonly stranded: OutboxCounts;
  /** Publishing and truncating; undefined in a workspace without a relay. */
  readonly upkeep: UpkeepStatus | undefined;
  /** Undefined before the first audit since the store was opened. */
  readonly audit: AuditReport | undefined;
  /** Why no save is taken: `fenced` when somebody took the shard over, or what damage or a lost key say. Undefined while saves are. */
  readonly closed: FoldlogError | undefined;
  readonly schema: SchemaStatus;
}

const noFacts: ShardFacts = { fileBytes: 0, openOps: 0, queueBytes: 0, oldestPendingMs: undefined };

/** What metrics are made of. In a turn of the mutex. */
export function shardFacts(store: ShardStore, upkeep: Upkeep | undefined, committedSeq: Seq): ShardFacts {
  const { db, log, head } = store;
  try {
    const fileBytes = db.sizeBytes();
    // Without a relay there is nobody to publish to and nobody to wait for.
    if (upkeep === undefined) return { ...noFacts, fileBytes };
    const oldestPendingMs = log.oldestPendingMs(committedSeq);
    return {
      fileBytes,
      openOps: head.seq - (upkeep.publisher.noted?.head.seq ?? 0),
      queueBytes: queueBytes(log.pending()),
      oldestPendingMs,
    };
  } catch {
    return noFacts; // closed, or damaged: told by whoever saves or audits, and the other shards are measured all the same
  }
}
