// What is told of a followed shard: how it began, how far it is, and how this device's code stands to the writer's.

import { bytesToHex } from '../../kernel/bytes.ts';
import type { FoldlogError } from '../../kernel/errors.ts';
import type { AuditReport } from './audit.ts';
import type { BootstrapPath } from './bootstrap.ts';
import { Meta } from './meta.ts';
import { type MoveReport, readReport } from './move-check.ts';
import type { Replica } from './replica.ts';

/** How a replica began and what it cost until it was level with the relay for the first time. */
export interface Bootstrap {
  readonly path: BootstrapPath;
  readonly ms: number;
  readonly bytes: number;
  readonly groupsFolded: number;
  readonly opsFolded: number;
  /** Rows inserted, changed or deleted while it folded; those of an image are not touched one by one. */
  readonly rowsTouched: number;
  /** Seq of the newest op the relay said it has, when it was asked: for progress. */
  readonly seqAtRelay: number | undefined;
  readonly isLevel: boolean;
}

export interface ReplicaStatus {
  readonly kind: string;
  readonly name: string;
  readonly seq: number;
  readonly slot: number;
  readonly bootstrap: Bootstrap;
  readonly stopped: FoldlogError | undefined;
  readonly audit: AuditReport | undefined;
  readonly schema: ReplicaSchema;
}

/** How this device's code stands to the writer's. */
export interface ReplicaSchema {
  readonly version: number;
  /** In hex: the code that folds here, and the writer's, as far as the chain or a checkpoint said. They may differ; rows may then, too. */
  readonly foldId: string;
  readonly writerFold: string | undefined;
  /** What came of the last move of the schema that was followed over. */
  readonly move: MoveReport | undefined;
}

export function replicaSchema({ definition, db }: Replica): ReplicaSchema {
  const meta = new Meta(db);
  const writerFold = meta.bytes('writerFold');
  return {
    version: definition.spec.version,
    foldId: bytesToHex(definition.foldId),
    writerFold: writerFold === undefined ? undefined : bytesToHex(writerFold),
    move: readReport(meta),
  };
}
