// The page's hold on its store, whoever owns it: keeps a worker of its own in the queue, finds the owner, and carries calls from one owner to the next.
// A call belongs to the page, not to a line: when its line ends it is sent again on the next one, or answered as unknown. Every wait here has a
// bound and a typed error (decision 0010).

import { type Remote, wrap } from 'comlink';
import { FoldlogError, plainToError } from '../../../kernel/errors.ts';
import { closeMs, lookEveryMs, ownerOpeningMs, ownerSilenceMs, ownerWaitMs, workerRestartsMax, workerSilenceMs } from '../bounds.ts';
import { type Build, otherBuild, standingOf } from '../builds.ts';
import { pause } from '../deadline.ts';
import type { EngineCalls, News, Outcome, SavedPlace, StoreSettings, TabCard } from '../protocol.ts';
import { ChannelEndpoint } from '../tabs/channel-endpoint.ts';
import { clientLockName, lineName, type OwnerCard, type Presence, PresenceChannel } from '../tabs/presence.ts';
import { Line, type LineEnds } from './line.ts';
import { OwnWorker } from './own-worker.ts';

/** `read` has no effect; `save` has one that its id finds again; `once` has one that must not happen twice. */
export type CallKind = 'read' | 'save' | 'once';

export interface LinkParts {
  readonly start: () => Worker;
  readonly build: Build;
  readonly settings: StoreSettings;
  readonly onNews: (news: News) => void;
  /** Opens on a new line what the page has open. Calls that waited are sent after it. */
  readonly restore: (line: Line) => Promise<void>;
}

interface Call {
  readonly kind: CallKind;
  readonly send: (line: Line) => Promise<Outcome<unknown>>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: FoldlogError) => void;
  /** Where it is under way; undefined while it waits for an owner. */
  line: Line | undefined;
  waitedMs: number;
}

export class EngineLink {
  readonly #parts: LinkParts;
  readonly #tab: TabCard = { client: crypto.randomUUID(), title: document.title };
  readonly #presence: PresenceChannel;
  readonly #calls = new Set<Call>();
  readonly #listening = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #own: OwnWorker | undefined;
  #line: Line | undefined;
  #joining: Line | undefined;
  /** Somebody holds the lock and is getting ready. */
  #isOpening = false;
  /** An older build that was asked to let go. */
  #asked: string | undefined;
  #isAway = false;
  #hasLetGo = false;
  #restartedAt: number[] = [];
  #ended: FoldlogError | undefined;
  #onEnd: ((error: FoldlogError) => void) | undefined;

