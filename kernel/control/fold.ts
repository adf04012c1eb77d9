// Folds the control log into "who and what is in the workspace". Pure, and the same function in relay, devices and verifier:
// what it refuses never occupies a slot. Decision 0005. Invariants kept here:
//   an entry applies whole or not at all · its author signed over exactly the head it extends · rules read the relay's time

import { bytesToHex, isSameBytes } from '../bytes.ts';
import { keyIdOf, shardIdOf, tagged } from '../digest.ts';
import { assertNever, FoldlogError } from '../errors.ts';
import { inviteLifeMsMax, invitesOpenMax, inviteUsesMax } from '../limits.ts';
import type { Verifier } from '../ports.ts';
import {
  chainStart,
  type Epoch,
  epoch,
  type Hash,
  type Head,
  type Incarnation,
  isNoHash,
  type KeyId,
  noHash,
  type PublicKey,
  type ShardId,
  type Slot,
  short,
  slot,
  type TimeMs,
  timeMs,
  type WorkspaceId,
} from '../units.ts';
import { type Act, cutHead, isRoleAtLeast, type Role } from './acts.ts';
import { type ControlEntry, type ControlSlot, controlMessage, controlSlotMessage, workspaceIdOfGenesis } from './entry.ts';

export interface Device {
  readonly id: KeyId;
  readonly key: PublicKey;
  readonly name: string;
  readonly role: Role;
}

export interface Invite {
  readonly id: KeyId;
  readonly key: PublicKey;
  readonly role: Role;
  readonly expiresAt: TimeMs;
  readonly usesLeft: number;
  /** Who made it: it ends with that device's revocation. */
  readonly by: KeyId;
}

/** One epoch of a shard: who writes it, and the cut that opened it by closing all before it. */
export interface ShardEpoch {
  readonly epoch: Epoch;
  /** Undefined: nobody writes in it. */
  readonly writer: KeyId | undefined;
  /** Groups of older epochs count up to here and no further; the chain's start in epoch 1. */
  readonly cut: Head;
  /** Object hash of the fence the cut names; zeros in epoch 1. */
  readonly fence: Hash;
  /** Where what the epochs it closes saved above the cut may go. */
  readonly destination: ShardId | undefined;
  readonly controlSlot: Slot;
  readonly author: KeyId;
}

export interface ShardEntry {
  readonly id: ShardId;
  readonly kind: string;
  readonly name: string;
  /** The newest epoch and who writes it. */
  readonly epoch: Epoch;
  readonly writer: KeyId | undefined;
  /** Every epoch that was opened, oldest first. Not every number: a fence without a cut closes one that nobody wrote. */
  readonly epochs: readonly ShardEpoch[];
}

export interface RelayEntry {
  readonly key: PublicKey;
  readonly incarnation: Incarnation;
}

/** State after some slots. Maps are keyed by lower-case hex ids. */
export interface ControlState {
  readonly workspace: WorkspaceId;
  readonly name: string;
  readonly slot: Slot;
  readonly head: Hash;
  readonly time: TimeMs;
  /** Undefined until the owner declared one. */
  readonly relay: RelayEntry | undefined;
  /** Every relay key the log declared, oldest first, each once; the last declared is in force. Older slots stay signed by older keys. */
  readonly relayKeys: readonly PublicKey[];
  /** Those that may do what their role allows. */
  readonly devices: ReadonlyMap<string, Device>;
  /** Those that may do nothing any more; their keys still prove what they signed before. */
  readonly revoked: ReadonlyMap<string, Device>;
  readonly invites: ReadonlyMap<string, Invite>;
  readonly shards: ReadonlyMap<string, ShardEntry>;
  /** Slots whose relay signature waits for the relay's declaration; empty once there is one (decision 0005). */
  readonly unproven: readonly ControlSlot[];
}

/** What the acts of an entry make; head and proof of its slot are the fold's. */
export type JudgedState = Omit<ControlState, 'head' | 'unproven'>;

/** What an entry is judged against besides the state: where it will stand and when. */
export interface EntryPlace {
  readonly slot: Slot;
  readonly time: TimeMs;
}

