// One worker in the life of a store: waits for the lock, opens the store, serves its own page and the pages of other tabs, and lets go when it should.
// The lock alone decides who owns; a worker that let go is of no more use, and its page starts another (decision 0010).

import { type Endpoint, expose } from 'comlink';
import { errorToPlain, FoldlogError } from '../../../kernel/errors.ts';
import type { ShardDefinition } from '../../../shards/define.ts';
import type { Engine } from '../../engine/engine.ts';
import { letGoMs, wantedMs } from '../bounds.ts';
import { type Build, buildOf, requireSameBuild } from '../builds.ts';
import { pause } from '../deadline.ts';
import { openStore, prepareStore } from '../main.ts';
import { answer, type HostCalls, type Outcome, type StoreSettings, type TabCard, type WorkerCalls } from '../protocol.ts';
import { holdLock, storeLockName, whenFree } from '../store-lock.ts';
import { ChannelEndpoint } from '../tabs/channel-endpoint.ts';
import { clientLockName, lineName, type OwnerCard, type Presence, PresenceChannel } from '../tabs/presence.ts';
import { ToldPower } from '../told-power.ts';
import { ClientSession } from './client-session.ts';

interface RemoteClient {
  readonly session: ClientSession;
  readonly endpoint: ChannelEndpoint;
  readonly unwatch: () => void;
}

export class EngineHost implements HostCalls {
  readonly #definitions: readonly ShardDefinition[];
  readonly #build: Build;
  readonly #power = new ToldPower();
  readonly #ownPage: ClientSession;
  readonly #clients = new Map<string, RemoteClient>();
  #settings: StoreSettings | undefined;
  #card: OwnerCard | undefined;
  #presence: PresenceChannel | undefined;
  #stage: 'waiting' | 'opening' | 'owner' | 'ended' = 'waiting';
  #engine: Engine | undefined;
  #isHidden = false;
  #wantedAt = Number.NEGATIVE_INFINITY;

  constructor(definitions: readonly ShardDefinition[], ownPage: Endpoint) {
    this.#definitions = definitions;
    this.#build = buildOf(definitions);
    this.#ownPage = this.#session(ownPage);
    expose({ host: this, engine: this.#ownPage } satisfies WorkerCalls, ownPage);
  }

  hello(build: Build): Promise<Outcome<void>> {
    return answer(() => requireSameBuild(build, this.#build, { theirs: 'the page', mine: 'its worker' }));
  }

  start(settings: StoreSettings, tab: TabCard, session: string): Promise<Outcome<void>> {
    return answer(async () => {
      await holdLock(session);
      this.#settings = settings;
      this.#card = { owner: session, build: this.#build, title: tab.title };
      this.#presence = new PresenceChannel(settings.store, (word) => this.#hear(word));
      this.#own(settings).catch((error: unknown) => this.#ownPage.tell({ kind: 'openFailed', error: errorToPlain(error) }));
    });
  }

  setHidden(isHidden: boolean): Promise<Outcome<void>> {
    return answer(() => {
      this.#isHidden = isHidden;
      // The other tab may have become visible a moment before this one heard that it is hidden.
      if (isHidden && performance.now() - this.#wantedAt < wantedMs) void this.#letGo();
    });
  }

  stop(): Promise<Outcome<void>> {
    return answer(() => this.#letGo());
  }

  /** What a crash leaves at each step: decision 0010. */
  async #own(settings: StoreSettings): Promise<void> {
    const prepared = prepareStore(settings); // SQLite is loaded and compiled while this worker waits
    await holdLock(storeLockName(settings.store)); // before the first OPFS call
    if (this.#stage === 'ended') return;
    this.#stage = 'opening';
    this.#sayWhere();
    const engine = await openStore(prepared, settings, this.#definitions, this.#power);
    engine.onEvent((event) => {
      this.#ownPage.pass(event);
      for (const { session } of this.#clients.values()) session.pass(event);
    });
    this.#engine = engine;
    this.#stage = 'owner';
    this.#sayWhere();
  }

  #hear(word: Presence): void {
    if (word.say === 'who') this.#sayWhere();
    else if (this.#stage === 'owner' && word.owner === this.#card?.owner) this.#obey(word);
  }

  /** What is said to the owner. */
  #obey(word: Presence): void {
    switch (word.say) {
      case 'attach':
        this.#attach(word.client);
        break;
      case 'handOver':
        void this.#letGo();
        break;
      case 'wanted':
        this.#wantedAt = performance.now();
        if (this.#isHidden) void this.#letGo();
        break;
      default:
        break; // said by owners
    }
  }

  #sayWhere(): void {
    const card = this.#card as OwnerCard;
    if (this.#stage === 'owner') this.#presence?.say({ say: 'here', ...card });
    if (this.#stage === 'opening') this.#presence?.say({ say: 'opening', owner: card.owner });
  }

  #attach(client: string): void {
    const session = this.#clients.get(client)?.session ?? this.#newClient(client);
    session.greet();
  }

  #newClient(client: string): ClientSession {
    const endpoint = new ChannelEndpoint(lineName(this.#settings?.store ?? '', client, this.#card?.owner ?? ''));
    const session = this.#session(endpoint);
    expose(session, endpoint);
    const unwatch = whenFree(clientLockName(client), () => {
      this.#clients.delete(client);
      session.end();
      endpoint.close();
    });
    this.#clients.set(client, { session, endpoint, unwatch });
    return session;
  }

  #session(endpoint: Endpoint): ClientSession {
    const engine = (): Engine => {
      if (this.#engine !== undefined) return this.#engine;
      throw new FoldlogError('unavailable', {
        where: 'store',
        reason: 'handedOver',
        found: 'a worker that does not own the store any more',
        expected: 'its owner',
      });
    };
    return new ClientSession(endpoint, engine, this.#power);
  }

  /**
   * Finishes the transaction that runs, refuses what waits, closes the files, and ends this worker: its end frees the lock, whatever else happens. Bounded,
   * because a loop may be waiting for a relay that never answers, and a worker may end at any instant anyway. Calls that waited are refused or
   * never answered; their pages send them to the next owner.
   */
  async #letGo(): Promise<void> {
    if (this.#stage === 'ended') return;
    this.#stage = 'ended';
    const engine = this.#engine;
    this.#engine = undefined;
    const sessions = [this.#ownPage, ...[...this.#clients.values()].map(({ session }) => session)];
    for (const session of sessions) session.end();
    try {
      await Promise.race([engine?.close(), pause(letGoMs)]);
    } finally {
      if (this.#card !== undefined) this.#presence?.say({ say: 'gone', owner: this.#card.owner });
      // A turn later, so that what was answered last still leaves.
      setTimeout(() => (globalThis as unknown as { close(): void }).close(), 0);
    }
  }
}
