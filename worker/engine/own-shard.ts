// One shard this device writes: store, save queue, pusher, upkeep and live queries, put together. The only file that knows them all.

import { FoldlogError } from '../../kernel/errors.ts';
import type { Clock, Scheduler } from '../../kernel/ports.ts';
import { type GroupId, type Head, noHash } from '../../kernel/units.ts';
import type { Sql } from '../../shards/sql.ts';
import { type AuditReport, auditOwn } from './audit.ts';
import { fetchNewest } from './bootstrap.ts';
import type { GroupPlace } from './chain-log.ts';
import type { ControlReplica } from './control.ts';
import type { Row } from './database.ts';
import { succeed } from './generations.ts';
import { type LivePatch, LiveQuery, type LiveSpec } from './live.ts';
import { Loop, type LoopPorts } from './loop.ts';
import type { Published, PublishPorts } from './publish.ts';
import { Pusher, type PushPorts, type PushState } from './push-loop.ts';
import { liveBounds, readBounds, runQueries } from './query.ts';
import { type RebuildStart, rebuildFromLog } from './rebuild.ts';
import { type Durability, type SavePorts, SaveQueue, type SaveSource } from './save.ts';
import type { ShardStore } from './shard-store.ts';
import type { StoragePool } from './storage-pool.ts';
import type { TruncateRun } from './truncate.ts';
import { Upkeep, type UpkeepStatus } from './upkeep.ts';
import type { Vault } from './vault.ts';

export interface OwnShardPorts extends SavePorts, LoopPorts {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly vault: Vault;
  /** Absent in a workspace without a relay. */
  readonly sync: (PushPorts & PublishPorts) | undefined;
}

export interface ShardEvents {
  readonly onSaved: (head: Head) => void;
  readonly onCommitted: (head: Head) => void;
  readonly onState: () => void;
}

export interface OwnShardStatus {
  readonly kind: string;
  readonly name: string;
  readonly savedSeq: number;
  readonly committedSeq: number;
  readonly pending: { readonly groups: number; readonly ops: number; readonly bytes: number };
  /** Ops of relaxed saves that a power cut may still take. */
  readonly exposedOps: number;
  readonly push: PushState;
  readonly retryAtMs: number | undefined;
  readonly checkpointSeq: number;
  /** Publishing and truncating; undefined in a workspace without a relay. */
  readonly upkeep: UpkeepStatus | undefined;
  /** Undefined before the first audit since the store was opened. */
  readonly audit: AuditReport | undefined;
}

type OnPatch = (patch: LivePatch) => void;
type OnError = (error: FoldlogError) => void;

export class OwnShard {
  readonly store: ShardStore;
  readonly #ports: OwnShardPorts;
  readonly #control: ControlReplica;
  readonly #queue: SaveQueue;
  readonly #pusher: Pusher | undefined;
  readonly #upkeep: Upkeep | undefined;
  readonly #pushLoop: Loop | undefined;
  readonly #live = new Map<number, { readonly query: LiveQuery; readonly onPatch: OnPatch; readonly onError: OnError }>();
  readonly #events: ShardEvents;
  #audit: AuditReport | undefined;
  #nextLive = 1;
  #isLiveRunning = false;
  #liveVersion = -1;

