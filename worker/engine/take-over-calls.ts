// What a person asks for and waits on: taking a shard over, and revoking a device. The driver that does it, and goes on by itself once it was begun, is
// take-over.ts; here is what must hold before it begins, and when a call is answered.

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { isRoleAtLeast } from '../../kernel/control/acts.ts';
import { type ControlState, type Device, deviceOf, mayTakeOver, type ShardEntry, shardNamed } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Scheduler, Signer } from '../../kernel/ports.ts';
import { type ControlReplica, linkError } from './control.ts';
import type { Follower } from './follow.ts';
import { type Intent, revokeOf, takeOverOf } from './intents.ts';
import type { Loop } from './loop.ts';
import type { OwnShard } from './own-shard.ts';
import type { OwnShards } from './own-shards.ts';
import { type TakeOvers, takingOver } from './take-over.ts';
import type { WorkspaceFile } from './workspace-file.ts';

export interface TakeOverCallsAt {
  readonly file: WorkspaceFile;
  readonly control: ControlReplica;
  readonly own: OwnShards;
  /** Undefined in a workspace without a relay. */
  readonly driver: TakeOvers | undefined;
  readonly follower: Follower | undefined;
  readonly followLoop: Loop;
  readonly takeOverLoop: Loop;
}

export class TakeOverCalls {
  readonly #ports: { readonly scheduler: Scheduler; readonly signer: Signer };
  readonly #at: TakeOverCallsAt;
  #isClosing = false;

  constructor(ports: { readonly scheduler: Scheduler; readonly signer: Signer }, at: TakeOverCallsAt) {
    this.#ports = ports;
    this.#at = at;
  }

