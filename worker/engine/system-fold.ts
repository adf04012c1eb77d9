// What the engine's own ops do to a shard's tables: as much a part of the fold as the app's reducers, and under the same rule, that state is a
// function of the chain alone. Invariants kept here:
//   ops that were saved again are taken once, wherever they stood before · a group that would take them twice is void for every reader alike

import { assertNever, FoldlogError } from '../../kernel/errors.ts';
import { bornIn, type Origin, type RebasedOp, type SystemOp } from '../../kernel/system-ops.ts';
import { short } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Database } from './database.ts';

/** @throws {FoldlogError} `upgradeNeeded` `newerSchema`: state beyond this op is that of a newer app */
export function foldSystemOp(db: Database, definition: ShardDefinition, made: SystemOp): void {
  switch (made.kind) {
    case 'schemaMoved':
      if (made.to > definition.spec.version) throw newerSchema(definition, made.to);
      return;
    case 'rebased':
      takeOrigin(db, bornIn(made));
      return;
    default:
      assertNever(made);
  }
}

/**
 * Why a group with a `foldlog.rebased` op is void, asked before anything of it is folded; undefined when it is not. `ops` are the group's, in order,
 * the app's as undefined. Such an op stands first and alone, speaks of exactly the ops behind it, and those stood above the cut and are not taken.
 */
export function rebaseFault(db: Database, ops: readonly (SystemOp | undefined)[]): FoldlogError | undefined {
  const moves = ops.flatMap((made, i) => (made?.kind === 'rebased' ? [{ made, i }] : []));
  const [first] = moves;
  if (first === undefined) return undefined;
  if (first.i !== 0 || moves.length > 1) return bad('badRebase', `one as op ${(moves.at(-1)?.i ?? 0) + 1}`, 'one, in front of the others');
  const { made } = first;
  const found = rangeFault(made, ops.length - 1);
  if (found !== undefined) return bad('badRebase', found, `the place of the ${ops.length - 1} ops behind it`);
  if (made.from.firstSeq <= made.cut) {
    return bad('originBelowCut', `ops from seq ${made.from.firstSeq} on`, `ops above the cut at seq ${made.cut}`);
  }
  const { shard, epoch, firstSeq, lastSeq } = bornIn(made);
  const taken = db.get(`SELECT 1 FROM foldlog_origin WHERE shard = ? AND epoch = ? AND first_seq <= ? AND last_seq >= ? LIMIT 1`, [
    shard,
    epoch,
    lastSeq,
    firstSeq,
  ]);
  if (taken === undefined) return undefined;
  return bad('originTaken', `seq ${firstSeq} to ${lastSeq} of shard ${short(shard)}, epoch ${epoch}`, 'ops that were not saved again yet');
}

/** In `born` stood the ops alone; in `from`, when it is another place, the op of that move stood in front of them. */
function rangeFault({ from, born }: RebasedOp, behind: number): string | undefined {
  const length = ({ firstSeq, lastSeq }: Origin): number => lastSeq - firstSeq + 1;
  if (born === undefined) return length(from) === behind ? undefined : `a range of ${length(from)} ops`;
  const isWhole = length(born) === behind && length(from) === behind + 1;
  return isWhole ? undefined : `ranges of ${length(born)} and ${length(from)} ops`;
}

/** Enters a range that is free; neighbours become one, so that a whole tail is one row. */
function takeOrigin(db: Database, { shard, epoch, firstSeq, lastSeq }: Origin): void {
  const place = [shard, epoch];
  const before = db.value('SELECT first_seq FROM foldlog_origin WHERE shard = ? AND epoch = ? AND last_seq = ?', [...place, firstSeq - 1]);
  const after = db.value('SELECT last_seq FROM foldlog_origin WHERE shard = ? AND epoch = ? AND first_seq = ?', [...place, lastSeq + 1]);
  if (after !== undefined) db.run('DELETE FROM foldlog_origin WHERE shard = ? AND epoch = ? AND first_seq = ?', [...place, lastSeq + 1]);
  const last = Number(after ?? lastSeq);
  if (before !== undefined) {
    db.run('UPDATE foldlog_origin SET last_seq = ? WHERE shard = ? AND epoch = ? AND first_seq = ?', [last, ...place, Number(before)]);
  } else {
    db.run('INSERT INTO foldlog_origin (shard, epoch, first_seq, last_seq) VALUES (?, ?, ?, ?)', [...place, firstSeq, last]);
  }
}

function bad(reason: string, found: string, expected: string): FoldlogError {
  return FoldlogError.misuse({
    where: 'a group saved again',
    reason,
    found,
    expected,
    todo: 'it changes nothing, here and for every reader',
  });
}

const newerSchema = (definition: ShardDefinition, found: number): FoldlogError =>
  new FoldlogError('upgradeNeeded', {
    where: `shard of kind ${definition.kind}`,
    reason: 'newerSchema',
    found: `a move to schema version ${found}`,
    expected: `version ${definition.spec.version} or older`,
    todo: 'update the app',
  });
