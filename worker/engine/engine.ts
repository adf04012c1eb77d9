// The engine of one workspace store: opens what is there, runs the loops, and answers the API. Host-independent: everything it touches is a port.
// The browser's composition root is worker/browser/main.ts; tests and the simulator build it in Node (docs/decisions/0006-shard-and-worker.md).

import { FoldlogError } from '../../kernel/errors.ts';
import type { FormFactor } from '../../kernel/limits.ts';
import type { BulkDigest, Deflate, Http, Random, Scheduler, Signer, Verifier } from '../../kernel/ports.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { followRule } from '../../shards/follow-rule.ts';
import type { Sql } from '../../shards/sql.ts';
import { queryAcross, type Readable } from './across.ts';
import { adoptStrays } from './adopt.ts';
import type { AuditReport } from './audit.ts';
import { canaryTrouble } from './canary.ts';
import { ControlReplica } from './control.ts';
import type { Row } from './database.ts';
import { Follower, type GenesisConsent } from './follow.ts';
import { settleGenerations } from './generations.ts';
import { Loop } from './loop.ts';
import { acceptGone, goneFiles, isGrave, keepMarked, keyLost, markedWorkspace, missingFiles, type OnLoss } from './loss.ts';
import { commitAct, foundWorkspace, type InviteOptions, joinByLink, type MembershipPorts, makeInvite } from './membership.ts';
import type { AlertChange, MetricsReport } from './metrics.ts';
import type { OwnShard } from './own-shard.ts';
import type { OwnShardStatus } from './own-shard-status.ts';
import { OwnShards } from './own-shards.ts';
import { relayClient, type Traffic } from './relay-client.ts';
import type { Bootstrap } from './replica-status.ts';
import { devicesOf, type EngineEvent, type EngineStatus, workspaceStatus } from './status.ts';
import { scratchPrefix } from './storage-pool.ts';
import { StoreJobs } from './store-jobs.ts';
import { type MetricsPorts, type MetricsSettings, StoreMetrics } from './store-metrics.ts';
import { TakeOvers } from './take-over.ts';
import { TakeOverCalls } from './take-over-calls.ts';
import { largeFile } from './upkeep.ts';
import type { Vault } from './vault.ts';
import { WorkspaceFile, workspaceFileName } from './workspace-file.ts';

export interface EnginePorts extends MetricsPorts {
  readonly vault: Vault;
  /** Why files live where they do, in words. */
  readonly verdict: string;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
  readonly bulkDigest: BulkDigest;
  /** Absent: a workspace that is never synced. */
  readonly http: Http | undefined;
}

export interface EngineSettings extends MetricsSettings {
  readonly definitions: readonly ShardDefinition[];
  /** How often the control log and followed shards are asked for news. */
  readonly pollMs: number;
  /** What opening does when files or the device's key are gone: tell, or go on with what is left and follow what was committed (loss.ts). */
  readonly onLoss: OnLoss;
  /** What kind of device this is: how much is folded without being asked (decision 0013). */
  readonly formFactor: FormFactor;
}

export class Engine {
  readonly #ports: EnginePorts;
  readonly #definitions: ReadonlyMap<string, ShardDefinition>;
  readonly #file: WorkspaceFile;
  readonly #signer: Signer;
  readonly #control: ControlReplica;
  readonly #follower: Follower | undefined;
  readonly #controlLoop: Loop;
  readonly #followLoop: Loop;
  readonly #takeOvers: TakeOvers | undefined;
  readonly #calls: TakeOverCalls | undefined;
  readonly #takeOverLoop: Loop;
  readonly #own: OwnShards;
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  readonly #metrics: StoreMetrics;
  readonly #jobs: StoreJobs;
  readonly #traffic: Traffic;
  readonly #membership: MembershipPorts;

