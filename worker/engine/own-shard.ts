// One shard this device writes: store, save queue, pusher, publisher and live queries, put together. The only file that knows them all.

import { FoldlogError } from '../../kernel/errors.ts';
import { ownOpenAfterMs } from '../../kernel/limits.ts';
import type { Clock, Scheduler } from '../../kernel/ports.ts';
import { type GroupId, type Head, noHash } from '../../kernel/units.ts';
import { planPublish } from '../../shards/publish-plan.ts';
import type { Sql } from '../../shards/sql.ts';
import { type AuditReport, auditOwn } from './audit.ts';
import { newestCheckpoint } from './bootstrap.ts';
import { runCanary } from './canary.ts';
import type { GroupPlace } from './chain-log.ts';
import type { ControlReplica } from './control.ts';
import type { Row } from './database.ts';
import { succeed } from './generations.ts';
import { type LivePatch, LiveQuery, type LiveSpec } from './live.ts';
import { Loop, type LoopPorts } from './loop.ts';
import { Meta } from './meta.ts';
import { readMove } from './move-schema.ts';
import { type Published, Publisher, type PublishPorts } from './publish.ts';
import { Pusher, type PushPorts, type PushState } from './push-loop.ts';
import { liveBounds, readBounds, runQueries } from './query.ts';
import { rebuildFromLog } from './rebuild.ts';
import { type Durability, type SavePorts, SaveQueue, type SaveSource } from './save.ts';
import { type SchemaStatus, schemaStatus } from './schema-status.ts';
import type { ShardStore } from './shard-store.ts';
import type { StoragePool } from './storage-pool.ts';
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
  /** Undefined before the first audit since the store was opened. */
  readonly audit: AuditReport | undefined;
  readonly schema: SchemaStatus;
}

type OnPatch = (patch: LivePatch) => void;
type OnError = (error: FoldlogError) => void;

export class OwnShard {
  readonly store: ShardStore;
  readonly #ports: OwnShardPorts;
  readonly #queue: SaveQueue;
  readonly #pusher: Pusher | undefined;
  readonly #publisher: Publisher | undefined;
  readonly #control: ControlReplica;
  readonly #pushLoop: Loop | undefined;
  readonly #live = new Map<number, { readonly query: LiveQuery; readonly onPatch: OnPatch; readonly onError: OnError }>();
  readonly #events: ShardEvents;
  #cancelPublish: (() => void) | undefined;
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
    this.#publisher = new Publisher(ports.sync, pool, store, this.#pusher, control, wakePush);
    const pusher = this.#pusher;
    this.#pushLoop = new Loop(ports, () => pusher.round());
    wakePush();
    // Due since an earlier start, and perhaps nothing will be committed that would ask.
    this.#cancelPublish = ports.scheduler.after(ownOpenAfterMs, () => this.#publishIfDue());
  }

  /** When the tables moved and nothing was saved since, a checkpoint is begun before the next save can be. Resolves when its state is frozen. */
  async publishMove(): Promise<void> {
    const move = readMove(new Meta(this.store.db));
    const publisher = this.#publisher;
    if (publisher === undefined || move === undefined || move.atSeq !== this.store.head.seq || publisher.checkpointSeq >= move.atSeq)
      return;
    await publisher.begin();
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
  async audit(pool: StoragePool): Promise<AuditReport> {
    await this.#runCanary(pool);
    const verdict = await auditOwn(this.#ports, pool, this.store);
    const isLogLost = verdict.kind === 'damaged' && (verdict.part === 'log' || verdict.part === 'pages');
    if (isLogLost) this.refuseSaves(verdict.error);
    if (verdict.kind === 'damaged' && verdict.part === 'ids') await this.store.mutex.own('other', () => this.store.log.restoreIds());
    if (verdict.kind === 'damaged' && verdict.part === 'state') await this.#rebuild(pool);
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

  /** Never under a checkpoint that is being made from the present file: the next audit finds the same again. */
  async #rebuild(pool: StoragePool): Promise<void> {
    if (this.#publisher?.isRunning === true) return;
    const { store } = this;
    const older = store.file;
    await store.mutex.own('other', async () => {
      const { file, db } = await rebuildFromLog(pool, store);
      store.moveTo(file, db);
      await succeed(pool, this.#ports.vault, { older, newer: file });
    });
    void this.#runLive();
  }

  get audited(): AuditReport | undefined {
    return this.#audit;
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
    if (this.#publisher === undefined) {
      throw FoldlogError.misuse({ where: 'publish', reason: 'noRelay', found: 'a workspace without a relay', expected: 'one' });
    }
    return this.#publisher.publish();
  }

  /** The network is back, the control log changed, or a person asked. */
  wake(atOnce: boolean): void {
    this.#pushLoop?.wake(atOnce);
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
      checkpointSeq: this.#publisher?.checkpointSeq ?? 0,
      audit: this.#audit,
      schema: schemaStatus(this.store),
    }));
  }

  /** Finishes the save that runs, refuses those that wait, ends the loops. */
  async close(): Promise<void> {
    this.#queue.stop(
      new FoldlogError('unavailable', { where: 'save', reason: 'closed', found: 'a shard that was closed', expected: 'an open one' }),
    );
    this.#cancelPublish?.();
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
    this.#publishIfDue();
  }

  #publishIfDue(): void {
    const publisher = this.#publisher;
    if (publisher === undefined || publisher.isRunning || !this.store.db.isOpen) return;
    const movedSeq = readMove(new Meta(this.store.db))?.atSeq ?? 0;
    const plan = planPublish({ committedSeq: this.committed.seq, checkpointSeq: publisher.checkpointSeq, movedSeq });
    // A checkpoint nobody waits for: when it fails, the next receipt tries again.
    if (plan.kind === 'publish') publisher.publish().then(this.#events.onState, () => undefined);
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
