// The engine as one page calls it, over one line: plain values in, outcomes out, news as they happen. No decisions of its own; the owner makes
// one for its own page and one for each page of another tab that attached.

import type { Endpoint } from 'comlink';
import { hexToBytes } from '../../../kernel/bytes.ts';
import { errorToPlain } from '../../../kernel/errors.ts';
import type { PowerUse } from '../../../kernel/ports.ts';
import { groupId } from '../../../kernel/units.ts';
import type { OpInput } from '../../../shards/define.ts';
import type { Sql } from '../../../shards/sql.ts';
import type { Row } from '../../engine/database.ts';
import type { Engine } from '../../engine/engine.ts';
import type { GenesisConsent } from '../../engine/follow.ts';
import type { LiveSpec } from '../../engine/live.ts';
import type { InviteOptions } from '../../engine/membership.ts';
import type { MetricsReport } from '../../engine/metrics.ts';
import type { OutboxItem } from '../../engine/outbox-acts.ts';
import type { OwnShard } from '../../engine/own-shard.ts';
import type { Published } from '../../engine/publish.ts';
import type { Bootstrap } from '../../engine/replica-status.ts';
import type { SaveSource } from '../../engine/save.ts';
import type { EngineEvent } from '../../engine/status.ts';
import { statusEveryMs } from '../bounds.ts';
import {
  answer,
  type EngineCalls,
  type News,
  type OpenedShard,
  type Outcome,
  type PageMessage,
  statusToWire,
  type WorkerMessage,
} from '../protocol.ts';
import type { ToldPower } from '../told-power.ts';

type SaveMessage = Extract<PageMessage, { readonly save: unknown }>['save'];

export class ClientSession implements EngineCalls {
  readonly #endpoint: Endpoint;
  /** @throws {FoldlogError} `unavailable` `handedOver` when this worker does not own the store */
  readonly #engine: () => Engine;
  readonly #power: ToldPower;
  readonly #live = new Map<number, { readonly shard: OwnShard; readonly id: number }>();
  #isStatusWatched = false;
  #statusTimer: ReturnType<typeof setTimeout> | undefined;

