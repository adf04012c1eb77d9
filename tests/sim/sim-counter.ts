// A simulated shop with an office (its owner) and a counter: a device that writes `till/counter-1`, can be cut off from the network, and whose sales are kept in
// a ledger that shares no code with the engine. For tests of what becomes of sales that could not be committed in their place.

import { expect } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import type { Role } from '../../kernel/control/acts.ts';
import type { Http } from '../../kernel/ports.ts';
import { type GroupId, groupId, type ShardId } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { sql } from '../../shards/index.ts';
import { stateHashOf } from '../../worker/engine/image.ts';
import { Intents, takeOverOf } from '../../worker/engine/intents.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { setExclusive } from '../../worker/engine/shard-file.ts';
import { WorkspaceFile } from '../../worker/engine/workspace-file.ts';
import { line, till } from './shop.ts';
import { type DeviceOptions, SimDevice } from './sim-device.ts';
import { SimShop } from './sim-shop.ts';
import { bootMirrorPool, bootPool } from './sim-sqlite.ts';
import { appendActs, cutOf, type Fenced, putFence, signerOf } from './sim-take-over.ts';
import type { SimWorld } from './sim-world.ts';

export const salesQuery = sql<{ sale: string; n: number }>`SELECT sale, count(*) AS n FROM saleLine GROUP BY sale ORDER BY sale`;

export class SimCounter {
  readonly shop: SimShop;
  readonly device: SimDevice;
  readonly options: DeviceOptions;
  /** Sale by group id, of everything that was acknowledged. */
  readonly ledger = new Map<string, string>();
  readonly #line: { isCut: boolean; lost: RegExp | undefined; losesReplies: boolean } = {
    isCut: false,
    lost: undefined,
    losesReplies: false,
  };
  readonly #ids: () => GroupId;
  #sales = 0;

  private constructor(seed: number, options: DeviceOptions) {
    this.options = options;
    this.shop = new SimShop(seed, options);
    const random = this.shop.world.random('counter ids');
    this.#ids = () => groupId(random.bytes(16));
    this.device = this.newDevice('counter');
  }

  /** Office and counter are members, the counter's till is open and `sales` of it are committed. */
  static async open(
    seed: number,
    options: DeviceOptions = {},
    at: { readonly sales?: number; readonly role?: Role } = {},
  ): Promise<SimCounter> {
    const counter = new SimCounter(seed, options);
    const { shop, device } = counter;
    const first = await shop.found();
    await shop.sell(first);
    await shop.committed(first);
    const link = await shop.world.finish('invite', shop.owner.engine.invite({ role: at.role ?? 'writer' }));
    await device.boot();
    await shop.world.finish('join', device.engine.join(link, 'counter'));
    const shard = await counter.shard();
    await counter.sell(shard, at.sales ?? 3);
    await shop.committed(shard);
    return counter;
  }

  newDevice(name: string): SimDevice {
    return new SimDevice(this.shop.world, name, [till], this.#cuttable(this.shop.http(name)), this.options);
  }

  async shard(name = 'counter-1', device = this.device): Promise<OwnShard> {
    return device.engine.shard(await device.engine.openShard('till', name));
  }

  offline(): void {
    this.#line.isCut = true;
  }

  online(): void {
    this.#line.isCut = false;
    this.device.engine.wake(true);
  }

  /** Requests of the counter to these paths never arrive. */
  loses(paths: RegExp | undefined): void {
    this.#line.lost = paths;
  }

  /** What the counter is answered never arrives. */
  losesReplies(isLost: boolean): void {
    this.#line.losesReplies = isLost;
  }

  /** Sales of two lines each. */
  async sell(shard: OwnShard, sales = 1): Promise<void> {
    for (let i = 0; i < sales; i++) {
      const sale = `c${this.#sales++}`;
      const id = this.#ids();
      await shard.save(id, { kind: 'ops', inputs: [line(sale, 'sku-a'), line(sale, 'sku-b')] });
      this.ledger.set(bytesToHex(id), sale);
    }
  }

  /** The office closes the present epoch of the counter's till. */
  async fence(shard: OwnShard, author = this.shop.owner): Promise<Fenced> {
    return putFence(this.shop, shard.store.identity.id, shard.store.log.base.epoch, await signerOf(author));
  }

  async cut(
    fenced: Fenced,
    to: { readonly writer?: SimDevice | undefined; readonly destination?: ShardId | undefined },
    author = this.shop.owner,
  ): Promise<void> {
    const writer = to.writer === undefined ? undefined : await signerOf(to.writer);
    await appendActs(this.shop, await signerOf(author), [cutOf(fenced, { writer, destination: to.destination })]);
  }

  /** Everything that was acknowledged stands in one of these logs, once, under its id; and its lines in one of the states, once. */
  async requireWhole(shards: readonly OwnShard[]): Promise<void> {
    const ids: string[] = [];
    const sales = new Map<string, number>();
    for (const { store } of shards) {
      for (const { id } of store.db.all<{ id: Uint8Array }>('SELECT id FROM foldlog_group')) ids.push(bytesToHex(id));
      for (const { sale, n } of store.db.all<{ sale: string; n: number }>(salesQuery.text)) sales.set(sale, (sales.get(sale) ?? 0) + n);
    }
    expect(ids.toSorted()).toEqual([...this.ledger.keys()].toSorted());
    expect([...sales].toSorted()).toEqual([...this.ledger.values()].toSorted().map((sale) => [sale, 2]));
  }

  #cuttable(http: Http): Http {
    return {
      send: async (request, bounds) => {
        if (this.#line.isCut || this.#line.lost?.test(request.path) === true)
          return { kind: 'unreachable', cause: new Error('no network') };
        const answer = await http.send(request, bounds);
        return this.#line.losesReplies ? { kind: 'unreachable', cause: new Error('no reply') } : answer;
      },
    };
  }
}

/** Writes into a device's workspace file that a fence which stands is its own, as its own take-over does. It starts again, and completes it with the cut. */
export async function noteFence(device: SimDevice, shop: SimShop, fenced: Fenced): Promise<void> {
  device.stop('kill');
  const isMirror = device.medium === device.pages;
  const pool = isMirror ? await bootMirrorPool(device.pages, shop.world.scheduler) : await bootPool(device.disk);
  const file = await WorkspaceFile.open(pool, true);
  new Intents(file).put({ ...takeOverOf(fenced.shard), fences: [{ shard: fenced.shard, signed: undefined, object: fenced.object }] });
  await file.flush();
  file.close();
  await pool.close();
  device.stop('kill');
  await device.boot();
}

/** State hash of a shard's newest file as a device has it on disk; the device is closed for it. */
export async function stateOnDisk(
  device: SimDevice,
  shop: { readonly world: SimWorld },
  shard: ShardId,
  definition: ShardDefinition = till,
): Promise<string> {
  await shop.world.finish('close', device.engine.close());
  device.stop('kill');
  const isMirror = device.medium === device.pages;
  const pool = isMirror ? await bootMirrorPool(device.pages, shop.world.scheduler) : await bootPool(device.disk);
  const file = pool
    .files()
    .filter((name) => name.startsWith(`/s-${bytesToHex(shard)}-`) && name.endsWith('.db'))
    .toSorted()
    .at(-1);
  if (file === undefined) throw new Error('no such shard here');
  const db = await pool.open(file);
  setExclusive(db, pool);
  const hash = bytesToHex(stateHashOf(db, definition));
  db.close();
  await pool.close();
  device.stop('kill');
  return hash;
}

export const stateOf = (shard: OwnShard): string => bytesToHex(stateHashOf(shard.store.db, shard.store.definition));
