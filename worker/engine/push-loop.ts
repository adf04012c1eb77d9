// Sends a shard's committed-to-be: the run of groups after the last receipt, with its newest seal. Only a receipt that verifies, names this
// shard and stands on a group of ours clears anything. The same groups are sent again until then; the relay settles the rest (decision 0008).

import { type Bytes, bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Deflate, Verifier } from '../../kernel/ports.ts';
import { encodePush } from '../../kernel/push.ts';
import { decodeReceipt, type Receipt, verifyReceipt } from '../../kernel/receipt.ts';
import { encodePackedRun, packRun } from '../../kernel/run.ts';
import { type Head, type Seq, short } from '../../kernel/units.ts';
import type { ControlReplica } from './control.ts';
import type { RoundEnd } from './loop.ts';
import type { RelayClient } from './relay-client.ts';
import type { ShardStore } from './shard-store.ts';

export interface PushPorts {
  readonly relay: RelayClient;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
}

export type PushState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'pushing' }
  | { readonly kind: 'waiting'; readonly found: string }
  /** The relay or the chain says that this writer may not go on, or the relay forgot what it acknowledged. A person must look. */
  | { readonly kind: 'stopped'; readonly error: FoldlogError };

/** Refusals that the next seconds may take back. */
const youngReasons = new Set(['unknownShard', 'unknownDevice', 'unknownWorkspace', 'wrongEpoch', 'wrongWriter']);

/** Inflated bytes of one push: well under the format's bound, so that a request stays short on a phone's uplink. */
const pushBytes = 2 * 1024 * 1024;

export interface PushEvents {
  readonly onCommitted: (head: Head) => void;
  readonly onState: () => void;
  /** The relay or a receipt says that this writer may not go on in its epoch. Nothing is sent any more until `resume`. */
  readonly onFenced: (error: FoldlogError) => Promise<void>;
}

export class Pusher {
  readonly #ports: PushPorts;
  readonly #store: ShardStore;
  readonly #control: ControlReplica;
  readonly #events: PushEvents;
  #state: PushState = { kind: 'idle' };
  #receipt: { readonly bytes: Bytes; readonly receipt: Receipt } | undefined;
  /** Set while a checkpoint is being made: a run must end exactly there (publish.ts). */
  #cutAt: Seq | undefined;
  #cutReceipt: Receipt | undefined;
  /** Largest run this relay takes, once it said so. */
  #runBytesMax: number | undefined;
  #paused: FoldlogError | undefined;

  constructor(ports: PushPorts, store: ShardStore, control: ControlReplica, events: PushEvents) {
    this.#ports = ports;
    this.#store = store;
    this.#control = control;
    this.#events = events;
    this.#receipt = store.log.newestReceipt();
  }

  /** Sends nothing from now on: what stands in the log may have no place in it any more. */
  pause(error: FoldlogError): void {
    this.#paused = error;
    this.#become({ kind: 'stopped', error }, 'idle');
  }

  /** Goes on in the log as it is now, perhaps in another generation of the file and another epoch. */
  resume(): void {
    this.#paused = undefined;
    this.#receipt = this.#store.log.newestReceipt();
    this.#become({ kind: 'idle' }, 'idle');
  }

  get state(): PushState {
    return this.#state;
  }

  /** Head up to which the relay has given its word. */
  get committed(): Head {
    const { cut, head } = this.#store.log.base;
    const received = this.#receipt?.receipt.head ?? head;
    // What lies below the cut that opened our epoch is committed, whether its receipt came or not.
    return cut !== undefined && cut.seq > received.seq ? cut : received;
  }

  get receipt(): Receipt | undefined {
    return this.#receipt?.receipt;
  }

  /** Makes the next run end at `at`, or anywhere again when undefined. */
  cutAt(at: Seq | undefined): void {
    this.#cutAt = at;
    this.#cutReceipt = this.receipt?.head.seq === at ? this.receipt : undefined;
  }

  /** The receipt whose head is the cut, once it came; later receipts do not replace it. */
  get cutReceipt(): Receipt | undefined {
    return this.#cutReceipt;
  }

