// A workspace as the page holds it: opens the worker, routes its news, hands out shards.

import { assertNever, FoldlogError, plainToError } from '../../../kernel/errors.ts';
import type { FormFactor } from '../../../kernel/limits.ts';
import type { PowerUse } from '../../../kernel/ports.ts';
import type { ShardDefinition } from '../../../shards/define.ts';
import type { Sql } from '../../../shards/sql.ts';
import type { GenesisConsent } from '../../engine/follow.ts';
import type { LiveSpec } from '../../engine/live.ts';
import type { OnLoss } from '../../engine/loss.ts';
import type { InviteOptions } from '../../engine/membership.ts';
import type { AlertChange, MetricsReport } from '../../engine/metrics.ts';
import type { Bootstrap } from '../../engine/replica-status.ts';
import type { EngineStatus } from '../../engine/status.ts';
import type { Backend } from '../../engine/storage-pool.ts';
import { pollMsDefault } from '../bounds.ts';
import { buildOf } from '../builds.ts';
import { type News, type OpenedShard, statusFromWire } from '../protocol.ts';
import { watchBattery } from './battery.ts';
import type { Line } from './line.ts';
import { EngineLink } from './link.ts';
import type { LiveRows } from './live.ts';
import { type RowsOf, Shard, type ShardHost } from './shard.ts';

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
  /** Where files may live, in the order of trying. Usual: the OPFS pool, then IndexedDB. */
  readonly backends?: readonly Backend[];
  /**
   * What to do when something that was saved here is gone (the browser evicted it, a person deleted it) while the rest bears witness to it. `refuse`, the
   * usual: opening rejects `corrupt` `missingFile` or `keyLost`, says by name what is gone, and changes nothing. `follow`, after asking the person:
   * the store opens with what is left; own shards that are lost are followed read-only as far as they were committed, shards of others start again
   * from a checkpoint, and saving goes on under another name. `status().lost` names them.
   */
  readonly onLoss?: OnLoss;
  /**
   * Bytes this origin may hold before new saves are refused, typed (`storageFull` `quotaNear`); usual: 80 % of what the browser grants, which bounds it in
   * any case. What was saved is kept and still sent, however long the queue.
   */
  readonly storageBytesMax?: number;
  /** How often the relay is asked for news, ms. */
  readonly pollMs?: number;
}

export interface GenesisOptions extends GenesisConsent {
  /** `opsAtRelay`: how many there are, as the relay said when it began. */
  readonly onProgress?: (at: { readonly opsFolded: number; readonly opsAtRelay: number | undefined }) => void;
  readonly signal?: AbortSignal;
}

export type ShardKinds<Definitions extends readonly ShardDefinition[]> = Definitions[number]['kind'];
export type ShardOfKind<Definitions extends readonly ShardDefinition[], Kind extends string> = Extract<
  Definitions[number],
  { readonly kind: Kind }
>;

