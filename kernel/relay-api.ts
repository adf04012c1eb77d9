// The relay's requests as both sides spell them: paths, and the framing of answers that hold several objects.
// What each does and answers: docs/relay-api.md. Bodies are the binary objects of docs/format.md; errors are plain errors as JSON.

import { type Bytes, bytesToHex, hexToBytes } from './bytes.ts';
import { FoldlogError } from './errors.ts';
import { type Hash, hash, type Seq, type ShardId, type Slot, shardId, type WorkspaceId, workspaceId } from './units.ts';
import { Reader, Writer } from './wire.ts';

const workspacePath = (workspace: WorkspaceId): string => `/v1/workspaces/${bytesToHex(workspace)}`;
const shardPath = (workspace: WorkspaceId, shard: ShardId): string => `${workspacePath(workspace)}/shards/${bytesToHex(shard)}`;

export const relayPaths = {
  /** GET: the relay's public key, format and limits, as JSON. */
  relay: '/v1/relay',
  /** GET: control slot objects after a slot, framed. */
  control: (workspace: WorkspaceId, after: Slot): string => `${workspacePath(workspace)}/control?after=${after}`,
  /** POST: a control entry; answers with the slot object that holds it. */
  controlAppend: (workspace: WorkspaceId): string => `${workspacePath(workspace)}/control`,
  /** POST: a push; answers with a receipt. */
  push: (workspace: WorkspaceId, shard: ShardId): string => `${shardPath(workspace, shard)}/push`,
  /** POST: a signed fence; answers with the slot object that holds it. */
  fence: (workspace: WorkspaceId, shard: ShardId): string => `${shardPath(workspace, shard)}/fence`,
  /** GET: slot objects after a slot, framed; at least one when there is one, then as many as fit in `bytes`. */
  log: (workspace: WorkspaceId, shard: ShardId, after: Slot, bytes: number): string =>
    `${shardPath(workspace, shard)}/log?after=${after}&bytes=${bytes}`,
  /** GET: how long the log is, as JSON. */
  logHead: (workspace: WorkspaceId, shard: ShardId): string => `${shardPath(workspace, shard)}/head`,
  /** POST: a checkpoint statement. */
  checkpoints: (workspace: WorkspaceId, shard: ShardId): string => `${shardPath(workspace, shard)}/checkpoints`,
  /** GET: the newest statement, or the newest whose head is not above a seq; 204 when there is none. */
  newestCheckpoint: (workspace: WorkspaceId, shard: ShardId, upTo?: Seq): string =>
    `${shardPath(workspace, shard)}/checkpoints/newest${upTo === undefined ? '' : `?upTo=${upTo}`}`,
  /** PUT and GET: one chunk, named by the SHA-256 of its bytes. */
  chunk: (workspace: WorkspaceId, shard: ShardId, chunk: Hash): string => `${shardPath(workspace, shard)}/chunks/${bytesToHex(chunk)}`,
} as const;

/** The three read an id as the paths above spell it. @throws {FoldlogError} `corrupt` `badHex` */
export const workspaceFromPath = (text: string): WorkspaceId => workspaceId(idFromPath(text, 32, 'workspace in path'));
export const shardFromPath = (text: string): ShardId => shardId(idFromPath(text, 16, 'shard in path'));
export const chunkFromPath = (text: string): Hash => hash(idFromPath(text, 32, 'chunk in path'));

function idFromPath(text: string, length: number, where: string): Bytes {
  if (text.length !== 2 * length) {
    const expected = `${2 * length} hex digits`;
    throw FoldlogError.corrupt({ where, reason: 'badHex', found: `${text.length} characters`, expected });
  }
  return hexToBytes(text, where);
}

/** What `GET /v1/relay` answers. */
export interface RelayInfo {
  /** Public key, base64url. */
  readonly key: string;
  readonly format: number;
  readonly suite: number;
  /** The largest push this deployment takes, inflated. */
  readonly runBytesMax: number;
}

/** What `GET …/head` answers: for consent and progress, never evidence. Zeros while the log is empty. */
export interface LogLength {
  readonly slot: number;
  readonly seq: number;
  /** Of all slot objects. */
  readonly bytes: number;
}

/** Several objects in one answer: each behind its length as u32. */
export function encodeFrames(objects: readonly Uint8Array[]): Bytes {
  const writer = new Writer(objects.reduce((sum, object) => sum + 4 + object.length, 0));
  for (const object of objects) writer.u32(object.length).bytes(object);
  return writer.done();
}

/** @throws {FoldlogError} `corrupt` on anything but whole frames */
export function decodeFrames(bytes: Uint8Array, where: string): readonly Bytes[] {
  const reader = new Reader(bytes, where);
  const objects: Bytes[] = [];
  while (reader.left > 0) objects.push(reader.bytes(reader.u32('frame length')));
  return objects;
}
