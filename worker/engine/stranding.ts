// What becomes of an own shard whose epoch was closed (decision 0003): the fence is noted and saves are held; when the cut stands, what is above it moves to
// the outbox, the state is restored in the next generation of the file, and the outbox is saved again where the cut says. Every step is stored before the
// next begins, and a round looks at what is stored: the one after a kill is the ordinary one. Invariants kept here:
//   nothing is saved or sent in an epoch that is known to be closed · what was saved is in the log or in the outbox, never in neither

import { isSameBytes } from '../../kernel/bytes.ts';
import { lastSeqOf } from '../../kernel/commit-group.ts';
import type { ShardEpoch } from '../../kernel/control/fold.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Clock } from '../../kernel/ports.ts';
import { isSameHead } from '../../kernel/run.ts';
import type { Epoch, Head, Seq, ShardId } from '../../kernel/units.ts';
import { committedRuns } from './committed-runs.ts';
import { succeed } from './generations.ts';
import type { RoundEnd } from './loop.ts';
import { saidBelow } from './move-schema.ts';
import { noteFencedEpoch } from './ownership.ts';
import { type Destination, type RebasePorts, rebaseWaiting } from './rebase.ts';
import { findStart, type RestoreSource, restoreShard, slotBehind } from './restore.ts';
import { noteUnsaid } from './schema-file.ts';
import { Meta } from './shard-file.ts';
import type { ShardStore } from './shard-store.ts';
import type { StoragePool } from './storage-pool.ts';
import type { Vault } from './vault.ts';

/** What the control log and the rest of the device say. */
export interface StrandingHost {
  /** The cut that closed an epoch: the first above it. Undefined while the log has none. */
  cutAbove(closed: Epoch): ShardEpoch | undefined;
  /** The newest cut; undefined in the first epoch. */
  newestCut(): ShardEpoch | undefined;
  /** Whether this device, and this copy of it, may save in the epoch that a cut opened. */
  mayWrite(opened: ShardEpoch): boolean;
  /** This copy saves in the newest epoch, and that is on disk: what allowed it need not be remembered. */
  entered(opened: ShardEpoch): Promise<void>;
  /** The shard of that id when this device writes it now. */
  destination(id: ShardId): Promise<Destination | undefined>;
  /** The control log may have a cut that is not known here yet. */
  askControl(): void;
  /** Who is asked for what was committed; undefined without a relay or a control log. */
  source(): RestoreSource | undefined;
}

export interface StrandingPorts extends RebasePorts {
  readonly clock: Clock;
  readonly vault: Vault;
}

/** What the rest of the shard is told. */
export interface StrandingHooks {
  /** Nothing is saved or sent from now on. */
  readonly onHeld: (error: FoldlogError) => void;
  /** The shard goes on in the log as it is now. */
  readonly onReleased: () => void;
  /** Ops above `kept` are not in their place any more. */
  readonly onStranded: (closed: Epoch, kept: Seq) => void;
  readonly onRestored: () => void;
  /** Saves may go on here: what the chain does not say of its schema any more is said first (decision 0004). Rejects while that fails. */
  readonly sayMove: () => Promise<void>;
  readonly isPublishing: () => boolean;
}

/** `open`: nothing of the kind. `fenced`: saves are held, no cut yet. `stranded`: the tail is in the outbox, the state not restored yet. `handedOver`: another device writes here. */
export type StrandingState =
  | { readonly kind: 'open' }
  | { readonly kind: 'fenced'; readonly found: string }
  | { readonly kind: 'stranded'; readonly found: string }
  | { readonly kind: 'handedOver' };

export class Stranding {
  readonly #ports: StrandingPorts;
  readonly #pool: StoragePool;
  readonly #store: ShardStore;
  readonly #host: StrandingHost;
  readonly #hooks: StrandingHooks;
  #state: StrandingState = { kind: 'open' };

  constructor(ports: StrandingPorts, pool: StoragePool, store: ShardStore, host: StrandingHost, hooks: StrandingHooks) {
    this.#ports = ports;
    this.#pool = pool;
    this.#store = store;
    this.#host = host;
    this.#hooks = hooks;
  }

  get state(): StrandingState {
    return this.#state;
  }