/** A refusal is an expected ending; a wrong signature or link in a stored slot is corruption. */
export type EntryVerdict =
  | { readonly kind: 'applies'; readonly next: JudgedState }
  | { readonly kind: 'staleHead'; readonly head: Hash }
  | { readonly kind: 'refused'; readonly reason: string; readonly found: string; readonly expected: string };

/** The declared relay key with this id. */
export const relayKeyOf = (state: ControlState, id: KeyId): PublicKey | undefined =>
  state.relayKeys.find((key) => isSameBytes(keyIdOf(key), id));

export const deviceOf = (state: ControlState, id: KeyId): Device | undefined => state.devices.get(bytesToHex(id));
/** Whoever is or was a device: for signatures of the past, never for a right. */
export const signatoryOf = (state: ControlState, id: KeyId): Device | undefined => deviceOf(state, id) ?? state.revoked.get(bytesToHex(id));
export const shardOf = (state: ControlState, id: ShardId): ShardEntry | undefined => state.shards.get(bytesToHex(id));

export function shardNamed(state: ControlState, kind: string, name: string): ShardEntry | undefined {
  for (const entry of state.shards.values()) if (entry.kind === kind && entry.name === name) return entry;
  return undefined;
}

/** Who writes a shard in an epoch; undefined when nobody does, or no cut opened it. */
export const writerAt = (state: ControlState, shard: ShardId, at: Epoch): KeyId | undefined =>
  shardOf(state, shard)?.epochs.find((known) => known.epoch === at)?.writer;

/** The cut that closes `at`: the first epoch above it that was opened. Undefined while nobody took over. */
export const cutAbove = (state: ControlState, shard: ShardId, at: Epoch): ShardEpoch | undefined =>
  shardOf(state, shard)?.epochs.find((known) => known.epoch > at);

export const isWriterOf = (shard: ShardEntry, id: KeyId): boolean => shard.writer !== undefined && isSameBytes(shard.writer, id);

/** Who may fence a shard, and cut it (decision 0003): owner, admin, and whoever writes its newest epoch. */
export const mayTakeOver = (shard: ShardEntry, device: Device): boolean =>
  isRoleAtLeast(device.role, 'admin') || isWriterOf(shard, device.id);

/**
 * Whoever is or was in a position to sign fences and statements for a shard: from admin, or writer of one of its epochs. For readers of what stands:
 * unlike a right it never ends, so that readers that come sooner and later judge alike.
 */
export function speakerFor(state: ControlState, shard: ShardEntry, id: KeyId): Device | undefined {
  const device = signatoryOf(state, id);
  const hasWritten = shard.epochs.some(({ writer }) => writer !== undefined && isSameBytes(writer, id));
  return device !== undefined && (hasWritten || isRoleAtLeast(device.role, 'admin')) ? device : undefined;
}

/**
 * Judges an entry for the next slot. Verifies its signature; changes nothing.
 * `state` is undefined before genesis.
 */
export async function judgeEntry(
  verifier: Verifier,
  state: ControlState | undefined,
  entry: ControlEntry,
  place: EntryPlace,
): Promise<EntryVerdict> {
  if (state === undefined) return judgeGenesis(verifier, entry, place);
  if (!isSameBytes(entry.workspace, state.workspace)) {
    return refused('wrongWorkspace', `workspace ${short(entry.workspace)}`, short(state.workspace));
  }
  if (!isSameBytes(entry.prev, state.head)) return { kind: 'staleHead', head: state.head };
  const author = authorOf(state, entry);
  if (author === undefined) return refused('unknownDevice', `author ${short(entry.author)}`, 'an enrolled device');
  if (!(await verifier.verify(author.key, controlMessage(entry), entry.signature))) {
    return refused('wrongSignature', 'a signature that does not verify', `one by device ${author.name}`);
  }
  const draft = draftOf(state, place);
  for (const act of entry.acts) {
    const refusal = await applyAct(verifier, draft, author, act);
    if (refusal !== undefined) return refusal;
  }
  return uncutShard(draft) ?? { kind: 'applies', next: draft };
}

