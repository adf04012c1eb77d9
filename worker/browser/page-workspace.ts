// A workspace as the page holds it: opens the worker, routes its news, hands out shards.

import { assertNever, FoldlogError, plainToError } from '../../kernel/errors.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Sql } from '../../shards/sql.ts';
import type { EngineStatus } from '../engine/engine.ts';
import type { InviteOptions } from '../engine/membership.ts';
import { pollMsDefault } from './bounds.ts';
import { EngineLink } from './page-link.ts';
import type { LiveRows } from './page-live.ts';
import { type RowsOf, Shard, type ShardHost } from './page-shard.ts';
import { type News, statusFromWire } from './protocol.ts';

export interface WorkspaceOptions<Definitions extends readonly ShardDefinition[]> {
  /** Every kind of shard the app knows: the same list its worker serves. */
  readonly shards: Definitions;
  /** Name of the store on this device, 1 to 64 letters, digits, `-` and `_`. One workspace each. */
  readonly store: string;
  /** URL of the relay, relative to the page or whole. Absent: never synced. */
  readonly relay?: string;
  /** Starts the app's worker file, which calls `serveEngine`. */
  readonly worker: () => Worker;
  /** Consent to work without keeping anything where the browser has no durable storage. `status` says so. */
  readonly allowMemory?: boolean;
  /** How often the relay is asked for news, ms. */
  readonly pollMs?: number;
}

export type ShardKinds<Definitions extends readonly ShardDefinition[]> = Definitions[number]['kind'];
export type ShardOfKind<Definitions extends readonly ShardDefinition[], Kind extends string> = Extract<
  Definitions[number],
  { readonly kind: Kind }
>;

/**
 * Opens a store of this device in the app's worker. Works offline; what is there is readable at once.
 * @throws {FoldlogError} `locked` another tab has it · `unavailable` `noDurableStorage`, `workerStart`, `sqliteStart` · `reloadNeeded` page and
 * worker are of different builds · `corrupt` something that was saved here is missing or damaged; nothing is created in its place
 * @example
 * const ws = await openWorkspace({ shards: [till], store: 'acme', relay: '/relay', worker: () => new Worker(workerUrl, { type: 'module' }) });
 */
export async function openWorkspace<const Definitions extends readonly ShardDefinition[]>(
  options: WorkspaceOptions<Definitions>,
): Promise<Workspace<Definitions>> {
  requireOptions(options);
  let workspace: Workspace<Definitions> | undefined;
  const early: News[] = [];
  const link = await EngineLink.open(
    options.worker,
    options.shards,
    {
      store: options.store,
      relay: options.relay === undefined ? undefined : new URL(options.relay, location.href).href.replace(/\/+$/, ''),
      pollMs: options.pollMs ?? pollMsDefault,
      allowMemory: options.allowMemory ?? false,
    },
    (news) => (workspace === undefined ? early.push(news) : workspace.take(news)),
  );
  workspace = new Workspace(link);
  for (const news of early) workspace.take(news);
  return workspace;
}

export class Workspace<Definitions extends readonly ShardDefinition[] = readonly ShardDefinition[]> {
  readonly #link: EngineLink;
  readonly #shards = new Map<string, Shard<ShardDefinition>>();
  readonly #live = new Map<number, LiveRows<unknown>>();
  readonly #statusListeners = new Set<(status: EngineStatus) => void>();
  #status: EngineStatus | undefined;
  #nextLive = 1;

