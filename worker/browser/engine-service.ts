// The engine as a page calls it: plain values in, outcomes out, news over a port. No decisions of its own.

import { hexToBytes } from '../../kernel/bytes.ts';
import { errorToPlain, FoldlogError } from '../../kernel/errors.ts';
import { groupId } from '../../kernel/units.ts';
import type { OpInput, ShardDefinition } from '../../shards/define.ts';
import type { Sql } from '../../shards/sql.ts';
import type { Row } from '../engine/database.ts';
import type { Engine, EngineEvent } from '../engine/engine.ts';
import type { LiveSpec } from '../engine/live.ts';
import type { InviteOptions } from '../engine/membership.ts';
import type { OwnShard } from '../engine/own-shard.ts';
import type { Published } from '../engine/publish.ts';
import type { SaveSource } from '../engine/save.ts';
import { statusEveryMs } from './bounds.ts';
import { openStore } from './main.ts';
import {
  type EngineCalls,
  failed,
  type Hello,
  type News,
  type OpenedShard,
  type Outcome,
  ok,
  requireSameBuild,
  type SavedPlace,
  type StoreSettings,
  statusToWire,
} from './protocol.ts';
import { holdLock } from './store-lock.ts';

export class EngineService implements EngineCalls {
  readonly #definitions: readonly ShardDefinition[];
  readonly #live = new Map<number, { readonly shard: OwnShard; readonly id: number }>();
  #opened: Engine | undefined;
  #news: MessagePort | undefined;
  #isStatusWatched = false;
  #statusTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(definitions: readonly ShardDefinition[]) {
    this.#definitions = definitions;
  }

  hello(hello: Hello): Promise<Outcome<void>> {
    return answer(() => requireSameBuild(hello, this.#definitions));
  }

  open(settings: StoreSettings, news: MessagePort): Promise<Outcome<void>> {
    return answer(async () => {
      await holdLock(settings.session);
      this.#news = news;
      this.#opened = await openStore(settings, this.#definitions);
      this.#opened.onEvent((event) => this.#pass(event));
    });
  }

  create(names: { readonly workspace: string; readonly device: string }): Promise<Outcome<{ readonly recoveryKey: string }>> {
    return answer(() => this.#engine.create(names));
  }

  join(link: string, device: string): Promise<Outcome<void>> {
    return answer(() => this.#engine.join(link, device));
  }

  invite(options: InviteOptions): Promise<Outcome<string>> {
    return answer(() => this.#engine.invite(options));
  }

  openShard(kind: string, name: string): Promise<Outcome<OpenedShard>> {
    return answer(async () => {
      const handle = await this.#engine.openShard(kind, name);
      return { handle, committedSeq: this.#engine.shard(handle).committed.seq };
    });
  }

  async save(handle: string, group: string, source: string | SaveSource): Promise<Outcome<SavedPlace>> {
    try {
      const shard = this.#engine.shard(handle);
      const from: SaveSource = typeof source === 'string' ? { kind: 'ops', inputs: JSON.parse(source) as readonly OpInput[] } : source;
      const { epoch, firstSeq, lastSeq } = await shard.save(groupId(hexToBytes(group, 'group id')), from);
      return ok({ epoch, firstSeq, lastSeq });
    } catch (error) {
      return failed(error);
    }
  }

  read(handle: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>> {
    return answer(() => this.#engine.shard(handle).read(queries));
  }

  live(handle: string, id: number, spec: LiveSpec): Promise<Outcome<void>> {
    return answer(() => {
      const shard = this.#engine.shard(handle);
      const inner = shard.live(
        spec,
        (patch) => this.#tell({ kind: 'live', id, patch }),
        (error) => this.#tell({ kind: 'liveFailed', id, error: errorToPlain(error) }),
      );
      this.#live.set(id, { shard, id: inner });
    });
  }

  unlive(id: number): Promise<Outcome<void>> {
    return answer(() => {
      const live = this.#live.get(id);
      live?.shard.unlive(live.id);
      this.#live.delete(id);
    });
  }

  publish(handle: string): Promise<Outcome<Published>> {
    return answer(() => this.#engine.shard(handle).publish());
  }

  follow(pattern: string): Promise<Outcome<void>> {
    return answer(() => this.#engine.follow(pattern));
  }

  readAcross(pattern: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>> {
    return answer(() => this.#engine.readAcross(pattern, queries));
  }

  status(): Promise<Outcome<unknown>> {
    return answer(async () => statusToWire(await this.#engine.status()));
  }

  watchStatus(isWatched: boolean): Promise<Outcome<void>> {
    return answer(() => {
      this.#isStatusWatched = isWatched;
      if (isWatched) this.#statusSoon(0);
    });
  }

  sync(): Promise<Outcome<void>> {
    return answer(() => this.#engine.wake(true));
  }

  close(): Promise<Outcome<void>> {
    return answer(async () => {
      const engine = this.#opened;
      this.#opened = undefined;
      clearTimeout(this.#statusTimer);
      await engine?.close();
    });
  }

  get #engine(): Engine {
    if (this.#opened !== undefined) return this.#opened;
    throw new FoldlogError('unavailable', { where: 'workspace', reason: 'closed', found: 'a closed store', expected: 'an open one' });
  }

  #pass(event: EngineEvent): void {
    if (event.kind === 'committed') this.#tell({ kind: 'committed', shard: event.shard, seq: event.seq });
    this.#statusSoon(statusEveryMs);
  }

  /** One status for all that happens until it is told. */
  #statusSoon(delayMs: number): void {
    if (!this.#isStatusWatched || this.#statusTimer !== undefined) return;
    this.#statusTimer = setTimeout(async () => {
      this.#statusTimer = undefined;
      const status = await this.status();
      if (status.kind === 'ok') this.#tell({ kind: 'status', status: status.value });
    }, delayMs);
  }

  #tell(news: News): void {
    this.#news?.postMessage(news);
  }
}

async function answer<T>(work: () => Promise<T> | T): Promise<Outcome<T>> {
  try {
    return ok(await work());
  } catch (error) {
    return failed(error);
  }
}