/**
 * Folds stored slots onto a state, in order, from slot 1 when `state` is undefined. Everything is verified.
 * @throws {FoldlogError} `corrupt`: a slot that does not apply, a wrong link or relay signature
 */
export async function foldControl(
  verifier: Verifier,
  workspace: WorkspaceId,
  state: ControlState | undefined,
  objects: readonly ControlSlot[],
): Promise<ControlState | undefined> {
  let folded = state;
  for (const object of objects) {
    const where = `control slot ${object.slot}`;
    const bad = (reason: string, found: string, expected: string) => FoldlogError.corrupt({ where, reason, found, expected });
    const wanted = (folded?.slot ?? 0) + 1;
    if (object.slot !== wanted) throw bad('wrongSlot', `slot ${object.slot}`, `slot ${wanted}`);
    if (!isSameBytes(object.workspace, workspace)) throw bad('wrongWorkspace', short(object.workspace), short(workspace));
    if (folded !== undefined && object.time < folded.time) throw bad('timeFell', `time ${object.time}`, `${folded.time} or later`);
    const verdict = await judgeEntry(verifier, folded, object.entry, { slot: object.slot, time: object.time });
    if (verdict.kind !== 'applies') {
      const found = verdict.kind === 'refused' ? `${verdict.reason} (${verdict.found})` : 'an entry over another head';
      throw bad('entryDoesNotApply', found, 'an entry that the fold accepts');
    }
    if (!isSameBytes(verdict.next.workspace, workspace)) throw bad('wrongWorkspace', short(verdict.next.workspace), short(workspace));
    // The key in force before the entry signs its slot; slots before the first declaration wait for it.
    // They wait in the state, so that a log folded slot by slot is judged like one folded at once.
    const unproven: readonly ControlSlot[] = [...(folded?.unproven ?? []), object];
    const relay = folded?.relay ?? verdict.next.relay;
    if (relay !== undefined) {
      for (const waiting of unproven) await requireRelaySignature(verifier, relay.key, waiting);
    }
    folded = { ...verdict.next, head: object.objectHash, unproven: relay === undefined ? unproven : [] };
  }
  return folded;
}

async function requireRelaySignature(verifier: Verifier, relay: PublicKey, object: ControlSlot): Promise<void> {
  const isNamed = isSameBytes(object.relayKey, keyIdOf(relay));
  if (!isNamed || !(await verifier.verify(relay, controlSlotMessage(object), object.relaySignature))) {
    throw FoldlogError.corrupt({
      where: `control slot ${object.slot}`,
      reason: 'wrongRelaySignature',
      found: `a signature under relay key ${short(object.relayKey)} that does not verify`,
      expected: `one by key ${short(keyIdOf(relay))}`,
    });
  }
}

async function judgeGenesis(verifier: Verifier, entry: ControlEntry, place: EntryPlace): Promise<EntryVerdict> {
  const [genesis, ...more] = entry.acts;
  if (genesis?.act !== 'genesis' || more.length > 0 || place.slot !== 1) {
    return refused('noGenesis', `the act ${genesis?.act ?? 'none'} in slot ${place.slot}`, 'genesis alone in slot 1');
  }
  if (!isNoHash(entry.workspace) || !isNoHash(entry.prev)) return refused('badGenesis', 'a workspace or head named', 'zeros');
  const id = keyIdOf(genesis.owner);
  if (!isSameBytes(id, entry.author)) return refused('badGenesis', `author ${short(entry.author)}`, `the owner's key ${short(id)}`);
  if (!(await verifier.verify(genesis.owner, controlMessage(entry), entry.signature))) {
    return refused('wrongSignature', 'a signature that does not verify', "one by the owner's key");
  }
  const owner: Device = { id, key: genesis.owner, name: genesis.device, role: 'owner' };
  return {
    kind: 'applies',
    next: {
      workspace: workspaceIdOfGenesis(entry),
      name: genesis.name,
      slot: place.slot,
      time: place.time,
      relay: undefined,
      relayKeys: [],
      devices: new Map([[bytesToHex(id), owner]]),
      revoked: new Map(),
      invites: new Map(),
      shards: new Map(),
    },
  };
}

