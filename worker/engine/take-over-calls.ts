// Taking over and revoking as the API calls them: asks what the log would refuse before anything is sent, readies the shard, notes the intent and waits
// for its end. A call that is cut off leaves the note; the same call again joins what goes on (take-over.ts).

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { isRoleAtLeast } from '../../kernel/control/acts.ts';
import { type ControlState, type Device, deviceOf, mayTakeOver, type ShardEntry, shardNamed } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Scheduler, Signer } from '../../kernel/ports.ts';
import { type ControlReplica, linkError } from './control.ts';
import type { Follower } from './follow.ts';
import { type Intent, revokeOf, takeOverOf } from './intents.ts';
import type { OwnShard } from './own-shard.ts';
import type { TakeOvers } from './take-over.ts';
import type { WorkspaceFile } from './workspace-file.ts';

export interface TakeOverHost {
  readonly scheduler: Scheduler;
  readonly signer: Signer;
  readonly file: WorkspaceFile;
  readonly control: ControlReplica;
  readonly follower: Follower;
  readonly driver: TakeOvers;
  readonly engine: {
    openShard(kind: string, name: string): Promise<string>;
    shard(handle: string): OwnShard;
    follow(pattern: string): Promise<void>;
    wake(atOnce: boolean): void;
    readonly isClosing: boolean;
  };
}

/** Between two looks at how far it is: what is waited for takes several requests, and wakes who does the next step by itself. */
const pauseMs = 20;
const pausesPerWake = 50;

export class TakeOverCalls {
  readonly #host: TakeOverHost;
  #pauses = 0;

  constructor(host: TakeOverHost) {
    this.#host = host;
  }

