// What upkeep of a shard is due: when its writer publishes a checkpoint and when it truncates its log. Decides, does not do (decision 0012). Both fall
// again once they were done: publishing is measured by what a device without data would have to fold, truncating by the bytes it would give back.

import { openOpsMax, truncateBytesMin, truncatePartOfFile } from '../kernel/limits.ts';

/** Folding one op on a phone-class device: measured on a desktop core, times six. */
const phoneFoldMicrosPerOp = 60;
const residualFoldMsSoon = 1_000;
const residualFoldMsAlways = 5_000;
/** A checkpoint that changes less than this part of the image is not worth its bytes unless the residual is long. */
const newPartMin = 0.1;

export interface PublishFacts {
  /** Ops from genesis to the committed head. */
  readonly committedSeq: number;
  /** Seq of the newest published checkpoint; 0 when there is none. */
  readonly checkpointSeq: number;
  /** Where the schema or the fold last moved; 0 when it never did. */
  readonly movedSeq: number;
}

export type PublishPlan = { readonly kind: 'wait' } | { readonly kind: 'publish'; readonly reason: string };

export function planPublish(facts: PublishFacts): PublishPlan {
  // Nobody must fold across a move: what lies below it is what its checkpoint says (decision 0004).
  if (facts.movedSeq > facts.checkpointSeq && facts.committedSeq >= facts.movedSeq) {
    return { kind: 'publish', reason: `the schema moved at seq ${facts.movedSeq}` };
  }
  const residualOps = facts.committedSeq - facts.checkpointSeq;
  const foldMs = (residualOps * phoneFoldMicrosPerOp) / 1000;
  if (foldMs > residualFoldMsAlways) return { kind: 'publish', reason: `the residual would fold in ${Math.round(foldMs)} ms on a phone` };
  if (foldMs > residualFoldMsSoon && residualOps >= newPartMin * facts.committedSeq) {
    return { kind: 'publish', reason: `the residual of ${residualOps} ops is worth a checkpoint` };
  }
  return { kind: 'wait' };
}

export interface UpkeepFacts extends PublishFacts {
  /** Up to where the log may go: receipt and checkpoint cover it. */
  readonly truncatableSeq: number;
  /** Where the log on this device begins. */
  readonly baseSeq: number;
  /** Stored bytes of the committed groups that are here. */
  readonly logBytes: number;
  readonly freeBytes: number;
  readonly fileBytes: number;
}

export type UpkeepPlan = PublishPlan | { readonly kind: 'truncate' | 'vacuum'; readonly reason: string };

/** What to do next of both jobs. */
export function planUpkeep(facts: UpkeepFacts): UpkeepPlan {
  const due = truncateDue(facts);
  if (due !== undefined) {
    if (facts.truncatableSeq > facts.baseSeq) return { kind: 'truncate', reason: due };
    if (facts.freeBytes > 0) return { kind: 'vacuum', reason: due };
    if (facts.committedSeq > facts.checkpointSeq) return { kind: 'publish', reason: `${due}, and no checkpoint lets any of it go` };
  }
  return planPublish(facts);
}

function truncateDue({ committedSeq, baseSeq, logBytes, freeBytes, fileBytes }: UpkeepFacts): string | undefined {
  const openOps = committedSeq - baseSeq;
  if (openOps > openOpsMax) return `${openOps} committed ops are here`;
  const bytes = logBytes + freeBytes;
  const bound = Math.max(truncateBytesMin, truncatePartOfFile * fileBytes);
  return bytes >= bound ? `${bytes} bytes of committed groups and free pages are here` : undefined;
}