/** A new device signs its own enrolment, so its key is in the entry and not yet in the state. */
function authorOf(state: ControlState, entry: ControlEntry): Device | undefined {
  const known = deviceOf(state, entry.author);
  if (known !== undefined) return known;
  const [first] = entry.acts;
  if (first?.act !== 'device' || !isSameBytes(keyIdOf(first.key), entry.author)) return undefined;
  return { id: entry.author, key: first.key, name: first.name, role: 'reader' };
}

interface Draft extends JudgedState {
  relay: RelayEntry | undefined;
  relayKeys: readonly PublicKey[];
  readonly devices: Map<string, Device>;
  readonly revoked: Map<string, Device>;
  readonly invites: Map<string, Invite>;
  readonly shards: Map<string, ShardEntry>;
}

const draftOf = (state: ControlState, place: EntryPlace): Draft => ({
  workspace: state.workspace,
  name: state.name,
  slot: place.slot,
  time: place.time,
  relay: state.relay,
  relayKeys: state.relayKeys,
  devices: new Map(state.devices),
  revoked: new Map(state.revoked),
  invites: new Map(state.invites),
  shards: new Map(state.shards),
});

type CutAct = Extract<Act, { act: 'cut' }>;
type Refusal = Extract<EntryVerdict, { kind: 'refused' }>;

async function applyAct(verifier: Verifier, draft: Draft, author: Device, act: Act): Promise<Refusal | undefined> {
  const needs = (role: Role): Refusal | undefined =>
    draft.devices.has(bytesToHex(author.id)) && isRoleAtLeast(author.role, role)
      ? undefined
      : refused('notAllowed', `${act.act} by a ${author.role}`, `${role} or above`);
  switch (act.act) {
    case 'genesis':
      return refused('secondGenesis', 'another genesis', 'one, in slot 1');
    case 'relay': {
      const refusal = needs('owner');
      if (refusal !== undefined) return refusal;
      draft.relay = { key: act.key, incarnation: act.incarnation };
      draft.relayKeys = [...draft.relayKeys.filter((key) => !isSameBytes(key, act.key)), act.key];
      return undefined;
    }
    case 'invite':
      return needs('admin') ?? applyInvite(draft, author, act);
    case 'device':
      return applyDevice(verifier, draft, author, act);
    case 'shard':
      return needs('writer') ?? applyShard(draft, author, act);
    case 'cut':
      return needs('writer') ?? applyCut(draft, author, act);
    case 'revoke':
      return needs('admin') ?? applyRevoke(draft, author, act);
    default:
      return assertNever(act);
  }
}

function applyInvite(draft: Draft, author: Device, act: Extract<Act, { act: 'invite' }>): Refusal | undefined {
  const id = keyIdOf(act.key);
  const open = [...draft.invites.values()].filter((invite) => invite.usesLeft > 0 && invite.expiresAt > draft.time).length;
  if (!isRoleAtLeast(author.role, act.role)) return refused('roleTooHigh', `an invite as ${act.role}`, `${author.role} or below`);
  if (act.expiresAt > draft.time + inviteLifeMsMax) return refused('inviteTooLong', `expiry ${act.expiresAt}`, 'within 7 days');
  if (act.uses < 1 || act.uses > inviteUsesMax) return refused('badUses', `${act.uses} uses`, `1 to ${inviteUsesMax}`);
  if (open >= invitesOpenMax) return refused('tooManyInvites', `${open} open invites`, `fewer than ${invitesOpenMax}`);
  if (isKeyTaken(draft, id)) return refused('keyTaken', `key ${short(id)}`, 'a fresh key');
  draft.invites.set(bytesToHex(id), { id, key: act.key, role: act.role, expiresAt: act.expiresAt, usesLeft: act.uses, by: author.id });
  return undefined;
}