  /** Throws as `Engine.takeOver`. */
  async takeOver(kind: string, name: string): Promise<string> {
    const where = `take over ${kind}/${name}`;
    const { driver, state } = await this.#requireTakeOvers(where);
    const entry = shardNamed(state, kind, name);
    const me = deviceOf(state, keyIdOf(this.#ports.signer.publicKey));
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
    const isOwn = this.#at.file.shards().some(({ hold, id }) => hold === 'own' && isSameBytes(id, entry.id));
    const own = isOwn ? this.#at.own.shard(await this.#at.own.open(kind, name)) : undefined;
    if (driver.intents.takeOver(entry.id)?.refused !== undefined) driver.intents.drop(takeOverOf(entry.id));
    if (driver.intents.takeOver(entry.id) === undefined) {
      if (own === undefined) await this.#untilLevel(entry, where);
      else if (own.closed?.kind !== 'fenced') await this.#untilCommitted(own, where); // what stands above the cut strands, and is saved again
      driver.intents.put(takeOverOf(entry.id));
      await this.#at.file.flush();
    }
    try {
      await this.#untilDone(driver, takeOverOf(entry.id), where);
    } finally {
      if (driver.intents.takeOver(entry.id) === undefined) own?.resumeSaves();
    }
    return this.#at.own.open(kind, name);
  }

  /** Throws as `Engine.revoke`. */
  async revoke(device: string): Promise<void> {
    const where = `revoke ${device.slice(0, 8)}`;
    const { driver, state } = await this.#requireTakeOvers(where);
    const target = [...state.devices.values()].find(({ id }) => bytesToHex(id) === device);
    const me = deviceOf(state, keyIdOf(this.#ports.signer.publicKey));
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
    await this.#at.file.flush();
    await this.#untilDone(driver, revokeOf(target.id), where);
  }

  /** Whoever waits is told that it goes on without them. */
  close(): void {
    this.#isClosing = true;
  }

  /** Judged by the control log as it is now. */
  async #requireTakeOvers(where: string): Promise<{ readonly driver: TakeOvers; readonly state: ControlState }> {
    const { workspace } = this.#at.control;
    if (workspace !== undefined && this.#at.driver !== undefined) await this.#at.control.pullWith(this.#ports.signer, workspace);
    const { state } = this.#at.control;
    if (this.#at.driver === undefined)
      throw FoldlogError.misuse({ where, reason: 'noRelay', found: 'a workspace without a relay', expected: 'one' });
    if (state?.relay !== undefined) return { driver: this.#at.driver, state };
    throw new FoldlogError('unavailable', {
      where,
      reason: 'notSynced',
      found: 'a workspace the relay does not hold yet',
      expected: 'one that is synced',
    });
  }

  /** A shard that is taken over is read to its end first: its replica becomes the own shard. */
  async #untilLevel(entry: ShardEntry, where: string): Promise<void> {
    const isHeld = this.#at.file.shards().some(({ id }) => isSameBytes(id, entry.id));
    if (!isHeld) {
      this.#at.follower?.addRule(`${entry.kind}/${entry.name}`);
      await this.#at.file.flush();
    }
    for (;;) {
      const found = this.#at.follower?.statuses().find(({ kind, name }) => kind === entry.kind && name === entry.name);
      if (found?.bootstrap.isLevel === true) return;
      const failure = found?.stopped ?? this.#at.follower?.failures()[0];
      if (failure !== undefined && failure.reason !== 'noCutYet') throw failure;
      if (this.#at.control.link.kind === 'offline') throw linkError(this.#at.control.link, where);
      await this.#pauseFor(this.#at.followLoop);
    }
  }

  /** Saves wait from here on: what is saved between fence and cut would strand. */
  async #untilCommitted(own: OwnShard, where: string): Promise<void> {
    if (own.closed !== undefined) throw own.closed;
    own.pauseSaves(takingOver(where));
    try {
      for (;;) {
        const { seq } = await own.store.mutex.own('other', () => own.store.head);
        if (own.committed.seq === seq) return;
        const { pushState } = own;
        if (pushState.kind === 'stopped') throw pushState.error;
        if (pushState.kind === 'waiting') {
          throw new FoldlogError('unavailable', {
            where,
            reason: 'notCommitted',
            found: pushState.found,
            expected: 'everything saved committed first',
          });
        }
        own.wake(true);
        await this.#pauseFor(undefined);
      }
    } catch (error) {
      own.resumeSaves();
      throw error;
    }
  }

  async #untilDone(driver: TakeOvers, intent: Intent, where: string): Promise<void> {
    for (;;) {
      const noted = driver.intents.find(intent);
      if (noted === undefined) return this.#at.file.flush();
      if (noted.refused !== undefined) {
        // Told once. A fence that stands keeps its shard closed, so that note stays and is taken up when it is asked for again.
        if (noted.fences.every(({ object }) => object === undefined)) driver.intents.drop(intent);
        await this.#at.file.flush();
        throw FoldlogError.misuse({ where, reason: 'refused', found: noted.refused, expected: 'a take-over the relay takes' });
      }
      const trouble = driver.trouble(intent);
      if (trouble !== undefined) {
        if (noted.fences.length === 0) driver.intents.drop(intent); // nothing was sent
        await this.#at.file.flush();
        throw trouble;
      }
      if (this.#isClosing) throw takingOver(where);
      await this.#pauseFor(this.#at.takeOverLoop);
    }
  }

  async #pauseFor(loop: Loop | undefined): Promise<void> {
    loop?.wake(true);
    await new Promise<void>((resolve) => this.#ports.scheduler.after(20, resolve));
  }
}

/** What the log would say: asked before a fence stands. */
function revokeRefusal(state: ControlState, by: Device | undefined, target: Device | undefined): string | undefined {
  if (target === undefined) return 'notEnrolled';
  if (by === undefined || !isRoleAtLeast(by.role, 'admin')) return 'notAllowed';
  if (!isRoleAtLeast(by.role, target.role)) return 'roleTooHigh';
  const owners = [...state.devices.values()].filter(({ role }) => role === 'owner').length;
  return target.role === 'owner' && owners === 1 ? 'lastOwner' : undefined;
}
