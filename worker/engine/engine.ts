// The engine of one workspace store: opens what is there, runs the loops, and answers the API. Host-independent: everything it touches is a port.
// The browser's composition root is worker/browser/main.ts; tests and the simulator build it in Node (docs/decisions/0006-shard-and-worker.md).

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import type { Act, Role } from '../../kernel/control/acts.ts';
import { actsToJson } from '../../kernel/control/acts.ts';
import { deviceOf } from '../../kernel/control/fold.ts';
import { keyIdOf, shardIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { auditAfterMs, auditEveryMs, ownOpenAfterMs } from '../../kernel/limits.ts';
import type {
  BulkDigest,
  Clock,
  Deflate,
  Http,
  Random,
  Scheduler,
  Signer,
  StorageMeter,
  StorageUse,
  Verifier,
} from '../../kernel/ports.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { followRule } from '../../shards/follow-rule.ts';
import type { Sql } from '../../shards/sql.ts';
import { queryAcross, type Readable } from './across.ts';
import { adoptStrays } from './adopt.ts';
import type { AuditReport } from './audit.ts';
import { canaryTrouble } from './canary.ts';
import { ControlReplica, type LinkState } from './control.ts';
import type { Row } from './database.ts';
import { Follower, type ReplicaStatus } from './follow.ts';
import { currentFile, settleGenerations, shardFileName } from './generations.ts';
import { Loop } from './loop.ts';
import {
  acceptGone,
  goneFiles,
  isGrave,
  keepMarked,
  keyLost,
  type LostShard,
  lostKeyShard,
  lostShard,
  markedShard,
  markedWorkspace,
  missingFiles,
  type OnLoss,
} from './loss.ts';
import { foundWorkspace, type InviteOptions, joinByLink, type MembershipPorts, makeInvite } from './membership.ts';
import { moveOpened } from './move-schema.ts';
import { OwnShard, type OwnShardStatus } from './own-shard.ts';
import { relayClient, type Traffic } from './relay-client.ts';
import { createShardFile, type ShardIdentity } from './shard-file.ts';
import { requireFreeName } from './shard-name.ts';
import { type SentShard, ShardSenders } from './shard-sender.ts';
import { ShardStore } from './shard-store.ts';
import { type DurabilityClass, type StoragePool, scratchPrefix } from './storage-pool.ts';
import type { Vault } from './vault.ts';
import { WorkspaceFile, workspaceFileName } from './workspace-file.ts';

export interface EnginePorts {
  readonly pool: StoragePool;
  readonly vault: Vault;
  /** Why files live where they do, in words. */
  readonly verdict: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
  readonly bulkDigest: BulkDigest;
  /** Absent: nobody knows how much room there is. */
  readonly meter?: StorageMeter;
  /** Absent: a workspace that is never synced. */
  readonly http: Http | undefined;
}

export interface EngineSettings {
  readonly definitions: readonly ShardDefinition[];
  /** How often the control log and followed shards are asked for news. */
  readonly pollMs: number;
  /** What opening does when files or the device's key are gone: tell, or go on with what is left and follow what was committed (loss.ts). */
  readonly onLoss: OnLoss;
}

export type EngineEvent =
  | { readonly kind: 'status' }
  | { readonly kind: 'committed'; readonly shard: string; readonly seq: number }
  | { readonly kind: 'changed'; readonly shard: string };

export interface EngineStatus {
  readonly backend: StoragePool['backend'];
  readonly durability: DurabilityClass;
  readonly verdict: string;
  /** Room for all of this origin; undefined where the browser does not say. */
  readonly storage: StorageUse | undefined;
  readonly key: Signer['hold'];
  readonly workspace:
    | { readonly id: string; readonly name: string; readonly device: string; readonly role: Role; readonly isAtRelay: boolean }
    | undefined;
  readonly link: LinkState;
  readonly own: readonly OwnShardStatus[];
  readonly followed: readonly ReplicaStatus[];
  /** Shards of this device that only a newer version of the app can read. */
  readonly sentOnly: readonly SentShard[];
  /** Shards of this device that it cannot write any more, and why. What was committed of them is followed. */
  readonly lost: readonly LostShard[];
  /** Acts the control log refused, and shards that could not be started, in words. */
  readonly troubles: readonly string[];
  readonly traffic: Readonly<Traffic>;
}

export class Engine {
  readonly #ports: EnginePorts;
  readonly #definitions: ReadonlyMap<string, ShardDefinition>;
  readonly #file: WorkspaceFile;
  readonly #signer: Signer;
  readonly #control: ControlReplica;
  readonly #follower: Follower | undefined;
  readonly #senders: ShardSenders | undefined;
  readonly #controlLoop: Loop;
  readonly #followLoop: Loop;
  readonly #own = new Map<string, OwnShard>();
  readonly #opening = new Map<string, Promise<OwnShard>>();
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  #cancelAudit: (() => void) | undefined;
  #auditing: Promise<void> = Promise.resolve();
  #cancelOpening: (() => void) | undefined;
  #openingOwn: Promise<void> = Promise.resolve();
  #isClosing = false;
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
      this.#follower = new Follower(
        { ...ports, relay, signer: at.signer },
        ports.pool,
        { file: at.file, control: at.control, definitions: this.#definitions, traffic },
        (replica) => this.#tell({ kind: 'changed', shard: handleOf(replica.identity) }),
      );
    }
    if (relay !== undefined)
      this.#senders = new ShardSenders({ ...ports, relay }, ports.pool, at.control, () => this.#tell({ kind: 'status' }));
    this.#controlLoop = new Loop(ports, () => at.control.round(), settings.pollMs);
    this.#followLoop = new Loop(ports, async () => (await this.#follower?.round()) ?? 'idle', settings.pollMs);
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
    engine.#auditIn(auditAfterMs);
    if (relay !== undefined) engine.#openOwnIn(ownOpenAfterMs);
    return engine;
  }

  onEvent(listener: (event: EngineEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async status(): Promise<EngineStatus> {
    const { pool } = this.#ports;
    const refused = this.#file.pendingActs().flatMap(({ refused }) => refused ?? []);
    const own: OwnShardStatus[] = [];
    for (const shard of this.#own.values()) own.push(await shard.status());
    return {
      backend: pool.backend,
      durability: pool.durability,
      verdict: this.#ports.verdict,
      storage: await this.#ports.meter?.measure(),
      key: this.#signer.hold,
      workspace: this.#workspaceStatus(),
      link: this.#control.link,
      own,
      lost: this.#lost(),
      sentOnly: this.#senders?.statuses() ?? [],
      followed: this.#follower?.statuses() ?? [],
      troubles: [
        ...refused,
        ...this.#damages(),
        ...own.flatMap(canaryTrouble),
        ...(this.#follower?.failures().map(({ message }) => message) ?? []),
      ],
      traffic: { ...this.#traffic },
    };
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
    await this.#commitAct(act);
    return fragment;
  }

  /** Opens a shard this device writes, creating it when it is new. The handle names it in all other calls. */
  async openShard(kind: string, name: string): Promise<string> {
    const handle = `${kind}/${name}`;
    if (this.#own.has(handle)) return handle;
    let opening = this.#opening.get(handle);
    if (opening === undefined) {
      opening = this.#open(kind, name)
        .catch((error: unknown) => this.#senders?.begin(this.#file.shards(), { kind, name }, error) ?? Promise.reject(error))
        .finally(() => this.#opening.delete(handle));
      this.#opening.set(handle, opening);
    }
    this.#own.set(handle, await opening);
    return handle;
  }

  shard(handle: string): OwnShard {
    const shard = this.#own.get(handle);
    if (shard !== undefined) return shard;
    throw FoldlogError.misuse({ where: `shard ${handle}`, reason: 'notOpen', found: 'a shard that is not open', expected: 'open() first' });
  }

  /** Follows shards of other devices: `till/*`. */
  async follow(pattern: string): Promise<void> {
    if (this.#follower === undefined) throw FoldlogError.misuse({ where: 'follow', reason: 'noRelay', found: 'no relay', expected: 'one' });
    this.#follower.addRule(pattern);
    await this.#file.flush();
    this.#followLoop.wake(true);
  }

  /** Reads across own and followed shards that match a pattern, on one look at each. */
  async readAcross(pattern: string, queries: readonly Sql[]): Promise<readonly (readonly Row[])[]> {
    const rule = followRule(pattern);
    // A shard of this device that nobody opened yet is read as well: an answer never has fewer rows than the pattern names.
    for (const held of this.#file.shards()) if (held.hold === 'own' && rule.matches(held)) await this.openShard(held.kind, held.name);
    await this.#follower?.opened;
    const own = [...this.#own.values()].map(({ store }) => store).filter(({ identity }) => rule.matches(identity));
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
    for (const shard of this.#own.values()) reports.push(await shard.audit(this.#ports.pool));
    reports.push(...((await this.#follower?.audit()) ?? []));
    if (reports.some(({ verdict }) => verdict.kind === 'damaged')) this.#followLoop.wake(true);
    this.#tell({ kind: 'status' });
    return reports;
  }

  /** The network is back, or a person asked: every loop goes at once. */
  wake(atOnce: boolean): void {
    this.#controlLoop.wake(atOnce);
    this.#followLoop.wake(atOnce);
    for (const shard of this.#own.values()) shard.wake(atOnce);
    this.#senders?.wake(atOnce);
    this.#tell({ kind: 'status' });
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#cancelAudit?.();
    this.#cancelOpening?.();
    await this.#auditing;
    await this.#openingOwn;
    await Promise.all([this.#controlLoop.stop(), this.#followLoop.stop()]);
    for (const shard of this.#own.values()) await shard.close();
    await this.#follower?.close();
    await this.#senders?.close();
    this.#file.close();
    await this.#ports.pool.close();
  }

  /** What was saved goes out also when the app does not open its shard again: own shards are opened behind all that people wait for. */
  #openOwnIn(delayMs: number): void {
    this.#cancelOpening = this.#ports.scheduler.after(delayMs, () => {
      this.#openingOwn = this.#openOwn();
    });
  }

  async #openOwn(): Promise<void> {
    await this.#follower?.opened;
    for (const { hold, kind, name } of this.#file.shards()) {
      if (hold !== 'own' || this.#isClosing) continue;
      await this.#ports.scheduler.yield();
      await this.openShard(kind, name).catch(() => undefined); // told to whoever opens it
    }
  }

  /** One after another; a failure of the host is tried again at the next time. */
  #auditIn(delayMs: number): void {
    this.#cancelAudit = this.#ports.scheduler.after(delayMs, () => {
      this.#auditing = this.audit().then(
        () => undefined,
        () => undefined,
      );
      this.#auditIn(auditEveryMs);
    });
  }

  async #open(kind: string, name: string): Promise<OwnShard> {
    this.#senders?.requireNone(`${kind}/${name}`);
    const definition = this.#definitions.get(kind);
    const where = `shard ${kind}/${name}`;
    if (definition === undefined) {
      throw FoldlogError.misuse({
        where,
        reason: 'unknownKind',
        found: `the kind ${kind}`,
        expected: `one of ${[...this.#definitions.keys()].join(', ')}`,
      });
    }
    const { workspace } = this.#file;
    if (workspace === undefined) {
      throw FoldlogError.misuse({
        where,
        reason: 'noWorkspace',
        found: 'an empty store',
        expected: 'a workspace',
        todo: 'create or join one',
      });
    }
    const held = this.#file.shards().find((shard) => shard.hold === 'own' && shard.kind === kind && shard.name === name);
    const { pool } = this.#ports;
    await pool.reserve(1);
    if (held !== undefined) {
      await this.#file.flush(); // the list may not be, when the call that made it failed
      const file = currentFile(pool, held.id);
      const store = await ShardStore.open(pool, file, definition, held);
      await moveOpened({ ...this.#ports, signer: this.#signer }, store, this.#control.head, !this.#isKeyLost(store));
      const shard = this.#assemble(store);
      await shard.publishMove();
      return shard;
    }
    if (this.#file.shards().some((shard) => shard.hold === 'lost' && shard.kind === kind && shard.name === name)) throw lostShard(where);
    const role = this.#workspaceStatus()?.role ?? 'owner';
    requireFreeName(this.#control.state, { kind, name }, { key: this.#signer.publicKey, role });
    const nonce = this.#ports.random.bytes(16);
    const identity: ShardIdentity = { id: shardIdOf(workspace, nonce), kind, name };
    const file = shardFileName(identity.id);
    // File, marker, list, in this order: see the crash table of decision 0006.
    const db = createShardFile(pool, file, definition, identity, nonce);
    try {
      await pool.flush(file);
    } catch (error) {
      db.close();
      pool.remove(file); // nothing was answered from it, and nothing names it
      throw error;
    }
    await this.#ports.vault.mark(file, markedShard(workspace, identity, true));
    this.#file.db.transaction(() => {
      this.#file.holdShard({ ...identity, hold: 'own' });
      this.#file.queueActs([{ act: 'shard', nonce, kind, name, writer: keyIdOf(this.#signer.publicKey) }]);
    });
    await this.#file.flush();
    this.#controlLoop.wake();
    return this.#assemble(new ShardStore(pool, file, definition, identity, db));
  }

  #assemble(store: ShardStore): OwnShard {
    const { relay } = this.#membership;
    const handle = handleOf(store.identity);
    const sync = relay === undefined ? undefined : { ...this.#ports, relay, signer: this.#signer };
    const shard = new OwnShard({ ...this.#ports, signer: this.#signer, sync }, this.#ports.pool, store, this.#control, {
      onSaved: () => this.#tell({ kind: 'changed', shard: handle }),
      onCommitted: (head) => {
        this.#tell({ kind: 'committed', shard: handle, seq: head.seq });
        this.#tell({ kind: 'status' });
      },
      onState: () => this.#tell({ kind: 'status' }),
    });
    if (this.#isKeyLost(store)) shard.refuseSaves(lostKeyShard(`shard ${handle}`));
    return shard;
  }

  /** Sealed by another key than this device has now. Its groups can still be read and sent: their seals prove them. */
  #isKeyLost(store: ShardStore): boolean {
    const sealedBy = store.log.lastSealKey();
    const declared = this.#control.state?.shards.get(bytesToHex(store.identity.id))?.writer;
    const writer = declared ?? sealedBy;
    return writer !== undefined && !isSameBytes(writer, keyIdOf(this.#signer.publicKey));
  }

  #damages(): readonly string[] {
    return [...this.#own.values()].flatMap(({ audited }) => (audited?.verdict.kind === 'damaged' ? [audited.verdict.error.message] : []));
  }

  #lost(): readonly LostShard[] {
    const gone = this.#file.shards().filter(({ hold }) => hold === 'lost');
    const unsigned = [...this.#own.values()].filter(({ store }) => this.#isKeyLost(store)).map(({ store }) => store.identity);
    return [
      ...gone.map(({ kind, name }) => ({ kind, name, why: 'file' as const })),
      ...unsigned.map(({ kind, name }) => ({ kind, name, why: 'key' as const })),
    ];
  }

  async #commitAct(act: Act): Promise<void> {
    this.#file.queueActs([act]);
    const text = JSON.stringify(actsToJson([act]));
    for (;;) {
      const waiting = this.#file.pendingActs().find(({ acts }) => JSON.stringify(actsToJson(acts)) === text);
      if (waiting === undefined) return;
      if (waiting.refused !== undefined || this.#control.link.kind === 'offline') {
        this.#file.dropActs(waiting.id);
        throw new FoldlogError(waiting.refused === undefined ? 'unavailable' : 'misuse', {
          where: act.act,
          reason: waiting.refused === undefined ? 'relayUnreachable' : 'refused',
          found: waiting.refused ?? 'no answer of the relay',
          expected: 'an entry in the control log',
        });
      }
      this.#controlLoop.wake(true);
      await new Promise<void>((resolve) => this.#ports.scheduler.after(20, resolve));
    }
  }

  #workspaceStatus(): EngineStatus['workspace'] {
    const { workspace } = this.#file;
    if (workspace === undefined) return undefined;
    const { state } = this.#control;
    const device = state === undefined ? undefined : deviceOf(state, keyIdOf(this.#signer.publicKey));
    const genesis = this.#file.pendingActs().flatMap(({ acts }) => acts.filter((act) => act.act === 'genesis'))[0];
    return {
      id: bytesToHex(workspace),
      name: state?.name ?? genesis?.name ?? '',
      device: device?.name ?? genesis?.device ?? '',
      role: device?.role ?? (genesis === undefined ? 'reader' : 'owner'),
      isAtRelay: state?.relay !== undefined,
    };
  }

  #tell(event: EngineEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const handleOf = (identity: { readonly kind: string; readonly name: string }): string => `${identity.kind}/${identity.name}`;