async function applyDevice(
  verifier: Verifier,
  draft: Draft,
  author: Device,
  act: Extract<Act, { act: 'device' }>,
): Promise<Refusal | undefined> {
  const id = keyIdOf(act.key);
  const invite = draft.invites.get(bytesToHex(act.invite));
  if (!isSameBytes(id, author.id)) return refused('notItself', `device ${short(id)} enrolled by ${short(author.id)}`, 'itself');
  if (isKeyTaken(draft, id)) return refused('keyTaken', `key ${short(id)}`, 'a fresh key');
  if (invite === undefined) return refused('unknownInvite', `invite ${short(act.invite)}`, 'an invite of this workspace');
  if (invite.usesLeft < 1) return refused('inviteSpent', 'an invite without uses left', 'a new invite');
  if (invite.expiresAt <= draft.time) return refused('inviteExpired', `expiry ${invite.expiresAt}`, `after ${draft.time}`);
  if (!(await verifier.verify(invite.key, enrolMessage(draft.workspace, act.key), act.proof))) {
    return refused('wrongProof', 'a proof that does not verify', 'one by the invite key');
  }
  draft.invites.set(bytesToHex(act.invite), { ...invite, usesLeft: invite.usesLeft - 1 });
  draft.devices.set(bytesToHex(id), { id, key: act.key, name: act.name, role: invite.role });
  return undefined;
}

function applyShard(draft: Draft, author: Device, act: Extract<Act, { act: 'shard' }>): Refusal | undefined {
  const id = shardIdOf(draft.workspace, act.nonce);
  const writer = draft.devices.get(bytesToHex(act.writer));
  if (draft.shards.has(bytesToHex(id))) return refused('shardTaken', `shard id ${short(id)}`, 'a fresh nonce');
  for (const shard of draft.shards.values()) {
    if (shard.kind === act.kind && shard.name === act.name) return refused('nameTaken', `a second ${act.kind} ${act.name}`, 'a free name');
  }
  if (writer === undefined || !isRoleAtLeast(writer.role, 'writer')) {
    return refused('badWriter', `writer ${short(act.writer)}`, 'an enrolled device that may write');
  }
  if (!isSameBytes(act.writer, author.id) && !isRoleAtLeast(author.role, 'admin')) {
    return refused('notAllowed', 'a shard for another device', 'admin or above');
  }
  const first: ShardEpoch = {
    epoch: epoch(1),
    writer: act.writer,
    cut: chainStart,
    fence: noHash,
    destination: undefined,
    controlSlot: draft.slot,
    author: author.id,
  };
  draft.shards.set(bytesToHex(id), { id, kind: act.kind, name: act.name, epoch: first.epoch, writer: act.writer, epochs: [first] });
  return undefined;
}

/** That the fence named stands as the shard's last slot is the relay's to see: a fold sees no slots (decision 0003). */
function applyCut(draft: Draft, author: Device, act: CutAct): Refusal | undefined {
  const shard = draft.shards.get(bytesToHex(act.shard));
  if (shard === undefined) return refused('unknownShard', `shard ${short(act.shard)}`, 'a shard of this workspace');
  if (!mayTakeOver(shard, author)) return refused('notAllowed', `a cut by a ${author.role}`, 'the writer, admin or above');
  if (act.epoch <= shard.epoch) return refused('epochFell', `epoch ${act.epoch}`, `above ${shard.epoch}`);
  return (
    headRefusal(shard, act) ??
    writerRefusal(draft, shard, author, act) ??
    destinationRefusal(draft, shard, act) ??
    openEpoch(draft, shard, author, act)
  );
}

/** What was cut once stays: a later cut lies at or above it. */
function headRefusal(shard: ShardEntry, act: CutAct): Refusal | undefined {
  const last = (shard.epochs.at(-1) as ShardEpoch).cut;
  const isStart = act.seq === 0;
  const isHead = isStart === isNoHash(act.head) && act.seq >= last.seq && (act.seq > last.seq || isSameBytes(act.head, last.hash));
  return isHead
    ? undefined
    : refused('badCut', `seq ${act.seq} (${short(act.head)})`, `the last cut, seq ${last.seq} (${short(last.hash)}), or above`);
}

