// What this device set out to do to other writers and must not forget over a restart: taking a shard over, revoking a device. Each is noted in the
// workspace file before anything is sent, with every fence as it was signed (decision 0003). Steps: take-over.ts.

import { type Bytes, base64urlToBytes, bytesToBase64url, bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { objectHash } from '../../kernel/digest.ts';
import { type Hash, type KeyId, keyId, type ShardId, shardId } from '../../kernel/units.ts';
import type { WorkspaceFile } from './workspace-file.ts';

export interface FenceNote {
  readonly shard: ShardId;
  /** The fence as signed for one slot: sent again as it is until the relay says how it ended. */
  readonly signed: Bytes | undefined;
  /** The slot object, once it stands. */
  readonly object: Bytes | undefined;
}

export type Intent = { readonly fences: readonly FenceNote[]; readonly refused: string | undefined } & (
  | { readonly kind: 'takeOver'; readonly shard: ShardId }
  | { readonly kind: 'revoke'; readonly device: KeyId }
);

/** Object hash of a fence that stands: what its cut names. */
export const fenceHash = (note: FenceNote): Hash | undefined => (note.object === undefined ? undefined : objectHash(note.object));

export const intentName = (intent: Intent): string =>
  intent.kind === 'takeOver' ? `intent/takeOver/${bytesToHex(intent.shard)}` : `intent/revoke/${bytesToHex(intent.device)}`;

export const takeOverOf = (shard: ShardId): Intent => ({ kind: 'takeOver', shard, fences: [], refused: undefined });
export const revokeOf = (device: KeyId): Intent => ({ kind: 'revoke', device, fences: [], refused: undefined });

export class Intents {
  readonly #file: WorkspaceFile;

  constructor(file: WorkspaceFile) {
    this.#file = file;
  }

  all(): readonly Intent[] {
    return this.#file.notes('intent/').map(({ name, text }) => readIntent(name, text));
  }

  find(intent: Intent): Intent | undefined {
    return this.all().find((known) => intentName(known) === intentName(intent));
  }

  takeOver(shard: ShardId): Intent | undefined {
    return this.find(takeOverOf(shard));
  }

  put(intent: Intent): void {
    const fences = intent.fences.map(({ shard, signed, object }) => ({
      shard: bytesToHex(shard),
      signed: signed === undefined ? null : bytesToBase64url(signed),
      object: object === undefined ? null : bytesToBase64url(object),
    }));
    this.#file.putNote(intentName(intent), JSON.stringify({ fences, refused: intent.refused ?? null }));
  }

  drop(intent: Intent): void {
    this.#file.dropNote(intentName(intent));
  }
}

interface Stored {
  readonly fences: readonly { readonly shard: string; readonly signed: string | null; readonly object: string | null }[];
  readonly refused: string | null;
}

/** Written by `put` alone, into a file whose pages are checked at every start. */
function readIntent(name: string, text: string): Intent {
  const [, kind = '', id = ''] = name.split('/');
  const stored = JSON.parse(text) as Stored;
  const bytesOf = (part: string | null): Bytes | undefined => (part === null ? undefined : base64urlToBytes(part, name));
  const fences = stored.fences.map(({ shard, signed, object }) => ({
    shard: shardId(hexToBytes(shard, name)),
    signed: bytesOf(signed),
    object: bytesOf(object),
  }));
  const rest = { fences, refused: stored.refused ?? undefined };
  const bytes = hexToBytes(id, name);
  return kind === 'takeOver' ? { kind, shard: shardId(bytes), ...rest } : { kind: 'revoke', device: keyId(bytes), ...rest };
}
