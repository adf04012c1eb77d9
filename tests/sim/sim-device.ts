// A device in the simulated world: disk, vault and engine. `boot` starts the engine as a new worker would; `stop` ends it like a killed process,
// with whatever the disk kept.

import { portableSigner, portableVerifier } from '../../kernel/ed25519.ts';
import type { FormFactor } from '../../kernel/limits.ts';
import type { Http, Signer } from '../../kernel/ports.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { Engine, type EnginePorts, type EngineSettings } from '../../worker/engine/engine.ts';
import type { Backend, StoragePool } from '../../worker/engine/storage-pool.ts';
import type { House, MarkedFile, Vault } from '../../worker/engine/vault.ts';
import { SimDisk, type StopMode } from './sim-disk.ts';
import { SimPageStore } from './sim-page-store.ts';
import { bootMirrorPool, bootPool } from './sim-sqlite.ts';
import { type SimWorld, syncDeflate, syncDigest } from './sim-world.ts';

/** Survives kills, as IndexedDB with strict durability does. */
export class SimVault implements Vault {
  /** A new key each time it is asked. */
  readonly #seed: () => Uint8Array;
  readonly #markers = new Map<string, MarkedFile>();
  #signer: Signer | undefined;
  #house: House | undefined;

  constructor(seed: () => Uint8Array) {
    this.#seed = seed;
  }

  async signer(): Promise<Signer | undefined> {
    return this.#signer;
  }

  async createSigner(): Promise<Signer> {
    this.#signer ??= portableSigner(this.#seed());
    return this.#signer;
  }

  async markers(): Promise<ReadonlyMap<string, MarkedFile>> {
    return new Map(this.#markers);
  }

  async mark(file: string, holds: MarkedFile): Promise<void> {
    this.#markers.set(file, holds);
  }

  async unmark(file: string): Promise<void> {
    this.#markers.delete(file);
  }

  /** Puts markers back as they were: what a disk is taken back to goes with its witness. */
  load(markers: ReadonlyMap<string, MarkedFile>): void {
    this.#markers.clear();
    for (const [file, holds] of markers) this.#markers.set(file, holds);
  }

  /** Key and markers as the other has them now. */
  copyFrom(other: SimVault): void {
    this.load(other.#markers);
    this.#signer = other.#signer;
    this.#house = other.#house;
  }

  /** Evicted, or cleared by a person: markers, house and key. */
  clear(): void {
    this.#markers.clear();
    this.#signer = undefined;
    this.#house = undefined;
  }

  async house(): Promise<House | undefined> {
    return this.#house;
  }

  async settle(house: House): Promise<void> {
    this.#house = house;
  }
}

/** What holds the files of a device, as far as tests stop it and make it fail. */
export type Medium = Pick<SimDisk | SimPageStore, 'calls' | 'isStopped' | 'stopAfter' | 'failAfter' | 'stopNow' | 'restart'>;

export interface DeviceOptions {
  readonly backend?: Backend;
  readonly bytesMax?: number;
  readonly formFactor?: FormFactor;
  /** Breaks the pool on purpose: for controls that must be found. */
  readonly wrap?: (pool: StoragePool) => StoragePool;
  /** What else the host has: a meter of its room, a battery. */
  readonly host?: Pick<EnginePorts, 'meter' | 'power' | 'isBetterBackendThere'>;
  readonly settings?: Partial<Pick<EngineSettings, 'formFactor' | 'storageBytesMax'>>;
}

export class SimDevice {
  readonly name: string;
  readonly disk: SimDisk;
  readonly pages: SimPageStore;
  /** The one of the two that this device uses. */
  readonly medium: Medium;
  readonly vault: SimVault;
  readonly #world: SimWorld;
  #definitions: readonly ShardDefinition[];
  readonly #http: Http | undefined;
  readonly #options: DeviceOptions;
  #engine: Engine | undefined;
  #pool: StoragePool | undefined;
  /** Network requests of a dead process never come back to it. */
  #life = 0;

  constructor(world: SimWorld, name: string, definitions: readonly ShardDefinition[], http: Http | undefined, options: DeviceOptions = {}) {
    this.name = name;
    this.#world = world;
    this.#definitions = definitions;
    this.#http = http;
    this.#options = options;
    this.disk = new SimDisk(world.stream(`${name}/disk`));
    this.pages = new SimPageStore(world.stream(`${name}/pages`));
    this.medium = options.backend === 'indexeddb' ? this.pages : this.disk;
    this.vault = new SimVault(() => world.random(`${name}/key`).bytes(32));
  }

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error(`${this.name} is not running`);
    return this.#engine;
  }

  /** Of the engine that runs. */
  get pool(): StoragePool {
    if (this.#pool === undefined) throw new Error(`${this.name} is not running`);
    return this.#pool;
  }

  /** The version of the app that the next `boot` runs. */
  install(definitions: readonly ShardDefinition[]): void {
    this.#definitions = definitions;
  }

  /** `onLoss`: engine.ts. */
  async boot(onLoss: EngineSettings['onLoss'] = 'refuse'): Promise<Engine> {
    const life = ++this.#life;
    const scheduler = {
      after: (delayMs: number, task: () => void) => this.#world.scheduler.after(delayMs, () => life === this.#life && task()),
      yield: () => this.#world.scheduler.yield(),
    };
    const opened =
      this.#options.backend === 'indexeddb'
        ? await bootMirrorPool(this.pages, scheduler, this.#options.bytesMax)
        : await bootPool(this.disk);
    const pool = this.#options.wrap?.(opened) ?? opened;
    this.#pool = pool;
    this.#engine = await Engine.open(
      {
        pool,
        vault: this.vault,
        verdict: 'simulated',
        clock: this.#world.clock,
        random: this.#world.random(this.name),
        scheduler,
        verifier: portableVerifier,
        deflate: syncDeflate,
        bulkDigest: syncDigest,
        http: this.#http === undefined ? undefined : this.#lifelong(this.#http, life),
        ...this.#options.host,
      },
      {
        definitions: this.#definitions,
        pollMs: 1_000,
        onLoss,
        formFactor: this.#options.formFactor ?? 'desktop',
        ...this.#options.settings,
      },
    );
    return this.#engine;
  }

  /** Ends the process at once; the disk keeps what the mode lets survive. */
  stop(mode: StopMode): void {
    this.#life++;
    this.#engine = undefined;
    this.medium.stopNow();
    this.medium.restart(mode);
  }

  #lifelong(http: Http, life: number): Http {
    return {
      send: async (request, bounds) => {
        const outcome = await http.send(request, bounds);
        if (life !== this.#life) return new Promise(() => undefined);
        return outcome;
      },
    };
  }
}
