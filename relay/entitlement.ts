// Who may do what at the relay, judged from the folded control log alone. Pushes authenticate themselves by their seal; reads and
// uploads are signed requests (kernel/request-signature.ts). Form of the header and its window: docs/relay-api.md#signed-requests.

import { bytesToHex } from '../kernel/bytes.ts';
import { isRoleAtLeast, type Role } from '../kernel/control/acts.ts';
import {
  type ControlState,
  type Device,
  deviceOf,
  isWriterOf,
  mayTakeOver,
  type RelayEntry,
  type ShardEntry,
  shardOf,
} from '../kernel/control/fold.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { requestSkewMsMax } from '../kernel/limits.ts';
import type { Signer, Verifier } from '../kernel/ports.ts';
import type { Push } from '../kernel/push.ts';
import { decodeCredential, isRequestBy, type RequestCredential, type SignedRequest } from '../kernel/request-signature.ts';
import { type KeyId, type PublicKey, type ShardId, short, type TimeMs } from '../kernel/units.ts';
import type { ShardPlace } from '../shards/object-keys.ts';
import { requireOurs } from './control.ts';
import { unknownShard } from './refusals.ts';

/** What a signed request is for. */
export type Purpose =
  /** Enrolled devices, and the key of an invite that is still open. */
  | { readonly kind: 'readControl' }
  /** Any enrolled device. */
  | { readonly kind: 'read'; readonly shard: ShardId }
  /** The shard's writer, or an admin. */
  | { readonly kind: 'upload'; readonly shard: ShardId }
  /** Whoever may take the shard over. */
  | { readonly kind: 'fence'; readonly shard: ShardId };

/** @throws {FoldlogError} `misuse` `badCredential`, `clockSkew` */
export function readCredential(header: string | null, now: TimeMs): RequestCredential {
  const credential = decodeCredential(header ?? undefined);
  const skewMs = Math.abs(now - credential.time);
  if (skewMs > requestSkewMsMax) {
    throw FoldlogError.misuse({
      where: 'authorization header',
      reason: 'clockSkew',
      found: `a time ${Math.round(skewMs / 1000)} s away from the relay's`,
      expected: `within ${requestSkewMsMax / 1000} s`,
      todo: "sign the request again with the relay's time",
    });
  }
  return credential;
}

/**
 * The key that must have signed the request, if its holder may do this.
 * @throws {FoldlogError} `misuse` `unknownDevice`, `inviteSpent`, `inviteExpired`, `notAllowed` · `unavailable` `unknownShard`
 */
export function keyFor(purpose: Purpose, state: ControlState, id: KeyId, now: TimeMs): PublicKey {
  const device = deviceOf(state, id);
  if (device === undefined) {
    if (state.revoked.has(bytesToHex(id))) throw revoked(id);
    const invite = purpose.kind === 'readControl' ? state.invites.get(bytesToHex(id)) : undefined;
    if (invite === undefined) throw unknownDevice(id);
    if (invite.usesLeft < 1) throw inviteOver('inviteSpent', 'an invite without uses left');
    if (invite.expiresAt <= now) throw inviteOver('inviteExpired', 'an invite past its time');
    return invite.key;
  }
  if (purpose.kind === 'readControl') return device.key;
  const shard = requireShard(state, purpose.shard);
  if (purpose.kind === 'upload') {
    if (!isWriterOf(shard, device.id)) requireRole(device, 'admin', `shard ${shard.kind}/${shard.name}`);
  }
  if (purpose.kind === 'fence' && !mayTakeOver(shard, device)) requireRole(device, 'admin', `shard ${shard.kind}/${shard.name}`);
  return device.key;
}

/** @throws {FoldlogError} `misuse` `wrongCredential` */
export async function requireSignature(
  verifier: Verifier,
  key: PublicKey,
  request: SignedRequest,
  credential: RequestCredential,
): Promise<void> {
  if (await isRequestBy(verifier, key, request, credential)) return;
  throw FoldlogError.misuse({
    where: 'authorization header',
    reason: 'wrongCredential',
    found: 'a signature that does not verify',
    expected: `one by key ${short(credential.key)} over this method, path, time and body`,
  });
}

