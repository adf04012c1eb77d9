// A follower at a move of the schema. Up to there it folded old ops by its own code, where the writer migrated the rows it had: the two may differ, and
// the writer's signed checkpoint decides. The follower notes its state hash at the move, asks for the checkpoint, and takes that when hashes differ.

import { isSameBytes } from '../../kernel/bytes.ts';
import type { Checkpoint } from '../../kernel/checkpoint.ts';
import { type Hash, hash, type Seq, seq } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Database } from './database.ts';
import type { Meta } from './meta.ts';
import { noteSaid, noteUnsaid } from './schema-file.ts';

/** `hash`: of this device's state there, once it got there. */
export interface MoveCheck {
  readonly atSeq: Seq;
  readonly hash: Hash | undefined;
}

/** What came of the last move that was followed. `taken`: the state was started again from the writer's checkpoint, for it differed or could not be compared. */
export interface MoveReport {
  readonly kind: 'same' | 'taken';
  readonly atSeq: number;
  /** Whether state hashes were compared, and differed. */
  readonly isDifferent: boolean;
}

export type MoveJudgement =
  /** No checkpoint of the move yet. */
  | { readonly kind: 'wait' }
  /** The checkpoint stands at a head that is still to come. */
  | { readonly kind: 'compareAt'; readonly atSeq: Seq }
  /** Other code moved it again: nothing here can be compared any more. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'settled'; readonly report: MoveReport };

export function judgeMove(check: MoveCheck, cursor: Seq, ourFold: Hash, newest: Checkpoint | undefined): MoveJudgement {
  if (newest === undefined || newest.head.seq < check.atSeq) return { kind: 'wait' };
  if (!isSameBytes(newest.foldId, ourFold)) return { kind: 'superseded' };
  const at = newest.head.seq;
  if (at === check.atSeq && check.hash !== undefined) {
    const isSame = isSameBytes(check.hash, newest.stateHash);
    return { kind: 'settled', report: { kind: isSame ? 'same' : 'taken', atSeq: at, isDifferent: !isSame } };
  }
  if (at > cursor) return { kind: 'compareAt', atSeq: at };
  return { kind: 'settled', report: { kind: 'taken', atSeq: at, isDifferent: false } };
}

export function readCheck(meta: Meta): MoveCheck | undefined {
  const at = meta.number('checkSeq');
  const known = meta.bytes('checkHash');
  return at === undefined ? undefined : { atSeq: seq(at), hash: known === undefined ? undefined : hash(known) };
}

/** Inside the caller's transaction. */
export function writeCheck(meta: Meta, db: Database, check: MoveCheck | undefined): void {
  db.run(`DELETE FROM foldlog_meta WHERE name IN ('checkSeq', 'checkHash')`);
  if (check === undefined) return;
  meta.set('checkSeq', check.atSeq);
  if (check.hash !== undefined) meta.set('checkHash', check.hash);
}

/** Kept in the file of the replica it is about, so that status still says it after a restart. */
export const noteReport = (meta: Meta, report: MoveReport): void => meta.set('moveReport', JSON.stringify(report));

export function readReport(meta: Meta): MoveReport | undefined {
  const text = meta.text('moveReport');
  return text === undefined ? undefined : (JSON.parse(text) as MoveReport);
}

/** Which code the writer folds with, as far as the chain or a checkpoint said. */
export function noteWriter(meta: Meta, definition: ShardDefinition, said: { readonly version: number; readonly foldId: Hash }): void {
  meta.set('writerFold', said.foldId);
  noteSaid(meta, definition, said);
}

/**
 * A replica becomes this device's own shard. What its chain never said, or what was said and could not be compared yet, its new writer says before its first
 * save: from there on its own checkpoints decide.
 */
export function notePromoted(meta: Meta, { spec }: ShardDefinition): void {
  if (meta.number('unsaidFrom') !== undefined) return;
  const isUnknown = meta.bytes('writerFold') === undefined && spec.version > 1;
  if (isUnknown || readCheck(meta) !== undefined) noteUnsaid(meta, spec.version);
}
