// The end of any shard's log, as its next slot must be signed over it: read from the relay without folding, from the newest checkpoint on.
// Links and relay signatures are checked; that the relay does not hold back a longer log nobody can check here, and the slot put next settles.

import { decodeCheckpoint } from '../../kernel/checkpoint.ts';
import { type ControlState, relayKeyOf } from '../../kernel/control/fold.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Deflate, Signer, Verifier } from '../../kernel/ports.ts';
import { unpackRun } from '../../kernel/run.ts';
import { decodeSlotObject, type SlotBinding, verifySlotObject } from '../../kernel/segment.ts';
import { chainStart, type Epoch, epoch, type Head, noHash, type ShardId, type Slot, short, slot, timeMs } from '../../kernel/units.ts';
import { answerOrThrow, type RelayClient } from './relay-client.ts';

export interface LogEndPorts {
  readonly relay: RelayClient;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
  readonly signer: Signer;
}

export interface LogEnd {
  /** The next slot, and what it stands on. */
  readonly next: SlotBinding;
  readonly epoch: Epoch;
  readonly head: Head;
}

/** Bytes of one log answer asked for. */
const pullBytes = 4 * 1024 * 1024;

/** @throws {FoldlogError} `unavailable` · `corrupt` */
export async function readLogEnd(ports: LogEndPorts, state: ControlState, shard: ShardId): Promise<LogEnd> {
  const where = `log of shard ${short(shard)}`;
  const statement = answerOrThrow(await ports.relay.newestCheckpoint(state.workspace, shard, ports.signer), where);
  let after: Slot = slot(statement === undefined ? 0 : Math.max(0, decodeCheckpoint(statement, where).slot - 1));
  let end: LogEnd = { next: { shard, slot: slot(after + 1), prevObject: noHash }, epoch: epoch(1), head: chainStart };
  let timeMin = timeMs(0);
  for (let isFirst = after > 0; ; ) {
    const objects = answerOrThrow(await ports.relay.log(state.workspace, shard, after, pullBytes, ports.signer), where);
    const last = objects.length - 1;
    if (last < 0) return end;
    for (const [i, bytes] of objects.entries()) {
      const object = decodeSlotObject(bytes, where);
      const relay = relayKeyOf(state, object.relayKey);
      if (relay === undefined) {
        const found = `relay key ${short(object.relayKey)}`;
        throw FoldlogError.corrupt({ where, reason: 'wrongRelaySignature', found, expected: 'one the control log declared' });
      }
      // What stands before the slot the checkpoint names was not read.
      const prevObject = isFirst ? object.prevObject : end.next.prevObject;
      await verifySlotObject(ports.verifier, { ...end.next, prevObject, relay, timeMin }, object, where);
      isFirst = false;
      timeMin = object.time;
      const next = { shard, slot: slot(object.slot + 1), prevObject: object.objectHash };
      if (object.kind === 'fence') end = { next, epoch: object.fence.newEpoch, head: object.fence.head };
      else if (i < last) end = { ...end, next, epoch: object.run.epoch };
      else end = { next, epoch: object.run.epoch, head: (await unpackRun(ports.deflate, shard, object.run, where)).head };
    }
    after = slot(end.next.slot - 1);
  }
}
