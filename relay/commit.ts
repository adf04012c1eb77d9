// The push: from bytes a device sent to a signed receipt. Table of outcomes and what each crash leaves: decision 0008.
//   check → put the next slot while asking for the last one → receipt · or settle by reading, which is also what a retry does
// Nothing here remembers a push: whatever instance gets the same run again finds it in the log. Invariants kept here:
//   no receipt unless the slot it names stands on the slot before it · one run stands in one slot · time never falls along a shard

import { type Bytes, isSameBytes } from '../kernel/bytes.ts';
import { headOf } from '../kernel/commit-group.ts';
import type { ShardEntry } from '../kernel/control/fold.ts';
import { objectHash } from '../kernel/digest.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { openingOf } from '../kernel/fence.ts';
import type { Deflate } from '../kernel/ports.ts';
import { decodePush, type Push } from '../kernel/push.ts';
import { makeReceipt, type Receipt } from '../kernel/receipt.ts';
import { isSameHead, type Run, unpackRun } from '../kernel/run.ts';
import { verifySeal } from '../kernel/seal.ts';
import { makeSegment } from '../kernel/segment.ts';
import { type Head, type KeyId, type Seq, type ShardId, type Slot, short, slot, timeMs, type WorkspaceId } from '../kernel/units.ts';
import { objectKeys, type ShardPlace } from '../shards/object-keys.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { ControlLogs, ControlPorts, ControlView } from './control.ts';
import { entitlePush, fencedOff, type PushEntitlement } from './entitlement.ts';
import { ifAbsent } from './object-store.ts';
import { isYoung, judgeReceipt } from './receipts.ts';
import { rolledBack, slotName, storeUnknown } from './refusals.ts';
import { putUntilDecided, untilKnown } from './settle.ts';
import { type LogHead, readLogHead } from './shard-head.ts';
import { reachOf, slotOfSeq } from './slots.ts';

export interface CommitPorts extends ControlPorts {
  readonly deflate: Deflate;
}

export interface CommitParts {
  readonly control: ControlLogs;
  /** What may be inflated at one time. */
  readonly budget: ByteBudget;
  /** The largest run this deployment takes, inflated. */
  readonly runBytesMax: number;
}

/** Rounds of losing the next slot to somebody else before the device is told to come again. */
const roundsMax = 8;

/**
 * Commits a push and returns the shard's current receipt: it covers the push, or, for a run that reaches beyond the head while
 * overlapping it, the part that is committed.
 * @throws {FoldlogError} every ending of docs/relay-api.md#push that is not a receipt
 */
export async function commitPush(
  ports: CommitPorts,
  parts: CommitParts,
  target: { readonly workspace: WorkspaceId; readonly shard: ShardId },
  bytes: Bytes,
): Promise<Bytes> {
  const push = decodePush(bytes);
  requireTarget(target.shard, push, parts.runBytesMax);
  const { view, value } = await parts.control.judge(target.workspace, 'recent', ({ state }) => entitlePush(state, ports.signer, push));
  const commit = new Commit(ports, target.workspace, view, value, push);
  // Before anything is put: is the receipt a relay's of this workspace, and is the run the writer's?
  const worth = await commit.judgeReceipt();
  const run = await parts.budget.spend(push.run.recordsLength, () => commit.verify());
  if (worth.kind === 'capability' && isSameHead(run.after, worth.receipt.head)) {
    const receipt = await commit.putAfterReceipt(run, worth.receipt);
    if (receipt !== undefined) return receipt;
  }
  if (worth.kind !== 'nothing') await commit.requireStanding(worth.receipt);
  return commit.settleByReading(run, worth.kind === 'nothing' ? slot(0) : worth.receipt.slot);
}

/** A verified run without its bodies: where it begins and where each of its groups ends. */
interface VerifiedRun {
  readonly after: Head;
  readonly head: Head;
  readonly groupHeads: readonly Head[];
}

/** What a receipt and the head of a log both say of the newest slot. */
type Base = Pick<LogHead, 'slot' | 'objectHash' | 'head' | 'time' | 'shardBytes'>;

class Commit {
  readonly #ports: CommitPorts;
  readonly #view: ControlView;
  readonly #shard: ShardEntry;
  readonly #writer: KeyId;
  readonly #entitlement: PushEntitlement;
  readonly #place: ShardPlace;
  readonly #push: Push;

