// What page and worker say to each other: calls and their outcomes over the worker itself (Comlink), news over a MessagePort of its own.
// Both sides come from one build or refuse each other in the handshake, so everything but `hello` may change with `protocolVersion`.

import { bytesToHex } from '../../kernel/bytes.ts';
import { errorToPlain, FoldlogError, isPlainError, type PlainError, plainToError } from '../../kernel/errors.ts';
import type { FormFactor } from '../../kernel/limits.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Sql } from '../../shards/sql.ts';
import type { Row } from '../engine/database.ts';
import type { EngineStatus } from '../engine/engine.ts';
import type { LivePatch, LiveSpec } from '../engine/live.ts';
import type { InviteOptions } from '../engine/membership.ts';
import type { Published } from '../engine/publish.ts';
import type { SaveSource } from '../engine/save.ts';
import type { Backend } from '../engine/storage-pool.ts';

export const protocolVersion = 1;

/** An error loses class and fields in `postMessage`, so what can fail answers in this form. */
export type Outcome<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'failed'; readonly error: PlainError };

/** Says whether two builds mean the same shard. */
export interface DefinitionStamp {
  readonly kind: string;
  readonly version: number;
  readonly foldId: string;
}

export interface Hello {
  readonly protocol: number;
  readonly definitions: readonly DefinitionStamp[];
}

export interface StoreSettings {
  readonly store: string;
  /** Absolute URL without a trailing slash. */
  readonly relay: string | undefined;
  readonly pollMs: number;
  readonly allowMemory: boolean;
  /** Where files may live, in the order of trying; the OPFS pool, then IndexedDB. */
  readonly backends?: readonly Backend[];
  readonly formFactor?: FormFactor;
  /** Name of a Web Lock the worker holds while it lives: how the page learns of its end. */
  readonly session: string;
}

export interface OpenedShard {
  readonly handle: string;
  readonly committedSeq: number;
}

export interface SavedPlace {
  readonly epoch: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

/** The calls a worker answers. A save is one message each way; its ops come as JSON text when JSON carries them unchanged. */
export interface EngineCalls {
  hello(hello: Hello): Promise<Outcome<void>>;
  open(settings: StoreSettings, news: MessagePort): Promise<Outcome<void>>;
  create(names: { readonly workspace: string; readonly device: string }): Promise<Outcome<{ readonly recoveryKey: string }>>;
  join(link: string, device: string): Promise<Outcome<void>>;
  invite(options: InviteOptions): Promise<Outcome<string>>;
  openShard(kind: string, name: string): Promise<Outcome<OpenedShard>>;
  save(handle: string, group: string, source: string | SaveSource): Promise<Outcome<SavedPlace>>;
  read(handle: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>>;
  live(handle: string, id: number, spec: LiveSpec): Promise<Outcome<void>>;
  unlive(id: number): Promise<Outcome<void>>;
  publish(handle: string): Promise<Outcome<Published>>;
  follow(pattern: string): Promise<Outcome<void>>;
  readAcross(pattern: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>>;
  status(): Promise<Outcome<unknown>>;
  /** Whether anybody looks at status: nobody pays for it otherwise. */
  watchStatus(isWatched: boolean): Promise<Outcome<void>>;
  sync(): Promise<Outcome<void>>;
  close(): Promise<Outcome<void>>;
}

/** News of the worker, not asked for. */
export type News =
  | { readonly kind: 'committed'; readonly shard: string; readonly seq: number }
  | { readonly kind: 'live'; readonly id: number; readonly patch: LivePatch }
  | { readonly kind: 'liveFailed'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'status'; readonly status: unknown };

export const ok = <T>(value: T): Outcome<T> => ({ kind: 'ok', value });
export const failed = (error: unknown): Outcome<never> => ({ kind: 'failed', error: errorToPlain(error) });

export const stampOf = (definition: ShardDefinition): DefinitionStamp => ({
  kind: definition.kind,
  version: definition.spec.version,
  foldId: bytesToHex(definition.foldId),
});

/** @throws {FoldlogError} `reloadNeeded` `otherProtocol`, `otherSchema`: page and worker are not of one build */
export function requireSameBuild(hello: Hello, definitions: readonly ShardDefinition[]): void {
  if (hello.protocol !== protocolVersion) {
    throw new FoldlogError('reloadNeeded', {
      where: 'page and worker',
      reason: 'otherProtocol',
      found: `a page that speaks protocol ${hello.protocol}`,
      expected: `protocol ${protocolVersion}, as its worker`,
    });
  }
  const mine = definitions.map(stampOf);
  const words = (stamp: DefinitionStamp | undefined): string =>
    stamp === undefined ? 'none' : `version ${stamp.version} (fold ${stamp.foldId.slice(0, 12)})`;
  for (const kind of new Set([...mine, ...hello.definitions].map((stamp) => stamp.kind))) {
    const here = mine.find((stamp) => stamp.kind === kind);
    const there = hello.definitions.find((stamp) => stamp.kind === kind);
    if (words(here) === words(there)) continue;
    throw new FoldlogError('reloadNeeded', {
      where: `shard definition ${kind}`,
      reason: 'otherSchema',
      found: `${words(there)} in the page`,
      expected: `${words(here)}, as in its worker`,
    });
  }
}

/** Status holds errors at a few places; their plain forms stand there while it crosses. */
export const statusToWire = (status: EngineStatus): unknown =>
  mapDeep(status, (value) => (value instanceof FoldlogError ? errorToPlain(value) : undefined));

export const statusFromWire = (wire: unknown): EngineStatus =>
  mapDeep(wire, (value) => (isPlainError(value) ? plainToError(value) : undefined)) as EngineStatus;

function mapDeep(value: unknown, replace: (value: object) => unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const replaced = replace(value);
  if (replaced !== undefined) return replaced;
  if (Array.isArray(value)) return value.map((item) => mapDeep(item, replace));
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapDeep(item, replace)]));
}
