// Branded units: a seq cannot be passed where a slot belongs. Each brand is made by one checked function.

import { type Bytes, bytesToHex } from './bytes.ts';
import { FoldlogError } from './errors.ts';

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Number of an op in its shard, from 1 without gaps; 0 is "before the first". */
export type Seq = Brand<number, 'Seq'>;
/** Grows with each new writer of a shard, from 1. */
export type Epoch = Brand<number, 'Epoch'>;
/** Number of a create-only place in a log, from 1; 0 is "before the first". */
export type Slot = Brand<number, 'Slot'>;
/** Milliseconds since the Unix epoch by somebody's wall clock: advisory. */
export type TimeMs = Brand<number, 'TimeMs'>;
/** SHA-256 digest, 32 bytes. */
export type Hash = Brand<Bytes, 'Hash'>;
/** 16 bytes derived from the workspace id and a nonce. */
export type ShardId = Brand<Bytes, 'ShardId'>;
/** 32 bytes: digest of the genesis entry. */
export type WorkspaceId = Brand<Bytes, 'WorkspaceId'>;
/** 16 bytes derived from a public key. */
export type KeyId = Brand<Bytes, 'KeyId'>;
/** 16 random bytes the caller chose: names a commit group through retries and rebase. */
export type GroupId = Brand<Bytes, 'GroupId'>;
/** 16 random bytes: one life of a relay's store for a workspace. */
export type Incarnation = Brand<Bytes, 'Incarnation'>;
/** Ed25519 public key, 32 bytes. */
export type PublicKey = Brand<Bytes, 'PublicKey'>;
/** Ed25519 signature, 64 bytes. */
export type Signature = Brand<Bytes, 'Signature'>;

export const integerMax = Number.MAX_SAFE_INTEGER;
export const epochMax = 0xffff_ffff;

function integerUnit<T>(name: string, max: number, min = 0): (value: number) => T {
  return (value) => {
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      throw FoldlogError.misuse({ where: name, reason: 'badUnit', found: String(value), expected: `an integer from ${min} to ${max}` });
    }
    return value as T;
  };
}

function bytesUnit<T>(name: string, length: number): (value: Uint8Array) => T {
  return (value) => {
    if (!(value instanceof Uint8Array) || value.length !== length) {
      const found = value instanceof Uint8Array ? `${value.length} bytes` : typeof value;
      throw FoldlogError.misuse({ where: name, reason: 'badUnit', found, expected: `${length} bytes` });
    }
    return value as T;
  };
}

export const seq = integerUnit<Seq>('seq', integerMax);
export const epoch = integerUnit<Epoch>('epoch', epochMax, 1);
export const slot = integerUnit<Slot>('slot', integerMax);
export const timeMs = integerUnit<TimeMs>('time', integerMax);

export const hash = bytesUnit<Hash>('hash', 32);
export const shardId = bytesUnit<ShardId>('shard id', 16);
export const workspaceId = bytesUnit<WorkspaceId>('workspace id', 32);
export const keyId = bytesUnit<KeyId>('key id', 16);
export const groupId = bytesUnit<GroupId>('group id', 16);
export const incarnation = bytesUnit<Incarnation>('incarnation', 16);
export const publicKey = bytesUnit<PublicKey>('public key', 32);
export const signature = bytesUnit<Signature>('signature', 64);

/** 32 zero bytes: the "hash" of what comes before the first of anything. */
export const noHash: Hash = hash(new Uint8Array(32));
export const isNoHash = (value: Uint8Array): boolean => value.every((byte) => byte === 0);

/** First eight hex digits, for messages that people read. */
export const short = (bytes: Uint8Array): string => bytesToHex(bytes.subarray(0, 4));

/** A position in a chain: the last op counted and the hash of the group that holds it. */
export interface Head {
  readonly seq: Seq;
  readonly hash: Hash;
}

export const chainStart: Head = { seq: seq(0), hash: noHash };
