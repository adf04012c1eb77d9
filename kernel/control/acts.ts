// The acts of the control log: what an entry may say, decoded strictly from canonical JSON. What they mean is in fold.ts.
// Table: docs/format.md#acts. An act this version does not know stops the reader with upgradeNeeded: it may decide who writes.

import { bytesToBase64url } from '../bytes.ts';
import { FoldlogError } from '../errors.ts';
import { JsonFields } from '../json-fields.ts';
import { controlActsMax, nameLengthMax } from '../limits.ts';
import { type JsonValue, jsonFault } from '../op-body.ts';
import {
  type Epoch,
  epoch,
  epochMax,
  type Hash,
  type Head,
  hash,
  type Incarnation,
  incarnation,
  type KeyId,
  keyId,
  type PublicKey,
  publicKey,
  type Seq,
  type ShardId,
  type Signature,
  seq,
  shardId,
  signature,
  type TimeMs,
  timeMs,
} from '../units.ts';

/** From most to least: owner and admin manage, a writer writes its shards, a reader follows. */
export const roles = ['owner', 'admin', 'writer', 'reader'] as const;
export type Role = (typeof roles)[number];

/** Whether `role` may do what `needed` may. */
export const isRoleAtLeast = (role: Role, needed: Role): boolean => roles.indexOf(role) <= roles.indexOf(needed);

export type Act =
  | {
      readonly act: 'genesis';
      readonly name: string;
      readonly owner: PublicKey;
      readonly device: string;
      /** Public half of the one secret a person keeps. */
      readonly recovery: PublicKey;
      readonly nonce: Uint8Array;
      readonly time: TimeMs;
    }
  | { readonly act: 'relay'; readonly key: PublicKey; readonly incarnation: Incarnation }
  | { readonly act: 'invite'; readonly key: PublicKey; readonly role: Role; readonly expiresAt: TimeMs; readonly uses: number }
  | {
      readonly act: 'device';
      readonly key: PublicKey;
      readonly name: string;
      readonly invite: KeyId;
      /** By the invite key over (workspace, device key). */
      readonly proof: Signature;
    }
  | { readonly act: 'shard'; readonly nonce: Uint8Array; readonly kind: string; readonly name: string; readonly writer: KeyId }
  | {
      readonly act: 'cut';
      readonly shard: ShardId;
      /** The epoch that opens: the fence's new one. */
      readonly epoch: Epoch;
      /** Who writes it; nobody when not written. */
      readonly writer?: KeyId;
      /** Object hash of the fence. */
      readonly fence: Hash;
      /** The fence's head, repeated because the fold sees no slots: groups of older epochs count up to here. */
      readonly seq: Seq;
      readonly head: Hash;
      /** Where what the closed epochs saved above the cut may go; nowhere when not written. */
      readonly destination?: ShardId;
    }
  | { readonly act: 'revoke'; readonly device: KeyId };

/** The head at which a `cut` closes the epochs before its own. */
export const cutHead = (cut: Extract<Act, { act: 'cut' }>): Head => ({ seq: cut.seq, hash: cut.head });

/** Separators of paths, patterns and quoted text. */
const separators = '"*/:<>?\\`|';

