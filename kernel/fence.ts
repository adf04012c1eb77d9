// A fence as a reader judges it: that it closes what was reached, that its author could speak for the shard, and which cut opens what comes
// after. Bytes and signature are in segment.ts, the cut's rules in control/fold.ts; here the two logs meet. Decision 0003. Invariants kept here:
//   between a fence and its cut nothing is accepted · what opens an epoch names the very fence that stands

import { isSameBytes } from './bytes.ts';
import { type ControlState, type ShardEntry, type ShardEpoch, speakerFor } from './control/fold.ts';
import { FoldlogError } from './errors.ts';
import type { Verifier } from './ports.ts';
import { isSameHead } from './run.ts';
import { isFenceBy, type SlotObject } from './segment.ts';
import { type Epoch, type Head, short } from './units.ts';

export type FenceObject = Extract<SlotObject, { kind: 'fence' }>;

/**
 * Checks a fence that stands in the next slot of a log read up to `reached`.
 * @throws {FoldlogError} `corrupt` `wrongFence`: closes another epoch or head, or is not its author's · `unavailable` `unknownAuthor`: by nobody
 *   this control log knows to speak for the shard; a newer one may
 */
export async function verifyFence(
  verifier: Verifier,
  control: { readonly state: ControlState; readonly shard: ShardEntry },
  reached: { readonly epoch: Epoch; readonly head: Head },
  object: FenceObject,
  where: string,
): Promise<void> {
  const { fence } = object;
  if (fence.closedEpoch !== reached.epoch || !isSameHead(fence.head, reached.head)) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongFence',
      found: `a fence that closes epoch ${fence.closedEpoch} at seq ${fence.head.seq} (${short(fence.head.hash)})`,
      expected: `epoch ${reached.epoch} at seq ${reached.head.seq} (${short(reached.head.hash)})`,
    });
  }
  const author = speakerFor(control.state, control.shard, fence.author);
  if (author === undefined) {
    throw new FoldlogError('unavailable', {
      where,
      reason: 'unknownAuthor',
      retry: 'later',
      found: `a fence by key ${short(fence.author)}`,
      expected: 'an admin, or a writer of the shard',
      todo: 'pull the control log and read the slot again',
    });
  }
  if (await isFenceBy(verifier, author.key, object, fence)) return;
  throw FoldlogError.corrupt({
    where,
    reason: 'wrongFence',
    found: `a fence whose author's signature does not verify`,
    expected: `one by device ${author.name}`,
  });
}

/**
 * The cut that opens the epoch after a fence; undefined while there is none, or when another fence took its place.
 * @throws {FoldlogError} `corrupt` `wrongCut`: a cut for that epoch which names another fence or head
 */
export function openingOf(shard: ShardEntry, object: Pick<FenceObject, 'objectHash' | 'fence'>, where: string): ShardEpoch | undefined {
  const cut = shard.epochs.find((known) => known.epoch === object.fence.newEpoch);
  if (cut === undefined) return undefined;
  if (isSameBytes(cut.fence, object.objectHash) && isSameHead(cut.cut, object.fence.head)) return cut;
  throw FoldlogError.corrupt({
    where,
    reason: 'wrongCut',
    found: `a cut for epoch ${cut.epoch} at seq ${cut.cut.seq} that names fence ${short(cut.fence)}`,
    expected: `fence ${short(object.objectHash)} at seq ${object.fence.head.seq}, which stands`,
  });
}
