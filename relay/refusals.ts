// The relay's typed errors that several files throw, and the one table from errors to HTTP statuses (docs/relay-api.md#statuses).
// Statuses serve proxies and people; clients decide by `kind` and `reason` of the body.

import { FoldlogError } from '../kernel/errors.ts';
import { type ShardId, type Slot, short, type WorkspaceId } from '../kernel/units.ts';

/** Reasons whose status is not that of their kind. */
export const statusOfReason: Readonly<Record<string, number>> = {
  // who is asking
  badCredential: 401,
  wrongCredential: 401,
  clockSkew: 401,
  unknownDevice: 401,
  revoked: 401,
  wrongSignature: 401,
  // may not
  notAllowed: 403,
  wrongWriter: 403,
  wrongWorkspace: 403,
  wrongShard: 403,
  roleTooHigh: 403,
  notItself: 403,
  badWriter: 403,
  unknownInvite: 403,
  inviteSpent: 403,
  inviteExpired: 403,
  wrongProof: 403,
  // not there
  unknownRoute: 404,
  unknownWorkspace: 404,
  unknownShard: 404,
  unknownChunk: 404,
  wrongMethod: 405,
  // not in this state
  staleHead: 409,
  slotTaken: 409,
  fenceMoved: 409,
  fenceReserved: 409,
  wrongCut: 409,
  epochFell: 409,
  badCut: 409,
  usedWriter: 409,
  cutMissing: 409,
  notEnrolled: 409,
  lastOwner: 409,
  staleCheckpoint: 409,
  brokenLink: 409,
  noRelay: 409,
  nameTaken: 409,
  keyTaken: 409,
  shardTaken: 409,
  secondGenesis: 409,
  tooManyInvites: 409,
  // too much
  tooLarge: 413,
  entryTooLarge: 413,
  bomb: 413,
  otherRelay: 421,
  hostFailed: 500,
  storeContract: 503,
};

export const statusOfKind: Readonly<Record<FoldlogError['kind'], number>> = {
  misuse: 400,
  fenced: 409,
  reloadNeeded: 409,
  corrupt: 422,
  upgradeNeeded: 422,
  locked: 423,
  unavailable: 503,
  unknown: 504,
  storageFull: 507,
};

export const statusOf = (error: FoldlogError): number =>
  (Object.hasOwn(statusOfReason, error.reason) ? statusOfReason[error.reason] : undefined) ?? statusOfKind[error.kind];

export const storeTrouble = (where: string, cause: unknown): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'storeUnavailable',
    found: 'a store that does not answer',
    expected: 'an answer',
    cause,
  });

export const storeUnknown = (where: string, cause: unknown): FoldlogError =>
  new FoldlogError('unknown', {
    where,
    reason: 'storeUnknown',
    found: 'a write whose outcome the store does not tell',
    expected: 'written or refused',
    todo: 'send the same bytes again',
    cause,
  });

/** The store no longer holds what this relay acknowledged: nothing may be built on it. */
export const rolledBack = (where: string, found: string, expected: string): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'rolledBack',
    retry: 'later',
    found,
    expected,
    todo: "keep everything; the relay's store was wiped or rolled back and has to be seeded again under a new incarnation",
  });

export const unknownWorkspace = (workspace: WorkspaceId): FoldlogError =>
  new FoldlogError('unavailable', {
    where: `workspace ${short(workspace)}`,
    reason: 'unknownWorkspace',
    retry: 'later',
    found: 'no control log',
    expected: 'a genesis entry in control slot 1',
    todo: 'send the genesis entry first, or look at whether this is the right relay',
  });

export const unknownShard = (shard: ShardId): FoldlogError =>
  new FoldlogError('unavailable', {
    where: `shard ${short(shard)}`,
    reason: 'unknownShard',
    retry: 'later',
    found: 'no such shard in the control log',
    expected: 'a shard entry',
    todo: 'send the control entry that declares the shard first',
  });

export const slotName = (shard: ShardId, slot: Slot): string => `slot ${slot} of shard ${short(shard)}`;
