// The save path of decision 0002: waiting calls share one transaction, one signature and one flush; each call succeeds or fails alone.
// The letters a-h are the steps of the decision, whose table says what a stop after each leaves behind.

import { type Bytes, bytesToHex } from '../../kernel/bytes.ts';
import { bodyHashOf, type CommitGroup, headOf, linkGroup, saltBytes } from '../../kernel/commit-group.ts';
import { tagged } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import {
  gatherMsMax,
  relaxedMsMax,
  relaxedOpsMax,
  reopenAfterMs,
  transactionBytesMax,
  transactionCallsMax,
  transactionOpsMax,
  waitingCallsMax,
} from '../../kernel/limits.ts';
import { encodeOps } from '../../kernel/op-body.ts';
import type { BulkDigest, Clock, Random, Scheduler, Signer } from '../../kernel/ports.ts';
import type { Seal } from '../../kernel/seal.ts';
import { type Epoch, type GroupId, type Hash, type Head, hash, type TimeMs } from '../../kernel/units.ts';
import type { CommandRead, OpInput } from '../../shards/define.ts';
import type { GroupPlace } from './chain-log.ts';
import { sqliteFailure } from './database.ts';
import { type ReadyOp, validate } from './fold.ts';
import { beginSeal } from './sealing.ts';
import type { ShardStore } from './shard-store.ts';

/** `relaxed`: resolves before the disk has it, where that can be told apart later (`ShardStore.canRelax`). Bounded by `relaxedOpsMax` and `relaxedMsMax`; `flush` makes it durable. */
export type Durability = 'strict' | 'relaxed';

/** What to save: ops, or a command that reads and then says which. One call is one commit group. */
export type SaveSource =
  | { readonly kind: 'ops'; readonly inputs: readonly OpInput[] }
  | { readonly kind: 'command'; readonly name: string; readonly input: unknown };

/** A stranded group on its way to its new place: what was saved, as it was, with one op of ours in front (rebase.ts). */
export interface SavedBefore {
  readonly ops: readonly ReadyOp[];
  readonly body: Bytes;
  readonly time: TimeMs;
}

export interface SavePorts {
  readonly signer: Signer;
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly bulkDigest: BulkDigest;
}

/** What the writer believes and signs along: the control head it knows and its newest `foldlog.headsSeen` group. */
export interface Believed {
  readonly epoch: Epoch;
  readonly controlHead: Hash;
  readonly headsSeen: Hash;
}

interface Waiting {
  readonly id: GroupId;
  /** Undefined for a group that was saved before. */
  readonly source: SaveSource | undefined;
  readonly durability: Durability;
  /** Ops calls are checked and encoded before their turn; commands in it. */
  readonly ready: Encoded | undefined;
  readonly resolve: (place: GroupPlace) => void;
  readonly reject: (error: FoldlogError) => void;
}

interface Encoded {
  readonly ops: readonly ReadyOp[];
  readonly body: Bytes;
  readonly salt: Bytes;
  readonly bodyHash: Hash | Promise<Hash>;
  /** Of a group that was saved before; else that of its turn. */
  readonly time: TimeMs | undefined;
}

interface Linked {
  readonly group: CommitGroup;
  /** Begun for the last call of a transaction. */
  readonly sealing: Promise<Seal> | undefined;
}

interface Landed extends Linked {
  readonly call: Waiting;
}

/** Bodies above this are hashed natively, beside the rest of the work. */
const bulkBodyBytes = 8 * 1024;

export class SaveQueue {
  readonly #ports: SavePorts;
  readonly #store: ShardStore;
  readonly #believed: () => Believed;
  readonly #onSaved: () => void;
  /** Told how long the reducers of a transaction took, ms. */
  readonly #onFold: (ms: number) => void;
  readonly #waiting: Waiting[] = [];
  #isRunning = false;
  /** The connection is closed and its file did not open again: the next transaction tries to. */
  #isLost = false;
  #stopped: FoldlogError | undefined;
  #held: FoldlogError | undefined;
  /** Ends the wait for the next try to open it. */
  #reopening: (() => void) | undefined;
  /** Ends the wait for the flush that follows relaxed saves. */
  #flushing: (() => void) | undefined;

