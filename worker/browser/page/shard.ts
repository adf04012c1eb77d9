// One shard as the page writes and reads it: saves with their group id, reads, live queries.

import { bytesToHex } from '../../../kernel/bytes.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import type { CommandInput, CommandNames, OpInput, OpNames, OpPayload, ShardDefinition } from '../../../shards/define.ts';
import type { Sql } from '../../../shards/sql.ts';
import type { LiveSpec } from '../../engine/live.ts';
import type { OutboxItem } from '../../engine/outbox-acts.ts';
import type { Published } from '../../engine/publish.ts';
import type { Durability, SaveSource } from '../../engine/save.ts';
import { unknownRetryDelaysMs } from '../bounds.ts';
import { pause } from '../deadline.ts';
import type { OpenedShard, SavedPlace } from '../protocol.ts';
import type { EngineLink } from './link.ts';
import { type Live, LiveRows } from './live.ts';
import { opsToText } from './ops.ts';

/** Where a commit group stands. `group` is its id, 32 hex digits: the same through retries. */
export interface GroupRef {
  readonly shard: string;
  readonly epoch: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly group: string;
}

export interface Saved {
  /**
   * `saved`: on this device's disk, survives a kill and, as far as the disk is honest, a power cut. `relaxed`, only where the call asked for it and files live over IndexedDB: in the
   * tables, and not yet surely on disk; at most 1,000 ops and half a second of such saves at a time, none of them sent to the relay before they are saved.
   */
  readonly kind: 'saved' | 'relaxed';
  readonly ref: GroupRef;
  /**
   * Resolves once a receipt of the relay covers the group, which may take days offline. Pending for ever in a workspace without a relay;
   * rejects when the workspace is closed first: `status` tells how far it came, once it is open again. Rejects `fenced` `stranded` when the shard was taken
   * over before the group was committed: it is kept in the outbox and saved again under the same id, where the workspace says.
   */
  readonly committed: Promise<void>;
}

export interface SaveOptions {
  /** Group id of an earlier call whose outcome is unknown: gives the place of that call when it was saved, else saves it now. */
  readonly group?: string;
  /** `relaxed` does not wait for the disk: what it exposes is said at `Saved.kind`, and ended by `flush`. On OPFS nothing is gained by it, and every save is strict. Usual: `strict`. */
  readonly durability?: Durability;
}

/** An op of a definition, by class: `['sale.line', line]`, optionally with the app's own id for it. */
export type OpOf<D extends ShardDefinition> = {
  readonly [Name in OpNames<D>]: readonly [className: Name, payload: OpPayload<D, Name>, id?: string];
}[OpNames<D>];

export type RowsOf<Queries extends readonly Sql<unknown>[]> = {
  readonly [I in keyof Queries]: Queries[I] extends Sql<infer Row> ? readonly Row[] : never;
};

interface Waiter {
  readonly epoch: number;
  readonly lastSeq: number;
  readonly resolve: () => void;
  readonly reject: (error: FoldlogError) => void;
}

/** What a shard needs of its workspace. */
export interface ShardHost {
  readonly link: EngineLink;
  /** Keeps a live query answered, through changes of the owner. Returns the end of it. */
  addLive(handle: string, spec: LiveSpec, rows: LiveRows<unknown>): () => void;
}

export class Shard<D extends ShardDefinition = ShardDefinition> {
  readonly kind: string;
  readonly name: string;
  readonly #host: ShardHost;
  readonly #handle: string;
  #waiters: Waiter[] = [];
  #committedSeq: number;
  /** Where epochs were cut off, as far as this page was told. */
  readonly #cuts: { readonly epoch: number; readonly seq: number }[] = [];
  #closed: FoldlogError | undefined;

  /** Made by `Workspace.open`. */
  constructor(host: ShardHost, identity: { readonly kind: string; readonly name: string }, opened: OpenedShard) {
    this.#host = host;
    this.kind = identity.kind;
    this.name = identity.name;
    this.#handle = opened.handle;
    this.#committedSeq = opened.committedSeq;
  }

  /**
   * Saves one op as one commit group.
   * @throws {FoldlogError} `misuse` (class, payload, reducer) · `storageFull` · `unavailable`, nothing was kept · `unknown`, ask with the same group
   */
  save<Name extends OpNames<D>>(className: Name, payload: OpPayload<D, Name>, options?: SaveOptions): Promise<Saved> {
    return this.#save(() => opsToText([[className, payload]], this.#handle), options);
  }

  /** Saves several ops as one commit group: all of them or none. Throws as `save`. */
  saveAll(ops: readonly OpOf<D>[], options?: SaveOptions): Promise<Saved> {
    return this.#save(() => opsToText(ops as readonly OpInput[], this.#handle), options);
  }

  /** Runs a command in the writer, where its reads and the ops it decides on are one step. Throws as `save`, and what the command throws. */
  run<Name extends CommandNames<D>>(command: Name, input: CommandInput<D, Name>, options?: SaveOptions): Promise<Saved> {
    return this.#save(() => ({ kind: 'command', name: command, input }), options);
  }

  /**
   * Answers several statements on one state.
   * @throws {FoldlogError} `misuse` `badQuery`, `queryWrites`, `queryTooLong`, `tooManyRows`
   */
  read<const Queries extends readonly Sql<unknown>[]>(queries: Queries): Promise<RowsOf<Queries>> {
    return this.#host.link.call('read', (engine) => engine.read(this.#handle, queries as readonly Sql[])) as Promise<RowsOf<Queries>>;
  }

