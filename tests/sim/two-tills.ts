// Two tills over a relay core, each with a network of its own: one writes a shard, the other, an admin, follows it and may take it over.

import type { Http } from '../../kernel/ports.ts';
import { type GroupId, groupId } from '../../kernel/units.ts';
import { memoryStore, type ObjectStore, type Relay } from '../../relay/index.ts';
import { sql } from '../../shards/index.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { copyStore } from '../conformance/faulty-store.ts';
import { filesIn } from './damage.ts';
import { line, till } from './shop.ts';
import { type DeviceOptions, SimDevice, type SimVault } from './sim-device.ts';
import type { DiskImage } from './sim-disk.ts';
import { calm, type NetworkFaults, simHttp, simRelay } from './sim-relay.ts';
import { SimWorld } from './sim-world.ts';

export const salesQuery = sql<{ n: number }>`SELECT count(DISTINCT sale) AS n FROM saleLine`;

interface HeldDevice {
  readonly disk: DiskImage;
  readonly pages: unknown;
  readonly vault: SimVault;
}

export interface Stage {
  readonly seed: number;
  readonly options: DeviceOptions;
  readonly store: ObjectStore;
  readonly first: HeldDevice;
  readonly second: HeldDevice;
}

export class TwoTills {
  readonly world: SimWorld;
  readonly store: ObjectStore = memoryStore();
  readonly relay: Relay;
  readonly first: SimDevice;
  readonly second: SimDevice;
  readonly firstNet: NetworkFaults = calm();
  readonly secondNet: NetworkFaults = calm();
  /** Requests of further devices, by name, that never arrive. */
  readonly misses = new Map<string, RegExp>();
  /** The second till ends with its nth request from now on, which arrived or not. */
  secondStopsAt: { readonly request: number; readonly isLost: boolean } | undefined;
  #requests = 0;
  /** Requests of the second till that never arrive: `POST …/control`. */
  secondMisses: RegExp | undefined;
  readonly #ids: () => GroupId;
  readonly #options: DeviceOptions;
  readonly #life: string;
  #sales = 0;

  constructor(seed: number, options: DeviceOptions = {}, life = 'begin') {
    this.#options = options;
    this.#life = life;
    this.world = new SimWorld(seed);
    this.relay = simRelay(this.world, this.store);
    const random = this.world.random(`ids ${life}`);
    this.#ids = () => groupId(random.bytes(16));
    this.first = new SimDevice(this.world, 'first', [till], simHttp(this.world, this.relay, 'first', this.firstNet), options);
    this.second = new SimDevice(
      this.world,
      'second',
      [till],
      this.#blocked(simHttp(this.world, this.relay, 'second', this.secondNet)),
      options,
    );
  }

