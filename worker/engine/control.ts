// This device's replica of the control log, and the acts it wants in it. Each round pulls, verifies and folds what is new, then sends what
// waits, signed over the head just seen. A lost reply is settled by pulling: the act is there or it is not (decision 0005).

import { type Bytes, base64urlToBytes, isSameBytes } from '../../kernel/bytes.ts';
import { actsToJson } from '../../kernel/control/acts.ts';
import { type ControlSlot, decodeControlSlot, signControlEntry } from '../../kernel/control/entry.ts';
import { type ControlState, controlStart, foldControl } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Random, Signer, Verifier } from '../../kernel/ports.ts';
import type { RelayInfo } from '../../kernel/relay-api.ts';
import { type Hash, incarnation, noHash, type PublicKey, publicKey, short, slot, type WorkspaceId } from '../../kernel/units.ts';
import type { RoundEnd } from './loop.ts';
import { Mutex } from './mutex.ts';
import type { Answer, RelayClient } from './relay-client.ts';
import type { PendingActs, WorkspaceFile } from './workspace-file.ts';

export interface ControlPorts {
  readonly relay: RelayClient | undefined;
  readonly verifier: Verifier;
  readonly random: Random;
  readonly signer: Signer;
}

/** How the last exchange with the relay ended; words for status. */
export type LinkState =
  | { readonly kind: 'none' }
  | { readonly kind: 'online' }
  | { readonly kind: 'offline'; readonly found: string }
  | { readonly kind: 'refused'; readonly error: FoldlogError };

export interface ControlEvents {
  /** The state or the waiting acts changed. */
  readonly onChange: () => void;
  /** The relay answers, or no longer does. */
  readonly onLink: () => void;
}

export class ControlReplica {
  readonly #ports: ControlPorts;
  readonly #file: WorkspaceFile;
  readonly #onChange: () => void;
  readonly #onLink: () => void;
  /** A join and the loop may pull at the same time; each goes on from where the other ended. */
  readonly #pulls = new Mutex();
  #state: ControlState | undefined;
  #link: LinkState = { kind: 'none' };

  private constructor(ports: ControlPorts, file: WorkspaceFile, events: ControlEvents) {
    this.#ports = ports;
    this.#file = file;
    this.#onChange = events.onChange;
    this.#onLink = events.onLink;
  }

  /** Folds the stored slots again; they were verified before they were stored, and are once more. */
  static async open(ports: ControlPorts, file: WorkspaceFile, events: ControlEvents): Promise<ControlReplica> {
    const replica = new ControlReplica(ports, file, events);
    const { workspace } = file;
    const stored = file.controlSlots();
    if (workspace !== undefined && stored.length > 0) {
      const objects = stored.map((bytes, i) => decodeControlSlot(bytes, `stored control slot ${i + 1}`));
      replica.#state = await foldControl(ports.verifier, workspace, undefined, objects);
    }
    return replica;
  }

  get workspace(): WorkspaceId | undefined {
    return this.#file.workspace;
  }

  /** Undefined until the relay holds the genesis of a workspace that was made here. */
  get state(): ControlState | undefined {
    return this.#state;
  }

  /** What seals name as believed. */
  get head(): Hash {
    return this.#state?.head ?? noHash;
  }

  get link(): LinkState {
    return this.#link;
  }

