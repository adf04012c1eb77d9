// How a device comes to be in a workspace: founding one, joining one by link, and letting others in.

import { bytesToBase64url, bytesToHex } from '../../kernel/bytes.ts';
import { type Act, actsToJson, isName, type Role } from '../../kernel/control/acts.ts';
import { decodeControlEntry, signControlEntry, workspaceIdOfGenesis } from '../../kernel/control/entry.ts';
import { type ControlState, deviceOf, enrolMessage } from '../../kernel/control/fold.ts';
import { decodeInvite, encodeInvite } from '../../kernel/control/invite-link.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { portableSigner, publicKeyOf, randomSeed } from '../../kernel/ed25519.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { nameLengthMax } from '../../kernel/limits.ts';
import type { Clock, Random, Scheduler, Signer } from '../../kernel/ports.ts';
import { noHash, timeMs, type WorkspaceId, workspaceId } from '../../kernel/units.ts';
import { type ControlReplica, linkError, noRelay } from './control.ts';
import type { RelayClient } from './relay-client.ts';
import type { WorkspaceFile } from './workspace-file.ts';

export interface MembershipPorts {
  readonly relay: RelayClient | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly signer: Signer;
}

/**
 * Founds a workspace on this device; works offline. Returns the recovery key, the one secret a person keeps: it is not stored here.
 * @throws {FoldlogError} `misuse` `badName`, `alreadyMember`
 */
export async function foundWorkspace(
  ports: MembershipPorts,
  file: WorkspaceFile,
  names: { readonly workspace: string; readonly device: string },
): Promise<{ readonly recoveryKey: string }> {
  requireName(names.workspace, 'workspace name');
  requireName(names.device, 'device name');
  requireNoWorkspace(file);
  const recovery = randomSeed(ports.random);
  const acts = [
    {
      act: 'genesis' as const,
      name: names.workspace,
      owner: ports.signer.publicKey,
      device: names.device,
      recovery: publicKeyOf(recovery),
      nonce: ports.random.bytes(16),
      time: ports.clock.now(),
    },
  ];
  const entry = await signControlEntry(ports.signer, { workspace: workspaceId(new Uint8Array(32)), prev: noHash }, acts);
  const workspace = workspaceIdOfGenesis(decodeControlEntry(entry, 'genesis'));
  file.db.transaction(() => {
    file.setWorkspace(workspace);
    file.queueActs(acts, entry);
  });
  try {
    await file.flush();
  } catch (error) {
    file.forgetWorkspace(); // nobody has its recovery key
    throw error;
  }
  return { recoveryKey: bytesToBase64url(recovery) };
}

/**
 * Enrols this device by an invite link. Needs the relay. Nothing is kept unless the enrolment is in the control log.
 * @throws {FoldlogError} `misuse` `badInvite`, `alreadyMember`, `badName`, or the log's refusal (`inviteExpired`, …) · `unavailable`
 */
export async function joinByLink(
  ports: MembershipPorts,
  file: WorkspaceFile,
  control: ControlReplica,
  link: string,
  deviceName: string,
): Promise<void> {
  requireName(deviceName, 'device name');
  const invite = decodeInvite(link);
  if (file.workspace === undefined || bytesToHex(file.workspace) !== bytesToHex(invite.workspace)) requireNoWorkspace(file);
  const { relay } = ports;
  if (relay === undefined) throw noRelay('join');
  const inviteSigner = portableSigner(invite.seed);
  file.setWorkspace(invite.workspace, invite.relayKey);
  try {
    await file.flush(); // before the relay may know this device: see below
    for (let attempt = 0; attempt < enrolAttemptsMax; attempt++) {
      const state = await pullAsGuestOrMember(control, invite.workspace, inviteSigner, ports.signer);
      if (deviceOf(state, keyIdOf(ports.signer.publicKey)) !== undefined) return await file.flush();
      const acts = [
        {
          act: 'device' as const,
          key: ports.signer.publicKey,
          name: deviceName,
          invite: keyIdOf(inviteSigner.publicKey),
          proof: await inviteSigner.sign(enrolMessage(invite.workspace, ports.signer.publicKey)),
        },
      ];
      const entry = await signControlEntry(ports.signer, { workspace: invite.workspace, prev: state.head }, acts);
      const answer = await relay.appendControl(invite.workspace, entry);
      // Whatever came back, the next pull says whether the enrolment stands; a stale head is signed again over the new one.
      if (answer.kind === 'refused' && answer.error.reason !== 'staleHead') throw answer.error;
    }
    throw linkError(control.link, 'join');
  } catch (error) {
    // A device that enrolled but lost the reply finds itself in the log on the next try, which needs the workspace kept.
    if (error instanceof FoldlogError && error.kind !== 'unavailable' && error.kind !== 'unknown') control.forget();
    throw error;
  }
}

