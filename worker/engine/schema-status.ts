// What status says about the schema of an own shard, and the code that folds it.

import { bytesToHex } from '../../kernel/bytes.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { type CanaryReport, readCanary } from './canary-note.ts';
import type { Database } from './database.ts';
import { Meta } from './meta.ts';
import { readMove } from './move-schema.ts';

export interface SchemaStatus {
  readonly version: number;
  /** In hex. `declared`: it does not show a reducer that changed (docs/evolution.md). */
  readonly foldId: string;
  readonly foldIdOf: ShardDefinition['foldIdOf'];
  /** The last change of schema or fold on this device: where, and which code made what lies below. */
  readonly moved: { readonly atSeq: number; readonly fromFold: string } | undefined;
  /** Whether the present code makes the same of what lies below; undefined before it was looked at. */
  readonly canary: CanaryReport | undefined;
}

export function schemaStatus({ db, definition }: { readonly db: Database; readonly definition: ShardDefinition }): SchemaStatus {
  const meta = new Meta(db);
  const move = readMove(meta);
  return {
    version: definition.spec.version,
    foldId: bytesToHex(definition.foldId),
    foldIdOf: definition.foldIdOf,
    moved: move === undefined ? undefined : { atSeq: move.atSeq, fromFold: bytesToHex(move.fromFold) },
    canary: readCanary(meta),
  };
}
