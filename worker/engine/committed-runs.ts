// The committed groups of a shard as the relay's slots hold them, from a known slot up to a head, each slot verified as a follower verifies it. For who
// fills a file with what others, or another copy of this device, committed (restore.ts, stranding.ts).

import { type ControlState, relayKeyOf, signatoryOf, writerAt } from '../../kernel/control/fold.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Deflate, Signer, Verifier } from '../../kernel/ports.ts';
import { requireRebases } from '../../kernel/rebase-proof.ts';
import { isSameHead, type Run, unpackRun, verifyRun } from '../../kernel/run.ts';
import { decodeSlotObject, verifySlotObject } from '../../kernel/segment.ts';
import { type Head, short, slot, type WorkspaceId } from '../../kernel/units.ts';
import { answerOrThrow, type RelayClient } from './relay-client.ts';
import type { Cursor } from './replica.ts';
import type { ShardIdentity } from './shard-file.ts';

export interface CommittedPorts {
  readonly relay: RelayClient;
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
}

export interface CommittedAt {
  readonly workspace: WorkspaceId;
  readonly control: ControlState;
}

/** Bytes of one log answer asked for. */
const pullBytes = 4 * 1024 * 1024;

/**
 * The runs behind `from`, up to the one that ends at `upTo`.
 * @throws {FoldlogError} `unavailable`: the relay does not answer, or does not hold that head yet · `corrupt`: a slot does not verify, or the chain passes by
 * the head
 */
export async function* committedRuns(
  ports: CommittedPorts,
  at: CommittedAt,
  identity: ShardIdentity,
  from: Cursor,
  upTo: Head,
): AsyncGenerator<Run> {
  let cursor = from;
  while (!isSameHead(cursor.head, upTo)) {
    const where = `log of ${identity.kind}/${identity.name}`;
    const answer = await ports.relay.log(at.workspace, identity.id, cursor.slot, pullBytes, ports.signer);
    const objects = answerOrThrow(answer, where);
    if (objects.length === 0) throw notThere(where, cursor.head, upTo);
    for (const bytes of objects) {
      const { run, next } = await verified(ports, at.control, identity, cursor, bytes);
      if (next.head.seq > upTo.seq || (next.head.seq === upTo.seq && !isSameHead(next.head, upTo))) throw passedBy(where, next.head, upTo);
      cursor = next;
      if (run !== undefined) yield run;
      if (isSameHead(cursor.head, upTo)) return;
    }
  }
}

async function verified(
  ports: CommittedPorts,
  control: ControlState,
  identity: ShardIdentity,
  cursor: Cursor,
  bytes: Uint8Array,
): Promise<{ readonly run: Run | undefined; readonly next: Cursor }> {
  const where = `slot ${cursor.slot + 1} of ${identity.kind}/${identity.name}`;
  const object = decodeSlotObject(bytes, where);
  const relay = relayKeyOf(control, object.relayKey);
  if (relay === undefined) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongRelaySignature',
      found: `relay key ${short(object.relayKey)}`,
      expected: 'a relay key that the control log declared',
    });
  }
  const binding = { shard: identity.id, slot: slot(cursor.slot + 1), prevObject: cursor.objectHash };
  await verifySlotObject(ports.verifier, { ...binding, relay, timeMin: cursor.slotTime }, object, where);
  const place = { slot: object.slot, objectHash: object.objectHash, slotTime: object.time };
  // Whose fence it is does not matter here: what is taken ends at a head that the control log names.
  if (object.kind === 'fence') return { run: undefined, next: { ...cursor, ...place } };
  const run = await unpackRun(ports.deflate, identity.id, object.run, where);
  const id = writerAt(control, identity.id, run.epoch);
  const writer = id === undefined ? undefined : signatoryOf(control, id);
  if (writer === undefined) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongSeal',
      found: `a seal by key ${short(run.seal.key)} in epoch ${run.epoch}`,
      expected: 'an epoch that the control log opened, by its writer',
    });
  }
  await verifyRun(ports.verifier, { head: cursor.head, writer: writer.key }, run, where);
  await requireRebases(ports.verifier, control, { shard: identity.id, writer: writer.id }, run.groups, where);
  return { run, next: { ...cursor, ...place, head: run.head } };
}

const notThere = (where: string, found: Head, expected: Head): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'headNotThere',
    retry: 'later',
    found: `a log up to seq ${found.seq}`,
    expected: `one up to seq ${expected.seq} (${short(expected.hash)})`,
  });

const passedBy = (where: string, found: Head, expected: Head): FoldlogError =>
  FoldlogError.corrupt({
    where,
    reason: 'brokenLink',
    found: `a segment up to seq ${found.seq} (${short(found.hash)})`,
    expected: `one that ends at seq ${expected.seq} (${short(expected.hash)}), as the control log says`,
  });
