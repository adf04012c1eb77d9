// One device in a simulated run: disk or page store, vault, clock, and the engine process that runs on them. A process ends at any effect (a call to
// the disk, to the vault, to the network) and nothing of it is heard again; the next one finds what the medium kept.

import { FoldlogError } from '../../kernel/errors.ts';
import type { Http, Random, Scheduler, Signer } from '../../kernel/ports.ts';
import { timeMs } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { Engine, type EngineSettings } from '../../worker/engine/engine.ts';
import type { DurablePool } from '../../worker/engine/storage-pool.ts';
import type { House, MarkedFile, Vault } from '../../worker/engine/vault.ts';
import type { Dice } from './dice.ts';
import { type Completion, hostSigner, hostVerifier } from './sim-crypto.ts';
import { type CallFault, type DiskCall, type DiskImage, SimDisk, type StopMode, Stopped } from './sim-disk.ts';
import { SimPageStore } from './sim-page-store.ts';
import { bootMirrorPool, bootPool } from './sim-sqlite.ts';
import { type SimWorld, syncDeflate, syncDigest } from './sim-world.ts';

export interface MachineKind {
  readonly backend: 'opfs-pool' | 'indexeddb';
  /** Pages over IndexedDB are promised before they are on disk. */
  readonly isRelaxedStore: boolean;
  readonly hasDrawnNonces: boolean;
  readonly pollMs: number;
}

/** All that a profile folder holds: what a backup takes along. */
export interface Profile {
  readonly disk: DiskImage;
  readonly pages: unknown;
  readonly vault: VaultState;
}

interface VaultState {
  readonly key: Uint8Array | undefined;
  readonly markers: ReadonlyMap<string, MarkedFile>;
  readonly house: House | undefined;
}

export interface MachinePorts {
  readonly world: SimWorld;
  readonly dice: Dice;
  readonly completion: Completion;
  readonly definitions: readonly ShardDefinition[];
  readonly connect: (device: string, process: { readonly isAlive: () => boolean; nextRequest(): number }) => Http;
}

/** SQLite finds the disk of a pool among the globals: one pool is opened at a time. */
let opening: Promise<unknown> = Promise.resolve();

export class Machine {
  readonly name: string;
  readonly kind: MachineKind;
  readonly disk: SimDisk;
  readonly pages: SimPageStore;
  readonly medium: SimDisk | SimPageStore;
  /** Added to the wall clock of this device. */
  clockOffsetMs = 0;
  /** Timers come no finer than this: what browsers do to tabs that nobody looks at. */
  timerGrainMs = 1;
  /** How often the process was started; changes with each start and end. */
  life = 0;
  /** Processes that are not over: more than one where a frozen one was replaced. */
  readonly #lives = new Set<number>();
  readonly #ports: MachinePorts;
  #vault: VaultState = { key: undefined, markers: new Map(), house: undefined };
  #engine: Engine | undefined;
  #pool: DurablePool | undefined;
  #isHalted = false;
  #vaultStop: number | undefined;
  #requests = 0;
  #keys = 0;
  /** Set while calls to the disk go wrong: how many more of a kind. */
  #callFaults: { kind: CallFault; left: number } | undefined;

  constructor(name: string, kind: MachineKind, ports: MachinePorts) {
    this.name = name;
    this.kind = kind;
    this.#ports = ports;
    this.disk = new SimDisk(ports.dice.stream('disk', name));
    this.pages = new SimPageStore(ports.dice.stream('pages', name));
    this.pages.isRelaxed = kind.isRelaxedStore;
    this.medium = kind.backend === 'indexeddb' ? this.pages : this.disk;
    this.disk.faultOf = (call) => this.#faultOf(call);
  }

  /** Undefined while no process runs, or it has not opened its store yet. */
  get engine(): Engine | undefined {
    return this.isHalted ? undefined : this.#engine;
  }

  get pool(): DurablePool | undefined {
    return this.#pool;
  }

  get publicKey(): Uint8Array | undefined {
    return this.#vault.key === undefined ? undefined : this.#signer(this.#vault.key).publicKey;
  }

  /** The process has met its end and was not taken away yet. */
  get isHalted(): boolean {
    return this.#isHalted || this.medium.isStopped;
  }