export interface PushEntitlement {
  readonly relay: RelayEntry;
  readonly shard: ShardEntry;
  readonly writer: Device;
}

/**
 * Whether the device that sealed the push writes this shard, in this epoch, at this relay.
 * @throws {FoldlogError} `noRelay`, `otherRelay`, `unknownShard`, `unknownDevice`, `wrongWriter`, `notAllowed` · `fenced`
 */
export function entitlePush(state: ControlState, signer: Signer, push: Push): PushEntitlement {
  const relay = requireRelay(state, signer);
  const shard = requireShard(state, push.shard);
  // Before the device itself is looked at: one that was revoked is told what its shard's fence tells every old writer.
  if (push.run.epoch < shard.epoch) throw fencedOff(shard, `a run of epoch ${push.run.epoch}`, `epoch ${shard.epoch}`);
  const writer = deviceOf(state, push.run.seal.key);
  if (writer === undefined) throw unknownDevice(push.run.seal.key);
  if (push.run.epoch > shard.epoch) {
    throw FoldlogError.misuse({
      where: `shard ${shard.kind}/${shard.name}`,
      reason: 'wrongEpoch',
      found: `a run of epoch ${push.run.epoch}`,
      expected: `epoch ${shard.epoch}, as the control log says`,
    });
  }
  if (!isWriterOf(shard, writer.id)) {
    throw FoldlogError.misuse({
      where: `shard ${shard.kind}/${shard.name}`,
      reason: 'wrongWriter',
      found: `a run by device ${writer.name}`,
      expected: shard.writer === undefined ? 'no run: nobody writes it' : `one by device ${short(shard.writer)}, its writer`,
    });
  }
  requireRole(writer, 'writer', `shard ${shard.kind}/${shard.name}`);
  return { relay, shard, writer };
}

/** Where a shard's objects lie. @throws {FoldlogError} `noRelay`, `otherRelay` */
export const placeOf = (state: ControlState, signer: Signer, shard: ShardId): ShardPlace => ({
  workspace: state.workspace,
  incarnation: requireRelay(state, signer).incarnation,
  shard,
});

function requireRelay(state: ControlState, signer: Signer): RelayEntry {
  if (state.relay !== undefined) {
    requireOurs(state.relay.key, signer);
    return state.relay;
  }
  throw new FoldlogError('unavailable', {
    where: `workspace ${short(state.workspace)}`,
    reason: 'noRelay',
    retry: 'later',
    found: 'a control log that names no relay',
    expected: 'a relay entry',
    todo: 'have an owner declare the relay first',
  });
}

export const fencedOff = (shard: ShardEntry, found: string, expected: string): FoldlogError =>
  new FoldlogError('fenced', { where: `shard ${shard.kind}/${shard.name}`, reason: 'fenced', found, expected });

export function requireShard(state: ControlState, id: ShardId): ShardEntry {
  const shard = shardOf(state, id);
  if (shard === undefined) throw unknownShard(id);
  return shard;
}

function requireRole(device: Device, role: Role, where: string): void {
  if (isRoleAtLeast(device.role, role)) return;
  throw FoldlogError.misuse({
    where,
    reason: 'notAllowed',
    found: `device ${device.name}, a ${device.role}`,
    expected: `${role} or above`,
  });
}

const inviteOver = (reason: 'inviteSpent' | 'inviteExpired', found: string): FoldlogError =>
  FoldlogError.misuse({ where: 'control log', reason, found, expected: 'an open invite', todo: 'ask for a new invite' });

const revoked = (id: KeyId): FoldlogError =>
  FoldlogError.misuse({
    where: 'control log',
    reason: 'revoked',
    found: `key ${short(id)} of a device that was revoked`,
    expected: 'an enrolled device',
    todo: 'keep what is here; to come back the device has to be let in anew, and an admin has to take up what it did not commit',
  });

export const unknownDevice = (id: KeyId): FoldlogError =>
  FoldlogError.misuse({
    where: 'control log',
    reason: 'unknownDevice',
    found: `key ${short(id)}`,
    expected: 'an enrolled device',
    todo: 'join the workspace with an invite first',
  });
