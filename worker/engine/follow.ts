// The shards this device follows: finds them in the control log by rule, starts each from its own file, a checkpoint or the first slot, and pulls.
// One loop for all of them; each keeps its own cursor, and one that cannot go on does not hold up the others.

import { bytesToHex } from '../../kernel/bytes.ts';
import { type ControlState, isWriterOf, type ShardEntry, shardNamed } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { assertNever, FoldlogError } from '../../kernel/errors.ts';
import { type FormFactor, moveCheckEveryMs, replicaCacheKibMin, replicaCachesKib } from '../../kernel/limits.ts';
import type { Signer } from '../../kernel/ports.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { type FollowRule, followRule } from '../../shards/follow-rule.ts';
import { type AuditPorts, type AuditReport, auditReplica } from './audit.ts';
import { type BootstrapPorts, newestStatement, startReplica } from './bootstrap.ts';
import type { ControlReplica } from './control.ts';
import { shardFileName } from './generations.ts';
import { isWaiting, type RoundEnd } from './loop.ts';
import { keepMarked, markedShard } from './loss.ts';
import { judgeMove, type MoveReport } from './move-check.ts';
import { answerOrThrow, type RelayClient, type Traffic } from './relay-client.ts';
import { Replica, type ReplicaPorts } from './replica.ts';
import { type Bootstrap, type ReplicaStatus, replicaSchema } from './replica-status.ts';
import type { StoragePool } from './storage-pool.ts';
import type { MarkedFile, Vault } from './vault.ts';
import type { HeldShard, WorkspaceFile } from './workspace-file.ts';

export interface FollowPorts extends ReplicaPorts, BootstrapPorts, AuditPorts {
  readonly relay: RelayClient;
  readonly signer: Signer;
  readonly vault: Vault;
  /** Told how long a pulled object took to verify and fold, ms. */
  readonly onFold: (ms: number) => void;
}

export interface FollowEvents {
  readonly onChange: (shard: Replica) => void;
  /** After each reading of its log. True: it was made this device's own shard, and is not followed any more (take-over.ts). */
  readonly onRead: (shard: Replica) => Promise<boolean>;
}

/** What a person agreed to, who was told that it may take minutes and battery. */
export interface GenesisConsent {
  readonly evenOnPhone?: boolean;
}

/** Somebody waits for a fold of the whole chain. */
interface GenesisWish {
  stage: 'asked' | 'begun' | 'cancelled';
  readonly resolve: (bootstrap: Bootstrap) => void;
  readonly reject: (error: FoldlogError) => void;
}

interface Followed {
  readonly replica: Replica;
  bootstrap: Bootstrap;
  error: FoldlogError | undefined;
  audit: AuditReport | undefined;
  /** Wall time before which a log that did not verify is not asked for again. */
  retryAt: number;
  /** Wall time before which the checkpoint of a move is not asked for again. */
  checkAt: number;
}

/** A log that does not verify will hardly do so in a second; the other shards go on meanwhile. */
const corruptRetryMs = 60_000;

/** Bytes of one log answer asked for. */
const pullBytes = 4 * 1024 * 1024;

