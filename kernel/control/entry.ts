// A control entry (acts signed by their author over the control head it saw) and the slot object that holds it (with the
// relay's time and signature). Layout: docs/format.md#control. Decision 0005.

import { type Bytes, concatBytes, utf8 } from '../bytes.ts';
import { keyIdOf, objectHash, sha256, tagged, taggedHash } from '../digest.ts';
import { FoldlogError } from '../errors.ts';
import { controlEntryBytesMax } from '../limits.ts';
import { type JsonValue, parseCanonicalJson } from '../op-body.ts';
import type { Signer } from '../ports.ts';
import {
  type Hash,
  hash,
  type KeyId,
  keyId,
  type Signature,
  type Slot,
  signature,
  slot,
  type TimeMs,
  timeMs,
  type WorkspaceId,
  workspaceId,
} from '../units.ts';
import { preambleBytes, Reader, Writer } from '../wire.ts';
import { type Act, actsFromJson, actsToJson } from './acts.ts';

export interface ControlEntry {
  /** Zeros in the genesis entry, whose digest is the workspace id. */
  readonly workspace: WorkspaceId;
  /** Object hash of the control slot the author had seen last; zeros in genesis. */
  readonly prev: Hash;
  readonly author: KeyId;
  readonly acts: readonly Act[];
  readonly signature: Signature;
  /** What the author signed. */
  readonly signed: Bytes;
}

export interface ControlSlot {
  readonly workspace: WorkspaceId;
  readonly slot: Slot;
  readonly entry: ControlEntry;
  readonly time: TimeMs;
  readonly relayKey: KeyId;
  readonly relaySignature: Signature;
  readonly signedDigest: Hash;
  readonly objectHash: Hash;
}

const entryHeadBytes = preambleBytes + 32 + 32 + 16 + 4;
const signatureBytes = 64;
/** The most a control slot object may be. */
export const controlSlotBytesMax = controlEntryBytesMax + 256;

/** @throws {FoldlogError} `misuse` `badAct`: a name or field that no reader takes · `entryTooLarge` */
export async function signControlEntry(
  author: Signer,
  at: { readonly workspace: WorkspaceId; readonly prev: Hash },
  acts: readonly Act[],
): Promise<Bytes> {
  const json = actsToJson(acts);
  requireReadable(json);
  const body = utf8(JSON.stringify(json));
  if (entryHeadBytes + body.length + signatureBytes > controlEntryBytesMax) {
    throw FoldlogError.misuse({
      where: 'control entry',
      reason: 'entryTooLarge',
      found: `${body.length} bytes of acts`,
      expected: `at most ${controlEntryBytesMax - entryHeadBytes - signatureBytes}`,
    });
  }
  const signed = new Writer(entryHeadBytes + body.length)
    .preamble('controlEntry')
    .bytes(at.workspace)
    .bytes(at.prev)
    .bytes(keyIdOf(author.publicKey))
    .u32(body.length)
    .bytes(body)
    .done();
  return concatBytes(signed, await author.sign(tagged('control', signed)));
}

/** What is signed must be readable: the decoder's own refusal, told to the caller as its mistake. */
function requireReadable(json: JsonValue): void {
  try {
    actsFromJson(json, 'control entry');
  } catch (error) {
    const { where, reason, found, expected } = error as FoldlogError;
    throw FoldlogError.misuse({ where, reason, found, expected });
  }
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded`; the signature is checked by the fold */
export function decodeControlEntry(bytes: Uint8Array, where: string): ControlEntry {
  if (bytes.length > controlEntryBytesMax) {
    throw FoldlogError.corrupt({
      where,
      reason: 'entryTooLarge',
      found: `${bytes.length} bytes`,
      expected: `at most ${controlEntryBytesMax}`,
    });
  }
  const reader = new Reader(bytes, where);
  reader.preamble('controlEntry');
  const workspace = workspaceId(reader.bytes(32));
  const prev = hash(reader.bytes(32));
  const author = keyId(reader.bytes(16));
  const body = reader.bytes(reader.u32('acts length', controlEntryBytesMax, 2));
  const signed = reader.since(0);
  const entrySignature = signature(reader.bytes(signatureBytes));
  reader.end();
  const acts = actsFromJson(parseCanonicalJson(body, where), where);
  return { workspace, prev, author, acts, signature: entrySignature, signed };
}

/** The workspace that a genesis entry founds: nobody can choose the id, and the relay cannot either. */
export const workspaceIdOfGenesis = (entry: ControlEntry): WorkspaceId => workspaceId(taggedHash('workspace', entry.signed));

export const controlMessage = (entry: ControlEntry): Bytes => tagged('control', entry.signed);

export async function makeControlSlot(
  relay: Signer,
  at: { readonly workspace: WorkspaceId; readonly slot: Slot; readonly time: TimeMs },
  entry: Uint8Array,
): Promise<Bytes> {
  const signed = new Writer(preambleBytes + 32 + 8 + 4 + entry.length + 8 + 16)
    .preamble('controlSlot')
    .bytes(at.workspace)
    .u64(at.slot)
    .u32(entry.length)
    .bytes(entry)
    .u64(at.time)
    .bytes(keyIdOf(relay.publicKey))
    .done();
  return concatBytes(signed, await relay.sign(tagged('control-slot', sha256(signed))));
}

/** @throws {FoldlogError} `corrupt` or `upgradeNeeded` */
export function decodeControlSlot(bytes: Uint8Array, where: string): ControlSlot {
  const reader = new Reader(bytes, where);
  reader.preamble('controlSlot');
  const workspace = workspaceId(reader.bytes(32));
  const slotFound = slot(reader.u64('slot', 1));
  const entry = decodeControlEntry(reader.bytes(reader.u32('entry length', controlEntryBytesMax, entryHeadBytes)), `${where}, entry`);
  const time = timeMs(reader.u64('time'));
  const relayKey = keyId(reader.bytes(16));
  const signedDigest = sha256(bytes.subarray(0, reader.at));
  const relaySignature = signature(reader.bytes(signatureBytes));
  reader.end();
  return { workspace, slot: slotFound, entry, time, relayKey, relaySignature, signedDigest, objectHash: objectHash(bytes) };
}

export const controlSlotMessage = (object: ControlSlot): Bytes => tagged('control-slot', object.signedDigest);
