// The body of a group that is saved again in another place: one `foldlog.rebased` op in front, behind it the op bytes as they were. Apart from
// op-body.ts, which makes bodies out of values: here nothing that a person saved is spelled anew. Decision 0003, docs/format.md#system-ops.

import { type Bytes, textFromUtf8, utf8 } from './bytes.ts';
import { FoldlogError } from './errors.ts';
import { groupBodyBytesMax, groupOpsMax } from './limits.ts';
import { decodeOps, type JsonValue, type Op } from './op-body.ts';
import { isSystemOp, type RebasedOp, readSystemOp, systemOp } from './system-ops.ts';

/** What a stranded body says about itself. */
export interface StrandedBody {
  readonly ops: readonly Op[];
  /** The op in front, when it was saved again before. */
  readonly rebased: RebasedOp | undefined;
  /** Whether anything in it is the app's: what is not, is not saved again. */
  readonly isSystemOnly: boolean;
}

export interface RebasedBody {
  readonly ops: readonly Op[];
  readonly body: Bytes;
}

/** @throws {FoldlogError} `corrupt` `badBody`, `badSystemOp` */
export function readStrandedBody(body: Uint8Array, opCount: number, where: string): StrandedBody {
  const ops = decodeOps(body, opCount, where);
  const rebased = leadingRebase(ops, where);
  return { ops, rebased, isSystemOnly: ops.every(isSystemOp) };
}

/** The `foldlog.rebased` op that a group begins with. @throws {FoldlogError} `corrupt` `badSystemOp` · `upgradeNeeded` `newerClass` */
export function leadingRebase(ops: readonly Op[], where: string): RebasedOp | undefined {
  const [first] = ops;
  if (first === undefined || first.class !== rebasedClass) return undefined;
  return readSystemOp(first, where) as RebasedOp; // its class says so
}

/** Whether a body begins with a `foldlog.rebased` op, without reading the rest: a body has one spelling. */
export const beginsWithRebase = (body: Uint8Array): boolean => rebasedStart.every((byte, i) => body[i] === byte);

/**
 * Puts `made` in front of a stranded body, in place of an op of its kind that stands there from an earlier move.
 * @throws {FoldlogError} `misuse` `groupTooLarge`: the group was not an app's, for which room is left
 */
export function rebasedBody(body: Uint8Array, stranded: StrandedBody, made: RebasedOp, where: string): RebasedBody {
  const front = systemOp(made);
  const text = textFromUtf8(body, where);
  const [before] = stranded.ops;
  // One spelling: the text of the op in front is found by writing it again.
  const behind = stranded.rebased === undefined ? text.slice(1) : text.slice(`[${opText(before as Op)},`.length);
  const whole = utf8(`[${opText(front)},${behind}`);
  const ops = [front, ...(stranded.rebased === undefined ? stranded.ops : stranded.ops.slice(1))];
  if (ops.length > groupOpsMax || whole.length > groupBodyBytesMax) {
    throw FoldlogError.misuse({
      where,
      reason: 'groupTooLarge',
      found: `${ops.length} ops in ${whole.length} bytes`,
      expected: `at most ${groupOpsMax} ops in ${groupBodyBytesMax} bytes`,
    });
  }
  return { ops, body: whole };
}

const rebasedClass = 'foldlog.rebased';
const rebasedStart = utf8(`[["${rebasedClass}",`);

function opText(op: Op): string {
  const parts: JsonValue[] = [op.class, op.version, op.payload];
  if (op.id !== undefined) parts.push(op.id);
  return JSON.stringify(parts);
}