  private constructor(
    ports: EnginePorts,
    settings: EngineSettings,
    at: { readonly file: WorkspaceFile; readonly signer: Signer; readonly control: ControlReplica; readonly membership: MembershipPorts },
    traffic: Traffic,
  ) {
    this.#ports = ports;
    this.#definitions = new Map(settings.definitions.map((definition) => [definition.kind, definition]));
    this.#file = at.file;
    this.#signer = at.signer;
    this.#control = at.control;
    this.#membership = at.membership;
    this.#traffic = traffic;
    const { relay } = at.membership;
    if (relay !== undefined) {
      const takeOvers = new TakeOvers({ ...ports, relay, signer: at.signer }, at.file, at.control, () => this.wake(true));
      this.#follower = new Follower(
        { ...ports, relay, signer: at.signer, onFold: (ms) => this.#metrics.board.noteFold(ms) },
        ports.pool,
        { file: at.file, control: at.control, definitions: this.#definitions, traffic, formFactor: settings.formFactor },
        {
          onChange: (replica) => this.#tell({ kind: 'changed', shard: handleOf(replica.identity) }),
          onRead: (replica) => takeOvers.promote(replica),
        },
      );
      this.#takeOvers = takeOvers;
      this.#calls = new TakeOverCalls({ ...ports, ...at, driver: takeOvers, follower: this.#follower, engine: this });
    }
    const parts = () => ({ own: this.#own.all(), follower: this.#follower });
    this.#metrics = new StoreMetrics(ports, settings, parts, (change) => this.#alert(change));
    this.#own = new OwnShards(
      { ...ports, relay, signer: at.signer, metrics: this.#metrics },
      { ...at, definitions: this.#definitions, takeOvers: this.#takeOvers },
      { tell: (event) => this.#tell(event), askControl: (atOnce) => this.#controlLoop.wake(atOnce) },
    );
    const poll = this.#metrics.poll(settings.pollMs);
    this.#controlLoop = new Loop(ports, () => at.control.round(), poll);
    this.#takeOverLoop = new Loop(ports, async () => (await this.#takeOvers?.round()) ?? 'idle');
    this.#followLoop = new Loop(ports, async () => (await this.#follower?.round()) ?? 'idle', poll);
    this.#jobs = new StoreJobs(ports.scheduler, {
      audit: () => this.audit(),
      look: () => this.metrics(),
      openOwn: relay === undefined ? undefined : () => this.#openOwn(),
      isThrottled: () => this.#metrics.isThrottled,
    });
  }

  /**
   * Opens the store of one workspace, or an empty store. The caller holds its Web Lock.
   * @throws {FoldlogError} `corrupt` when something that was there is missing or damaged: nothing is created in its place. `missingFile`, `keyLost`:
   * see `onLoss`
   */
  static async open(ports: EnginePorts, settings: EngineSettings): Promise<Engine> {
    const { pool, vault } = ports;
    for (const file of pool.files()) if (file.startsWith(scratchPrefix)) pool.remove(file);
    const traffic: Traffic = { received: 0, sent: 0 };
    const relay = ports.http === undefined ? undefined : relayClient(ports.http, ports.clock, traffic);
    await settleGenerations(pool, vault);
    const [markers, held] = await Promise.all([vault.markers(), vault.signer()]);
    const gone = goneFiles(pool, markers);
    // A replica that is gone starts again from a checkpoint by itself: nothing of it was this device's alone.
    if (gone.some(isGrave) && settings.onLoss === 'refuse') throw await missingFiles({ relay, signer: held, deflate: ports.deflate }, gone);
    await pool.reserve(1);
    const isWorkspaceLeft = markers.has(workspaceFileName) && !gone.some(({ file }) => file === workspaceFileName);
    const file = await WorkspaceFile.open(pool, isWorkspaceLeft);
    await acceptGone(file, vault, gone);
    if (held === undefined && file.workspace !== undefined && settings.onLoss === 'refuse') throw keyLost(file);
    await file.flush();
    await keepMarked(vault, markers, file.db.name, markedWorkspace(file));
    const signer = held ?? (await vault.createSigner());
    await adoptStrays(pool, vault, markers, file, signer);
    const membership = { relay, clock: ports.clock, random: ports.random, signer };
    let engine: Engine | undefined;
    const control = await ControlReplica.open({ relay, verifier: ports.verifier, random: ports.random, signer }, file, {
      onChange: () => engine?.wake(false),
      onLink: () => {
        if (engine !== undefined) engine.#tell({ kind: 'status' });
      },
    });
    engine = new Engine(ports, settings, { file, signer, control, membership }, traffic);
    // Not waited for: the device's own shards come first, and who reads across waits for these.
    void engine.#follower?.openHeld(markers);
    engine.wake(false);
    return engine;
  }

  onEvent(listener: (event: EngineEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async status(): Promise<EngineStatus> {
    const { pool } = this.#ports;
    const refused = this.#file.pendingActs().flatMap(({ refused }) => refused ?? []);
    const own = await this.#own.statuses();
    return {
      backend: pool.backend,
      durability: pool.durability,
      verdict: this.#ports.verdict,
      storage: await this.#ports.meter?.measure(),
      metrics: this.#metrics.latest,
      key: this.#signer.hold,
      workspace: workspaceStatus(this.#file, this.#control.state, this.#signer),
      link: this.#control.link,
      own,
      lost: this.#own.lost(),
      sentOnly: this.#own.sentOnly(),
      followed: this.#follower?.statuses() ?? [],
      devices: devicesOf(this.#control.state, this.#signer),
      troubles: [
        ...refused,
        ...(this.#takeOvers?.intents.all() ?? []).flatMap(({ refused: why }) => why ?? []),
        ...this.#damages(own),
        ...own.flatMap(canaryTrouble),
        ...(this.#follower?.failures().map(({ message }) => message) ?? []),
      ],
      traffic: { ...this.#traffic },
    };
  }

  /** Looks at everything that is measured, now. */
  metrics(): Promise<MetricsReport> {
    return this.#metrics.look();
  }

  async create(names: { readonly workspace: string; readonly device: string }): Promise<{ readonly recoveryKey: string }> {
    const founded = await foundWorkspace(this.#membership, this.#file, names);
    await this.#ports.vault.mark(workspaceFileName, markedWorkspace(this.#file));
    this.wake(true);
    return founded;
  }

  async join(link: string, deviceName: string): Promise<void> {
    await joinByLink(this.#membership, this.#file, this.#control, link, deviceName);
    await this.#ports.vault.mark(workspaceFileName, markedWorkspace(this.#file));
    this.wake(true);
  }

  /** A link fragment; resolves once the invite is in the control log, so that the link works when it is shown. */
  async invite(options: InviteOptions): Promise<string> {
    const { fragment, act } = makeInvite(this.#membership, this.#control, options);
    await commitAct(act, this.#file, this.#control, { scheduler: this.#ports.scheduler, wake: () => this.#controlLoop.wake(true) });
    return fragment;
  }

  /** Opens a shard this device writes, creating it when it is new. The handle names it in all other calls. */
  openShard(kind: string, name: string): Promise<string> {
    return this.#own.open(kind, name);
  }

  shard(handle: string): OwnShard {
    return this.#own.shard(handle);
  }

  /** Follows shards of other devices: `till/*`. */
  async follow(pattern: string): Promise<void> {
    this.#requireFollower('follow').addRule(pattern);
    await this.#file.flush();
    this.#followLoop.wake(true);
  }

  /** Folds a followed shard anew from its first slot. Throws as `Follower.startFromGenesis`. */
  async startFromGenesis(kind: string, name: string, options: GenesisConsent = {}): Promise<Bootstrap> {
    const level = this.#requireFollower(`start of ${kind}/${name}`).startFromGenesis(kind, name, options);
    this.#followLoop.wake(true);
    return level;
  }

  /** Calls off a fold from genesis; its promise rejects `cancelled`, and the shard starts again by the usual path. */
  async cancelGenesis(kind: string, name: string): Promise<void> {
    this.#requireFollower(`start of ${kind}/${name}`).cancelGenesis(kind, name);
    this.#followLoop.wake(true);
  }

  #requireFollower(where: string): Follower {
    if (this.#follower !== undefined) return this.#follower;
    throw FoldlogError.misuse({ where, reason: 'noRelay', found: 'no relay', expected: 'one' });
  }

  /** Takes shards over and revokes devices. @throws {FoldlogError} `misuse` `noRelay` */
  get takeOvers(): TakeOverCalls {
    if (this.#calls !== undefined) return this.#calls;
    throw FoldlogError.misuse({ where: 'take over', reason: 'noRelay', found: 'a workspace without a relay', expected: 'one' });
  }

  /** Reads across own and followed shards that match a pattern, on one look at each. */
  async readAcross(pattern: string, queries: readonly Sql[]): Promise<readonly (readonly Row[])[]> {
    const rule = followRule(pattern);
    // A shard of this device that nobody opened yet is read as well: an answer never has fewer rows than the pattern names.
    for (const held of this.#file.shards()) if (held.hold === 'own' && rule.matches(held)) await this.openShard(held.kind, held.name);
    await this.#follower?.opened;
    const own = this.#own
      .all()
      .map(({ store }) => store)
      .filter(({ identity }) => rule.matches(identity));
    const replicas = (this.#follower?.replicas ?? []).filter(({ identity }) => rule.matches(identity));
    const shards: readonly (Readable & { readonly mutex: OwnShard['store']['mutex'] })[] = [...own, ...replicas];
    if (shards.length === 0) return queries.map(() => []);
    const look = shards.reduceRight<() => Promise<readonly (readonly Row[])[]>>(
      (inner, shard) => () => shard.mutex.own('other', inner),
      async () => queryAcross(this.#ports.pool, this.#ports.clock, shards, queries),
    );
    return look();
  }

  /**
   * Looks for damage in everything that is open; runs by itself a minute after the start and once a day. Findings stand in `status`.
   * @throws {FoldlogError} what a failing host throws
   */
  async audit(): Promise<readonly AuditReport[]> {
    const reports: AuditReport[] = [];
    for (const shard of this.#own.all()) reports.push(await shard.audit(this.#ports.pool));
    reports.push(...((await this.#follower?.audit()) ?? []));
    if (reports.some(({ verdict }) => verdict.kind === 'damaged')) this.#followLoop.wake(true);
    this.#tell({ kind: 'status' });
    return reports;
  }

  /** The network is back, or a person asked: every loop goes at once. */
  wake(atOnce: boolean): void {
    this.#controlLoop.wake(atOnce);
    this.#followLoop.wake(atOnce);
    this.#takeOverLoop.wake(atOnce);
    this.#own.wake(atOnce);
    this.#tell({ kind: 'status' });
  }

  get isClosing(): boolean {
    return this.#jobs.isClosed;
  }

  async close(): Promise<void> {
    await this.#jobs.close();
    await Promise.all([this.#controlLoop.stop(), this.#followLoop.stop(), this.#takeOverLoop.stop()]);
    await this.#own.close();
    await this.#follower?.close();
    this.#file.close();
    await this.#ports.pool.close();
  }

  async #openOwn(): Promise<void> {
    await this.#follower?.opened;
    await this.#own.openHeld(() => this.#jobs.isClosed);
  }

  /** A throttle that ends lets go of what waited for it. */
  #alert(change: AlertChange): void {
    this.#tell({ kind: 'alert', ...change });
    if (change.change === 'raised' || !change.alert.actions.includes('throttle')) return;
    this.wake(false);
    for (const shard of this.#own.all()) shard.tend();
  }

  #damages(own: readonly OwnShardStatus[]): readonly string[] {
    return own.flatMap((shard) => [
      ...(shard.audit?.verdict.kind === 'damaged' ? [shard.audit.verdict.error.message] : []),
      ...largeFile(shard),
    ]);
  }

  #tell(event: EngineEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const handleOf = (identity: { readonly kind: string; readonly name: string }): string => `${identity.kind}/${identity.name}`;