  constructor(ports: CommitPorts, workspace: WorkspaceId, view: ControlView, entitlement: PushEntitlement, push: Push) {
    this.#ports = ports;
    this.#view = view;
    this.#entitlement = entitlement;
    this.#shard = entitlement.shard;
    this.#writer = entitlement.writer.id;
    this.#place = { workspace, incarnation: entitlement.relay.incarnation, shard: push.shard };
    this.#push = push;
  }

  judgeReceipt(): ReturnType<typeof judgeReceipt> {
    const writer = { shard: this.#shard, key: this.#writer };
    return judgeReceipt(this.#ports.verifier, this.#view, this.#place, writer, this.#push.receipt, this.#ports.clock.now());
  }

  /** Rebuilds every group and its link and checks the one seal over them. @throws {FoldlogError} `corrupt` */
  async verify(): Promise<VerifiedRun> {
    const run: Run = await unpackRun(this.#ports.deflate, this.#place.shard, this.#push.run, 'push');
    await verifySeal(this.#ports.verifier, this.#entitlement.writer.key, run, run.seal, 'push');
    return { after: run.after, head: run.head, groupHeads: run.groups.map(headOf) };
  }

  /**
   * The normal path: one put and one HEAD, in parallel.
   * Undefined when the slot was lost, or when the receipt aged meanwhile: then only reading tells.
   */
  async putAfterReceipt(run: VerifiedRun, receipt: Receipt): Promise<Bytes | undefined> {
    const [put, standing] = await Promise.allSettled([this.#putNext(run, receipt), this.requireStanding(receipt)]);
    // Rolled back wins over every outcome of the put: what was written stands on nothing and is never acknowledged.
    if (standing.status === 'rejected') throw standing.reason;
    if (put.status === 'rejected') throw put.reason;
    return put.value !== undefined && isYoung(receipt, this.#ports.clock.now()) ? this.#receiptFor(put.value) : undefined;
  }

  /** What a receipt names must stand. @throws {FoldlogError} `unavailable` `rolledBack` */
  async requireStanding(receipt: Receipt): Promise<void> {
    const where = slotName(this.#place.shard, receipt.slot);
    const key = objectKeys.logSlot(this.#place, receipt.slot);
    const head = await untilKnown(this.#ports, () => this.#ports.store.head(key));
    if (head.kind === 'unknown') throw storeUnknown(where, head.cause);
    if (head.kind === 'absent') throw rolledBack(where, 'nothing', `the object ${short(receipt.objectHash)} of a receipt`);
    if (!isSameBytes(head.digest, receipt.objectHash)) {
      throw rolledBack(where, `the object ${short(head.digest)}`, `the object ${short(receipt.objectHash)} of a receipt`);
    }
  }

  /** Finds the head and where the run stands to it. Also the path of a first push, a repeated one and one after a restart. */
  async settleByReading(run: VerifiedRun, hint: Slot): Promise<Bytes> {
    let from = hint;
    for (let round = 0; round < roundsMax; round++) {
      const base = await this.#readHead(from);
      if (isSameHead(run.after, base.head)) {
        const written = await this.#putNext(run, base);
        if (written !== undefined) return this.#receiptFor(written);
        from = base.slot;
        continue; // somebody's object, or our own landing late, stands there now: read it
      }
      if (run.after.seq > base.head.seq) throw this.#gap(run, base);
      if (!(await this.#isInLog(run, base))) throw this.#fork(run, base);
      return this.#receiptFor(base);
    }
    throw new FoldlogError('unavailable', {
      where: `shard ${this.#shard.kind}/${this.#shard.name}`,
      reason: 'contended',
      found: `${roundsMax} slots lost to other pushes`,
      expected: 'one writer',
    });
  }

  /** Puts the run into the slot after `base`. Undefined when another object stands there. @throws {FoldlogError} `unknown` */
  async #putNext(run: VerifiedRun, base: Base): Promise<Base | undefined> {
    const next = slot(base.slot + 1);
    const time = timeMs(Math.max(this.#ports.clock.now(), base.time));
    const object = await makeSegment(
      this.#ports.signer,
      { shard: this.#place.shard, slot: next, prevObject: base.objectHash, time, bytesBefore: base.shardBytes },
      this.#push.encodedRun,
    );
    const outcome = await putUntilDecided(this.#ports, objectKeys.logSlot(this.#place, next), object, ifAbsent);
    if (outcome.kind === 'unknown') throw storeUnknown(slotName(this.#place.shard, next), outcome.cause);
    if (outcome.kind === 'lost') return undefined;
    return { slot: next, objectHash: objectHash(object), head: run.head, time, shardBytes: base.shardBytes + object.length };
  }

  /** The head of the log, if a run of this epoch may stand after it. @throws {FoldlogError} `fenced` · `unavailable` `rolledBack` */
  async #readHead(hint: Slot): Promise<LogHead> {
    const at = { place: this.#place, view: this.#view, relayKey: this.#entitlement.relay.key };
    const base = await readLogHead(this.#ports, at, hint);
    const { epoch } = this.#push.run;
    const where = slotName(this.#place.shard, base.slot);
    if (epoch < base.epoch) throw fencedOff(this.#shard, `a run of epoch ${epoch}`, `epoch ${base.epoch}, reached in ${where}`);
    // The control log has opened an epoch whose fence is not there any more.
    if (epoch > base.epoch) throw rolledBack(where, `epoch ${base.epoch}`, `the fence that begins epoch ${epoch}`);
    if (base.fence !== undefined) openingOf(this.#shard, base.fence, where);
    return base;
  }

  /** Whether log and run hold the same group where the shorter of the two ends: by the links, all before it is the same too. */
  async #isInLog(run: VerifiedRun, base: Base): Promise<boolean> {
    const end = run.head.seq < base.head.seq ? run.head.seq : base.head.seq;
    const inRun = run.groupHeads.find((head) => head.seq === end);
    const inLog = await this.#groupHeadAt(end, base);
    return inRun !== undefined && inLog !== undefined && isSameHead(inRun, inLog);
  }

  async #groupHeadAt(seq: Seq, base: Base): Promise<Head | undefined> {
    if (seq === base.head.seq) return base.head;
    const stored = await slotOfSeq(this.#ports, this.#place, base.slot, seq);
    if (stored === undefined) throw rolledBack(`shard ${short(this.#place.shard)}`, `no slot with seq ${seq}`, 'one below the head');
    const { run } = await reachOf(this.#ports.deflate, stored.object);
    return run?.groups.map(headOf).find((head) => head.seq === seq);
  }

  #receiptFor(base: Base): Promise<Bytes> {
    return makeReceipt(this.#ports.signer, {
      ...this.#place,
      epoch: this.#shard.epoch,
      writer: this.#writer,
      controlSlot: this.#view.state.slot,
      slot: base.slot,
      head: base.head,
      objectHash: base.objectHash,
      shardBytes: base.shardBytes,
      time: base.time,
    });
  }

  #gap(run: VerifiedRun, base: Base): FoldlogError {
    return FoldlogError.corrupt({
      where: `shard ${this.#shard.kind}/${this.#shard.name}`,
      reason: 'brokenLink',
      found: `a run after seq ${run.after.seq} (${short(run.after.hash)})`,
      expected: `one after seq ${base.head.seq} (${short(base.head.hash)}), the head of the log`,
      todo: 'push from the head of the log on; if a receipt says that more was committed, send it along and keep everything',
    });
  }

  #fork(run: VerifiedRun, base: Base): FoldlogError {
    return new FoldlogError('fenced', {
      where: `shard ${this.#shard.kind}/${this.#shard.name}`,
      reason: 'fork',
      found: `a run after seq ${run.after.seq} (${short(run.after.hash)}) up to seq ${run.head.seq}`,
      expected: `groups of the log, whose head is seq ${base.head.seq} (${short(base.head.hash)})`,
      todo: 'stop writing here: this key was used in two places; keep both and rebase what is not committed',
    });
  }
}

function requireTarget(shard: ShardId, push: Push, runBytesMax: number): void {
  if (!isSameBytes(shard, push.shard)) {
    throw FoldlogError.misuse({
      where: 'push',
      reason: 'wrongShard',
      found: `a push of shard ${short(push.shard)}`,
      expected: `one of shard ${short(shard)}, as in the path`,
    });
  }
  if (push.run.recordsLength > runBytesMax) {
    throw FoldlogError.misuse({
      where: 'push',
      reason: 'tooLarge',
      found: `a run of ${push.run.recordsLength} inflated bytes`,
      expected: `at most ${runBytesMax}`,
      todo: 'push fewer groups at a time',
    });
  }
}