  /** Made before Comlink listens to the endpoint, so that what is not Comlink's never gets there. */
  constructor(endpoint: Endpoint, engine: () => Engine, power: ToldPower) {
    this.#endpoint = endpoint;
    this.#engine = engine;
    this.#power = power;
    endpoint.addEventListener('message', this.#hear as EventListener);
  }

  /** Ends what this page asked for; what it saved stays. */
  end(): void {
    this.#endpoint.removeEventListener('message', this.#hear as EventListener);
    clearTimeout(this.#statusTimer);
    for (const { shard, id } of this.#live.values()) shard.unlive(id);
    this.#live.clear();
    this.#isStatusWatched = false;
  }

  pass(event: EngineEvent): void {
    if (event.kind === 'committed') this.tell({ kind: 'committed', shard: event.shard, seq: event.seq });
    if (event.kind === 'stranded') this.tell(event);
    if (event.kind === 'alert') this.tell(event);
    this.#statusSoon(statusEveryMs);
  }

  tell(news: News): void {
    this.#send({ news });
  }

  /** Says that this end is there. */
  greet(): void {
    this.#send({ pong: 0 });
  }

  create(names: { readonly workspace: string; readonly device: string }): Promise<Outcome<{ readonly recoveryKey: string }>> {
    return answer(() => this.#engine().create(names));
  }

  join(link: string, device: string): Promise<Outcome<void>> {
    return answer(() => this.#engine().join(link, device));
  }

  invite(options: InviteOptions): Promise<Outcome<string>> {
    return answer(() => this.#engine().invite(options));
  }

  openShard(kind: string, name: string): Promise<Outcome<OpenedShard>> {
    return answer(async () => {
      const handle = await this.#engine().openShard(kind, name);
      return { handle, committedSeq: this.#engine().shard(handle).committed.seq };
    });
  }

  read(handle: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>> {
    return answer(() => this.#engine().shard(handle).read(queries));
  }

  live(handle: string, id: number, spec: LiveSpec): Promise<Outcome<void>> {
    return answer(() => {
      const shard = this.#engine().shard(handle);
      const inner = shard.live(
        spec,
        (patch) => this.tell({ kind: 'live', id, patch }),
        (error) => this.tell({ kind: 'liveFailed', id, error: errorToPlain(error) }),
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

  flush(handle: string): Promise<Outcome<void>> {
    return answer(() => this.#engine().shard(handle).flush());
  }

  outbox(handle: string): Promise<Outcome<readonly OutboxItem[]>> {
    return answer(() => this.#engine().shard(handle).outbox());
  }

  retryEntry(handle: string, id: string): Promise<Outcome<void>> {
    return answer(() => this.#engine().shard(handle).retryEntry(id));
  }

  discardEntry(handle: string, id: string): Promise<Outcome<void>> {
    return answer(() => this.#engine().shard(handle).discardEntry(id));
  }

  exportEntry(handle: string, id: string): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
    return answer(() => this.#engine().shard(handle).exportEntry(id));
  }

  importTail(handle: string, tail: Uint8Array): Promise<Outcome<string>> {
    return answer(() => this.#engine().shard(handle).importTail(tail));
  }

  publish(handle: string): Promise<Outcome<Published>> {
    return answer(() => this.#engine().shard(handle).publish());
  }

  follow(pattern: string): Promise<Outcome<void>> {
    return answer(() => this.#engine().follow(pattern));
  }

  startFromGenesis(kind: string, name: string, options: GenesisConsent): Promise<Outcome<Bootstrap>> {
    return answer(() => this.#engine().startFromGenesis(kind, name, options));
  }

  cancelGenesis(kind: string, name: string): Promise<Outcome<void>> {
    return answer(() => this.#engine().cancelGenesis(kind, name));
  }

  takeOver(kind: string, name: string): Promise<Outcome<OpenedShard>> {
    return answer(async () => {
      const handle = await this.#engine().takeOvers.takeOver(kind, name);
      return { handle, committedSeq: this.#engine().shard(handle).committed.seq };
    });
  }

  revoke(device: string): Promise<Outcome<void>> {
    return answer(() => this.#engine().takeOvers.revoke(device));
  }

  readAcross(pattern: string, queries: readonly Sql[]): Promise<Outcome<readonly (readonly Row[])[]>> {
    return answer(() => this.#engine().readAcross(pattern, queries));
  }

  status(): Promise<Outcome<unknown>> {
    return answer(async () => statusToWire(await this.#engine().status()));
  }

  watchStatus(isWatched: boolean): Promise<Outcome<void>> {
    return answer(() => {
      this.#isStatusWatched = isWatched;
      if (isWatched) this.#statusSoon(0);
    });
  }

  metrics(): Promise<Outcome<MetricsReport>> {
    return answer(() => this.#engine().metrics());
  }

  setPower(power: PowerUse): Promise<Outcome<void>> {
    return answer(() => this.#power.tell(power));
  }

  sync(): Promise<Outcome<void>> {
    return answer(() => this.#engine().wake(true));
  }

  readonly #hear = (event: MessageEvent<Partial<Record<'save' | 'ping', unknown>> | null>): void => {
    const message = event.data as PageMessage | null;
    if (typeof message !== 'object' || message === null) return;
    if ('save' in message) {
      event.stopImmediatePropagation();
      void this.#save(...message.save);
    } else if ('ping' in message) {
      event.stopImmediatePropagation();
      this.#send({ pong: message.ping });
    }
  };

  async #save(...[call, handle, group, source, durability]: SaveMessage): Promise<void> {
    try {
      const shard = this.#engine().shard(handle);
      const from: SaveSource = typeof source === 'string' ? { kind: 'ops', inputs: JSON.parse(source) as readonly OpInput[] } : source;
      const { epoch, firstSeq, lastSeq } = await shard.save(groupId(hexToBytes(group, 'group id')), from, durability);
      const isRelaxed = durability === 'relaxed' && shard.canRelax;
      this.#send({ saved: isRelaxed ? [call, epoch, firstSeq, lastSeq, 'relaxed'] : [call, epoch, firstSeq, lastSeq] });
    } catch (error) {
      this.#send({ failed: [call, errorToPlain(error)] });
    }
  }

  /** One status for all that happens until it is told. */
  #statusSoon(delayMs: number): void {
    if (!this.#isStatusWatched || this.#statusTimer !== undefined) return;
    this.#statusTimer = setTimeout(async () => {
      this.#statusTimer = undefined;
      const status = await this.status();
      if (status.kind === 'ok' && this.#isStatusWatched) this.tell({ kind: 'status', status: status.value });
    }, delayMs);
  }

  #send(message: WorkerMessage): void {
    this.#endpoint.postMessage(message);
  }
}