  #blocked(http: Http): Http {
    return {
      send: async (request, bounds) => {
        const line = `${request.method} ${request.path}`;
        if (this.secondMisses?.test(line) === true) return { kind: 'unreachable', cause: new Error('blocked') };
        const stop = this.secondStopsAt;
        if (stop === undefined || ++this.#requests < stop.request) return http.send(request, bounds);
        // From here on nothing comes back: of the first request it is said whether it arrived.
        if (this.#requests === stop.request && !stop.isLost) await http.send(request, bounds);
        this.second.medium.stopNow();
        return new Promise(() => undefined);
      },
    };
  }

  /** A workspace of the second till's; the first joined as a writer, opened its shard and sold; the second follows. */
  async begin(sales = 3): Promise<OwnShard> {
    await this.second.boot();
    await this.second.engine.create({ workspace: 'acme', device: 'Office' });
    const link = await this.waited('invite', () => this.second.engine.invite({ role: 'writer' }));
    await this.first.boot();
    await this.world.finish('join', this.first.engine.join(link, 'Till 1'));
    const shard = await this.open(this.first);
    await this.sell(shard, sales);
    await this.committed(shard);
    await this.second.engine.follow('till/*');
    await this.world.run('the second till is level', async () => (await this.followedSeq()) === shard.store.head.seq);
    return shard;
  }

  /** Everything as it is now, with both devices killed: many ways lead on from it, each in a world of its own. */
  async stage(): Promise<Stage> {
    const held = [this.first, this.second].map((device) => {
      device.stop('kill');
      return { disk: device.disk.image(), pages: device.pages.state, vault: device.vault };
    });
    const store = memoryStore();
    await copyStore(this.store, store);
    return { seed: this.world.seed, options: this.#options, store, first: held[0] as HeldDevice, second: held[1] as HeldDevice };
  }

  /** A world that goes on from a stage; the first till running, unless it is `away`. */
  static async from(stage: Stage, isFirstAway = false): Promise<TwoTills> {
    const tills = new TwoTills(stage.seed, stage.options, 'again');
    await copyStore(stage.store, tills.store);
    for (const [device, held] of [
      [tills.first, stage.first],
      [tills.second, stage.second],
    ] as const) {
      device.disk.load(held.disk);
      device.pages.load(held.pages);
      device.vault.copyFrom(held.vault);
      if (device === tills.second || !isFirstAway) await device.boot();
    }
    return tills;
  }

  /** One more device, on a calm network. */
  device(name: string): SimDevice {
    const http = simHttp(this.world, this.relay, name, calm());
    const send: Http['send'] = async (request, bounds) =>
      this.misses.get(name)?.test(`${request.method} ${request.path}`) === true
        ? { kind: 'unreachable', cause: new Error('blocked') }
        : http.send(request, bounds);
    return new SimDevice(this.world, name, [till], { send }, this.#options);
  }

  /** A reader that follows all tills. */
  async screen(name: string): Promise<SimDevice> {
    const link = await this.waited('invite', () => this.second.engine.invite({ role: 'reader' }));
    const device = this.device(name);
    await device.boot();
    await this.world.finish('join', device.engine.join(link, name));
    await device.engine.follow('till/*');
    return device;
  }

  /** A device with the files, markers and key that this one has now: a restored backup, a copied profile. */
  cloneOf(device: SimDevice): SimDevice {
    const clone = this.device(`${device.name} copy`);
    clone.disk.load(device.disk.image());
    clone.pages.load(device.pages.state);
    clone.vault.copyFrom(device.vault);
    return clone;
  }

  /** Takes the files of shards away and leaves the workspace file, markers and key. */
  evictShards(device: SimDevice): void {
    device.stop('kill');
    for (const [path, file] of filesIn(device.disk.image())) if (file.startsWith('/s-')) device.disk.remove(path);
    device.pages.edit(({ files, pages }) => {
      for (const file of [...files.keys()].filter((name) => name.startsWith('/s-'))) {
        files.delete(file);
        pages.delete(file);
      }
    });
  }

  pass(ms: number): Promise<void> {
    return this.world.finish('time passes', new Promise((resolve) => this.world.scheduler.after(ms, resolve)));
  }

  /** A call that needs the relay, again while it is `unavailable`. */
  waited<T>(what: string, work: () => Promise<T>): Promise<T> {
    const again = async (): Promise<T> => {
      for (;;) {
        try {
          return await work();
        } catch (error) {
          if ((error as { kind?: string }).kind !== 'unavailable') throw error;
          await new Promise<void>((resolve) => this.world.scheduler.after(200, resolve));
        }
      }
    };
    return this.world.finish(what, again());
  }

  async open(device: SimDevice, name = 'till-1'): Promise<OwnShard> {
    return device.engine.shard(await device.engine.openShard('till', name));
  }

  async sell(shard: OwnShard, sales = 1): Promise<void> {
    for (let i = 0; i < sales; i++) {
      const sale = `${this.#life} ${this.#sales++}`;
      await shard.save(this.#ids(), { kind: 'ops', inputs: [line(sale, 'tea'), line(sale, 'cup')] });
    }
  }

  committed(shard: OwnShard): Promise<void> {
    return this.world.run('everything saved is committed', () => shard.committed.seq === shard.store.head.seq);
  }

  async followedSeq(device: SimDevice = this.second, name = 'till-1'): Promise<number | undefined> {
    return (await device.engine.status()).followed.find((shard) => shard.name === name)?.seq;
  }

  takeOver(device: SimDevice = this.second): Promise<string> {
    return this.waited('take over', () => device.engine.takeOvers.takeOver('till', 'till-1'));
  }

  async sales(device: SimDevice): Promise<number | undefined> {
    const [[row] = []] = (await device.engine.readAcross('till/*', [salesQuery])) as readonly (readonly { readonly n: number }[])[];
    return row?.n;
  }
}
