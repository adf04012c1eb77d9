// What the engine's own ops do to a shard's tables: as much a part of the fold as the app's reducers, and under the same rule, that state is a
// function of the chain alone.

import { assertNever, FoldlogError } from '../../kernel/errors.ts';
import type { SystemOp } from '../../kernel/system-ops.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Database } from './database.ts';

/** @throws {FoldlogError} `upgradeNeeded` `newerSchema`: state beyond this op is that of a newer app */
export function foldSystemOp(_db: Database, definition: ShardDefinition, made: SystemOp): void {
  switch (made.kind) {
    case 'schemaMoved':
      if (made.to > definition.spec.version) throw newerSchema(definition, made.to);
      return;
    case 'rebased':
      return;
    default:
      assertNever(made);
  }
}

const newerSchema = (definition: ShardDefinition, found: number): FoldlogError =>
  new FoldlogError('upgradeNeeded', {
    where: `shard of kind ${definition.kind}`,
    reason: 'newerSchema',
    found: `a move to schema version ${found}`,
    expected: `version ${definition.spec.version} or older`,
    todo: 'update the app',
  });
