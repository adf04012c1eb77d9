// A small shop in the simulated world: an owner's till, a relay over a memory store, and more devices that join by link.

import type { Http } from '../../kernel/ports.ts';
import { type GroupId, groupId } from '../../kernel/units.ts';
import { memoryStore, type ObjectStore, type Relay } from '../../relay/index.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { ReplicaStatus } from '../../worker/engine/replica-status.ts';
import { line, till } from './shop.ts';
import { type DeviceOptions, SimDevice } from './sim-device.ts';
import { calm, type NetworkFaults, simHttp, simRelay } from './sim-relay.ts';
import { SimWorld } from './sim-world.ts';

export class SimShop {
  readonly world: SimWorld;
  readonly store: ObjectStore = memoryStore();
  readonly relay: Relay;
  readonly faults: NetworkFaults = calm();
  readonly owner: SimDevice;
  readonly #options: DeviceOptions;
  readonly #ids: () => GroupId;
  #sales = 0;

  constructor(seed: number, options: DeviceOptions = {}) {
    this.#options = options;
    this.world = new SimWorld(seed);
    this.relay = simRelay(this.world, this.store);
    const random = this.world.random('ids');
    this.#ids = () => groupId(random.bytes(16));
    this.owner = this.device('owner');
  }

  device(name: string, definitions: readonly ShardDefinition[] = [till]): SimDevice {
    return new SimDevice(this.world, name, definitions, this.http(name), this.#options);
  }

  http(name: string): Http {
    return simHttp(this.world, this.relay, name, this.faults);
  }

  /** Founds the workspace and opens the owner's till. */
  async found(): Promise<OwnShard> {
    await this.owner.boot();
    await this.owner.engine.create({ workspace: 'acme', device: 'Till 1' });
    return this.reopen();
  }

  async reopen(): Promise<OwnShard> {
    return this.owner.engine.shard(await this.owner.engine.openShard('till', 'till-1'));
  }

  async sell(shard: OwnShard, sales = 1, lines = 2): Promise<void> {
    for (let i = 0; i < sales; i++) {
      const sale = `s${this.#sales++}`;
      const inputs = Array.from({ length: lines }, (_, n) => line(sale, `sku-${(n * 5 + this.#sales) % 11}`));
      await shard.save(this.#ids(), { kind: 'ops', inputs });
    }
  }

  committed(shard: OwnShard): Promise<void> {
    return this.world.run('everything saved is committed', () => shard.committed.seq === shard.store.head.seq);
  }

  /** A device that joined and follows all tills; not yet level. */
  async join(name: string, definitions?: readonly ShardDefinition[]): Promise<SimDevice> {
    const link = await this.world.finish('invite', this.owner.engine.invite({}));
    const device = this.device(name, definitions);
    await device.boot();
    await this.world.finish('join', device.engine.join(link, name));
    await device.engine.follow('till/*');
    return device;
  }

  async followed(device: SimDevice): Promise<ReplicaStatus | undefined> {
    return (await device.engine.status()).followed[0];
  }

  level(device: SimDevice, shard: OwnShard): Promise<void> {
    return this.world.run('the follower is level', async () => (await this.followed(device))?.seq === shard.store.head.seq);
  }

  /** Keys of all stored objects that contain `part`. */
  async keys(part: string): Promise<readonly string[]> {
    const found: string[] = [];
    const listed = await this.store.list('w/', '', 1_000);
    if (listed.kind === 'listed') for (const entry of listed.keys) if (entry.includes(part)) found.push(entry);
    return found;
  }
}