  async round(): Promise<RoundEnd> {
    if (this.#paused !== undefined) return 'idle';
    const { workspace, state } = this.#control;
    const entry = state?.shards.get(bytesToHex(this.#store.identity.id));
    if (workspace === undefined || state?.relay === undefined || entry === undefined) {
      return this.#become({ kind: 'waiting', found: 'the shard is not in the control log yet' }, 'idle');
    }
    if (entry.epoch !== this.#store.log.base.epoch) {
      return this.#become({ kind: 'waiting', found: `the control log is at epoch ${entry.epoch} of this shard` }, 'idle');
    }
    if (this.#runBytesMax === undefined) {
      const info = await this.#ports.relay.info();
      if (info.kind !== 'ok')
        return this.#become({ kind: 'waiting', found: info.kind === 'refused' ? info.error.message : info.found }, 'failed');
      this.#runBytesMax = info.value.runBytesMax;
    }
    const bytesMax = Math.min(pushBytes, this.#runBytesMax);
    const { committed } = this;
    const run = await this.#store.mutex.own('other', async () => {
      await this.#store.makeDurable(); // what may be lost here must not stand elsewhere: its place would be taken twice
      // Asked inside the turn: the cut is set in one, and saves may land between.
      const upTo = this.#cutAt !== undefined && this.#cutAt > committed.seq ? this.#cutAt : undefined;
      return this.#store.log.pendingRun(committed, { bytesMax, upTo });
    });
    if (run === undefined) return this.#become({ kind: 'idle' }, 'idle');
    this.#become({ kind: 'pushing' }, 'idle');
    const encodedRun = encodePackedRun(await packRun(this.#ports.deflate, run.after, run.groups, run.seal));
    const push = encodePush(this.#store.identity.id, this.#receipt?.bytes, encodedRun);
    const answer = await this.#ports.relay.push(workspace, this.#store.identity.id, push);
    switch (answer.kind) {
      case 'ok':
        return this.#takeReceipt(answer.value);
      case 'unreachable':
        return this.#become({ kind: 'waiting', found: answer.found }, 'failed');
      case 'refused':
        return this.#refused(answer.error);
    }
  }

  async #takeReceipt(bytes: Bytes): Promise<RoundEnd> {
    const where = 'receipt from the relay';
    const relay = this.#control.state?.relay;
    if (relay === undefined) return 'failed';
    let receipt: Receipt;
    try {
      receipt = decodeReceipt(bytes, where);
      await verifyReceipt(this.#ports.verifier, relay.key, receipt, where);
    } catch (error) {
      // Garbage proves nothing: not committed, not refused. The same run goes again.
      return this.#become({ kind: 'waiting', found: (error as Error).message }, 'failed');
    }
    const before = this.committed;
    if (!isSameBytes(receipt.shard, this.#store.identity.id) || receipt.head.seq < before.seq) {
      return this.#become({ kind: 'waiting', found: `a receipt for seq ${receipt.head.seq} of shard ${short(receipt.shard)}` }, 'failed');
    }
    const ours = await this.#store.mutex.own('other', () => this.#store.log.hashAt(receipt.head.seq));
    if (ours === undefined || !isSameBytes(ours, receipt.head.hash)) {
      return this.#fenced(
        new FoldlogError('fenced', {
          where,
          reason: 'fork',
          found: `a committed head at seq ${receipt.head.seq} (${short(receipt.head.hash)}) that is not in this device's chain`,
          expected: ours === undefined ? `a head up to seq ${this.#store.head.seq}` : short(ours),
          todo: 'another copy of this device wrote to the shard; nothing is lost, both chains are kept',
        }),
      );
    }
    const covered = await this.#store.mutex.own('other', () =>
      this.#store.db.transaction(() => this.#store.log.putReceipt(receipt, bytes)),
    );
    try {
      await this.#store.flush();
    } catch (error) {
      return this.#become({ kind: 'waiting', found: (error as Error).message }, 'failed');
    }
    // Durable now: only here does "committed" move.
    this.#receipt = { bytes, receipt };
    covered.take();
    if (receipt.head.seq === this.#cutAt) this.#cutReceipt = receipt;
    this.#become({ kind: 'idle' }, 'idle');
    this.#events.onCommitted(receipt.head);
    return this.#store.head.seq > receipt.head.seq ? 'more' : 'idle';
  }

  async #refused(error: FoldlogError): Promise<RoundEnd> {
    if (error.kind === 'fenced') return this.#fenced(error);
    const isFinal = error.kind === 'corrupt' || error.kind === 'misuse' || error.reason === 'rolledBack';
    // An instance whose copy of the control log is seconds old does not know a new shard, device or epoch yet.
    if (isFinal && !youngReasons.has(error.reason)) return this.#stop(error);
    return this.#become({ kind: 'waiting', found: error.message }, 'failed');
  }

  async #fenced(error: FoldlogError): Promise<RoundEnd> {
    this.pause(error);
    await this.#events.onFenced(error);
    return 'idle';
  }

  #stop(error: FoldlogError): RoundEnd {
    return this.#become({ kind: 'stopped', error }, 'stopped');
  }

  #become(state: PushState, end: RoundEnd): RoundEnd {
    this.#state = state;
    this.#events.onState();
    return end;
  }
}
