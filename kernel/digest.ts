// SHA-256 over tagged messages. A tag is `foldlog/v1/<name>` and a zero byte, so no tagged message is a prefix of another
// (decision 0001). Whole stored objects are hashed plain: their preamble already says what they are.

import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import { type Bytes, concatBytes, utf8 } from './bytes.ts';
import { type Hash, hash, type KeyId, keyId, type PublicKey, type ShardId, shardId, type WorkspaceId } from './units.ts';
import { suite } from './wire.ts';

const tagNames = [
  'body',
  'group',
  'seal',
  'commit',
  'fence',
  'receipt',
  'control',
  'control-slot',
  'workspace',
  'shard',
  'key',
  'enrol',
  'invite',
  'checkpoint',
  'attest',
  'request',
  'state',
  'fold',
  'fold-source',
] as const;
export type Tag = (typeof tagNames)[number];

const tags = Object.fromEntries(tagNames.map((name) => [name, utf8(`foldlog/v1/${name}\0`)])) as Record<Tag, Bytes>;

/** The bytes that are signed or hashed for a purpose: its tag, then the parts. */
export const tagged = (tag: Tag, ...parts: readonly Uint8Array[]): Bytes => concatBytes(tags[tag], ...parts);

export const sha256 = (bytes: Uint8Array): Hash => hash(nobleSha256(bytes));

/** SHA-256 of a tagged message without joining its parts first. */
export function taggedHash(tag: Tag, ...parts: readonly Uint8Array[]): Hash {
  const state = nobleSha256.create().update(tags[tag]);
  for (const part of parts) state.update(part);
  return hash(state.digest());
}

/** Hash of a whole stored object: what the next slot names as its predecessor. */
export const objectHash = sha256;

export const keyIdOf = (key: PublicKey): KeyId => keyId(taggedHash('key', Uint8Array.of(suite), key).slice(0, 16));

export const shardIdOf = (workspace: WorkspaceId, nonce: Uint8Array): ShardId =>
  shardId(taggedHash('shard', workspace, nonce).slice(0, 16));