  constructor(ports: SavePorts, store: ShardStore, believed: () => Believed, onSaved: () => void, onFold: (ms: number) => void) {
    this.#ports = ports;
    this.#store = store;
    this.#believed = believed;
    this.#onSaved = onSaved;
    this.#onFold = onFold;
  }

  /**
   * Saves one call as one commit group named `id`. Resolves once its COMMIT is durable; the same id again gives the same place.
   * Rejects with a typed error when nothing was kept, or with `unknown` when even reopening the file failed.
   */
  save(id: GroupId, source: SaveSource, durability: Durability): Promise<GroupPlace> {
    return this.#wait(id, source, durability, () => (source.kind === 'ops' ? this.#encode(source.inputs) : undefined));
  }

  /** The same for a stranded group, under the id it has. Goes on while the app's saves are held. */
  saveAgain(id: GroupId, { ops, body, time }: SavedBefore): Promise<GroupPlace> {
    return this.#wait(id, undefined, 'strict', () => ({ ...this.#salted(ops, body), time }));
  }

  #wait(id: GroupId, source: SaveSource | undefined, durability: Durability, encode: () => Encoded | undefined): Promise<GroupPlace> {
    return new Promise((resolve, reject) => {
      const refusal = this.#stopped ?? (source === undefined ? undefined : this.#held);
      if (refusal !== undefined) return reject(refusal);
      if (this.#waiting.length >= waitingCallsMax) {
        return reject(
          new FoldlogError('storageFull', {
            where: 'save',
            reason: 'queue',
            found: `${this.#waiting.length} calls waiting`,
            expected: `fewer than ${waitingCallsMax}`,
          }),
        );
      }
      try {
        this.#waiting.push({ id, source, durability, ready: encode(), resolve, reject });
      } catch (error) {
        return reject(error as FoldlogError);
      }
      void this.#drain();
    });
  }

  /** No call is taken from now on; the one that is running finishes. */
  stop(error: FoldlogError): void {
    this.#stopped = error;
    this.#flushing?.();
    this.#reopening?.();
    for (const call of this.#waiting.splice(0)) call.reject(error);
  }

  /** The app's calls are refused from now until `release`; one that is running finishes. */
  hold(error: FoldlogError): void {
    this.#held = error;
    const kept = this.#waiting.splice(0).filter((call) => {
      if (call.source !== undefined) call.reject(error);
      return call.source === undefined;
    });
    this.#waiting.push(...kept);
  }

  release(): void {
    this.#held = undefined;
  }

  #encode(inputs: readonly OpInput[]): Encoded {
    const ops = inputs.map((input) => this.#store.folder.prepare(input));
    const body = encodeOps(
      ops.map(({ op }) => op),
      `save to ${this.#store.identity.kind}/${this.#store.identity.name}`,
    );
    return this.#salted(ops, body);
  }

  #salted(ops: readonly ReadyOp[], body: Bytes): Encoded {
    const salt = this.#ports.random.bytes(saltBytes);
    return { ops, body, salt, bodyHash: this.#hashBody(salt, body), time: undefined };
  }

  #hashBody(salt: Bytes, body: Bytes): Hash | Promise<Hash> {
    if (body.length <= bulkBodyBytes) return bodyHashOf(salt, body);
    const hashing = this.#ports.bulkDigest(tagged('body', salt, body)).then(hash);
    hashing.catch(() => undefined); // awaited in the call's turn; a queue that stops first must not leave it unhandled
    return hashing;
  }

  async #drain(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      while (this.#waiting.length > 0) {
        const isSaved = await this.#store.mutex.own('save', () => this.#transaction());
        await this.#gather(); // lets the answers leave first
        if (isSaved) this.#onSaved();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /**
   * Calls that came while the thread was busy are still messages: they are let in before the next transaction starts, turn by turn as long as
   * turns bring any, so that they share its flush. A call that comes alone never waits for this: its answer is on its way already.
   */
  async #gather(): Promise<void> {
    const until = this.#ports.clock.ticks() + gatherMsMax;
    let known: number;
    do {
      known = this.#waiting.length;
      await this.#ports.scheduler.yield();
    } while (this.#waiting.length > known && this.#waiting.length < transactionCallsMax && this.#ports.clock.ticks() < until);
  }

  /** a: the calls of one transaction, up to its bounds. */
  #take(): Waiting[] {
    const calls: Waiting[] = [];
    let ops = 0;
    let bytes = 0;
    while (this.#waiting.length > 0 && calls.length < transactionCallsMax) {
      const next = this.#waiting[0] as Waiting;
      ops += next.ready?.ops.length ?? 1;
      bytes += next.ready?.body.length ?? 0;
      if (calls.length > 0 && (ops > transactionOpsMax || bytes > transactionBytesMax)) break;
      calls.push(next);
      this.#waiting.shift();
    }
    return calls;
  }

  /** Steps a to h. True when something was saved. */
  async #transaction(): Promise<boolean> {
    const store = this.#store;
    const taken = this.#take();
    if (this.#isLost && !(await this.#recover(taken))) return false;
    const believed = this.#believed();
    const landed: Landed[] = [];
    const mayRelax = store.canRelax && store.exposedOps < relaxedOpsMax;
    const isRelaxed = mayRelax && taken.every(({ durability }) => durability === 'relaxed');
    let calls: readonly Waiting[] = taken;
    let step: 'before commit' | 'commit' = 'before commit';
    try {
      if (!isRelaxed) await store.makeDurable(); // a strict save, and its answer to a retry, stand on durable ones only
      // A call that is alone is signed first of all: the signature runs beside everything up to f.
      const [alone] = taken.length === 1 ? taken : [];
      const ahead = alone?.ready === undefined ? undefined : await this.#link(alone, alone.ready, store.head, believed, true);
      store.db.run('BEGIN IMMEDIATE'); // b
      calls = this.#withoutAnswered(taken);
      let head = store.head;
      const foldFrom = this.#ports.clock.ticks();
      for (const [i, call] of calls.entries()) {
        const at = { isShared: calls.length > 1, isLast: i === calls.length - 1 };
        const done = await this.#foldCall(call, ahead, head, believed, at); // c
        if (done === undefined) continue;
        landed.push(done);
        head = headOf(done.group);
      }
      this.#onFold(this.#ports.clock.ticks() - foldFrom);
      const last = landed.at(-1);
      if (last === undefined) {
        store.db.rollback();
        return false;
      }
      const sealing = last.sealing ?? this.#seal(last.group, believed); // d again: the last call was refused
      for (const { group } of landed.slice(0, -1)) store.log.insert(group); // e
      store.log.insert(last.group, await sealing); // f
      store.log.settle();
      step = 'commit';
      if (isRelaxed) this.#commitRelaxed(landed);
      else {
        store.db.run('COMMIT'); // g
        const flushing = store.flush();
        if (flushing !== undefined) await flushing; // still g: nobody sees the groups before this
      }
      store.log.committed(landed.map(({ group }) => group));
      store.advance(head);
    } catch (error) {
      return await this.#settle(landed, calls, step, error);
    }
    for (const { call, group } of landed) call.resolve(placeOf(group)); // h
    return true;
  }

  /** g of calls that do not wait for the disk; the disk follows by itself, soon. */
  #commitRelaxed(landed: readonly Landed[]): void {
    this.#store.commitRelaxed(landed.reduce((sum, { group }) => sum + group.header.opCount, 0));
    if (this.#flushing !== undefined) return;
    this.#flushing = this.#ports.scheduler.after(relaxedMsMax, () => {
      this.#flushing = undefined;
      this.flush().catch(() => undefined); // whoever asks for it is told; these calls did not
    });
  }

  /** Makes everything saved until now durable, relaxed or not. */
  flush(): Promise<void> {
    return this.#store.mutex.own('other', () => this.#store.makeDurable());
  }

  /** Calls whose id already stands in the log are answered with what stands: a retry after a lost reply. */
  #withoutAnswered(calls: readonly Waiting[]): Waiting[] {
    const seen = new Set<string>();
    return calls.filter((call) => {
      let found: GroupPlace | undefined;
      try {
        found = this.#store.log.find(call.id);
        if (found === undefined && call.source !== undefined) this.#store.outbox.requireAbsent(call.id);
      } catch (error) {
        call.reject(this.#store.db.failure(error, 'save'));
        return false;
      }
      if (found !== undefined) {
        call.resolve(found);
        return false;
      }
      const name = bytesToHex(call.id);
      if (seen.has(name)) {
        // The same id twice in one transaction: the second asks again once the first has landed.
        this.#waiting.push(call);
        return false;
      }
      seen.add(name);
      return true;
    });
  }

  /** c: one call inside its own savepoint; undefined when it was rejected alone. */
  async #foldCall(
    call: Waiting,
    ahead: Linked | undefined,
    after: Head,
    believed: Believed,
    at: { readonly isShared: boolean; readonly isLast: boolean },
  ): Promise<Landed | undefined> {
    const { db, folder } = this.#store;
    if (at.isShared) db.run('SAVEPOINT call');
    try {
      const encoded = call.ready ?? this.#encode(this.#decide(call.source as SaveSource)); // a group saved before is ready
      const { group, sealing } = ahead ?? (await this.#link(call, encoded, after, believed, at.isLast));
      folder.fold(encoded.ops, group.header.firstSeq, group.header.time);
      if (at.isShared) db.run('RELEASE call');
      return { call, group, sealing };
    } catch (error) {
      if (!(error instanceof FoldlogError)) throw error; // the database or the host failed, not this call
      if (at.isShared) db.exec('ROLLBACK TO call; RELEASE call');
      call.reject(error);
      return undefined;
    }
  }

  /**
   * Links a call to the chain before it is folded, so that the signature (d) of the last one runs beside its fold. A signature over a call that is
   * then refused is dropped: it is never stored, and nothing leaves before COMMIT.
   */
  async #link(call: Waiting, encoded: Encoded, after: Head, believed: Believed, isLast: boolean): Promise<Linked> {
    const { ops, body, salt, bodyHash, time } = encoded;
    const group = linkGroup({
      ...{ shard: this.#store.identity.id, epoch: believed.epoch, after, opCount: ops.length, time: time ?? this.#ports.clock.now() },
      ...{ id: call.id, salt, body, bodyHash: bodyHash instanceof Promise ? await bodyHash : bodyHash },
    });
    return { group, sealing: isLast ? this.#seal(group, believed) : undefined };
  }

  /** d */
  #seal(group: CommitGroup, believed: Believed): Promise<Seal> {
    return beginSeal(this.#ports, { shard: this.#store.identity.id, epoch: believed.epoch, head: headOf(group) }, believed);
  }

  /** Runs a command against the state as it is in this turn. */
  #decide(source: SaveSource): readonly OpInput[] {
    if (source.kind === 'ops') return source.inputs;
    const { definition, db } = this.#store;
    const commands = definition.spec.commands ?? {};
    const declared = Object.hasOwn(commands, source.name) ? commands[source.name] : undefined;
    if (declared === undefined) {
      throw FoldlogError.misuse({
        where: `command on ${definition.kind}`,
        reason: 'unknownCommand',
        found: JSON.stringify(source.name.slice(0, 64)),
        expected: `one of ${Object.keys(commands).join(', ') || 'none: no command is declared'}`,
      });
    }
    const read: CommandRead = (query) => db.all(query.text, query.params);
    try {
      return declared.decide(read, validate(declared.schema, source.input, `command ${source.name}`));
    } catch (cause) {
      if (cause instanceof FoldlogError) throw cause;
      throw FoldlogError.misuse({
        where: `command ${source.name}`,
        reason: 'commandFailed',
        found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
        expected: 'a list of ops, or a FoldlogError that says why not',
        cause,
      });
    }
  }

  /**
   * After a failure nothing is known of the connection. Before COMMIT a rollback is enough; from COMMIT on the outcome is unknown:
   * discard the connection, reopen the file, and answer every call by its id.
   */
  async #settle(
    landed: readonly { readonly call: Waiting }[],
    calls: readonly Waiting[],
    step: 'before commit' | 'commit',
    error: unknown,
  ): Promise<boolean> {
    const where = `save to ${this.#store.identity.kind}/${this.#store.identity.name}`;
    const failure = this.#store.db.failure(error, where);
    const open = step === 'commit' ? landed.map(({ call }) => call) : calls;
    try {
      if (step === 'before commit') {
        this.#store.db.rollback();
        for (const call of open) call.reject(failure);
        return false;
      }
    } catch {
      // The rollback failed too: go on as after a COMMIT.
    }
    try {
      await this.#store.reopen();
      for (const call of open) {
        const found = this.#store.log.find(call.id);
        if (found === undefined) call.reject(notSaved(failure));
        else call.resolve(found);
      }
      return true;
    } catch (reopenError) {
      const unknown = failure.kind === 'unknown' ? failure : this.#unknown(reopenError);
      this.#isLost = true;
      this.#reopenSoon();
      for (const call of open) call.reject(unknown);
      return false;
    }
  }

  /** The file could not be opened again before: tries once more, so that a call asked again by its id finds out. */
  async #recover(calls: readonly Waiting[]): Promise<boolean> {
    try {
      await this.#store.reopen();
      this.#isLost = false;
      return true;
    } catch (error) {
      const unknown = this.#unknown(error);
      for (const call of calls) call.reject(unknown);
      return false;
    }
  }

  /** The next save may be long in coming, and reading and sending wait for the connection too. */
  #reopenSoon(): void {
    if (this.#reopening !== undefined || this.#stopped !== undefined) return;
    this.#reopening = this.#ports.scheduler.after(reopenAfterMs, () => {
      this.#reopening = undefined;
      void this.#store.mutex.own('other', async () => {
        if (!this.#isLost || this.#stopped !== undefined) return;
        if (await this.#recover([]))
          this.#onSaved(); // groups whose outcome was unknown may be there
        else this.#reopenSoon();
      });
    });
  }

  #unknown(cause: unknown): FoldlogError {
    // Nothing of this worker lands any more: whoever has the store now knows.
    if (cause instanceof FoldlogError && cause.reason === 'ownerReplaced') return cause;
    const where = `save to ${this.#store.identity.kind}/${this.#store.identity.name}`;
    return new FoldlogError('unknown', {
      where,
      reason: 'reopenFailed',
      found: sqliteFailure(cause, where).found,
      expected: 'the shard file to open again',
      todo: 'ask again with the same id; if it stays so, open the workspace again',
      cause,
    });
  }
}

/** The file was read back and the group is not there: what was unknown is known now. */
function notSaved(failure: FoldlogError): FoldlogError {
  if (failure.kind !== 'unknown') return failure;
  const { where, reason, found, expected } = failure;
  return new FoldlogError('unavailable', { where, reason, found, expected, cause: failure });
}

const placeOf = (group: CommitGroup): GroupPlace => ({
  epoch: group.header.epoch,
  firstSeq: group.header.firstSeq,
  lastSeq: headOf(group).seq,
  hash: group.hash,
});