  /** Keeps a query answered. `key` names the column or columns that tell its rows apart. */
  live<Row>(query: Sql<Row>, options: { readonly key: (keyof Row & string) | readonly (keyof Row & string)[] }): Live<Row> {
    let end: () => void = () => undefined;
    const rows = new LiveRows<Row>(() => end());
    const key = typeof options.key === 'string' ? [options.key] : options.key;
    end = this.#host.addLive(this.#handle, { query: query as Sql, key }, rows as LiveRows<unknown>);
    return rows;
  }

  /**
   * Resolves when everything saved here until now is on disk, relaxed saves too.
   * @throws {FoldlogError} `storageFull` · `unavailable` · `unknown`: relaxed saves may be lost
   */
  flush(): Promise<void> {
    return this.#host.link.call('read', (engine) => engine.flush(this.#handle));
  }

  /** Publishes a checkpoint of the state as it is now, so that other devices start from it. */
  publish(): Promise<Published> {
    return this.#host.link.call('read', (engine) => engine.publish(this.#handle));
  }

  /** Groups that were saved here and could not be committed in their place, because the shard was taken over; and what became of each. */
  outbox(): Promise<readonly OutboxItem[]> {
    return this.#host.link.call('read', (engine) => engine.outbox(this.#handle));
  }

  /** Has a refused or discarded group of the outbox tried again. @throws {FoldlogError} `misuse` `notStranded`, `noPlace` */
  retry(id: string): Promise<void> {
    return this.#host.link.call('read', (engine) => engine.retryEntry(this.#handle, id));
  }

  /** Lets a waiting or refused group of the outbox be: it is not saved again. Its bytes stay, and `retry` takes it back. @throws {FoldlogError} `misuse` `notStranded` */
  discard(id: string): Promise<void> {
    return this.#host.link.call('read', (engine) => engine.discardEntry(this.#handle, id));
  }

  /** A group of the outbox with its proof, to be taken by hand to an admin's device that writes its destination. It stays here until it is discarded. */
  exportEntry(id: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#host.link.call('read', (engine) => engine.exportEntry(this.#handle, id));
  }

  /**
   * Takes what `exportEntry` gave on another device into this shard's outbox, verified, from where it is saved here under its own id. The device is an admin's, who
   * so gives its word that the group belongs. Gives the group's id; the same once more changes nothing.
   * @throws {FoldlogError} `corrupt`: it does not verify · `misuse` `wrongDestination`, `needsAttest` · `unavailable` `controlBehind`
   */
  importTail(tail: Uint8Array): Promise<string> {
    return this.#host.link.call('read', (engine) => engine.importTail(this.#handle, tail));
  }

  /** The workspace tells that an epoch was cut off: what stood above will not be committed there. */
  noteStranded(epoch: number, seq: number): void {
    this.#cuts.push({ epoch, seq });
    const waiters = this.#waiters;
    this.#waiters = waiters.filter((waiter) => !this.#isStranded(waiter));
    for (const waiter of waiters) if (this.#isStranded(waiter)) waiter.reject(strandedGroup(this.#handle, waiter.lastSeq));
  }

  #isStranded(place: { readonly epoch: number; readonly lastSeq: number }): boolean {
    return this.#cuts.some(({ epoch, seq }) => place.epoch <= epoch && place.lastSeq > seq);
  }

  /** The workspace tells of a receipt. */
  noteCommitted(seq: number): void {
    if (seq <= this.#committedSeq) return;
    this.#committedSeq = seq;
    const waiters = this.#waiters;
    this.#waiters = waiters.filter(({ lastSeq }) => lastSeq > seq);
    for (const waiter of waiters) if (waiter.lastSeq <= seq) waiter.resolve();
  }

  /** The workspace was closed, or its worker ended. */
  noteClosed(error: FoldlogError): void {
    this.#closed = error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  async #save(encode: () => string | SaveSource, options: SaveOptions | undefined): Promise<Saved> {
    const source = encode();
    const durability = options?.durability ?? 'strict';
    const group = options?.group ?? bytesToHex(crypto.getRandomValues(new Uint8Array(16)));
    for (let attempt = 0; ; attempt++) {
      try {
        const place = await this.#host.link.save(this.#handle, group, source, durability);
        return this.#saved(group, place);
      } catch (error) {
        const delay = unknownRetryDelaysMs[attempt];
        const isOpen = error instanceof FoldlogError && error.kind === 'unknown' && error.reason === 'reopenFailed';
        if (!isOpen || delay === undefined) throw error;
        await pause(delay);
      }
    }
  }

  #saved(group: string, { isRelaxed, ...place }: SavedPlace): Saved {
    const committed = (): Promise<void> => this.#committed(place);
    return {
      kind: isRelaxed ? 'relaxed' : 'saved',
      ref: { shard: this.#handle, ...place, group },
      // Made when asked for: a day offline holds tens of thousands of saves nobody waits for.
      get committed() {
        return committed();
      },
    };
  }

  #committed({ epoch, lastSeq }: { readonly epoch: number; readonly lastSeq: number }): Promise<void> {
    if (this.#isStranded({ epoch, lastSeq })) return quiet(Promise.reject(strandedGroup(this.#handle, lastSeq)));
    if (lastSeq <= this.#committedSeq) return Promise.resolve();
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const promise = new Promise<void>((resolve, reject) => this.#waiters.push({ epoch, lastSeq, resolve, reject }));
    return quiet(promise);
  }
}

/** Closing a workspace, or a take-over, is not an error of whoever dropped this promise. */
function quiet(promise: Promise<void>): Promise<void> {
  promise.catch(() => undefined);
  return promise;
}

const strandedGroup = (handle: string, lastSeq: number): FoldlogError =>
  new FoldlogError('fenced', {
    where: `shard ${handle}`,
    reason: 'stranded',
    found: `a group up to seq ${lastSeq} that cannot be committed there any more`,
    expected: 'a shard that was not taken over',
    todo: 'nothing is lost: see outbox()',
  });