/** A key that wrote here before may sit in a backup or a clone: only itself can say that it goes on (decision 0003). */
function writerRefusal(draft: Draft, shard: ShardEntry, author: Device, act: CutAct): Refusal | undefined {
  const id = act.writer;
  if (id === undefined) return undefined;
  const writer = draft.devices.get(bytesToHex(id));
  if (writer === undefined || !isRoleAtLeast(writer.role, 'writer')) {
    return refused('badWriter', `writer ${short(id)}`, 'an enrolled device that may write');
  }
  const wroteBefore = shard.epochs.some((known) => known.writer !== undefined && isSameBytes(known.writer, id));
  if (!wroteBefore || isSameBytes(id, author.id)) return undefined;
  return refused('usedWriter', `writer ${short(id)}, who wrote here before`, 'a key that never wrote here, or the author itself');
}

function destinationRefusal(draft: Draft, shard: ShardEntry, act: CutAct): Refusal | undefined {
  if (act.destination === undefined) return undefined;
  const kind = draft.shards.get(bytesToHex(act.destination))?.kind;
  return kind === shard.kind ? undefined : refused('badDestination', `shard ${short(act.destination)}`, `a shard of kind ${shard.kind}`);
}

function openEpoch(draft: Draft, shard: ShardEntry, author: Device, act: CutAct): undefined {
  const { writer, destination, fence } = act;
  const opened: ShardEpoch = {
    epoch: act.epoch,
    writer,
    cut: cutHead(act),
    fence,
    destination,
    controlSlot: draft.slot,
    author: author.id,
  };
  draft.shards.set(bytesToHex(shard.id), { ...shard, epoch: act.epoch, writer, epochs: [...shard.epochs, opened] });
}

/** Its invites end with it: it knows their secrets. The cuts that must stand beside it are counted when all acts are applied. */
function applyRevoke(draft: Draft, author: Device, act: Extract<Act, { act: 'revoke' }>): Refusal | undefined {
  const name = bytesToHex(act.device);
  const device = draft.devices.get(name);
  if (device === undefined) return refused('notEnrolled', `device ${short(act.device)}`, 'an enrolled device');
  if (!isRoleAtLeast(author.role, device.role)) return refused('roleTooHigh', `a revocation of ${device.role}`, `${author.role} or below`);
  const owners = [...draft.devices.values()].filter(({ role }) => role === 'owner').length;
  if (device.role === 'owner' && owners === 1) return refused('lastOwner', 'a revocation of the last owner', 'one that leaves an owner');
  draft.devices.delete(name);
  draft.revoked.set(name, device);
  for (const [id, made] of draft.invites) if (isSameBytes(made.by, act.device)) draft.invites.set(id, { ...made, usesLeft: 0 });
  return undefined;
}

/** A shard that a revoked device would still write: its entry must cut it too, or it does not fold. */
function uncutShard(draft: Draft): Refusal | undefined {
  for (const shard of draft.shards.values()) {
    if (shard.writer === undefined || !draft.revoked.has(bytesToHex(shard.writer))) continue;
    return refused('cutMissing', `shard ${shard.kind}/${shard.name} still written by the revoked device`, 'a cut of it in the same entry');
  }
  return undefined;
}

/** A key says who somebody was for ever: also a revoked one is not given out again. */
const isKeyTaken = (draft: Draft, id: KeyId): boolean =>
  [draft.devices, draft.revoked, draft.invites].some((known) => known.has(bytesToHex(id)));

/** What an invite key signs to let a device in. */
export const enrolMessage = (workspace: WorkspaceId, device: PublicKey): Uint8Array => tagged('enrol', workspace, device);

const refused = (reason: string, found: string, expected: string): Refusal => ({ kind: 'refused', reason, found, expected });

/** The state before any slot, for places that need a head to sign over. */
export const controlStart = { slot: slot(0), head: noHash, time: timeMs(0) };