export class Follower {
  readonly #ports: FollowPorts;
  readonly #pool: StoragePool;
  readonly #file: WorkspaceFile;
  readonly #control: ControlReplica;
  readonly #definitions: ReadonlyMap<string, ShardDefinition>;
  readonly #traffic: Traffic;
  readonly #onChange: (shard: Replica) => void;
  readonly #onRead: FollowEvents['onRead'];
  readonly #followed = new Map<string, Followed>();
  /** Shards that could not be started, by id: told in status, tried again each round. */
  readonly #failed = new Map<string, FoldlogError>();
  /** Shards that somebody asked to fold from their first slot (decision 0013), by id. */
  readonly #genesis = new Map<string, GenesisWish>();
  readonly #formFactor: FormFactor;
  /** What came of a move, while the shard starts again from the checkpoint that decided it. */
  readonly #moves = new Map<string, MoveReport>();
  #rules: readonly FollowRule[];
  #opened: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(
    ports: FollowPorts,
    pool: StoragePool,
    at: {
      readonly file: WorkspaceFile;
      readonly control: ControlReplica;
      readonly definitions: ReadonlyMap<string, ShardDefinition>;
      readonly traffic: Traffic;
      readonly formFactor: FormFactor;
    },
    events: FollowEvents,
  ) {
    this.#ports = ports;
    this.#pool = pool;
    this.#file = at.file;
    this.#control = at.control;
    this.#definitions = at.definitions;
    this.#traffic = at.traffic;
    this.#formFactor = at.formFactor;
    this.#onChange = events.onChange;
    this.#onRead = events.onRead;
    this.#rules = at.file.rules().map(followRule);
  }

  /** Follows every shard the pattern names, now and later. @throws {FoldlogError} `misuse` `badFollowRule` */
  addRule(pattern: string): void {
    const rule = followRule(pattern);
    this.#file.addRule(pattern);
    this.#rules = [...this.#rules, rule];
  }

  /**
   * Drops what is here of a followed shard and folds its chain from the first slot. Resolves when it is level with the relay; `round` does the work. Until
   * then it is read as of the seq that is reached.
   * @throws {FoldlogError} `misuse` `notOnPhone`, `unknownShard`, `notFollowed`, `genesisRunning` · `corrupt`, `upgradeNeeded`: where the chain cannot be folded · `unavailable` `cancelled`
   */
  startFromGenesis(kind: string, name: string, { evenOnPhone = false }: GenesisConsent): Promise<Bootstrap> {
    const where = `start of ${kind}/${name}`;
    if (this.#formFactor === 'phone' && !evenOnPhone) {
      const todo = 'start from a checkpoint, or pass evenOnPhone after asking the person';
      throw FoldlogError.misuse({ where, reason: 'notOnPhone', found: 'a phone', expected: 'a desktop', todo });
    }
    const entry = this.#requireShard(kind, name, where);
    if (!this.#rules.some((rule) => rule.matches(entry))) {
      throw FoldlogError.misuse({ where, reason: 'notFollowed', found: 'a shard this device does not follow', expected: 'follow() first' });
    }
    const id = bytesToHex(entry.id);
    if (this.#genesis.has(id)) {
      throw FoldlogError.misuse({ where, reason: 'genesisRunning', found: 'a fold from genesis under way', expected: 'one at a time' });
    }
    return new Promise((resolve, reject) => this.#genesis.set(id, { stage: 'asked', resolve, reject }));
  }

  /** Drops what was folded so far; the shard starts again by the usual path. Nothing when none runs. */
  cancelGenesis(kind: string, name: string): void {
    const wish = this.#genesis.get(bytesToHex(this.#requireShard(kind, name, `start of ${kind}/${name}`).id));
    if (wish !== undefined) wish.stage = 'cancelled';
  }

  #requireShard(kind: string, name: string, where: string): ShardEntry {
    const { state } = this.#control;
    const entry = state === undefined ? undefined : shardNamed(state, kind, name);
    if (entry !== undefined) return entry;
    throw FoldlogError.misuse({ where, reason: 'unknownShard', found: 'no such shard', expected: 'one of the control log' });
  }

  get replicas(): readonly Replica[] {
    return [...this.#followed.values()].map(({ replica }) => replica);
  }

  get isLevel(): boolean {
    return (
      this.#failed.size === 0 && [...this.#followed.values()].every(({ bootstrap, error }) => bootstrap.isLevel || error !== undefined)
    );
  }

  statuses(): readonly ReplicaStatus[] {
    return [...this.#followed.values()].map(({ replica, bootstrap, error, audit }) => ({
      kind: replica.identity.kind,
      name: replica.identity.name,
      seq: replica.cursor.head.seq,
      slot: replica.cursor.slot,
      bootstrap,
      stopped: replica.stopped ?? error ?? (this.#control.state === undefined ? undefined : replica.waiting(this.#control.state)),
      audit,
      schema: replicaSchema(replica),
    }));
  }

  /** Sizes of the database files that are open. */
  async fileBytes(): Promise<readonly number[]> {
    return Promise.all(this.replicas.map(({ mutex, db }) => mutex.own('other', () => (db.isOpen ? db.sizeBytes() : 0))));
  }

  failures(): readonly FoldlogError[] {
    return [...this.#failed.values()];
  }

  /**
   * Opens replicas that are here already, so that they can be read before the relay answers. Gives way before each, so that own shards, which people
   * wait for, are opened between them. Never rejects: what cannot be opened is tried again, and told, by the rounds. `markers`: those that stand.
   */
  openHeld(markers: ReadonlyMap<string, MarkedFile>): Promise<void> {
    this.#opened = this.#openHeld(markers);
    return this.#opened;
  }

  /** Resolves when every replica that was here is open, or failed to. */
  get opened(): Promise<void> {
    return this.#opened;
  }

  async #openHeld(markers: ReadonlyMap<string, MarkedFile>): Promise<void> {
    for (const shard of this.#file.shards()) {
      if (shard.hold === 'own' || !this.#pool.has(shardFileName(shard.id))) continue;
      await this.#ports.scheduler.yield();
      if (this.#isClosed) return;
      await this.#start(shard, markers).catch(() => undefined);
    }
  }

  async round(): Promise<RoundEnd> {
    await this.#opened; // one start of a file at a time
    const { state, workspace } = this.#control;
    if (state?.relay === undefined || workspace === undefined) return 'idle';
    const mine = keyIdOf(this.#ports.signer.publicKey);
    // Own shards whose file is gone are followed without a rule: somebody here relied on them.
    const held = new Map(this.#file.shards().map(({ hold, id }) => [bytesToHex(id), hold]));
    await this.#heedWishes();
    let isMore = false;
    let isFailed = false;
    for (const entry of state.shards.values()) {
      const id = bytesToHex(entry.id);
      const isLost = held.get(id) === 'lost';
      // What this device holds as its own is never followed as well, whoever writes it now: its file has groups that stand nowhere else.
      const isOwn = held.get(id) === 'own' || isWriterOf(entry, mine);
      const isHeldOver = held.get(id) === 'replica' && isWriterOf(entry, mine); // on its way to become an own one
      if (!(isLost || isHeldOver || (!isOwn && this.#rules.some((rule) => rule.matches(entry))))) continue;
      try {
        const known = this.#followed.get(id);
        if (known?.replica.isAboveCut(state) === true) await this.#drop(id, known); // started again from what the cut leaves
        const followed = this.#followed.get(id) ?? (await this.#start({ ...entry, hold: isLost ? 'lost' : 'replica' }));
        this.#failed.delete(id);
        if (followed.replica.stopped !== undefined || isWaiting(this.#ports.clock.now(), followed.retryAt, corruptRetryMs)) continue;
        isMore = (await this.#pull(followed, state)) || isMore;
        if (followed.bootstrap.isLevel) this.#endBegun(id, ({ resolve }) => resolve(followed.bootstrap));
        if (await this.#settleMove(id, followed)) isMore = true;
        else if (await this.#onRead(followed.replica)) await this.#release(id, followed);
      } catch (error) {
        const failure = error instanceof FoldlogError ? error : undefined;
        if (failure === undefined) throw error;
        if (failure.kind !== 'unavailable' && failure.kind !== 'unknown') this.#endBegun(id, ({ reject }) => reject(failure));
        const followed = this.#followed.get(id);
        if (followed === undefined) this.#failed.set(id, failure);
        else {
          followed.error = failure;
          if (failure.kind === 'corrupt') followed.retryAt = this.#ports.clock.now() + corruptRetryMs;
        }
        // A fence without its cut: somebody has to act, and the next control slot wakes us.
        const isWaiting = failure.reason === 'noCutYet' || failure.reason === 'unknownAuthor';
        isFailed ||= !isWaiting && (failure.kind === 'unavailable' || failure.kind === 'unknown');
      }
    }
    if (isFailed) return 'failed';
    return isMore ? 'more' : 'idle';
  }

  /** Makes room for folds that were asked for, and ends those that were called off. */
  async #heedWishes(): Promise<void> {
    for (const [id, wish] of [...this.#genesis]) {
      const followed = this.#followed.get(id);
      if (wish.stage !== 'begun' && followed !== undefined) await this.#drop(id, followed);
      if (wish.stage === 'asked') wish.stage = 'begun';
      if (wish.stage === 'cancelled') this.#endWish(id, ({ reject }) => reject(cancelled()));
    }
  }

  #endWish(id: string, end: (wish: GenesisWish) => void): void {
    const wish = this.#genesis.get(id);
    this.#genesis.delete(id);
    if (wish !== undefined) end(wish);
  }

  /** Of a wish that is being worked at: one that came during a pull waits for its own round. */
  #endBegun(id: string, end: (wish: GenesisWish) => void): void {
    if (this.#genesis.get(id)?.stage === 'begun') this.#endWish(id, end);
  }

  /** Looks at every replica; one that is damaged is dropped, and started again in the next round. Nothing of it was this device's alone. */
  async audit(): Promise<readonly AuditReport[]> {
    const reports: AuditReport[] = [];
    for (const [id, followed] of [...this.#followed]) {
      const { replica } = followed;
      const verdict = await auditReplica(this.#ports, replica, () => replica.cursor.head.seq);
      followed.audit = { atSeq: replica.cursor.head.seq, atMs: this.#ports.clock.now(), verdict };
      reports.push(followed.audit);
      if (verdict.kind === 'damaged') await this.#drop(id, followed);
    }
    return reports;
  }

  /** At a move of the schema: compares with the writer's checkpoint, and takes it when it differs. True when there is more to do at once. */
  async #settleMove(id: string, followed: Followed): Promise<boolean> {
    const { replica } = followed;
    const { check } = replica;
    const now = this.#ports.clock.now();
    // At a fence somebody may be about to write on from this very state.
    const isDue = now >= followed.checkAt || replica.isPaused || replica.cursor.isFenced;
    if (check === undefined || !isDue) return false;
    followed.checkAt = now + moveCheckEveryMs;
    const newest = await newestStatement(this.#ports, this.#control, replica);
    const judged = judgeMove(check, replica.cursor.head.seq, replica.definition.foldId, newest);
    switch (judged.kind) {
      case 'wait':
        return false;
      case 'compareAt':
        await replica.setCheck({ atSeq: judged.atSeq, hash: undefined });
        return false;
      case 'superseded':
        await replica.setCheck(undefined);
        return false;
      case 'settled':
        if (judged.report.kind === 'same') {
          await replica.setCheck(undefined, judged.report);
          return false;
        }
        this.#moves.set(id, judged.report);
        await this.#drop(id, followed);
        return true;
      default:
        return assertNever(judged);
    }
  }

  /** Stopped after the file is gone, the next start finds a marked replica without its file and starts it again (loss.ts). */
  async #drop(id: string, { replica }: Followed): Promise<void> {
    this.#followed.delete(id);
    await replica.mutex.own('other', () => replica.close());
    this.#pool.remove(replica.file);
    await this.#pool.flush(replica.file);
  }

  /** Lets go of a replica that is this device's own shard from now on; its file stays. */
  async #release(id: string, { replica }: Followed): Promise<void> {
    this.#followed.delete(id);
    await replica.mutex.own('other', () => replica.close());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opened;
    for (const id of [...this.#genesis.keys()]) this.#endWish(id, ({ reject }) => reject(cancelled()));
    for (const { replica } of this.#followed.values()) await replica.mutex.own('other', () => replica.close());
    this.#followed.clear();
  }

  async #start(shard: HeldShard, markers: ReadonlyMap<string, MarkedFile> = new Map()): Promise<Followed> {
    const definition = this.#definitions.get(shard.kind);
    if (definition === undefined) {
      throw new FoldlogError('upgradeNeeded', {
        where: `shard ${shard.kind}/${shard.name}`,
        reason: 'unknownKind',
        found: `the kind ${shard.kind}`,
        expected: `one of ${[...this.#definitions.keys()].join(', ')}`,
      });
    }
    const { workspace, state } = this.#control;
    const file = shardFileName(shard.id);
    const identity = { id: shard.id, kind: shard.kind, name: shard.name };
    if (workspace === undefined || state === undefined) {
      throw new FoldlogError('unavailable', { where: file, reason: 'noControl', found: 'no control log yet', expected: 'one' });
    }
    const ticks = this.#ports.clock.ticks();
    const bytes = this.#traffic.received;
    // Where a checkpoint decided that the fold is not what the writer has, folding it once more would end the same.
    const isGenesisAsked = this.#genesis.has(bytesToHex(shard.id)) && !this.#moves.has(bytesToHex(shard.id));
    const wish = { isGenesisAsked, formFactor: this.#formFactor };
    const place = { file, definition, identity };
    const { db, path, seqAtRelay } = await startReplica(this.#ports, this.#pool, { workspace, control: state }, place, wish);
    try {
      await this.#pool.flush(file); // a marker bears witness to what is there
      await keepMarked(this.#ports.vault, markers, file, markedShard(workspace, identity, shard.hold === 'lost'));
      this.#file.holdShard({ ...identity, hold: 'replica' });
    } catch (error) {
      db.close(); // the next round opens it again, and a file is open once
      throw error;
    }
    const replica = new Replica(this.#ports, this.#pool, { file, definition, identity, db });
    const report = this.#moves.get(bytesToHex(shard.id));
    if (report !== undefined) await replica.setCheck(undefined, report);
    this.#moves.delete(bytesToHex(shard.id));
    const followed: Followed = {
      replica,
      bootstrap: {
        path,
        ms: this.#ports.clock.ticks() - ticks,
        bytes: this.#traffic.received - bytes,
        groupsFolded: 0,
        opsFolded: 0,
        rowsTouched: 0,
        seqAtRelay,
        isLevel: false,
      },
      error: undefined,
      audit: undefined,
      retryAt: 0,
      checkAt: 0,
    };
    this.#followed.set(bytesToHex(shard.id), followed);
    await this.#shareCaches();
    this.#onChange(replica);
    return followed;
  }

  async #shareCaches(): Promise<void> {
    const kib = Math.max(replicaCacheKibMin, Math.floor(replicaCachesKib / this.#followed.size));
    for (const { replica } of this.#followed.values()) await replica.shareCache(kib);
  }

  /** One answer's worth. True when there may be more. */
  async #pull(followed: Followed, state: ControlState): Promise<boolean> {
    const { workspace } = this.#control;
    if (workspace === undefined) return false;
    const { replica } = followed;
    const ticks = this.#ports.clock.ticks();
    const bytes = this.#traffic.received;
    const where = `log of ${replica.identity.kind}/${replica.identity.name}`;
    const answer = await this.#ports.relay.log(workspace, replica.identity.id, replica.cursor.slot, pullBytes, this.#ports.signer);
    const objects = answerOrThrow(answer, where);
    const { isLevel } = followed.bootstrap;
    let at = { seq: replica.cursor.head.seq, rows: replica.rowsTouched, ticks, bytes };
    let folded = 0;
    for (const object of objects) {
      const from = this.#ports.clock.ticks();
      const groups = await replica.take(object, state);
      this.#ports.onFold(this.#ports.clock.ticks() - from);
      folded += groups;
      if (!isLevel) {
        // Told object by object: a long start shows how far it is.
        const { bootstrap } = followed;
        const now = {
          seq: replica.cursor.head.seq,
          rows: replica.rowsTouched,
          ticks: this.#ports.clock.ticks(),
          bytes: this.#traffic.received,
        };
        followed.bootstrap = {
          ...bootstrap,
          ms: bootstrap.ms + now.ticks - at.ticks,
          bytes: bootstrap.bytes + now.bytes - at.bytes,
          groupsFolded: bootstrap.groupsFolded + groups,
          opsFolded: bootstrap.opsFolded + now.seq - at.seq,
          rowsTouched: bootstrap.rowsTouched + now.rows - at.rows,
        };
        at = now;
        this.#onChange(replica);
      }
      if (replica.isPaused) break; // the rest of the slot is asked for again
    }
    followed.error = undefined;
    if (!isLevel && objects.length === 0) {
      const { bootstrap } = followed;
      const ms = bootstrap.ms + this.#ports.clock.ticks() - ticks;
      followed.bootstrap = { ...bootstrap, ms, bytes: bootstrap.bytes + this.#traffic.received - bytes, isLevel: true };
    }
    if (folded > 0 || objects.length === 0) this.#onChange(replica);
    return objects.length > 0;
  }
}

const cancelled = (): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'start from genesis',
    reason: 'cancelled',
    found: 'a fold that was called off',
    expected: 'it to end',
    todo: 'nothing is lost: the shard starts by the usual path',
  });
