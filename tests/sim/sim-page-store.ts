// A simulated IndexedDB under the mirrored files: transactions are whole, and exist to be stopped, refused or left unanswered at any chosen step.
// One is a browser profile's; `connect` is a worker's view of it, which dies with the worker.

import { FoldlogError } from '../../kernel/errors.ts';
import { type CommitOutcome, judgeOwner, type PageBatch, type PageStore } from '../../worker/engine/mirror/page-store.ts';
import { makeOwner, readOwner, type StoredFile, type StoredPage } from '../../worker/engine/mirror/stored.ts';
import { type StopMode, Stopped } from './sim-disk.ts';

/** `full`: nothing landed, and the store says so. `cut`: no answer; whether it landed depends on the step. */
export type Fault = 'full' | 'cut';

interface State {
  readonly owner: unknown;
  readonly files: ReadonlyMap<string, StoredFile>;
  readonly pages: ReadonlyMap<string, ReadonlyMap<number, StoredPage>>;
}

export class SimPageStore {
  /** IndexedDB's default: a transaction completes before it is on disk, and a power cut takes some of the newest back. */
  isRelaxed = false;
  readonly #random: () => number;
  #state: State = { owner: undefined, files: new Map(), pages: new Map() };
  /** States a power cut may fall back to, oldest first. */
  #notFlushed: State[] = [];
  #calls = 0;
  #stopAt: number | undefined;
  #isStopped = false;
  #life = 0;
  #fault: { readonly from: number; readonly to: number; readonly kind: Fault } | undefined;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Steps so far: three of each transaction, before it, inside it and after it has landed. */
  get calls(): number {
    return this.#calls;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  stopAfter(call: number): void {
    this.#stopAt = this.#calls + call;
  }

  failAfter(call: number, count = 1, kind: Fault = 'full'): void {
    this.#fault = { from: this.#calls + call, to: this.#calls + call + count, kind };
  }

  stopNow(): void {
    this.#isStopped = true;
  }

  restart(mode: StopMode): void {
    if (mode !== 'kill' && this.#notFlushed.length > 0) {
      this.#state = this.#notFlushed[Math.floor(this.#random() * this.#notFlushed.length)] as State;
    }
    this.#notFlushed = [];
    this.#isStopped = false;
    this.#stopAt = undefined;
    this.#fault = undefined;
    this.#life++;
  }

  /** Rewrites stored records by hand: what a bad disk, or a test, does. */
  edit(change: (state: { owner: unknown; files: Map<string, unknown>; pages: Map<string, Map<number, unknown>> }) => void): void {
    const copy = {
      owner: this.#state.owner,
      files: new Map<string, unknown>(this.#state.files),
      pages: new Map([...this.#state.pages].map(([file, pages]) => [file, new Map<number, unknown>(pages)])),
    };
    change(copy);
    this.#state = copy as unknown as State;
  }

  /** Identity of what is stored: unchanged when nothing was written. */
  get state(): unknown {
    return this.#state;
  }

  /** Puts back what `state` was once. */
  load(state: unknown): void {
    this.#state = state as State;
  }

  fileNames(): Iterable<string> {
    return this.#state.files.keys();
  }

  pageCount(file: string): number {
    return this.#state.pages.get(file)?.size ?? 0;
  }

  connect(): PageStore {
    const life = this.#life;
    let epoch = 0;
    const name = 'simulated pages';
    return {
      name,
      open: async () => {
        await this.#before(life);
        const files = [...this.#state.files.values()];
        const stored = this.#state.owner;
        const owner = stored === undefined && files.length === 0 ? { epoch: 0, batch: 0 } : readOwner(stored, name);
        await this.#before(life);
        epoch = owner.epoch + 1;
        this.#land({ ...this.#state, owner: makeOwner(epoch, owner.batch) });
        await this.#before(life);
        return { batch: owner.batch, files };
      },
      load: async (file, take) => {
        await this.#before(life);
        judgeOwner(this.#state.owner, epoch, name);
        const record = this.#state.files.get(file);
        const stored = [...(this.#state.pages.get(file) ?? [])].sort(([a], [b]) => a - b);
        const pages = stored.map(([, page]) => page);
        for (let at = 0; at < pages.length; at += 3) take(pages.slice(at, at + 3));
        return record;
      },
      commit: (batch) => this.#commit(batch, epoch, name, life),
      close: () => undefined,
    };
  }

  async #commit(batch: PageBatch, epoch: number, name: string, life: number): Promise<CommitOutcome> {
    const [before, inside] = [await this.#step(life), await this.#step(life)];
    const fault = before ?? inside;
    if (fault === 'full') throw full(name);
    if (fault === 'cut') return { kind: 'unknown', cause: new Error('the connection was cut') };
    if (judgeOwner(this.#state.owner, epoch, name, batch) === 'apply') this.#land(applied(this.#state, batch, epoch));
    const after = await this.#step(life);
    return after === undefined ? { kind: 'landed' } : { kind: 'unknown', cause: new Error('the answer was lost') };
  }

  #land(state: State): void {
    if (this.isRelaxed) this.#notFlushed.push(this.#state);
    this.#state = state;
  }

  /** A step that only fails when the machine stops or the store refuses. */
  async #before(life: number): Promise<void> {
    const fault = await this.#step(life);
    if (fault === 'full') throw full('simulated pages');
    if (fault === 'cut')
      throw new FoldlogError('unavailable', { where: 'simulated pages', reason: 'cut', found: 'no answer', expected: 'one' });
  }

  async #step(life: number): Promise<Fault | undefined> {
    await Promise.resolve();
    this.#calls++;
    if (this.#stopAt !== undefined && this.#calls >= this.#stopAt) this.#isStopped = true;
    if (this.#isStopped || life !== this.#life) throw new Stopped('the machine stopped');
    const fault = this.#fault;
    return fault !== undefined && this.#calls >= fault.from && this.#calls < fault.to ? fault.kind : undefined;
  }
}

function applied(state: State, batch: PageBatch, epoch: number): State {
  const files = new Map(state.files);
  const pages = new Map(state.pages);
  for (const change of batch.changes) {
    if (change.kind === 'remove') {
      files.delete(change.file);
      pages.delete(change.file);
      continue;
    }
    const { file } = change.record;
    const { dropFrom = Number.POSITIVE_INFINITY } = change;
    const kept = [...(pages.get(file) ?? [])].filter(([page]) => page < dropFrom);
    // Copied, as IndexedDB copies: what the worker does with its arrays afterwards is not stored.
    const put = change.pages.map((page) => [page.page, { ...page, bytes: page.bytes.slice() }] as const);
    pages.set(file, new Map([...kept, ...put]));
    files.set(file, change.record);
  }
  return { owner: makeOwner(epoch, batch.number), files, pages };
}

const full = (where: string): FoldlogError =>
  new FoldlogError('storageFull', { where, reason: 'indexedDbQuota', found: 'no room', expected: 'room to write' });
