// The metrics of an open store: where its numbers come from, and what its alerts change while they stand. One per engine.

import { type FormFactor, throttledPollMs } from '../../kernel/limits.ts';
import type { Clock, PowerMeter, StorageMeter } from '../../kernel/ports.ts';
import type { Follower } from './follow.ts';
import { type AlertChange, MetricsBoard, type MetricsReport, type ShardFacts } from './metrics.ts';
import type { OwnShard } from './own-shard.ts';
import { Room } from './room.ts';
import type { StoragePool } from './storage-pool.ts';

export interface MetricsPorts {
  readonly pool: StoragePool;
  readonly clock: Clock;
  /** Absent: nobody knows how much room there is. */
  readonly meter?: StorageMeter;
  /** Absent: nobody knows about a battery. */
  readonly power?: PowerMeter;
  /** A better place for the files works on this host, and they are not there. */
  readonly isBetterBackendThere?: boolean;
}

export interface MetricsSettings {
  readonly formFactor?: FormFactor;
  /** Bytes this origin may hold before new saves are refused; absent: 80 % of what the host grants. */
  readonly storageBytesMax?: number | undefined;
}

export class StoreMetrics {
  readonly room: Room;
  readonly board: MetricsBoard;
  readonly #ports: MetricsPorts;
  readonly #formFactor: FormFactor;
  readonly #parts: () => { readonly own: Iterable<OwnShard>; readonly follower: Follower | undefined };
  #latest: MetricsReport | undefined;
  #looking: Promise<MetricsReport> | undefined;

  constructor(
    ports: MetricsPorts,
    settings: MetricsSettings,
    parts: () => { readonly own: Iterable<OwnShard>; readonly follower: Follower | undefined },
    onChange: (change: AlertChange) => void,
  ) {
    this.#ports = ports;
    this.#formFactor = settings.formFactor ?? 'desktop';
    this.#parts = parts;
    this.room = new Room(ports, { storageBytesMax: settings.storageBytesMax });
    this.board = new MetricsBoard(onChange);
    ports.power?.onChange(() => void this.look().catch(() => undefined));
    if (this.room.isBounded) void this.room.measure();
  }

  /** The last look; undefined before the first. */
  get latest(): MetricsReport | undefined {
    return this.#latest;
  }

  get isThrottled(): boolean {
    return this.board.isDue('throttle');
  }

  /** How often news are asked for: seldom on a low battery. Pushing what was saved is not asked for by the clock and goes on as ever. */
  readonly poll = (pollMs: number) => (): number => (this.isThrottled ? Math.max(pollMs, throttledPollMs) : pollMs);

  /** Looks now; a second asker shares the look that runs. */
  look(): Promise<MetricsReport> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<MetricsReport> {
    const { own, follower } = this.#parts();
    const facts: ShardFacts[] = [];
    for (const shard of own) facts.push(await shard.facts());
    const fileBytes = [...facts.map((fact) => fact.fileBytes), ...((await follower?.fileBytes()) ?? [])];
    this.room.noteFiles(fileBytes.reduce((sum, bytes) => sum + bytes, 0));
    this.#latest = this.board.look({
      backend: this.#ports.pool.backend,
      isBetterBackendThere: this.#ports.isBetterBackendThere ?? false,
      formFactor: this.#formFactor,
      storage: await this.room.measure(),
      power: this.#ports.power?.now(),
      nowMs: this.#ports.clock.now(),
      fileBytes,
      own: facts,
      bootstraps: follower?.statuses().map(({ bootstrap }) => bootstrap.path) ?? [],
    });
    return this.#latest;
  }
}