  /** Made by `openWorkspace`. */
  constructor(link: EngineLink) {
    this.#link = link;
    link.onEnd((error) => {
      for (const shard of this.#shards.values()) shard.noteClosed(error);
    });
  }

  /** Founds a workspace here; works offline. The recovery key is the one secret a person keeps: it is shown once and stored nowhere. */
  create(options: { readonly name: string; readonly device: string }): Promise<{ readonly recoveryKey: string }> {
    askToPersist();
    return this.#link.call((remote) => remote.create({ workspace: options.name, device: options.device }));
  }

  /** Enrols this device by an invite link or its fragment. Needs the relay. */
  join(link: string, options: { readonly device: string }): Promise<void> {
    askToPersist();
    return this.#link.call((remote) => remote.join(link, options.device));
  }

  /** A link fragment that lets a device in; valid when this resolves. Needs the relay. */
  invite(options: InviteOptions = {}): Promise<string> {
    return this.#link.call((remote) => remote.invite(options));
  }

  /** Opens a shard this device writes, creating it when it is new. */
  async open<Kind extends ShardKinds<Definitions>>(kind: Kind, name: string): Promise<Shard<ShardOfKind<Definitions, Kind>>> {
    const opened = await this.#link.call((remote) => remote.openShard(kind, name));
    let shard = this.#shards.get(opened.handle);
    if (shard === undefined) {
      const host: ShardHost = { link: this.#link, addLive: (rows) => this.#addLive(rows) };
      shard = new Shard<ShardDefinition>(host, { kind, name }, opened);
      this.#shards.set(opened.handle, shard);
    }
    shard.noteCommitted(opened.committedSeq);
    return shard as unknown as Shard<ShardOfKind<Definitions, Kind>>;
  }

  /** Follows shards of other devices, now and later: `till/*`. */
  follow(pattern: string): Promise<void> {
    return this.#link.call((remote) => remote.follow(pattern));
  }

  /** Answers statements over all own and followed shards a pattern names; `shardKind` and `shardName` stand in front of each table's columns. */
  read<const Queries extends readonly Sql<unknown>[]>(pattern: string, queries: Queries): Promise<RowsOf<Queries>> {
    return this.#link.call((remote) => remote.readAcross(pattern, queries as readonly Sql[])) as Promise<RowsOf<Queries>>;
  }

  async status(): Promise<EngineStatus> {
    return statusFromWire(await this.#link.call((remote) => remote.status()));
  }

  /** Calls back with the status at once when it is known, then on change, a few times a second at most. Svelte's store contract. */
  readonly subscribe = (listener: (status: EngineStatus) => void): (() => void) => {
    const own = (status: EngineStatus): void => listener(status);
    this.#statusListeners.add(own);
    if (this.#status !== undefined) own(this.#status);
    if (this.#statusListeners.size === 1) this.#watchStatus(true);
    return () => {
      if (this.#statusListeners.delete(own) && this.#statusListeners.size === 0) this.#watchStatus(false);
    };
  };

  /** Pushes and pulls now instead of at the next turn. */
  sync(): Promise<void> {
    return this.#link.call((remote) => remote.sync());
  }

  /** Lets what runs finish and frees the store for another tab. A page that just goes away loses nothing either. */
  close(): Promise<void> {
    return this.#link.close();
  }

  /** News from the worker. */
  take(news: News): void {
    switch (news.kind) {
      case 'committed':
        this.#shards.get(news.shard)?.noteCommitted(news.seq);
        break;
      case 'live':
        this.#live.get(news.id)?.take(news.patch);
        break;
      case 'liveFailed':
        this.#live.get(news.id)?.fail(plainToError(news.error));
        break;
      case 'status':
        this.#takeStatus(statusFromWire(news.status));
        break;
      default:
        assertNever(news);
    }
  }

  #takeStatus(status: EngineStatus): void {
    this.#status = status;
    for (const listener of this.#statusListeners) listener(status);
  }

  #addLive(rows: LiveRows<unknown>) {
    const id = this.#nextLive++;
    this.#live.set(id, rows);
    return { id, remove: () => void this.#live.delete(id) };
  }

  #watchStatus(isWatched: boolean): void {
    if (!isWatched) this.#status = undefined; // it would be stale when somebody looks again
    this.#link.call((remote) => remote.watchStatus(isWatched)).catch(() => undefined);
  }
}

/** A moment when a person just decided to keep something here. Never waited for: one browser never answers. */
function askToPersist(): void {
  (navigator as { readonly storage?: StorageManager }).storage?.persist?.().catch(() => undefined);
}

function requireOptions(options: WorkspaceOptions<readonly ShardDefinition[]>): void {
  const where = 'openWorkspace';
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(options.store)) {
    throw FoldlogError.misuse({
      where,
      reason: 'badStore',
      found: JSON.stringify(String(options.store).slice(0, 64)),
      expected: '1 to 64 letters, digits, - and _',
    });
  }
  const kinds = options.shards.map(({ kind }) => kind);
  if (kinds.length === 0 || new Set(kinds).size !== kinds.length) {
    throw FoldlogError.misuse({
      where,
      reason: 'badShards',
      found: kinds.join(', ') || 'no kinds',
      expected: 'one definition of each kind',
    });
  }
}