  constructor(ports: OwnShardPorts, pool: StoragePool, store: ShardStore, control: ControlReplica, events: ShardEvents) {
    this.store = store;
    this.#ports = ports;
    this.#events = events;
    this.#control = control;
    const { epoch } = store.log.base;
    this.#queue = new SaveQueue(
      ports,
      store,
      () => ({ epoch, controlHead: control.head, headsSeen: noHash }),
      () => this.#saved(),
    );
    if (ports.sync === undefined) return;
    const wakePush = (): void => this.#pushLoop?.wake();
    this.#pusher = new Pusher(ports.sync, store, control, (head) => this.#committed(head), events.onState);
    const pusher = this.#pusher;
    this.#upkeep = new Upkeep({ ...ports, ...ports.sync }, pool, { store, pusher, control }, wakePush, {
      onState: events.onState,
      onDamage: (error) => this.refuseSaves(error),
    });
    this.#pushLoop = new Loop(ports, () => pusher.round());
    wakePush();
  }

  save(id: GroupId, source: SaveSource, durability: Durability = 'strict'): Promise<GroupPlace> {
    return this.#queue.save(id, source, durability);
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
    return this.#upkeep === undefined ? this.#auditNow(pool) : this.#upkeep.withWholeLog(() => this.#auditNow(pool));
  }

  async #auditNow(pool: StoragePool): Promise<AuditReport> {
    const verdict = await auditOwn(this.#ports, pool, this.store);
    const isLogLost = verdict.kind === 'damaged' && (verdict.part === 'log' || verdict.part === 'pages');
    if (isLogLost) this.refuseSaves(verdict.error);
    if (verdict.kind === 'damaged' && verdict.part === 'ids') await this.store.mutex.own('other', () => this.store.log.restoreIds());
    const isRight = verdict.kind !== 'damaged' || verdict.part === 'ids' || (verdict.part === 'state' && (await this.#rebuild(pool)));
    if (verdict.kind !== 'unfinished') this.#upkeep?.suspect(isRight ? undefined : verdict.error);
    this.#audit = { atSeq: this.store.head.seq, atMs: this.#ports.clock.now(), verdict };
    this.#events.onState();
    return this.#audit;
  }

  /**
   * Never under a checkpoint that is being made from the present file, nor, once the log is truncated, without the checkpoint it is folded on: the next audit
   * finds the same again. True when it is right now.
   */
  async #rebuild(pool: StoragePool): Promise<boolean> {
    if (this.#upkeep?.publisher.isRunning === true) return false;
    const { store } = this;
    const start = store.log.base.head.seq === 0 ? undefined : await this.#fetchStart();
    if (start === undefined && store.log.base.head.seq !== 0) return false;
    const older = store.file;
    await store.mutex.own('other', async () => {
      const { file, db } = await rebuildFromLog(pool, store, start);
      store.moveTo(file, db);
      await succeed(pool, this.#ports.vault, { older, newer: file });
    });
    void this.#runLive();
    return true;
  }

  /** Undefined while the relay is away or has none. */
  async #fetchStart(): Promise<RebuildStart | undefined> {
    const { sync } = this.#ports;
    const { workspace, state } = this.#control;
    if (sync === undefined || workspace === undefined || state === undefined) return undefined;
    try {
      const newest = await fetchNewest(sync, { workspace, control: state }, this.store);
      return newest === undefined ? undefined : { head: newest.checkpoint.head, image: newest.image };
    } catch (error) {
      if (error instanceof FoldlogError && error.kind === 'unavailable') return undefined;
      throw error;
    }
  }

  /** Reading and sending go on. */
  refuseSaves(error: FoldlogError): void {
    this.#queue.stop(error);
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
    if (atOnce) this.#upkeep?.wake(true);
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
      pending: this.store.log.pending(this.committed.seq),
      exposedOps: this.store.exposedOps,
      push: this.pushState,
      retryAtMs: this.#pushLoop?.retryAt,
      checkpointSeq: this.#upkeep?.publisher.noted?.head.seq ?? 0,
      upkeep: this.#upkeep?.status(),
      audit: this.#audit,
    }));
  }

  /** Finishes the save that runs, refuses those that wait, ends the loops. */
  async close(): Promise<void> {
    this.#queue.stop(
      new FoldlogError('unavailable', { where: 'save', reason: 'closed', found: 'a shard that was closed', expected: 'an open one' }),
    );
    await this.#upkeep?.close();
    await this.#pushLoop?.stop();
    await this.store.mutex.own('other', async () => {
      await this.store.makeDurable().catch(() => undefined);
      this.store.close();
    });
  }

  #saved(): void {
    this.#events.onSaved(this.store.head);
    this.#pushLoop?.wake();
    void this.#runLive();
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