/**
 * Opens a store of this device in the app's worker. Works offline; what is there is readable at once.
 * Every tab may open it: one of them owns it, the others work through that one, and another takes over when it goes away.
 * @throws {FoldlogError} `locked` another tab has it and does not answer · `unavailable` `noDurableStorage`, `workerStart`, `sqliteStart` · `reloadNeeded` page and
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
  const link = await EngineLink.open({
    start: options.worker,
    build: buildOf(options.shards),
    settings: {
      store: options.store,
      relay: options.relay === undefined ? undefined : new URL(options.relay, location.href).href.replace(/\/+$/, ''),
      pollMs: options.pollMs ?? pollMsDefault,
      allowMemory: options.allowMemory ?? false,
      backends: options.backends ?? backendsDefault,
      formFactor: formFactor(),
      storageBytesMax: options.storageBytesMax,
      onLoss: options.onLoss ?? 'refuse',
    },
    onNews: (news) => (workspace === undefined ? early.push(news) : workspace.take(news)),
    restore: async (line) => workspace?.restore(line),
  });
  workspace = new Workspace(link);
  for (const news of early) workspace.take(news);
  return workspace;
}

interface LiveHeld {
  readonly handle: string;
  readonly spec: LiveSpec;
  readonly rows: LiveRows<unknown>;
}

export class Workspace<Definitions extends readonly ShardDefinition[] = readonly ShardDefinition[]> {
  readonly #link: EngineLink;
  readonly #shards = new Map<string, Shard<ShardDefinition>>();
  readonly #live = new Map<number, LiveHeld>();
  readonly #statusListeners = new Set<(status: EngineStatus) => void>();
  readonly #alertListeners = new Set<(change: AlertChange) => void>();
  readonly #endBattery: () => void;
  #power: PowerUse | undefined;
  #status: EngineStatus | undefined;
  #nextLive = 1;

  /** Made by `openWorkspace`. */
  constructor(link: EngineLink) {
    this.#link = link;
    this.#endBattery = watchBattery((power) => {
      this.#power = power;
      this.#link.hint((engine) => engine.setPower(power));
    });
    link.onEnd((error) => {
      for (const shard of this.#shards.values()) shard.noteClosed(error);
    });
  }

  /** Founds a workspace here; works offline. The recovery key is the one secret a person keeps: it is shown once and stored nowhere. */
  async create(options: { readonly name: string; readonly device: string }): Promise<{ readonly recoveryKey: string }> {
    requireTexts('create', { name: options?.name, device: options?.device });
    askToPersist();
    return this.#link.call('once', (engine) => engine.create({ workspace: options.name, device: options.device }));
  }

  /** Enrols this device by an invite link or its fragment. Needs the relay. */
  async join(link: string, options: { readonly device: string }): Promise<void> {
    requireTexts('join', { link, device: options?.device });
    askToPersist();
    return this.#link.call('once', (engine) => engine.join(link, options.device));
  }

  /** A link fragment that lets a device in; valid when this resolves. Needs the relay. */
  invite(options: InviteOptions = {}): Promise<string> {
    return this.#link.call('read', (engine) => engine.invite(options));
  }

  /** Opens a shard this device writes, creating it when it is new. */
  async open<Kind extends ShardKinds<Definitions>>(kind: Kind, name: string): Promise<Shard<ShardOfKind<Definitions, Kind>>> {
    return this.#opened(kind, name, await this.#link.call('read', (engine) => engine.openShard(kind, name)));
  }

  /**
   * Makes this device the writer of a shard that another writes, or wrote before it was lost or revoked; of its own shard it begins a new epoch with the
   * same key. Resolves when it can save there. What the old writer has not committed stays on that device, which saves no more here.
   * @throws {FoldlogError} `misuse` `notAllowed`: only its writer, admins and owners may · `unavailable`: the relay is needed. Once begun it goes on by
   * itself, over restarts too; asking again waits for its end · `misuse` `refused`: somebody else took it meanwhile
   * @example
   * const till = await ws.takeOver('till', 'till-3'); // its tablet fell into the sink
   */
  async takeOver<Kind extends ShardKinds<Definitions>>(kind: Kind, name: string): Promise<Shard<ShardOfKind<Definitions, Kind>>> {
    return this.#opened(kind, name, await this.#link.call('read', (engine) => engine.takeOver(kind, name)));
  }

  /**
   * Ends what a device may do, now and for ever: it reads and commits nothing more, invites it made let nobody in, and the shards it writes have no
   * writer until somebody takes them over. `device` is an `id` of `status().devices`. Needs the relay.
   * @throws {FoldlogError} `misuse` `notAllowed`, `roleTooHigh`, `lastOwner`, `notEnrolled` · `unavailable`: once begun it goes on by itself
   */
  revoke(device: string): Promise<void> {
    return this.#link.call('read', (engine) => engine.revoke(device));
  }

  #opened<Kind extends ShardKinds<Definitions>>(kind: Kind, name: string, opened: OpenedShard): Shard<ShardOfKind<Definitions, Kind>> {
    let shard = this.#shards.get(opened.handle);
    if (shard === undefined) {
      const host: ShardHost = { link: this.#link, addLive: (handle, spec, rows) => this.#addLive({ handle, spec, rows }) };
      shard = new Shard<ShardDefinition>(host, { kind, name }, opened);
      this.#shards.set(opened.handle, shard);
    }
    shard.noteCommitted(opened.committedSeq);
    return shard as unknown as Shard<ShardOfKind<Definitions, Kind>>;
  }

  /** Follows shards of other devices, now and later: `till/*`. */
  follow(pattern: string): Promise<void> {
    return this.#link.call('read', (engine) => engine.follow(pattern));
  }

  /**
   * Folds a followed shard anew from its first slot: for recovery, when its checkpoint is doubted or there is none. It takes time in proportion to all its
   * history, in the worker; saves and reads go on, and rows are as of the seq reached. `onProgress` hears how far it is; `signal` calls it off, and the shard
   * then starts by the usual path. A fold that the end of the app breaks off is finished after the next start.
   * @throws {FoldlogError} `misuse` `notOnPhone` (unless `evenOnPhone`), `notFollowed`, `unknownShard` · `unavailable` `cancelled` · `corrupt` the chain does not verify
   */
  async startFromGenesis(kind: ShardKinds<Definitions>, name: string, options: GenesisOptions = {}): Promise<Bootstrap> {
    const { evenOnPhone = false, onProgress, signal } = options;
    const cancel = (): void => this.#link.hint((engine) => engine.cancelGenesis(kind, name));
    const unwatch =
      onProgress === undefined
        ? undefined
        : this.subscribe(({ followed }) => {
            const at = followed.find((shard) => shard.kind === kind && shard.name === name)?.bootstrap;
            if (at?.path === 'genesis') onProgress({ opsFolded: at.opsFolded, opsAtRelay: at.seqAtRelay });
          });
    signal?.addEventListener('abort', cancel);
    try {
      const level = this.#link.call('once', (engine) => engine.startFromGenesis(kind, name, { evenOnPhone }));
      if (signal?.aborted === true) cancel();
      return await level;
    } finally {
      signal?.removeEventListener('abort', cancel);
      unwatch?.();
    }
  }

  /** Answers statements over all own and followed shards a pattern names; `shardKind` and `shardName` stand in front of each table's columns. */
  read<const Queries extends readonly Sql<unknown>[]>(pattern: string, queries: Queries): Promise<RowsOf<Queries>> {
    return this.#link.call('read', (engine) => engine.readAcross(pattern, queries as readonly Sql[])) as Promise<RowsOf<Queries>>;
  }

  async status(): Promise<EngineStatus> {
    return statusFromWire(await this.#link.call('read', (engine) => engine.status()));
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

  /** Looks at everything that is measured, now: docs/metrics.md. */
  metrics(): Promise<MetricsReport> {
    return this.#link.call('read', (engine) => engine.metrics());
  }

  /** Calls back when a measured number passes its threshold, and when it is well below again. The returned function ends it. */
  onAlert(listener: (change: AlertChange) => void): () => void {
    const own = (change: AlertChange): void => listener(change);
    this.#alertListeners.add(own);
    return () => this.#alertListeners.delete(own);
  }

  /** Pushes and pulls now instead of at the next turn. */
  sync(): Promise<void> {
    return this.#link.call('read', (engine) => engine.sync());
  }

  /** Lets what runs finish and frees the store for another tab. A page that just goes away loses nothing either. */
  close(): Promise<void> {
    this.#endBattery();
    return this.#link.close();
  }

  /** A new owner: opens there what this page has open. What cannot be opened there says so when it is used. */
  async restore({ engine }: Line): Promise<void> {
    const reopen = async (shard: Shard<ShardDefinition>): Promise<void> => {
      const outcome = await engine.openShard(shard.kind, shard.name);
      if (outcome.kind === 'ok') shard.noteCommitted(outcome.value.committedSeq);
    };
    await Promise.all([...this.#shards.values()].map(reopen));
    for (const [id, held] of this.#live) this.#startLive(engine, id, held).catch(() => undefined);
    if (this.#statusListeners.size > 0) engine.watchStatus(true).catch(() => undefined);
    if (this.#power !== undefined) engine.setPower(this.#power).catch(() => undefined);
  }

  /** News from the worker. */
  take(news: News): void {
    switch (news.kind) {
      case 'committed':
        this.#shards.get(news.shard)?.noteCommitted(news.seq);
        break;
      case 'stranded':
        this.#shards.get(news.shard)?.noteStranded(news.epoch, news.seq);
        break;
      case 'live':
        this.#live.get(news.id)?.rows.take(news.patch);
        break;
      case 'liveFailed':
        this.#live.get(news.id)?.rows.fail(plainToError(news.error));
        break;
      case 'status':
        this.#takeStatus(statusFromWire(news.status));
        break;
      case 'alert': {
        const { change, alert } = news;
        for (const listener of this.#alertListeners) listener({ change, alert });
        break;
      }
      case 'openFailed':
        break; // the link's
      default:
        assertNever(news);
    }
  }

  #takeStatus(status: EngineStatus): void {
    this.#status = status;
    for (const listener of this.#statusListeners) listener(status);
  }

  #addLive(held: LiveHeld): () => void {
    const id = this.#nextLive++;
    this.#live.set(id, held);
    this.#link.hint((engine) => this.#startLive(engine, id, held));
    return () => {
      this.#live.delete(id);
      this.#link.hint((engine) => engine.unlive(id));
    };
  }

  async #startLive(engine: Line['engine'], id: number, { handle, spec, rows }: LiveHeld): Promise<void> {
    const outcome = await engine.live(handle, id, spec);
    if (outcome.kind === 'failed') rows.fail(plainToError(outcome.error));
  }

  #watchStatus(isWatched: boolean): void {
    if (!isWatched) this.#status = undefined; // it would be stale when somebody looks again
    this.#link.hint((engine) => engine.watchStatus(isWatched));
  }
}

const backendsDefault: readonly Backend[] = ['opfs-pool', 'indexeddb'];

/** How much memory a tab may take: a small touch screen is a phone. */
const formFactor = (): FormFactor =>
  matchMedia('(pointer: coarse)').matches && Math.min(screen.width, screen.height) < 600 ? 'phone' : 'desktop';

/** A moment when a person just decided to keep something here. Never waited for: one browser never answers. */
function askToPersist(): void {
  (navigator as { readonly storage?: StorageManager }).storage?.persist?.().catch(() => undefined);
}

/** What TypeScript promises, for callers without it. */
function requireTexts(where: string, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === 'string') continue;
    throw FoldlogError.misuse({ where: `${where}, ${name}`, reason: 'badOptions', found: typeof value, expected: 'a text' });
  }
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
