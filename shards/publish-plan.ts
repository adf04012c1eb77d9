// When a shard's writer publishes a checkpoint. Decides, does not do. The measure is what a device without data would have to fold:
// beyond about a second of it on a phone, starting from a newer checkpoint is cheaper than the upload.

/** Folding one op on a phone-class device; the V18 figures times six. */
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