  get relayKey(): PublicKey | undefined {
    if (this.#state?.relay !== undefined) return this.#state.relay.key;
    const expected = this.#file.expectedRelayKey;
    return expected === undefined ? undefined : publicKey(expected);
  }

  /** Pulls what is new, then sends what waits. */
  async round(): Promise<RoundEnd> {
    const { relay } = this.#ports;
    const { workspace } = this;
    if (relay === undefined || workspace === undefined) return 'idle';
    const pending = this.#file.pendingActs().filter((acts) => acts.refused === undefined);
    const genesis = pending.find((acts) => acts.entry !== undefined);
    if (this.#state === undefined && genesis?.entry !== undefined) {
      return this.#settleEntry(await relay.appendControl(workspace, genesis.entry), genesis, 'more');
    }
    const pulled = await this.#pull(relay, workspace, this.#ports.signer);
    if (pulled !== 'idle') return pulled;
    if (this.#state === undefined) return 'idle';
    if (this.#state.relay === undefined) return this.#declareRelay(relay);
    const [next] = this.#file.pendingActs().filter((acts) => acts.refused === undefined);
    if (next === undefined) return 'idle';
    const entry = await signControlEntry(this.#ports.signer, { workspace, prev: this.#state.head }, next.acts);
    return this.#settleEntry(await relay.appendControl(workspace, entry), next, 'more');
  }

  /**
   * Reads the whole control log with the invite's key before this device is a member.
   * @throws {FoldlogError} when the relay cannot be reached or the log is not that workspace's
   */
  async pullWith(signer: Signer, workspace: WorkspaceId): Promise<ControlState> {
    const { relay } = this.#ports;
    if (relay === undefined) throw noRelay('join');
    for (;;) {
      const end = await this.#pull(relay, workspace, signer);
      if (end === 'idle') break;
      if (end !== 'more') throw linkError(this.#link, 'join');
    }
    if (this.#state === undefined) throw linkError(this.#link, 'join');
    return this.#state;
  }

  /** Drops the copied log of a workspace this device did not get into. */
  forget(): void {
    this.#file.forgetWorkspace();
    this.#state = undefined;
    this.#onChange();
  }

  #pull(relay: RelayClient, workspace: WorkspaceId, signer: Signer): Promise<RoundEnd> {
    return this.#pulls.own('other', async () => {
      const after = slot(this.#state?.slot ?? 0);
      const answer = this.#note(await relay.control(workspace, after, signer));
      if (answer.kind !== 'ok') return 'failed';
      if (answer.value.length === 0) return 'idle';
      await this.#take(workspace, answer.value);
      return 'more'; // an answer holds what fits: only an empty one says that there is nothing newer
    });
  }

  /** Verifies, folds and stores slots, and forgets pending acts that are now in the log. The state moves after they are durable. */
  async #take(workspace: WorkspaceId, objects: readonly Bytes[]): Promise<void> {
    const slots = objects.map((bytes) => decodeControlSlot(bytes, 'control slot from the relay'));
    const next = await foldControl(this.#ports.verifier, workspace, this.#state, slots);
    const expected = this.#file.expectedRelayKey;
    if (expected !== undefined && this.#state === undefined && next?.relay !== undefined && !isSameBytes(expected, next.relay.key)) {
      throw FoldlogError.corrupt({
        where: 'control log',
        reason: 'wrongRelayKey',
        found: `relay key ${short(keyIdOf(next.relay.key))}`,
        expected: `${short(keyIdOf(publicKey(expected)))}, as in the invite link`,
      });
    }
    const landed = this.#landedActs(slots);
    this.#file.db.transaction(() => {
      slots.forEach((object, i) => {
        this.#file.putControlSlot(object.slot, objects[i] as Bytes);
      });
      for (const id of landed) this.#file.dropActs(id);
    });
    this.#state = next;
    this.#onChange();
  }

  #landedActs(slots: readonly ControlSlot[]): readonly number[] {
    const mine = keyIdOf(this.#ports.signer.publicKey);
    const written = slots.filter(({ entry }) => isSameBytes(entry.author, mine)).map(({ entry }) => JSON.stringify(actsToJson(entry.acts)));
    return this.#file
      .pendingActs()
      .filter(({ acts }) => written.includes(JSON.stringify(actsToJson(acts))))
      .map(({ id }) => id);
  }

  async #declareRelay(relay: RelayClient): Promise<RoundEnd> {
    const isQueued = this.#file.pendingActs().some(({ acts }) => acts.some((act) => act.act === 'relay'));
    if (!isQueued) {
      const info = this.#note(await relay.info());
      if (info.kind !== 'ok') return 'failed';
      this.#file.queueActs([{ act: 'relay', key: relayKeyOf(info.value), incarnation: incarnation(this.#ports.random.bytes(16)) }]);
    }
    const pending = this.#file.pendingActs().find(({ acts }) => acts.some((act) => act.act === 'relay'));
    const { workspace, state } = this;
    if (pending === undefined || workspace === undefined || state === undefined) return 'idle';
    const entry = await signControlEntry(this.#ports.signer, { workspace, prev: state.head }, pending.acts);
    return this.#settleEntry(await relay.appendControl(workspace, entry), pending, 'more');
  }

  async #settleEntry(answer: Answer<Bytes>, pending: PendingActs, whenDone: RoundEnd): Promise<RoundEnd> {
    const { workspace } = this;
    this.#note(answer);
    if (answer.kind === 'ok' && workspace !== undefined) {
      const slotOfAnswer = decodeControlSlot(answer.value, 'control slot from the relay');
      if (slotOfAnswer.slot === (this.#state?.slot ?? controlStart.slot) + 1) await this.#take(workspace, [answer.value]);
      return whenDone;
    }
    if (answer.kind === 'unreachable') return 'failed';
    if (answer.kind === 'refused') {
      if (answer.error.reason === 'staleHead') return 'more'; // pulled and re-signed in the next round
      if (answer.error.kind === 'unavailable' || answer.error.kind === 'unknown') return 'failed';
      this.#file.refuseActs(pending.id, answer.error.message);
      this.#onChange();
    }
    return whenDone;
  }

  #note<T>(answer: Answer<T>): Answer<T> {
    const before = this.#link.kind;
    if (answer.kind === 'ok') this.#link = { kind: 'online' };
    else if (answer.kind === 'unreachable') this.#link = { kind: 'offline', found: answer.found };
    else this.#link = { kind: 'refused', error: answer.error };
    if (this.#link.kind !== before) this.#onLink();
    return answer;
  }
}

export const relayKeyOf = (info: RelayInfo): PublicKey => publicKey(base64urlToBytes(info.key, 'relay key'));

export const noRelay = (where: string): FoldlogError =>
  FoldlogError.misuse({ where, reason: 'noRelay', found: 'a workspace without a relay', expected: 'openWorkspace({ relay })' });

export function linkError(link: LinkState, where: string): FoldlogError {
  if (link.kind === 'refused') return link.error;
  return new FoldlogError('unavailable', {
    where,
    reason: 'relayUnreachable',
    found: link.kind === 'offline' ? link.found : 'no whole answer',
    expected: 'an answer of the relay',
    todo: 'check the connection and try again',
  });
}