/** A spent invite reads nothing more; then this device is in already (its reply was lost) or the invite is another's. */
async function pullAsGuestOrMember(control: ControlReplica, workspace: WorkspaceId, guest: Signer, member: Signer): Promise<ControlState> {
  try {
    return await control.pullWith(guest, workspace);
  } catch (refusal) {
    if (!(refusal instanceof FoldlogError) || refusal.kind !== 'misuse') throw refusal;
    try {
      return await control.pullWith(member, workspace);
    } catch (second) {
      throw second instanceof FoldlogError && second.kind === 'misuse' ? refusal : second;
    }
  }
}

/** Racing enrolments make one another's head stale; each round one of them wins. */
const enrolAttemptsMax = 20;

export interface InviteOptions {
  readonly role?: Role;
  readonly expiresInMs?: number;
  readonly uses?: number;
}

/** A link fragment that lets devices in, and the act that makes it valid; the caller queues the act and waits for it. */
export function makeInvite(ports: MembershipPorts, control: ControlReplica, options: InviteOptions) {
  const { state, workspace } = control;
  if (workspace === undefined || state?.relay === undefined) {
    throw new FoldlogError('unavailable', {
      where: 'invite',
      reason: 'notSynced',
      found: 'a workspace the relay does not hold yet',
      expected: 'one that is synced',
      todo: 'connect to the relay once, then invite',
    });
  }
  const seed = randomSeed(ports.random);
  return {
    fragment: encodeInvite({ workspace, relayKey: state.relay.key, seed }),
    act: {
      act: 'invite' as const,
      key: publicKeyOf(seed),
      role: options.role ?? ('writer' as const),
      expiresAt: timeMs(ports.clock.now() + (options.expiresInMs ?? inviteExpiresInMs)),
      uses: options.uses ?? 1,
    },
  };
}

/**
 * Resolves once the act is in the control log.
 * @throws {FoldlogError} `unavailable` `relayUnreachable` · `misuse` `refused`; it is not sent any more then
 */
export async function commitAct(
  act: Act,
  file: WorkspaceFile,
  control: ControlReplica,
  ports: { readonly scheduler: Scheduler; readonly wake: () => void },
): Promise<void> {
  file.queueActs([act]);
  const text = JSON.stringify(actsToJson([act]));
  for (;;) {
    const waiting = file.pendingActs().find(({ acts }) => JSON.stringify(actsToJson(acts)) === text);
    if (waiting === undefined) return;
    if (waiting.refused !== undefined || control.link.kind === 'offline') {
      file.dropActs(waiting.id);
      throw new FoldlogError(waiting.refused === undefined ? 'unavailable' : 'misuse', {
        where: act.act,
        reason: waiting.refused === undefined ? 'relayUnreachable' : 'refused',
        found: waiting.refused ?? 'no answer of the relay',
        expected: 'an entry in the control log',
      });
    }
    ports.wake();
    await new Promise<void>((resolve) => ports.scheduler.after(actPollMs, resolve));
  }
}

const actPollMs = 20;

/** A day: long enough to reach the other device, short enough to forget. */
const inviteExpiresInMs = 24 * 3600 * 1000;

function requireName(name: string, where: string): void {
  if (isName(name)) return;
  throw FoldlogError.misuse({
    where,
    reason: 'badName',
    found: JSON.stringify(name.slice(0, nameLengthMax)),
    expected: `1 to ${nameLengthMax} characters, none of them for paths, quotes or control`,
  });
}

function requireNoWorkspace(file: WorkspaceFile): void {
  if (file.workspace === undefined) return;
  throw FoldlogError.misuse({
    where: 'workspace',
    reason: 'alreadyMember',
    found: `workspace ${bytesToHex(file.workspace).slice(0, 8)} in this store`,
    expected: 'an empty store',
    todo: 'use another `store` name for another workspace',
  });
}