  /**
   * Makes this device the writer of a shard, whoever wrote it: fence, cut, and its own file from the shard's replica. Resolves with the handle when it
   * saves there. Of a shard of its own it begins a new epoch with the same key; all it saved must be committed first.
   * @throws {FoldlogError} `misuse` `notAllowed` · `unavailable`: once it was begun it goes on by itself, asking again waits for it · `fenced` `takenMeanwhile`
   */
  async takeOver(kind: string, name: string): Promise<string> {
    const where = `take over ${kind}/${name}`;
    const { driver } = this.#host;
    const state = await this.#currentState(where);
    const entry = shardNamed(state, kind, name);
    const me = deviceOf(state, keyIdOf(this.#host.signer.publicKey));
    if (entry === undefined) {
      throw FoldlogError.misuse({
        where,
        reason: 'unknownShard',
        found: 'no shard of that kind and name',
        expected: 'one of the workspace',
      });
    }
    if (me === undefined || !isRoleAtLeast(me.role, 'writer') || !mayTakeOver(entry, me)) {
      throw FoldlogError.misuse({
        where,
        reason: 'notAllowed',
        found: me === undefined ? 'no device of this workspace' : `a ${me.role} who does not write it`,
        expected: 'its writer, an admin or an owner',
      });
    }
    const isOwn = this.#host.file.shards().some(({ hold, id }) => hold === 'own' && isSameBytes(id, entry.id));
    const own = isOwn ? this.#host.engine.shard(await this.#host.engine.openShard(kind, name)) : undefined;
    if (driver.intents.takeOver(entry.id)?.refused !== undefined) driver.intents.drop(takeOverOf(entry.id));
    if (driver.intents.takeOver(entry.id) === undefined) {
      if (own === undefined) await this.#untilLevel(entry, where);
      else if (own.closed?.kind !== 'fenced') await this.#untilCommitted(own, where); // what stands above the cut strands, and is saved again
      driver.intents.put(takeOverOf(entry.id));
      await this.#host.file.flush();
    }
    try {
      await this.#untilDone(takeOverOf(entry.id), where);
    } finally {
      if (driver.intents.takeOver(entry.id) === undefined) own?.resumeSaves();
    }
    return this.#host.engine.openShard(kind, name);
  }

  /**
   * Ends what a device may do, in one entry with a cut of every shard it writes: nobody writes those until somebody takes them over. Resolves when the
   * entry is in the control log.
   * @throws {FoldlogError} `misuse` `notAllowed`, `roleTooHigh`, `lastOwner`, `notEnrolled` · `unavailable`: once begun it goes on by itself
   */
  async revoke(device: string): Promise<void> {
    const where = `revoke ${device.slice(0, 8)}`;
    const { driver } = this.#host;
    const state = await this.#currentState(where);
    const target = [...state.devices.values()].find(({ id }) => bytesToHex(id) === device);
    const me = deviceOf(state, keyIdOf(this.#host.signer.publicKey));
    const refusal = revokeRefusal(state, me, target);
    if (refusal !== undefined || target === undefined) {
      throw FoldlogError.misuse({
        where,
        reason: refusal ?? 'notEnrolled',
        found: 'a revocation the log would refuse',
        expected: 'one it takes',
      });
    }
    if (driver.intents.find(revokeOf(target.id))?.refused !== undefined) driver.intents.drop(revokeOf(target.id));
    if (driver.intents.find(revokeOf(target.id)) === undefined) driver.intents.put(revokeOf(target.id));
    await this.#host.file.flush();
    await this.#untilDone(revokeOf(target.id), where);
  }

  /** The control log as it is now. */
  async #currentState(where: string): Promise<ControlState> {
    const { control, signer } = this.#host;
    const state = control.workspace === undefined ? undefined : await control.pullWith(signer, control.workspace);
    if (state?.relay !== undefined) return state;
    throw new FoldlogError('unavailable', {
      where,
      reason: 'notSynced',
      found: 'a workspace the relay does not hold yet',
      expected: 'one that is synced',
    });
  }

  /** A shard that is taken over is read to its end first: its replica becomes the own shard. */
  async #untilLevel(entry: ShardEntry, where: string): Promise<void> {
    const isHeld = this.#host.file.shards().some(({ id }) => isSameBytes(id, entry.id));
    if (!isHeld) await this.#host.engine.follow(`${entry.kind}/${entry.name}`);
    for (;;) {
      const found = this.#host.follower.statuses().find(({ kind, name }) => kind === entry.kind && name === entry.name);
      if (found?.bootstrap.isLevel === true) return;
      const failure = found?.stopped ?? this.#host.follower.failures()[0];
      if (failure !== undefined && failure.reason !== 'noCutYet') throw failure;
      if (this.#host.control.link.kind === 'offline') throw linkError(this.#host.control.link, where);
      await this.#pause();
    }
  }

  /** Saves wait from here on: what is saved between fence and cut would strand. */
  async #untilCommitted(own: OwnShard, where: string): Promise<void> {
    if (own.closed !== undefined) throw own.closed;
    own.pauseSaves(takingOver(where));
    try {
      own.wake(true);
      for (;;) {
        const { seq } = await own.store.mutex.own('other', () => own.store.head);
        if (own.committed.seq === seq) return;
        const { pushState } = own;
        if (pushState.kind === 'stopped') throw pushState.error;
        if (own.isPushIdle) {
          const found = pushState.kind === 'waiting' ? pushState.found : `${seq - own.committed.seq} ops on their way`;
          throw new FoldlogError('unavailable', { where, reason: 'notCommitted', found, expected: 'everything saved committed first' });
        }
        await this.#pause();
      }
    } catch (error) {
      own.resumeSaves();
      throw error;
    }
  }

  async #untilDone(intent: Intent, where: string): Promise<void> {
    const { driver } = this.#host;
    driver.forgetTrouble(intent);
    this.#host.engine.wake(true);
    for (;;) {
      const noted = driver.intents.find(intent);
      if (noted === undefined) return this.#host.file.flush();
      if (noted.refused !== undefined) {
        // Told once. A fence that stands keeps its shard closed, so that note stays and is taken up when it is asked for again.
        if (noted.fences.every(({ object }) => object === undefined)) driver.intents.drop(intent);
        await this.#host.file.flush();
        throw FoldlogError.misuse({ where, reason: 'refused', found: noted.refused, expected: 'a take-over the relay takes' });
      }
      const trouble = driver.trouble(intent);
      if (trouble !== undefined) {
        if (noted.fences.length === 0) driver.intents.drop(intent); // nothing was sent
        await this.#host.file.flush();
        throw trouble;
      }
      if (this.#host.engine.isClosing) throw takingOver(where);
      await this.#pause();
    }
  }

  async #pause(): Promise<void> {
    if (++this.#pauses % pausesPerWake === 0) this.#host.engine.wake(true); // somebody waits for it: loops that back off try sooner
    await new Promise<void>((resolve) => this.#host.scheduler.after(pauseMs, resolve));
  }
}

export const takingOver = (where: string): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'takingOver',
    retry: 'later',
    found: 'a take-over that is under way',
    expected: 'its end',
    todo: 'it goes on by itself when the relay answers; try again then',
  });

/** What the log would say: asked before a fence stands. */
function revokeRefusal(state: ControlState, by: Device | undefined, target: Device | undefined): string | undefined {
  if (target === undefined) return 'notEnrolled';
  if (by === undefined || !isRoleAtLeast(by.role, 'admin')) return 'notAllowed';
  if (!isRoleAtLeast(by.role, target.role)) return 'roleTooHigh';
  const owners = [...state.devices.values()].filter(({ role }) => role === 'owner').length;
  return target.role === 'owner' && owners === 1 ? 'lastOwner' : undefined;
}