  private constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#presence = new PresenceChannel(parts.settings.store, (word) => this.#hear(word));
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
    const { signal } = this.#listening;
    document.addEventListener('visibilitychange', () => this.#seen(), { signal });
    addEventListener('pagehide', (event) => event.persisted && this.#leavePage(), { signal });
    addEventListener('pageshow', (event) => event.persisted && void this.#comeBack(), { signal });
  }

  /**
   * Starts this page's worker and waits until the store has an owner, here or in another tab.
   * @throws {FoldlogError} `unavailable` `workerStart` · `reloadNeeded` · `locked` `storeLocked` · what opening the store throws
   */
  static async open(parts: LinkParts): Promise<EngineLink> {
    const link = new EngineLink(parts);
    try {
      await link.#holdClientLock();
      await link.#startOwn();
      await link.call('read', async () => ({ kind: 'ok', value: undefined }));
      return link;
    } catch (error) {
      link.#end(error as FoldlogError);
      throw error;
    }
  }

  call<T>(kind: CallKind, run: (engine: Remote<EngineCalls>) => Promise<Outcome<T>>): Promise<T> {
    return this.#carry(kind, (line) => run(line.engine));
  }

  save(...call: Parameters<Line['save']>): Promise<SavedPlace> {
    return this.#carry('save', (line) => line.save(...call));
  }

  /** Sends what matters only while a line is there: a later one starts without it. */
  hint(run: (engine: Remote<EngineCalls>) => Promise<unknown>): void {
    const line = this.#line;
    if (line !== undefined) run(line.engine).catch(() => undefined);
  }

  /** Told once, when nothing will come of this link any more. */
  onEnd(listener: (error: FoldlogError) => void): void {
    this.#onEnd = listener;
    if (this.#ended !== undefined) listener(this.#ended);
  }

  /** Lets the worker finish what runs, then ends it. The store stays open in other tabs. */
  async close(): Promise<void> {
    try {
      await Promise.race([this.#own?.host.stop(), pause(closeMs)]); // a worker that hangs is ended all the same
    } finally {
      this.#end(
        new FoldlogError('unavailable', { where: 'workspace', reason: 'closed', found: 'a closed store', expected: 'an open one' }),
      );
    }
  }

  #carry<T>(kind: CallKind, send: (line: Line) => Promise<Outcome<T>>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      const call: Call = { kind, send, resolve: resolve as (value: unknown) => void, reject, line: undefined, waitedMs: 0 };
      this.#calls.add(call);
      if (this.#line !== undefined) this.#send(call, this.#line);
    });
  }

  #send(call: Call, line: Line): void {
    call.line = line;
    call.send(line).then(
      (outcome) => {
        if (call.line !== line) return; // answered by another owner, or given up
        if (outcome.kind === 'ok') this.#settle(call, () => call.resolve(outcome.value));
        else if (isLettingGo(outcome.error)) this.#wait(call);
        else this.#settle(call, () => call.reject(plainToError(outcome.error)));
      },
      (cause: unknown) => this.#settle(call, () => call.reject(sendFailure(cause))),
    );
  }

  #settle(call: Call, answer: () => void): void {
    if (this.#calls.delete(call)) answer();
  }

  #wait(call: Call): void {
    call.line = undefined;
    call.waitedMs = 0;
  }

  #hear(word: Presence): void {
    const { owner: present } = this.#line?.ends ?? this.#joining?.ends ?? {};
    switch (word.say) {
      case 'here':
        if (word.owner !== present) this.#meet(word);
        break;
      case 'opening':
        if (word.owner !== present) this.#lose();
        this.#isOpening = true;
        break;
      case 'gone':
        if (word.owner === this.#own?.id) this.#hasLetGo = true;
        if (word.owner === present) this.#lose();
        break;
      default:
        break; // said to owners
    }
  }

  #meet(card: OwnerCard): void {
    this.#lose();
    this.#isOpening = false;
    if (this.#ended !== undefined || this.#isAway) return;
    const { owner, title } = card;
    const own = this.#own;
    if (owner === own?.id) {
      const ends = { owner, title, endpoint: own.endpoint, engine: own.engine, silenceMs: workerSilenceMs, close: () => undefined };
      void this.#join(ends, () => undefined);
      return;
    }
    this.#meetOther(card);
  }

