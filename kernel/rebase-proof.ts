// Whether a group that was saved again may stand where it stands: the cut is the control log's, it names this shard, and what another key sealed has an
// admin's word. Asked where the seal of its run is verified, of the control log known there; what it does to the state is the fold's (decision 0003).

import { isSameBytes } from './bytes.ts';
import type { CommitGroup } from './commit-group.ts';
import { isRoleAtLeast } from './control/acts.ts';
import { type ControlState, cutAbove, signatoryOf, writerAt } from './control/fold.ts';
import { FoldlogError } from './errors.ts';
import { decodeOps } from './op-body.ts';
import type { Verifier } from './ports.ts';
import { beginsWithRebase, leadingRebase } from './rebased-body.ts';
import { attestMessage, type RebasedOp } from './system-ops.ts';
import { type KeyId, type ShardId, short } from './units.ts';

/** Where the groups stand now. */
export interface RebasedInto {
  readonly shard: ShardId;
  /** Who sealed them there. */
  readonly writer: KeyId;
}

/**
 * @throws {FoldlogError} `corrupt` `wrongRebase`: no such cut, another destination, or no word for another key's group · `unavailable` `controlBehind`: the
 * control slot it names is not known here yet
 */
export async function requireRebases(
  verifier: Verifier,
  control: ControlState,
  into: RebasedInto,
  groups: readonly CommitGroup[],
  where: string,
): Promise<void> {
  for (const { header, content } of groups) {
    if (content.kind === 'erased' || !beginsWithRebase(content.body)) continue;
    const made = readQuietly(content.body, header.opCount, where);
    // What cannot be read is void for every reader, and proves nothing either way.
    if (made !== undefined) await requireRebase(verifier, control, into, made, `${where}, group at seq ${header.firstSeq}`);
  }
}

function readQuietly(body: Uint8Array, opCount: number, where: string): RebasedOp | undefined {
  try {
    return leadingRebase(decodeOps(body, opCount, where), where);
  } catch {
    return undefined;
  }
}

async function requireRebase(verifier: Verifier, control: ControlState, into: RebasedInto, made: RebasedOp, where: string): Promise<void> {
  const bad = (found: string, expected: string): FoldlogError => FoldlogError.corrupt({ where, reason: 'wrongRebase', found, expected });
  const { from, attest } = made;
  if (made.controlSlot > control.slot) {
    throw new FoldlogError('unavailable', {
      where,
      reason: 'controlBehind',
      retry: 'later',
      found: `a control log up to slot ${control.slot}`,
      expected: `slot ${made.controlSlot}, which a group names`,
    });
  }
  const cut = cutAbove(control, from.shard, from.epoch);
  if (cut === undefined || cut.controlSlot !== made.controlSlot || cut.cut.seq !== made.cut) {
    throw bad(
      `a cut of shard ${short(from.shard)} at seq ${made.cut} in control slot ${made.controlSlot}`,
      'a cut that the control log has',
    );
  }
  if (cut.destination === undefined || !isSameBytes(cut.destination, into.shard)) {
    throw bad(
      `a group saved again in shard ${short(into.shard)}`,
      cut.destination === undefined ? 'nowhere' : `shard ${short(cut.destination)}`,
    );
  }
  const sealedBy = writerAt(control, from.shard, from.epoch);
  if (sealedBy !== undefined && isSameBytes(sealedBy, into.writer)) return;
  const word = "an admin's signature over it";
  if (attest === undefined) throw bad('no attest', word);
  const admin = signatoryOf(control, attest.key);
  const isBy = admin !== undefined && isRoleAtLeast(admin.role, 'admin');
  const message = attestMessage({ destination: into.shard, from, group: attest.group });
  if (!isBy || !(await verifier.verify(admin.key, message, attest.signature))) {
    throw bad(`an attest by key ${short(attest.key)} that does not count`, word);
  }
}