  /** Before the first save of a start: what is stored, or the control log, may know already that the epoch is closed. */
  begin(): void {
    const { epoch: own } = this.#store.log.base;
    if (new Meta(this.#store.db).number('fencedEpoch') === own || this.#host.cutAbove(own) !== undefined)
      this.#hold('noted before this start');
    else if (this.#isHandedOver) this.#handOver();
  }

  /** The relay said so. Noted in the file before anything else follows from it: a restart must not save into the closed epoch. */
  async noteFenced(error: FoldlogError): Promise<void> {
    this.#hold(error.found);
    await noteFencedEpoch(this.#store);
  }

  /** Goes as far as what is known allows. */
  async round(): Promise<RoundEnd> {
    const closed = this.#store.log.base.epoch;
    const cut = this.#host.cutAbove(closed);
    // A fence without a cut: nobody may write yet, nor is anything above a cut.
    if (cut === undefined) return this.#isFenceNoted && !this.#isHandedOver ? 'idle' : this.#rebase();
    if (this.#hooks.isPublishing()) return 'failed'; // a checkpoint that is being made from the present file ends first
    this.#hold(`the cut that opened epoch ${cut.epoch}`);
    await this.#strand(closed, cut);
    await this.#restore(closed);
    return this.#rebase();
  }

  /** A take-over from oneself has served its purpose, here or before a restart. */
  async #enter(): Promise<void> {
    const newest = this.#host.newestCut();
    if (newest !== undefined && newest.epoch === this.#store.log.base.epoch && this.isEntered) await this.#host.entered(newest);
  }

  /** Step 1. Committed: what stands at or below the cut in the log of the relay; the rest moves to the outbox, in one transaction. */
  async #strand(closed: Epoch, { cut, controlSlot, destination }: ShardEpoch): Promise<void> {
    const store = this.#store;
    const kept = await this.#kept(cut);
    if (isSameHead(kept, store.head)) return;
    await this.#durably(() => {
      const by = { cut: cut.seq, controlSlot, destination };
      const said = saidBelow(store, kept.seq);
      store.outbox.strand({ shard: store.identity.id, epoch: closed, kept, by, time: this.#ports.clock.now() });
      const meta = new Meta(store.db);
      if (said !== undefined) noteUnsaid(meta, said);
      meta.set('fencedEpoch', closed);
      // The state still holds what moved: whatever happens next, it is restored first.
      meta.set('strandedEpoch', closed);
      if ((meta.number('idsUpTo') ?? 0) > kept.seq) meta.set('idsUpTo', kept.seq);
    });
    this.#become({ kind: 'stranded', found: `${store.outbox.counts().waiting} groups above seq ${cut.seq}` });
    this.#hooks.onStranded(closed, kept.seq);
  }

  /** One transaction, on disk when this resolves. When it fails nobody knows whether it was written: the file says, and the next round goes on from there. */
  #durably(work: () => void): Promise<void> {
    const store = this.#store;
    return store.mutex.own('other', async () => {
      try {
        await store.makeDurable();
        store.db.transaction(work);
        await store.flush();
        store.reread();
      } catch (error) {
        await store.reopen();
        throw error;
      }
    });
  }

  /** The last place of the own log that is in the committed chain up to the cut. */
  async #kept(head: Head): Promise<Head> {
    const { log } = this.#store;
    const ours = await this.#store.mutex.own('other', () => log.hashAt(head.seq));
    if (ours !== undefined && isSameBytes(ours, head.hash)) return head;
    // Another copy of this device committed what is not here, or something else here: as far as both are the same is asked of the relay.
    const source = this.#host.source();
    if (source === undefined) throw noSource(this.#where);
    const from = slotBehind(undefined, log, this.#store.head);
    let kept = from.head.seq > log.base.head.seq ? from.head : log.base.head;
    for await (const run of committedRuns(source.ports, source, this.#store.identity, from, head)) {
      for (const group of run.groups) {
        const at = { seq: lastSeqOf(group.header), hash: group.hash };
        const here = await this.#store.mutex.own('other', () => log.hashAt(at.seq));
        if (here === undefined || !isSameBytes(here, at.hash)) return kept;
        kept = at;
      }
    }
    return kept;
  }

  /** Step 2. The newest epoch may be beyond the one that follows: the shard is restored once, to where that one begins. */
  async #restore(closed: Epoch): Promise<void> {
    const store = this.#store;
    const newest = this.#host.newestCut();
    if (newest === undefined) return;
    const settle = (meta: Meta): void => {
      meta.set('epoch', newest.epoch);
      meta.set('cutSeq', newest.cut.seq);
      meta.set('cutHash', newest.cut.hash);
      meta.delete('strandedEpoch');
      meta.delete('fencedEpoch');
      // Kept, for the note that allowed it is not.
      if (this.#host.mayWrite(newest)) meta.delete('handedOverEpoch');
      else meta.set('handedOverEpoch', newest.epoch);
    };
    const isStranded = new Meta(store.db).number('strandedEpoch') === closed;
    if (!isStranded && isSameHead(store.head, newest.cut)) {
      // Nothing of the state has to go, and nothing is missing: the file itself goes on.
      await this.#durably(() => settle(new Meta(store.db)));
    } else {
      const source = this.#host.source();
      const start = await findStart(source, store, newest.cut);
      await store.mutex.own('other', async () => {
        const older = store.file;
        const { file, db } = await restoreShard(source, this.#pool, store, { head: newest.cut, settle }, start);
        store.moveTo(file, db);
        await succeed(this.#pool, this.#ports.vault, { older, newer: file });
      });
    }
    this.#hooks.onRestored();
  }

  /** Step 3, for every shard that something waits for; and only then the app's saves go on here, behind what was saved before them. */
  async #rebase(): Promise<RoundEnd> {
    await this.#enter();
    const store = this.#store;
    if (this.isEntered) await this.#hooks.sayMove();
    let passing: FoldlogError | undefined;
    for (const id of store.outbox.destinations()) {
      const to = await this.#host.destination(id);
      if (to !== undefined) passing = (await rebaseWaiting(this.#ports, store, to)) ?? passing;
    }
    for (const id of store.outbox.rebasedTo()) {
      const to = await this.#host.destination(id);
      if (to === undefined) continue;
      const committed = { epoch: to.store.log.base.epoch, seq: to.committed.seq };
      await store.mutex.own('other', () => store.db.transaction(() => store.outbox.dropCommitted(id, committed)));
    }
    this.#settleHold();
    return passing === undefined ? 'idle' : 'failed';
  }

  #settleHold(): void {
    if (this.#host.cutAbove(this.#store.log.base.epoch) !== undefined) return; // a newer cut came meanwhile: the next round
    if (this.#isHandedOver) this.#handOver();
    else if (!this.#isFenceNoted && this.#state.kind !== 'open') {
      this.#become({ kind: 'open' });
      this.#hooks.onReleased();
    }
  }

  get #isFenceNoted(): boolean {
    return new Meta(this.#store.db).number('fencedEpoch') === this.#store.log.base.epoch;
  }

  /** The newest epoch is known here, and it is another's. */
  get #isHandedOver(): boolean {
    return new Meta(this.#store.db).number('handedOverEpoch') === this.#store.log.base.epoch;
  }

  /** Whether groups may be saved here now, the app's or stranded ones: the newest epoch is this copy's, and no fence was met in it. */
  get isEntered(): boolean {
    return !this.#isHandedOver && !this.#isFenceNoted && this.#host.cutAbove(this.#store.log.base.epoch) === undefined;
  }

  #handOver(): void {
    this.#hooks.onHeld(handedOver(this.#where));
    this.#become({ kind: 'handedOver' });
  }

  #hold(found: string): void {
    if (this.#state.kind === 'open' || this.#state.kind === 'handedOver') this.#become({ kind: 'fenced', found });
    this.#hooks.onHeld(fenced(this.#where, found));
  }

  #become(state: StrandingState): void {
    this.#state = state;
  }

  get #where(): string {
    return `shard ${this.#store.identity.kind}/${this.#store.identity.name}`;
  }
}

const fenced = (where: string, found: string): FoldlogError =>
  new FoldlogError('fenced', {
    where,
    reason: 'fenced',
    found,
    expected: 'an open epoch of this device',
    retry: 'later',
    todo: 'nothing of this call was saved; what was saved before is kept, and goes on as soon as the workspace says where',
  });

const handedOver = (where: string): FoldlogError =>
  new FoldlogError('fenced', {
    where,
    reason: 'fenced',
    found: 'a shard that another device writes now',
    expected: 'a shard of this device',
    todo: 'nothing of this call was saved; open another shard, and look at outbox() for what could not be committed here',
  });

const noSource = (where: string): FoldlogError =>
  new FoldlogError('unavailable', { where, reason: 'noControl', found: 'no relay to ask', expected: 'the committed groups up to the cut' });
