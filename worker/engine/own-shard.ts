// One shard this device writes: store, save queue, pusher, upkeep and live queries, put together. The only file that knows them all.

import { isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { ownOpenAfterMs } from '../../kernel/limits.ts';
import type { Clock, Deflate, Scheduler, Verifier } from '../../kernel/ports.ts';
import { type Epoch, type GroupId, type Head, noHash, type Seq, type ShardId } from '../../kernel/units.ts';
import type { Sql } from '../../shards/sql.ts';
import { type AuditReport, auditOwn, type Verdict } from './audit.ts';
import { newestCheckpoint } from './bootstrap.ts';
import { runCanary } from './canary.ts';
import { isFoldOfPresent } from './canary-note.ts';
import type { GroupPlace } from './chain-log.ts';
import { type ControlReplica, noRelay } from './control.ts';
import type { Row } from './database.ts';
import { succeed } from './generations.ts';
import { type LivePatch, LiveQuery, type LiveSpec } from './live.ts';
import { Loop, type LoopPorts, type RoundEnd } from './loop.ts';
import { Meta } from './meta.ts';
import type { ShardFacts } from './metrics.ts';
import { sayMove } from './move-schema.ts';
import { discardEntry, exportEntry, importTail, listOutbox, type OutboxItem, retryEntry } from './outbox-acts.ts';
import { type OwnShardStatus, shardFacts } from './own-shard-status.ts';
import { isKeyLost } from './ownership.ts';
import type { Published, PublishPorts } from './publish.ts';
import { Pusher, type PushPorts, type PushState } from './push-loop.ts';
import { liveBounds, readBounds, runQueries } from './query.ts';
import { rebuildFromLog } from './rebuild.ts';
import { findStart, restoreShard } from './restore.ts';
import { type Durability, type SavedBefore, type SavePorts, SaveQueue, type SaveSource } from './save.ts';
import { unsaidOf } from './schema-file.ts';
import { schemaStatus } from './schema-status.ts';
import type { ShardStore } from './shard-store.ts';
import type { StoragePool } from './storage-pool.ts';
import type { StoreMetrics } from './store-metrics.ts';
import { Stranding, type StrandingHost } from './stranding.ts';
import type { TruncateRun } from './truncate.ts';
import { Upkeep } from './upkeep.ts';
import type { Vault } from './vault.ts';

export interface OwnShardPorts extends SavePorts, LoopPorts {
  readonly metrics: StoreMetrics;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly vault: Vault;
  /** Absent in a workspace without a relay. */
  readonly sync: (PushPorts & PublishPorts) | undefined;
  readonly isAdmin: () => boolean;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
}

export interface ShardEvents {
  readonly onSaved: (head: Head) => void;
  readonly onCommitted: (head: Head) => void;
  readonly onState: () => void;
  /** Ops above `keptSeq` that were saved in an epoch up to `closed` are not in their place any more. */
  readonly onStranded: (closed: Epoch, keptSeq: Seq) => void;
}

/** A repair that wants the relay waits for it, and one that no checkpoint helps stays a finding: the next audit tries again. */
function passing(error: unknown): false {
  const isPassing = error instanceof FoldlogError && (error.kind === 'unavailable' || error.reason === 'noBase');
  if (!isPassing) throw error;
  return false;
}

type OnPatch = (patch: LivePatch) => void;
type OnError = (error: FoldlogError) => void;

export class OwnShard {
  readonly store: ShardStore;
  readonly #ports: OwnShardPorts;
  readonly #queue: SaveQueue;
  readonly #pusher: Pusher | undefined;
  readonly #upkeep: Upkeep | undefined;
  readonly #control: ControlReplica;
  readonly #pushLoop: Loop | undefined;
  readonly #stranding: Stranding;
  readonly #strandLoop: Loop;
  readonly #host: StrandingHost;
  readonly #live = new Map<number, { readonly query: LiveQuery; readonly onPatch: OnPatch; readonly onError: OnError }>();
  readonly #events: ShardEvents;
  #cancelPublish: (() => void) | undefined;
  #audit: AuditReport | undefined;
  #refused: FoldlogError | undefined;
  #heldBy: FoldlogError | undefined;
  #paused: FoldlogError | undefined;
  #nextLive = 1;
  #isLiveRunning = false;
  #liveVersion = -1;
  /** Bytes of bodies that the room was told of. */
  #notedBytes: number;

  constructor(
    ports: OwnShardPorts,
    pool: StoragePool,
    store: ShardStore,
    control: ControlReplica,
    { events, host }: { readonly events: ShardEvents; readonly host: StrandingHost },
  ) {
    this.store = store;
    this.#ports = ports;
    this.#events = events;
    this.#host = host;
    this.#control = control;
    this.#notedBytes = store.log.savedBytes;
    this.#queue = new SaveQueue(
      ports,
      store,
      () => ({ epoch: store.log.base.epoch, controlHead: control.head, headsSeen: noHash }),
      () => this.#saved(),
      (ms) => ports.metrics.board.noteFold(ms),
    );
    this.#stranding = new Stranding(ports, pool, store, host, {
      onHeld: (error) => this.#held(error),
      onReleased: () => this.#released(),
      onStranded: events.onStranded,
      onRestored: () => void this.#runLive(),
      sayMove: () => this.#sayMove(),
      isPublishing: () => this.#upkeep?.publisher.isRunning === true,
    });
    this.#strandLoop = new Loop(ports, () => this.#strand());
    if (ports.sync === undefined) return;
    const wakePush = (): void => this.#pushLoop?.wake();
    this.#pusher = new Pusher(ports.sync, store, control, {
      onCommitted: (head) => this.#committed(head),
      onState: events.onState,
      onFenced: async (error) => {
        await this.#stranding.noteFenced(error);
        host.askControl();
        this.#strandLoop.wake(true);
      },
    });
    const pusher = this.#pusher;
    this.#upkeep = new Upkeep({ ...ports, ...ports.sync }, pool, { store, pusher, control }, wakePush, {
      onState: events.onState,
      onDamage: (error) => this.refuseSaves(error),
      isThrottled: () => ports.metrics.isThrottled,
    });
    this.#pushLoop = new Loop(ports, () => pusher.round());
    this.#stranding.begin();
    this.#strandLoop.wake();
    wakePush();
    this.#cancelPublish = ports.scheduler.after(ownOpenAfterMs, () => {
      this.#upkeep?.wakeIfMoved().catch(() => undefined); // a shard that was closed or lost meanwhile tells so itself
    });
  }

  /** When the tables moved and nothing was saved since, a checkpoint is begun before the next save can be. Resolves when its state is frozen. */
  async publishMove(): Promise<void> {
    await this.#upkeep?.publishMove();
  }

  /** @throws {FoldlogError} `storageFull` `quotaNear`, before there is no room at all: a save that is new; see save.ts for the others */
  save(id: GroupId, source: SaveSource, durability: Durability = 'strict'): Promise<GroupPlace> {
    const full = this.#ports.metrics.room.near();
    return full === undefined ? this.#queue.save(id, source, durability) : this.#answerOrRefuse(id, full);
  }

  /** What is saved already is answered whatever room there is. */
  async #answerOrRefuse(id: GroupId, full: FoldlogError): Promise<GroupPlace> {
    const found = await this.find(id);
    if (found === undefined) throw full;
    return found;
  }

  /** A stranded group, from this shard's outbox or another's (rebase.ts). */
  saveAgain(id: GroupId, before: SavedBefore): Promise<GroupPlace> {
    return this.#queue.saveAgain(id, before);
  }

  /** Groups that could not be committed in their place, and what became of them. */
  outbox(): Promise<readonly OutboxItem[]> {
    return this.store.mutex.own('other', () => listOutbox(this.store));
  }

  /** Has a refused or discarded group of the outbox tried again. @throws {FoldlogError} see outbox-acts.ts, as of the next three */
  async retryEntry(id: string): Promise<void> {
    await this.store.mutex.own('other', () => retryEntry(this.store, this.#ports.clock, id));
    await this.store.flush();
    this.#strandLoop.wake(true);
  }

  async discardEntry(id: string): Promise<void> {
    await this.store.mutex.own('other', () => discardEntry(this.store, this.#ports.clock, id));
    await this.store.flush();
    this.#events.onState();
  }

  exportEntry(id: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.store.mutex.own('other', () => exportEntry(this.store, this.#ports.deflate, id));
  }

  async importTail(bytes: Uint8Array): Promise<string> {
    const control = this.#host.source()?.control;
    if (control === undefined) throw noRelay('importTail');
    this.#host.askControl(); // it may lack the cut that the tail names: refused then, and there for the next try
    const id = await importTail(this.store, { ...this.#ports, control, isAdmin: this.#ports.isAdmin() }, bytes);
    this.#strandLoop.wake(true);
    return id;
  }

  /** A shard was committed further: what of this outbox was saved again there, and is covered now, is let go. */
  settle(shard: ShardId): void {
    if (this.store.outbox.rebasedTo().some((id) => isSameBytes(id, shard))) this.#strandLoop.wake();
  }

  /** Whether a relaxed save is one here; else it is strict. */
  get canRelax(): boolean {
    return this.store.canRelax;
  }

  /** Makes every save until now durable, relaxed ones too. */
  flush(): Promise<void> {
    return this.#queue.flush();
  }

  /**
   * Looks at everything of this shard on disk. Damage to the log closes it for saves, which would build on it; damage to the state is told, for what was
   * saved is in the log, and the next generation of the file is filled from it while saves wait; damage to the table of ids is put right from the log.
   */
  audit(pool: StoragePool): Promise<AuditReport> {
    return this.#withWholeLog(() => this.#auditNow(pool));
  }

  async #auditNow(pool: StoragePool): Promise<AuditReport> {
    // Between the two steps of a stranding the state holds more than the log, and is on its way to be restored.
    const isBetween = (): boolean => this.#stranding.state.kind === 'stranded';
    if (!isBetween()) await this.#runCanary(pool);
    const found: Verdict = isBetween() ? { kind: 'unfinished' } : await auditOwn(this.#ports, pool, this.store);
    const verdict: Verdict = isBetween() ? { kind: 'unfinished' } : found;
    const isLogLost = verdict.kind === 'damaged' && (verdict.part === 'log' || verdict.part === 'pages');
    if (isLogLost) this.refuseSaves(verdict.error);
    if (verdict.kind === 'damaged' && verdict.part === 'ids') await this.store.mutex.own('other', () => this.store.log.restoreIds());
    const isRight =
      verdict.kind !== 'damaged' || verdict.part === 'ids' || (verdict.part === 'state' && (await this.#rebuild(pool).catch(passing)));
    if (verdict.kind !== 'unfinished') this.#upkeep?.suspect(isRight ? undefined : verdict.error);
    this.#audit = { atSeq: this.store.head.seq, atMs: this.#ports.clock.now(), verdict };
    this.#events.onState();
    return this.#audit;
  }

  /** After a move: whether the present code makes the same of what lies below. Once, and only told. */
  async #runCanary(pool: StoragePool): Promise<void> {
    const { sync } = this.#ports;
    const newest = sync === undefined ? undefined : () => newestCheckpoint({ ...this.#ports, ...sync }, this.#control, this.store);
    await runCanary(this.#ports, pool, this.store, newest);
  }

  /**
   * Never under a checkpoint that is being made from the present file, nor, once the log is truncated, without the checkpoint it is folded on: the next audit
   * finds the same again. True when it is right now.
   */
  async #rebuild(pool: StoragePool): Promise<boolean> {
    if (this.#upkeep?.publisher.isRunning === true) return false;
    const { store } = this;
    const source = this.#host.source();
    const isWhole = store.log.base.head.seq === 0 && isFoldOfPresent(new Meta(store.db));
    const start = isWhole ? undefined : await findStart(source, store, store.head);
    await store.mutex.own('other', async () => {
      const older = store.file;
      const goal = { head: store.head, settle: () => undefined };
      const { file, db } = isWhole ? await rebuildFromLog(pool, store) : await restoreShard(source, pool, store, goal, start);
      store.moveTo(file, db);
      await succeed(pool, this.#ports.vault, { older, newer: file });
    });
    void this.#runLive();
    return true;
  }

  /** Nothing is truncated while somebody reads the whole log. */
  #withWholeLog<T>(work: () => Promise<T>): Promise<T> {
    return this.#upkeep === undefined ? work() : this.#upkeep.withWholeLog(work);
  }

  /** Until the shard is this device's again: reading and sending go on. */
  holdSaves(error: FoldlogError): void {
    this.#heldBy = error;
    this.#holdOrRelease();
  }

  /** Reading and sending go on. */
  refuseSaves(error: FoldlogError): void {
    this.#refused = error;
    this.#queue.stop(error);
  }

  /** While this device takes over from itself: what was saved between fence and cut would strand. */
  pauseSaves(error: FoldlogError): void {
    this.#paused = error;
    this.#holdOrRelease();
  }

  resumeSaves(): void {
    this.#paused = undefined;
    this.#holdOrRelease();
  }

  get closed(): FoldlogError | undefined {
    return this.#refused ?? this.#heldBy ?? this.#paused;
  }

  /** Whether groups may be saved here now: for what other shards' outboxes wait for it. */
  get isEntered(): boolean {
    return this.#refused === undefined && this.#stranding.isEntered;
  }

  #holdOrRelease(): void {
    const error = this.#heldBy ?? this.#paused;
    if (error === undefined) this.#queue.release();
    else this.#queue.hold(error);
  }

  /** Where a call's group stands, when it was saved: the answer to an unknown outcome. */
  async find(id: GroupId): Promise<GroupPlace | undefined> {
    return this.store.mutex.own('other', () => this.store.log.find(id));
  }

  read(queries: readonly Sql[]): Promise<readonly (readonly Row[])[]> {
    return this.store.mutex.own('other', () => runQueries(this.store.db, this.#ports.clock, queries, readBounds));
  }

  /** Subscribes; the first patch holds all rows. */
  live(spec: LiveSpec, onPatch: OnPatch, onError: OnError): number {
    const id = this.#nextLive++;
    this.#live.set(id, { query: new LiveQuery(spec), onPatch, onError });
    this.#liveVersion = -1;
    void this.#runLive();
    return id;
  }

  unlive(id: number): void {
    this.#live.delete(id);
  }

  /** @throws {FoldlogError} see publish.ts; `misuse` `noRelay` in a workspace without one */
  publish(): Promise<Published> {
    return this.#requireUpkeep('publish').publish();
  }

  /** Lets go at once of what may go, instead of when it is worth it. @throws {FoldlogError} see truncate.ts; `misuse` `noRelay` */
  truncate(): Promise<TruncateRun> {
    return this.#requireUpkeep('truncate').truncate();
  }

  /** Takes note of a checkpoint that an earlier publish put up without hearing so. @throws {FoldlogError} see publish.ts; `misuse` `noRelay` */
  settleCheckpoint(): Promise<boolean> {
    return this.#requireUpkeep('publish').publisher.settle();
  }

  #requireUpkeep(where: string): Upkeep {
    if (this.#upkeep !== undefined) return this.#upkeep;
    throw FoldlogError.misuse({ where, reason: 'noRelay', found: 'a workspace without a relay', expected: 'one' });
  }

  /** The network is back, the control log changed, or a person asked. */
  wake(atOnce: boolean): void {
    this.#pushLoop?.wake(atOnce);
    this.#strandLoop.wake(atOnce);
    if (atOnce) this.#upkeep?.wake(true);
  }

  /** What upkeep waited with while the battery was low. */
  tend(): void {
    this.#upkeep?.wake();
  }

  get isPushIdle(): boolean {
    return this.#pushLoop === undefined || this.#pushLoop.isIdle;
  }

  get pushState(): PushState {
    return this.#pusher?.state ?? { kind: 'idle' };
  }

  get committed(): Head {
    return this.#pusher?.committed ?? this.store.log.base.head;
  }

  status(): Promise<OwnShardStatus> {
    return this.store.mutex.own('other', () => ({
      kind: this.store.identity.kind,
      name: this.store.identity.name,
      savedSeq: this.store.head.seq,
      committedSeq: this.committed.seq,
      pending: this.store.log.pending(),
      exposedOps: this.store.exposedOps,
      push: this.pushState,
      retryAtMs: this.#pushLoop?.retryAt,
      checkpointSeq: this.#upkeep?.publisher.noted?.head.seq ?? 0,
      fence: this.#stranding.state,
      stranded: this.store.outbox.counts(),
      upkeep: this.#upkeep?.status(),
      audit: this.#audit,
      closed: this.closed,
      schema: schemaStatus(this.store),
    }));
  }

  /** What metrics are made of. */
  facts(): Promise<ShardFacts> {
    return this.store.mutex.own('other', () => shardFacts(this.store, this.#upkeep, this.committed.seq));
  }

  /** Finishes the save that runs, refuses those that wait, ends the loops. */
  async close(): Promise<void> {
    this.#queue.stop(
      new FoldlogError('unavailable', { where: 'save', reason: 'closed', found: 'a shard that was closed', expected: 'an open one' }),
    );
    this.#cancelPublish?.();
    await this.#upkeep?.close();
    await this.#pushLoop?.stop();
    await this.#strandLoop.stop();
    await this.store.mutex.own('other', async () => {
      await this.store.makeDurable().catch(() => undefined);
      this.store.close();
    });
  }

  #held(error: FoldlogError): void {
    this.holdSaves(error);
    this.#pusher?.pause(error);
  }

  #released(): void {
    this.#heldBy = undefined;
    this.#holdOrRelease();
    this.#pusher?.resume();
    this.#pushLoop?.wake(true);
  }

  async #strand(): Promise<RoundEnd> {
    const before = this.#stranding.state;
    const end = await this.#withWholeLog(() => this.#stranding.round());
    if (this.#stranding.state !== before) this.#events.onState();
    return end;
  }

  /** After a restart of the file or of the epoch: what an app update did to the tables, said again before anything is saved on them. */
  async #sayMove(): Promise<void> {
    const { store } = this;
    const isSaid = unsaidOf(new Meta(store.db), store.definition) === undefined;
    if (isSaid || isKeyLost(this.#control.state, this.#ports.signer, store)) return;
    await sayMove(this.#ports, store, this.#control.head);
    this.#pushLoop?.wake(); // its receipt has the checkpoint due
  }

  #saved(): void {
    this.#noteSaved();
    this.#events.onSaved(this.store.head);
    this.#pushLoop?.wake();
    void this.#runLive();
  }

  #noteSaved(): void {
    const { savedBytes } = this.store.log;
    this.#ports.metrics.room.noteSaved(Math.max(0, savedBytes - this.#notedBytes));
    this.#notedBytes = savedBytes;
  }

  #committed(head: Head): void {
    this.#events.onCommitted(head);
    this.#upkeep?.wake();
  }

  /** One run for all changes that came meanwhile. */
  async #runLive(): Promise<void> {
    if (this.#isLiveRunning || this.#live.size === 0) return;
    this.#isLiveRunning = true;
    try {
      while (this.#live.size > 0 && this.#liveVersion !== this.store.version) {
        await this.#ports.scheduler.yield();
        await this.store.mutex.own('other', () => {
          this.#liveVersion = this.store.version;
          for (const live of this.#live.values()) this.#runOne(live);
        });
      }
    } finally {
      this.#isLiveRunning = false;
    }
  }

  #runOne({ query, onPatch, onError }: { readonly query: LiveQuery; readonly onPatch: OnPatch; readonly onError: OnError }): void {
    try {
      const [rows = []] = runQueries(this.store.db, this.#ports.clock, [query.spec.query], liveBounds);
      const patch = query.patch(rows);
      if (patch !== undefined) onPatch(patch);
    } catch (error) {
      if (error instanceof FoldlogError) onError(error);
      else throw error;
    }
  }
}
