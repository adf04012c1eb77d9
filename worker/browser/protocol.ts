// What a page and an engine worker say to each other over one line: calls (Comlink), saves and their answers, news, and signs of life.
// Both ends come from one build or refuse each other first (builds.ts), so everything here may change with `protocolVersion`.

import { errorToPlain, FoldlogError, isPlainError, type PlainError, plainToError } from '../../kernel/errors.ts';
import type { FormFactor } from '../../kernel/limits.ts';
import type { PowerUse } from '../../kernel/ports.ts';
import type { Sql } from '../../shards/sql.ts';
import type { Row } from '../engine/database.ts';
import type { GenesisConsent } from '../engine/follow.ts';
import type { LivePatch, LiveSpec } from '../engine/live.ts';
import type { OnLoss } from '../engine/loss.ts';
import type { InviteOptions } from '../engine/membership.ts';
import type { AlertChange, MetricsReport } from '../engine/metrics.ts';
import type { OutboxItem } from '../engine/outbox-acts.ts';
import type { Published } from '../engine/publish.ts';
import type { Bootstrap } from '../engine/replica-status.ts';
import type { SaveSource } from '../engine/save.ts';
import type { EngineStatus } from '../engine/status.ts';
import type { Backend } from '../engine/storage-pool.ts';
import type { Build } from './builds.ts';

/** An error loses class and fields in `postMessage`, so what can fail answers in this form. */
export type Outcome<T> = { readonly kind: 'ok'; readonly value: T } | { readonly kind: 'failed'; readonly error: PlainError };

export interface StoreSettings {
  readonly store: string;
  /** Absolute URL without a trailing slash. */
  readonly relay: string | undefined;
  readonly pollMs: number;
  readonly allowMemory: boolean;
  /** Where files may live, in the order of trying; the OPFS pool, then IndexedDB. */
  readonly backends?: readonly Backend[];
  readonly formFactor?: FormFactor;
  /** Bytes this origin may hold before new saves are refused: engine/room.ts. */
  readonly storageBytesMax?: number | undefined;
  /** When files or the device's key are gone: engine/loss.ts. */
  readonly onLoss?: OnLoss;
}

/** Who a page is to the owner of the store: random, made per page load. */
export interface TabCard {
  readonly client: string;
  /** For people, when an owner does not answer: the page's title. */
  readonly title: string;
}

export interface OpenedShard {
  readonly handle: string;
  readonly committedSeq: number;
}

export interface SavedPlace {
  readonly epoch: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly isRelaxed: boolean;
}

/** What a page asks of its own worker, whoever owns the store. */
export interface HostCalls {
  hello(build: Build): Promise<Outcome<void>>;
  /** Begins to wait for the store. `session` is a Web Lock this worker holds while it lives: how the page learns of its end. */
  start(settings: StoreSettings, tab: TabCard, session: string): Promise<Outcome<void>>;
  setHidden(isHidden: boolean): Promise<Outcome<void>>;
  /** Closes the store if it is open here, and never asks for it again. */
  stop(): Promise<Outcome<void>>;
}

/** What every attached page asks of the owner. */
export interface EngineCalls {
  create(names: { readonly workspace: string; readonly device: string }): Promise<Outcome<{ readonly recoveryKey: string }>>;
  join(link: string, device: string): Promise<Outcome<void>>;
  invite(options: InviteOptions): Promise<Outcome<string>>;
  openShard(kind: string, name: string): Promise<Outcome<OpenedShard>>;
  read(handle: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>>;
  live(handle: string, id: number, spec: LiveSpec): Promise<Outcome<void>>;
  unlive(id: number): Promise<Outcome<void>>;
  publish(handle: string): Promise<Outcome<Published>>;
  flush(handle: string): Promise<Outcome<void>>;
  outbox(handle: string): Promise<Outcome<readonly OutboxItem[]>>;
  retryEntry(handle: string, id: string): Promise<Outcome<void>>;
  discardEntry(handle: string, id: string): Promise<Outcome<void>>;
  exportEntry(handle: string, id: string): Promise<Outcome<Uint8Array<ArrayBuffer>>>;
  importTail(handle: string, tail: Uint8Array): Promise<Outcome<string>>;
  follow(pattern: string): Promise<Outcome<void>>;
  startFromGenesis(kind: string, name: string, options: GenesisConsent): Promise<Outcome<Bootstrap>>;
  cancelGenesis(kind: string, name: string): Promise<Outcome<void>>;
  takeOver(kind: string, name: string): Promise<Outcome<OpenedShard>>;
  revoke(device: string): Promise<Outcome<void>>;
  readAcross(pattern: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>>;
  status(): Promise<Outcome<unknown>>;
  /** Whether anybody looks at status: nobody pays for it otherwise. */
  watchStatus(isWatched: boolean): Promise<Outcome<void>>;
  metrics(): Promise<Outcome<MetricsReport>>;
  /** The battery, as this page sees it. */
  setPower(power: PowerUse): Promise<Outcome<void>>;
  sync(): Promise<Outcome<void>>;
}

/** What a worker exposes to its own page. Over a channel of another page only `engine` is exposed. */
export interface WorkerCalls {
  readonly host: HostCalls;
  readonly engine: EngineCalls;
}

/** News of the engine, not asked for. */
export type News =
  | { readonly kind: 'committed'; readonly shard: string; readonly seq: number }
  /** What was saved in an epoch up to `epoch`, above `seq`, can no longer be committed in its place. */
  | { readonly kind: 'stranded'; readonly shard: string; readonly epoch: number; readonly seq: number }
  | { readonly kind: 'live'; readonly id: number; readonly patch: LivePatch }
  | { readonly kind: 'liveFailed'; readonly id: number; readonly error: PlainError }
  | { readonly kind: 'status'; readonly status: unknown }
  | ({ readonly kind: 'alert' } & AlertChange)
  /** To its own page alone: it held the store's lock and could not open the store. The worker is of no more use. */
  | { readonly kind: 'openFailed'; readonly error: PlainError };

/**
 * Messages beside Comlink's, told apart by their one field. Saves have their own: a round trip through Comlink costs twice as much, and a save is
 * what people wait for. Its ops come as JSON text when JSON carries them unchanged.
 */
export type PageMessage =
  | { readonly save: readonly [call: number, handle: string, group: string, source: string | SaveSource, durability?: 'relaxed'] }
  | { readonly ping: number };

export type WorkerMessage =
  | { readonly saved: readonly [call: number, epoch: number, firstSeq: number, lastSeq: number, durability?: 'relaxed'] }
  | { readonly failed: readonly [call: number, error: PlainError] }
  | { readonly news: News }
  | { readonly pong: number };

export const ok = <T>(value: T): Outcome<T> => ({ kind: 'ok', value });
export const failed = (error: unknown): Outcome<never> => ({ kind: 'failed', error: errorToPlain(error) });

export async function answer<T>(work: () => Promise<T> | T): Promise<Outcome<T>> {
  try {
    return ok(await work());
  } catch (error) {
    return failed(error);
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
