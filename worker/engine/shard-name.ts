// Whether a name is free for a new own shard, as far as this device's copy of the control log knows.

import { isSameBytes } from '../../kernel/bytes.ts';
import { isRoleAtLeast, type Role } from '../../kernel/control/acts.ts';
import { type ControlState, deviceOf, shardNamed } from '../../kernel/control/fold.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { PublicKey, ShardId } from '../../kernel/units.ts';
import { lostShard } from './loss.ts';
import { takingOver } from './take-over-calls.ts';

/** @throws {FoldlogError} `misuse` `notAllowed`, `notWriter` · `unavailable` `takingOver`: this device is taking it over · what loss.ts says of a shard that was this device's */
export function requireFreeName(
  state: ControlState | undefined,
  shard: { readonly kind: string; readonly name: string },
  by: { readonly key: PublicKey; readonly role: Role },
  isTakingOver: (id: ShardId) => boolean,
): void {
  const where = `shard ${shard.kind}/${shard.name}`;
  const taken = state === undefined ? undefined : shardNamed(state, shard.kind, shard.name);
  if (state === undefined || taken === undefined) {
    if (isRoleAtLeast(by.role, 'writer')) return;
    throw FoldlogError.misuse({ where, reason: 'notAllowed', found: `a device with the role ${by.role}`, expected: 'writer or above' });
  }
  if (isTakingOver(taken.id)) throw takingOver(where);
  const writer = taken.writer === undefined ? undefined : deviceOf(state, taken.writer);
  if (writer !== undefined && isSameBytes(writer.key, by.key)) throw lostShard(where);
  throw FoldlogError.misuse({
    where,
    reason: 'notWriter',
    found: `a shard that ${writer?.name ?? 'another device'} writes`,
    expected: 'a shard of this device',
    todo: 'follow it, or open one under another name',
  });
}
