// The engine's own ops, as they stand in a body beside the app's: class `foldlog.<name>`, version 1, a payload of fixed fields in one spelling.
// What they do to a shard's tables is in worker/engine/system-fold.ts; decisions 0003 and 0004.

import { type Bytes, bytesToBase64url } from './bytes.ts';
import { tagged } from './digest.ts';
import { FoldlogError } from './errors.ts';
import { JsonFields } from './json-fields.ts';
import type { JsonValue, Op } from './op-body.ts';
import { systemClassPrefix } from './op-body.ts';
import {
  type Epoch,
  epoch,
  epochMax,
  type Hash,
  hash,
  type KeyId,
  keyId,
  type Seq,
  type ShardId,
  type Signature,
  type Slot,
  seq,
  shardId,
  signature,
  slot,
} from './units.ts';
import { Writer } from './wire.ts';

/** A place in a chain where a group was born: what its rebase must name for ever. */
export interface Origin {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
}

/** An admin's word that a group which another key sealed belongs where it is saved again. */
export interface Attest {
  /** The admin's key. */
  readonly key: KeyId;
  /** Hash of the group that stood there. */
  readonly group: Hash;
  readonly signature: Signature;
}

export type SystemOp =
  /** The state from here on is that of another schema version or fold (decision 0004). */
  | { readonly kind: 'schemaMoved'; readonly from: number; readonly to: number; readonly foldId: Hash }
  /** First op of a group that is saved again (decision 0003): where it stranded, the cut it stands above, and the control slot of that cut. */
  | {
      readonly kind: 'rebased';
      readonly from: Origin;
      readonly cut: Seq;
      readonly controlSlot: Slot;
      /** Where it was first saved, when it was rebased before. */
      readonly born: Origin | undefined;
      /** There when another key sealed it in `from` than seals it here. */
      readonly attest: Attest | undefined;
    };

export type RebasedOp = Extract<SystemOp, { kind: 'rebased' }>;

const classes = { schemaMoved: 'foldlog.schemaMoved', rebased: 'foldlog.rebased' } as const satisfies Record<SystemOp['kind'], string>;

export const isSystemOp = (op: Op): boolean => op.class.startsWith(systemClassPrefix);

export function systemOp(made: SystemOp): Op {
  return { class: classes[made.kind], version: 1, payload: payloadOf(made) };
}

function payloadOf(made: SystemOp): JsonValue {
  if (made.kind === 'schemaMoved') return { from: made.from, to: made.to, foldId: bytesToBase64url(made.foldId) };
  const { from, cut, controlSlot, born, attest } = made;
  return {
    ...{ from: originToJson(from), cut, controlSlot },
    ...(born === undefined ? {} : { born: originToJson(born) }),
    ...(attest === undefined ? {} : { attest: attestToJson(attest) }),
  };
}

const originToJson = (origin: Origin): JsonValue => ({
  shard: bytesToBase64url(origin.shard),
  epoch: origin.epoch,
  firstSeq: origin.firstSeq,
  lastSeq: origin.lastSeq,
});

const attestToJson = (attest: Attest): JsonValue => ({
  key: bytesToBase64url(attest.key),
  group: bytesToBase64url(attest.group),
  signature: bytesToBase64url(attest.signature),
});

/** What the admin signs: where the group may go, and which group it is. */
export function attestMessage(at: { readonly destination: ShardId; readonly from: Origin; readonly group: Hash }): Bytes {
  const { destination, from, group } = at;
  const signed = new Writer(16 + 16 + 4 + 8 + 8 + 32)
    .bytes(destination)
    .bytes(from.shard)
    .u32(from.epoch)
    .u64(from.firstSeq)
    .u64(from.lastSeq)
    .bytes(group)
    .done();
  return tagged('attest', signed);
}

/** The range that a rebase takes for ever: where its ops were first saved. */
export const bornIn = (made: RebasedOp): Origin => made.born ?? made.from;

/**
 * Reads one of the engine's own ops.
 * @throws {FoldlogError} `upgradeNeeded` `unknownClass`, `newerClass`: of a newer engine · `corrupt` `badSystemOp`
 */
export function readSystemOp(op: Op, where: string): SystemOp {
  const known = (Object.keys(classes) as SystemOp['kind'][]).find((kind) => classes[kind] === op.class);
  if (known === undefined || op.version > 1) {
    throw new FoldlogError('upgradeNeeded', {
      where,
      reason: known === undefined ? 'unknownClass' : 'newerClass',
      found: `the engine's class ${op.class}, version ${op.version}`,
      expected: `version 1 of ${Object.values(classes).join(', ')}`,
    });
  }
  const fields = new JsonFields(op.payload, { where: `${where}, ${op.class}`, reason: 'badSystemOp' });
  if (known === 'schemaMoved') {
    const [movedFrom, to] = [fields.integer('from'), fields.integer('to')];
    if (movedFrom < 1 || to < movedFrom || to > 0xffff_ffff)
      throw fields.bad(`a move from ${movedFrom} to ${to}`, 'versions from 1 on, upward');
    return fields.end({ kind: known, from: movedFrom, to, foldId: hash(fields.bytes('foldId', 32)) });
  }
  const from = originIn(fields, 'from');
  const cut = seq(fields.integer('cut'));
  const controlSlot = slot(fields.integer('controlSlot'));
  const born = fields.has('born') ? originIn(fields, 'born') : undefined;
  const attest = fields.has('attest') ? attestIn(fields) : undefined;
  return fields.end({ kind: known, from, cut, controlSlot, born, attest });
}

function attestIn(fields: JsonFields): Attest {
  const at = new JsonFields(fields.value('attest'), { where: `${fields.where}, attest`, reason: 'badSystemOp' });
  const key = keyId(at.bytes('key', 16));
  const group = hash(at.bytes('group', 32));
  return at.end({ key, group, signature: signature(at.bytes('signature', 64)) });
}

function originIn(fields: JsonFields, field: string): Origin {
  const at = new JsonFields(fields.value(field), { where: `${fields.where}, ${field}`, reason: 'badSystemOp' });
  const shard = shardId(at.bytes('shard', 16));
  const inEpoch = at.integer('epoch');
  if (inEpoch < 1 || inEpoch > epochMax) throw at.bad(`epoch ${inEpoch}`, `1 to ${epochMax}`);
  const firstSeq = seq(at.integer('firstSeq'));
  const lastSeq = seq(at.integer('lastSeq'));
  if (firstSeq < 1 || lastSeq < firstSeq) throw at.bad(`seqs ${firstSeq} to ${lastSeq}`, 'a range from 1 on');
  return at.end({ shard, epoch: epoch(inEpoch), firstSeq, lastSeq });
}