/** Control characters, and those that turn the direction of text around or do not show. */
function isHidden(code: number): boolean {
  const isControl = code <= 0x1f || (code >= 0x7f && code <= 0x9f);
  const isTurning = (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return isControl || isTurning || code === 0xfeff;
}

/** ASCII punctuation and the space cannot come first, so that a name never looks like a flag, a path or nothing. */
const notFirst = /^[ !$()+,.;_~-]/;

/**
 * Names of workspaces, devices and shards. The rule lists characters and never asks Unicode for categories: those change with the version of
 * the engine, and a name that one reader takes and another does not would split the log.
 */
export function isName(name: string): boolean {
  if (name.length < 1 || name.length > nameLengthMax) return false;
  if (notFirst.test(name) || name.endsWith(' ') || name.includes('..') || jsonFault(name, 0) !== undefined) return false;
  for (let i = 0; i < name.length; i++) if (isHidden(name.charCodeAt(i)) || separators.includes(name[i] as string)) return false;
  return true;
}

/** The one order in which an act is written, whatever order its object was built in. */
const fieldOrder: Readonly<Record<Act['act'], readonly string[]>> = {
  genesis: ['act', 'name', 'owner', 'device', 'recovery', 'nonce', 'time'],
  relay: ['act', 'key', 'incarnation'],
  invite: ['act', 'key', 'role', 'expiresAt', 'uses'],
  device: ['act', 'key', 'name', 'invite', 'proof'],
  shard: ['act', 'nonce', 'kind', 'name', 'writer'],
  cut: ['act', 'shard', 'epoch', 'writer', 'fence', 'seq', 'head', 'destination'],
  revoke: ['act', 'device'],
};

export function actsToJson(acts: readonly Act[]): JsonValue {
  return acts.map((act): JsonValue => {
    const fields: Record<string, JsonValue> = {};
    const values = act as unknown as Readonly<Record<string, JsonValue | Uint8Array | undefined>>;
    for (const name of fieldOrder[act.act]) {
      const value = values[name];
      // Optional fields that are absent are not written.
      if (value !== undefined) fields[name] = value instanceof Uint8Array ? bytesToBase64url(value) : value;
    }
    return fields;
  });
}

/** @throws {FoldlogError} `corrupt` `badAct`, or `upgradeNeeded` for an act of a newer version */
export function actsFromJson(json: JsonValue, where: string): readonly Act[] {
  if (!Array.isArray(json) || json.length < 1 || json.length > controlActsMax) {
    throw FoldlogError.corrupt({ where, reason: 'badAct', found: 'no list of acts', expected: `1 to ${controlActsMax} acts` });
  }
  return json.map((entry: JsonValue, i) => actFromJson(new JsonFields(entry, { where: `${where}, act ${i + 1}`, reason: 'badAct' })));
}

function actFromJson(fields: JsonFields): Act {
  const act = fields.text('act');
  switch (act) {
    case 'genesis':
      return fields.end<Act>({
        act,
        name: nameIn(fields, 'name'),
        owner: publicKey(fields.bytes('owner', 32)),
        device: nameIn(fields, 'device'),
        recovery: publicKey(fields.bytes('recovery', 32)),
        nonce: fields.bytes('nonce', 16),
        time: timeMs(fields.integer('time')),
      });
    case 'relay':
      return fields.end<Act>({ act, key: publicKey(fields.bytes('key', 32)), incarnation: incarnation(fields.bytes('incarnation', 16)) });
    case 'invite':
      return fields.end<Act>({
        act,
        key: publicKey(fields.bytes('key', 32)),
        role: roleIn(fields),
        expiresAt: timeMs(fields.integer('expiresAt')),
        uses: fields.integer('uses'),
      });
    case 'device':
      return fields.end<Act>({
        act,
        key: publicKey(fields.bytes('key', 32)),
        name: nameIn(fields, 'name'),
        invite: keyId(fields.bytes('invite', 16)),
        proof: signature(fields.bytes('proof', 64)),
      });
    case 'shard':
      return fields.end<Act>({
        act,
        nonce: fields.bytes('nonce', 16),
        kind: nameIn(fields, 'kind'),
        name: nameIn(fields, 'name'),
        writer: keyId(fields.bytes('writer', 16)),
      });
    case 'cut':
      return cutFromFields(fields);
    case 'revoke':
      return fields.end<Act>({ act, device: keyId(fields.bytes('device', 16)) });
    default:
      throw new FoldlogError('upgradeNeeded', {
        where: fields.where,
        reason: 'unknownAct',
        found: `the act ${JSON.stringify(act.slice(0, nameLengthMax))}`,
        expected: 'an act this version knows',
      });
  }
}

function cutFromFields(fields: JsonFields): Act {
  const shard = shardId(fields.bytes('shard', 16));
  const opens = fields.integer('epoch');
  if (opens < 2 || opens > epochMax) throw fields.bad(`epoch ${opens}`, `2 to ${epochMax}`);
  const writer = fields.has('writer') ? { writer: keyId(fields.bytes('writer', 16)) } : {};
  const fence = hash(fields.bytes('fence', 32));
  const cutSeq = seq(fields.integer('seq'));
  const head = hash(fields.bytes('head', 32));
  const destination = fields.has('destination') ? { destination: shardId(fields.bytes('destination', 16)) } : {};
  return fields.end<Act>({ act: 'cut', shard, epoch: epoch(opens), ...writer, fence, seq: cutSeq, head, ...destination });
}

function nameIn(fields: JsonFields, field: string): string {
  const value = fields.text(field);
  if (!isName(value)) throw fields.bad(`a bad ${field}`, `1 to ${nameLengthMax} characters, none of them for paths, quotes or control`);
  return value;
}

function roleIn(fields: JsonFields): Role {
  const value = fields.text('role');
  const role = roles.find((known) => known === value);
  if (role === undefined) throw fields.bad(`role ${JSON.stringify(value.slice(0, nameLengthMax))}`, roles.join(', '));
  return role;
}