  /** A worker of another tab owns the store. */
  #meetOther({ owner, title, build }: OwnerCard): void {
    const standing = standingOf(build, this.#parts.build);
    if (standing.kind === 'newer' || standing.kind === 'unclear') {
      this.#end(otherBuild(standing, { theirs: 'the tab that has the store', mine: 'this page' }));
    } else if (standing.kind === 'older') {
      this.#asked = title;
      this.#presence.say({ say: 'handOver', owner });
    } else {
      const endpoint = new ChannelEndpoint(lineName(this.#parts.settings.store, this.#tab.client, owner));
      const ends = {
        owner,
        title,
        endpoint,
        engine: wrap<EngineCalls>(endpoint),
        silenceMs: ownerSilenceMs,
        close: () => endpoint.close(),
      };
      void this.#join(ends, (line) => line.greeted);
    }
  }

  async #join(ends: LineEnds, ready: (line: Line) => Promise<void> | undefined): Promise<void> {
    const line = new Line(ends, this.#parts.onNews);
    this.#joining = line;
    this.#attach(line);
    await ready(line);
    if (this.#joining !== line) return;
    await this.#parts.restore(line);
    if (this.#joining !== line) return;
    this.#joining = undefined;
    this.#line = line;
    for (const call of [...this.#calls]) if (call.line === undefined) this.#send(call, line);
    this.#seen();
  }

  /** Said until the owner answers on the line: it may not listen yet when it is said first. */
  #attach(line: Line): void {
    if (line.ends.owner !== this.#own?.id) this.#presence.say({ say: 'attach', owner: line.ends.owner, client: this.#tab.client });
  }

  /** The owner is gone or another: what is under way waits for the next. */
  #lose(): void {
    const line = this.#line ?? this.#joining;
    this.#line = undefined;
    this.#joining = undefined;
    if (line === undefined) return;
    line.close();
    for (const call of [...this.#calls]) {
      if (call.line !== line) continue;
      if (call.kind === 'once') this.#settle(call, () => call.reject(ownerChanged()));
      else this.#wait(call);
    }
  }

  /** Looks after everything that waits, twice a second. */
  #look(): void {
    if (this.#isAway) return;
    const line = this.#line ?? this.#joining;
    if (line === undefined) this.#presence.say({ say: 'who' });
    if (this.#joining !== undefined) this.#attach(this.#joining);
    if (this.#calls.size === 0) return;
    if (line?.isSilent(lookEveryMs)) this.#giveUp(line);
    const bound = this.#isOpening ? ownerOpeningMs : ownerWaitMs;
    for (const call of [...this.#calls]) {
      if (call.line !== undefined) continue;
      call.waitedMs += lookEveryMs;
      if (call.waitedMs > bound) this.#settle(call, () => call.reject(this.#noOwner(bound)));
    }
  }

  /** The owner does not answer: what it was asked is not known. The line stays: it may only have been slow. */
  #giveUp(line: Line): void {
    for (const call of [...this.#calls]) if (call.line === line) this.#settle(call, () => call.reject(ownerStuck(line.ends, call.kind)));
  }

  #noOwner(waitedMs: number): FoldlogError {
    const silent = this.#joining?.ends;
    const who = this.#asked ?? silent?.title;
    return new FoldlogError('locked', {
      where: `store ${this.#parts.settings.store}`,
      reason: this.#asked === undefined ? 'storeLocked' : 'olderOwner',
      found:
        who === undefined ? 'another tab or window that has this store and does not answer' : `the tab "${who}", which does not let go`,
      expected: `an owner within ${waitedMs} ms`,
    });
  }

  /** Told to this page's worker, and to an owner that may be hidden. */
  #seen(): void {
    const isHidden = document.visibilityState === 'hidden';
    this.#own?.host.setHidden(isHidden).catch(() => undefined);
    const owner = this.#line?.ends.owner;
    if (!isHidden && owner !== undefined && owner !== this.#own?.id) this.#presence.say({ say: 'wanted', owner });
  }

  async #startOwn(): Promise<void> {
    const { start, build, settings } = this.#parts;
    this.#hasLetGo = false;
    const own = await OwnWorker.start(start, build, settings, this.#tab, (ended) => this.#ownEnded(ended));
    if (this.#ended !== undefined || this.#isAway) {
      own.end();
      return;
    }
    this.#own = own;
    own.endpoint.addEventListener('message', (({ data }: MessageEvent<{ readonly news?: News } | null>) => {
      if (data?.news?.kind === 'openFailed') this.#openFailed(own, plainToError(data.news.error));
    }) as EventListener);
    this.#seen();
    this.#presence.say({ say: 'who' }); // an owner elsewhere, or this worker, which may have been quick
  }

  #ownEnded(own: OwnWorker): void {
    if (this.#own !== own) return;
    this.#own = undefined;
    own.end();
    if ((this.#line ?? this.#joining)?.ends.owner === own.id) this.#lose();
    void this.#restart(workerEnded());
  }

  /** It has the lock and nothing else; its end lets another try. */
  #openFailed(own: OwnWorker, error: FoldlogError): void {
    if (this.#own !== own) return;
    this.#own = undefined;
    own.end();
    this.#isOpening = false;
    const isFirst = this.#restartedAt.length === 0 && this.#line === undefined;
    if (isFirst) {
      this.#end(error);
      return;
    }
    for (const call of [...this.#calls]) if (call.line === undefined) this.#settle(call, () => call.reject(error));
    void this.#restart(error);
  }

  /** A worker that let go is replaced at once; one that keeps dying ends the link. */
  async #restart(why: FoldlogError): Promise<void> {
    if (this.#ended !== undefined || this.#isAway) return;
    const now = Date.now();
    if (!this.#hasLetGo) this.#restartedAt = [...this.#restartedAt.filter((at) => now - at < 60_000), now];
    try {
      if (this.#restartedAt.length > workerRestartsMax) throw why;
      await this.#startOwn();
    } catch (error) {
      this.#end(error as FoldlogError);
    }
  }

  /** Into the back-forward cache: a page that is frozen there must hold nothing. */
  #leavePage(): void {
    this.#isAway = true;
    this.#own?.end();
    this.#own = undefined;
    this.#lose();
  }

  async #comeBack(): Promise<void> {
    if (!this.#isAway) return;
    this.#isAway = false;
    this.#hasLetGo = true;
    await this.#restart(workerEnded());
  }

  #holdClientLock(): Promise<void> {
    const { locks } = navigator as { readonly locks?: LockManager };
    if (locks === undefined) return Promise.resolve(); // the worker says what that means
    return new Promise((resolve, reject) => {
      const hold = (): Promise<void> => {
        resolve();
        return new Promise((release) => this.#listening.signal.addEventListener('abort', () => release()));
      };
      locks.request(clientLockName(this.#tab.client), hold).catch(reject);
    });
  }

  #end(error: FoldlogError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    clearInterval(this.#timer);
    this.#listening.abort();
    this.#lose();
    this.#presence.close();
    this.#own?.end();
    this.#own = undefined;
    for (const call of this.#calls) call.reject(error);
    this.#calls.clear();
    this.#onEnd?.(error);
  }
}

/** Nothing came of a call that an owner refused because it was letting go. */
const isLettingGo = (error: { readonly kind: string; readonly reason: string }): boolean =>
  error.kind === 'unavailable' && (error.reason === 'handedOver' || error.reason === 'closed');

const sendFailure = (cause: unknown): FoldlogError =>
  FoldlogError.misuse({
    where: 'call to the worker',
    reason: 'notCloneable',
    found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
    expected: 'plain values: no functions, no DOM objects',
    cause,
  });

const ownerChanged = (): FoldlogError =>
  new FoldlogError('unknown', {
    where: 'call to the worker',
    reason: 'ownerChanged',
    retry: 'later',
    found: 'a store that changed its owner meanwhile',
    expected: 'an answer',
    todo: 'look at the status: it says whether it took effect',
  });

const ownerStuck = ({ title, silenceMs }: LineEnds, kind: CallKind): FoldlogError =>
  new FoldlogError(kind === 'read' ? 'unavailable' : 'unknown', {
    where: 'owner of the store',
    reason: 'ownerStuck',
    found: `the tab "${title}", which says nothing`,
    expected: `a sign of life within ${silenceMs} ms`,
    todo: kind === 'read' ? 'close that tab, then try again' : 'close that tab, then ask again with the same id',
  });

const workerEnded = (): FoldlogError =>
  new FoldlogError('unknown', {
    where: 'worker',
    reason: 'workerEnded',
    found: `a worker that ended again and again`,
    expected: 'one that answers',
    todo: 'reload the page and ask again with the same id',
  });
