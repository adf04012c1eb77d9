// Own shards that this version of the app cannot read: made by a newer one, or of a kind that is not declared any more. Nothing is folded and nothing
// saved; what was saved is still sent, for bytes need no schema, and of the file only the receipts grow (decision 0004).

import { FoldlogError } from '../../kernel/errors.ts';
import { noHash } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { ControlReplica } from './control.ts';
import { currentFile } from './generations.ts';
import { Loop, type LoopPorts } from './loop.ts';
import { noteFencedEpoch } from './ownership.ts';
import { Pusher, type PushPorts, type PushState } from './push-loop.ts';
import type { ShardIdentity } from './shard-file.ts';
import { ShardStore } from './shard-store.ts';
import type { StoragePool } from './storage-pool.ts';
import type { HeldShard } from './workspace-file.ts';

export interface SentShard {
  readonly kind: string;
  readonly name: string;
  readonly savedSeq: number;
  readonly committedSeq: number;
  readonly pending: { readonly groups: number; readonly ops: number; readonly bytes: number };
  readonly push: PushState;
  /** Why it is not open. */
  readonly why: FoldlogError;
}

export type SenderPorts = LoopPorts & PushPorts;

interface Sender {
  readonly store: ShardStore;
  readonly pusher: Pusher;
  readonly loop: Loop;
  readonly why: FoldlogError;
}

/** Whether a shard that did not open for this reason can be sent all the same. */
const isSendable = (error: unknown): error is FoldlogError =>
  error instanceof FoldlogError && (error.reason === 'newerSchema' || error.reason === 'unknownKind');

export class ShardSenders {
  readonly #ports: SenderPorts;
  readonly #pool: StoragePool;
  readonly #control: ControlReplica;
  readonly #onState: () => void;
  readonly #senders = new Map<string, Sender>();
  /** One opening after another: a file has one connection. */
  #opening: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(ports: SenderPorts, pool: StoragePool, control: ControlReplica, onState: () => void) {
    this.#ports = ports;
    this.#pool = pool;
    this.#control = control;
    this.#onState = onState;
  }

  /** Begins to send the own shard of this name, which did not open because of `why`; for other reasons, and a second time, does nothing. Rejects with `why`. */
  async begin(held: readonly HeldShard[], named: { readonly kind: string; readonly name: string }, why: unknown): Promise<never> {
    const shard = held.find(({ hold, kind, name }) => hold === 'own' && kind === named.kind && name === named.name);
    if (shard !== undefined && isSendable(why)) {
      this.#opening = this.#opening.then(() => this.#begin(shard, why)).catch(() => undefined); // the next opening tries again
      await this.#opening;
    }
    throw why;
  }

  /** The file of a shard that is sent has its one connection: it is not opened again. @throws {FoldlogError} why it is not open */
  requireNone(handle: string): void {
    const sender = this.#senders.get(handle);
    if (sender !== undefined) throw sender.why;
  }

  async #begin(identity: ShardIdentity, why: FoldlogError): Promise<void> {
    const handle = `${identity.kind}/${identity.name}`;
    if (this.#isClosed || this.#senders.has(handle)) return;
    await this.#pool.reserve(1);
    const store = await ShardStore.open(this.#pool, currentFile(this.#pool, identity.id), unreadable(identity.kind), identity);
    const pusher = new Pusher(this.#ports, store, this.#control, {
      onCommitted: this.#onState,
      onState: this.#onState,
      // What stranded is settled by the app that can read the file; that it did is known to it from the start.
      onFenced: async () => {
        await noteFencedEpoch(store);
        this.#onState();
      },
    });
    const loop = new Loop(this.#ports, () => pusher.round());
    this.#senders.set(handle, { store, pusher, loop, why });
    loop.wake();
  }

  statuses(): readonly SentShard[] {
    return [...this.#senders.values()].map(({ store, pusher, why }) => ({
      kind: store.identity.kind,
      name: store.identity.name,
      savedSeq: store.head.seq,
      committedSeq: pusher.committed.seq,
      pending: store.log.pending(),
      push: pusher.state,
      why,
    }));
  }

  wake(atOnce: boolean): void {
    for (const { loop } of this.#senders.values()) loop.wake(atOnce);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opening;
    for (const { store, loop } of this.#senders.values()) {
      await loop.stop();
      await store.mutex.own('other', () => store.close());
    }
    this.#senders.clear();
  }
}

/** Below every version there is, so that whatever stands in the file is newer than it. */
const unreadable = (kind: string): ShardDefinition => ({
  kind,
  spec: { version: 0, tables: {}, ops: {} },
  ddl: [],
  foldId: noHash,
  foldIdOf: 'declared',
  mode: 'production',
});