  /** Starts a process. @throws what the engine says; the process is to be stopped then */
  async boot(onLoss: EngineSettings['onLoss'] = 'refuse'): Promise<Engine> {
    const life = ++this.life;
    this.#lives.add(life);
    const { world, dice, completion } = this.#ports;
    const isAlive = (): boolean => this.#lives.has(life) && !this.isHalted;
    const scheduler: Scheduler = {
      after: (delayMs, task) => {
        const grain = this.timerGrainMs;
        return world.scheduler.after(grain > 1 ? Math.ceil(delayMs / grain) * grain : delayMs, () => isAlive() && task());
      },
      yield: () => world.scheduler.yield(),
    };
    const turn = opening.then(() => (isAlive() ? this.#openPool(scheduler) : Promise.reject(new Stopped('the machine stopped'))));
    opening = turn.catch(() => undefined);
    const pool = await turn;
    if (!isAlive()) return new Promise(() => undefined);
    this.#pool = pool;
    const stream = dice.stream('engine', `${this.name}/${life}`);
    const random: Random = { bytes: (length) => Uint8Array.from({ length }, () => Math.floor(stream() * 256)) };
    const whileAlive: Completion = async (work) => {
      const done = await completion(work);
      return isAlive() ? done : new Promise(() => undefined);
    };
    const engine = await Engine.open(
      {
        pool,
        vault: this.#connectVault(isAlive, whileAlive),
        verdict: 'simulated',
        clock: { now: () => timeMs(Math.max(0, world.clock.now() + this.clockOffsetMs)), ticks: () => world.clock.ticks() },
        random,
        scheduler,
        verifier: hostVerifier(whileAlive),
        deflate: syncDeflate,
        bulkDigest: syncDigest,
        http: this.#ports.connect(this.name, { isAlive, nextRequest: () => this.#requests++ }),
      },
      { definitions: this.#ports.definitions, formFactor: 'desktop', pollMs: this.kind.pollMs, onLoss },
    );
    if (!isAlive()) return new Promise(() => undefined);
    this.#engine = engine;
    return engine;
  }

  /** As the browser side does: what the host throws over is told as a storage that does not work now. */
  async #openPool(scheduler: Scheduler): Promise<DurablePool> {
    try {
      return await (this.kind.backend === 'indexeddb' ? bootMirrorPool(this.pages, scheduler) : bootPool(this.disk));
    } catch (cause) {
      if (cause instanceof FoldlogError) throw cause;
      throw new FoldlogError('unavailable', {
        where: 'storage',
        reason: 'storageFailed',
        found: cause instanceof Error ? cause.message : String(cause),
        expected: 'a storage that opens',
        cause,
      });
    }
  }

  /** The process ends; the medium keeps what the mode lets survive. */
  stop(mode: StopMode): void {
    this.life++;
    this.#lives.clear();
    this.#engine = undefined;
    this.#pool = undefined;
    this.#isHalted = false;
    this.#vaultStop = undefined;
    this.#callFaults = undefined;
    this.medium.stopNow();
    this.medium.restart(mode);
  }

  /** A process that was replaced while it was frozen is not heard any more. */
  forget(life: number): void {
    this.#lives.delete(life);
  }

  /** The process ends at its `call`-th call to the medium from now, or to the vault. */
  stopAfter(call: number, of: 'medium' | 'vault'): void {
    if (of === 'medium') this.medium.stopAfter(call);
    else this.#vaultStop = call;
  }

  failCalls(kind: CallFault, count: number): void {
    this.#callFaults = { kind, left: count };
  }

  /** Nothing more befalls this process. */
  heal(): void {
    this.#callFaults = undefined;
    this.#vaultStop = undefined;
    this.medium.stopAfter(never);
    this.medium.failAfter(never, 0);
  }

  backup(): Profile {
    const { key, markers, house } = this.#vault;
    return { disk: this.disk.image(), pages: this.pages.state, vault: { key, markers: new Map(markers), house } };
  }

  /** Of a stopped machine. */
  restore({ disk, pages, vault }: Profile): void {
    this.disk.load(disk);
    this.pages.load(pages);
    this.#vault = { ...vault, markers: new Map(vault.markers) };
  }

  /** Of a stopped machine: what clearing the data of a site, or a browser short of room, takes. */
  evict(what: 'files' | 'vault' | 'all'): void {
    if (what !== 'vault') {
      this.disk.load(new Map());
      this.pages.load({ owner: undefined, files: new Map(), pages: new Map() });
    }
    if (what !== 'files') this.#vault = { key: undefined, markers: new Map(), house: undefined };
  }

  #faultOf(call: DiskCall): CallFault | undefined {
    const faults = this.#callFaults;
    if (faults === undefined || callOf[faults.kind] !== call) return undefined;
    faults.left--;
    if (faults.left <= 0) this.#callFaults = undefined;
    return faults.kind;
  }

  #signer(seed: Uint8Array, completion?: Completion): Signer {
    const nonces = this.kind.hasDrawnNonces ? this.#ports.dice.stream('nonce', `${this.name}/${this.life}`) : undefined;
    const nonce = nonces === undefined ? undefined : () => Uint8Array.from({ length: 32 }, () => Math.floor(nonces() * 256));
    return hostSigner(seed, completion ?? this.#ports.completion, nonce);
  }

  /** Strict transactions: what resolved stays. One that a dead process had under way is there or not. */
  #connectVault(isAlive: () => boolean, completion: Completion): Vault {
    const change = async (to: (vault: VaultState) => VaultState): Promise<void> => {
      await Promise.resolve();
      if (!isAlive()) return new Promise(() => undefined);
      const isLast = this.#vaultStop !== undefined && --this.#vaultStop <= 0;
      if (!isLast || this.#ports.dice.at('vault', this.name, this.life) < 0.5) this.#vault = to(this.#vault);
      if (!isLast) return;
      this.#isHalted = true;
      return new Promise(() => undefined);
    };
    const marked = (file: string, holds: MarkedFile | undefined) =>
      change((vault) => {
        const markers = new Map(vault.markers);
        if (holds === undefined) markers.delete(file);
        else markers.set(file, holds);
        return { ...vault, markers };
      });
    return {
      signer: async () => (this.#vault.key === undefined ? undefined : this.#signer(this.#vault.key, completion)),
      createSigner: async () => {
        const seed = this.#vault.key ?? this.#ports.dice.bytes(32, 'key', `${this.name}/${this.#keys++}`);
        await change((vault) => ({ ...vault, key: vault.key ?? seed }));
        return this.#signer(seed, completion);
      },
      markers: async () => new Map(this.#vault.markers),
      mark: (file, holds) => marked(file, holds),
      unmark: (file) => marked(file, undefined),
      house: async () => this.#vault.house,
      settle: (house) => change((vault) => ({ ...vault, house })),
    };
  }
}

/** Calls from now on; nobody makes so many. */
const never = 2 ** 50;

const callOf: Readonly<Record<CallFault, DiskCall>> = {
  full: 'write',
  short: 'write',
  huge: 'write',
  flush: 'flush',
  readShort: 'read',
  readThrows: 'read',
};
