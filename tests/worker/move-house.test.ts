// Files move between OPFS and IndexedDB while the machine stops at every step of either, or of the vault between them: after each stop there is one
// whole house with everything that was acknowledged, and in the end it is the better one, with nothing left in the other.

import { describe, expect, test } from 'vitest';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { type GroupId, groupId } from '../../kernel/units.ts';
import { chooseHouse, type Housed } from '../../worker/engine/choose-house.ts';
import { Engine } from '../../worker/engine/engine.ts';
import type { Backend, DurablePool } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import { SimVault } from '../sim/sim-device.ts';
import { SimDisk, type StopMode } from '../sim/sim-disk.ts';
import { SimPageStore } from '../sim/sim-page-store.ts';
import { bootMirrorPool, bootPool, bootSqlite } from '../sim/sim-sqlite.ts';
import { SimWorld, syncDeflate, syncDigest } from '../sim/sim-world.ts';

/** One device with both media; a stop ends both. */
class Machine {
  readonly world = new SimWorld(7);
  readonly disk = new SimDisk(this.world.stream('disk'));
  readonly pages = new SimPageStore(this.world.stream('pages'));
  readonly vault = new SimVault(() => this.world.random('key').bytes(32));
  readonly ids: () => GroupId;

  constructor() {
    const random = this.world.random('ids');
    this.ids = () => groupId(random.bytes(16));
  }

  get calls(): number {
    return this.disk.calls + this.pages.calls;
  }

  async house(order: readonly Backend[], bytesMax?: number): Promise<Housed> {
    const sqlite3 = await bootSqlite();
    const open = (backend: Backend): Promise<DurablePool> =>
      backend === 'indexeddb' ? bootMirrorPool(this.pages, this.world.scheduler, bytesMax, sqlite3) : bootPool(this.disk, 'store', sqlite3);
    const found = await chooseHouse({ order, open, vault: this.vault }, await this.vault.house());
    if (found instanceof FoldlogError) throw found;
    return found;
  }

  async start(order: readonly Backend[], bytesMax?: number): Promise<{ readonly engine: Engine; readonly housed: Housed }> {
    const housed = await this.house(order, bytesMax);
    const { clock, scheduler } = this.world;
    const engine = await Engine.open(
      {
        ...{ pool: housed.pool, vault: this.vault, verdict: 'simulated', clock, scheduler, random: this.world.random('engine') },
        ...{ verifier: portableVerifier, deflate: syncDeflate, bulkDigest: syncDigest, http: undefined },
      },
      { definitions: [till], pollMs: 1_000, onLoss: 'refuse', formFactor: 'desktop' },
    );
    return { engine, housed };
  }

  stop(mode: StopMode): void {
    this.disk.stopNow();
    this.pages.stopNow();
    this.disk.restart(mode);
    this.pages.restart(mode);
  }
}

const opfsFirst: readonly Backend[] = ['opfs-pool', 'indexeddb'];
const idbFirst: readonly Backend[] = ['indexeddb', 'opfs-pool'];

/** A shop with a few sales in `order[0]`; its worker was killed, so that OPFS has a WAL to take along. */
async function furnished(order: readonly Backend[]): Promise<Machine> {
  const machine = new Machine();
  const { engine } = await machine.start(order);
  await engine.create({ workspace: 'acme', device: 'Till 1' });
  const shard = engine.shard(await engine.openShard('till', 'till-1'));
  for (let i = 0; i < 5; i++) await shard.save(machine.ids(), { kind: 'ops', inputs: [line(`s${i}`, 'sku')] });
  machine.stop('kill');
  return machine;
}

async function requireWhole(engine: Engine): Promise<void> {
  const shard = engine.shard(await engine.openShard('till', 'till-1'));
  expect(shard.store.db.value('PRAGMA integrity_check')).toBe('ok');
  expect(shard.store.head.seq).toBeGreaterThanOrEqual(5);
  expect(Number(shard.store.db.value('SELECT count(*) FROM saleLine'))).toBe(shard.store.head.seq);
  expect((await shard.status()).pending.groups).toBe(shard.store.head.seq);
}

describe.each([
  ['from IndexedDB to OPFS', idbFirst, opfsFirst],
  ['from OPFS to IndexedDB', opfsFirst, idbFirst],
] as const)('%s', (_, before, after) => {
  test('everything moves, the outbox included, and nothing is left behind', async () => {
    const machine = await furnished(before);
    const { engine, housed } = await machine.start(after);
    expect(housed).toMatchObject({ pool: { backend: after[0] }, moved: { kind: 'moved', from: before[0] } });
    await requireWhole(engine);
    const shard = engine.shard('till/till-1');
    await shard.save(machine.ids(), { kind: 'ops', inputs: [line('later', 'sku')] });
    await engine.close();
    expect(await machine.vault.house()).toEqual({ at: after[0], leaving: undefined });
    const again = await machine.house(after);
    expect(again).toMatchObject({ pool: { backend: after[0] }, moved: { kind: 'no' }, refused: [] });
    await again.pool.close();
    machine.stop('kill');
    const sqlite3 = await bootSqlite();
    const old =
      before[0] === 'indexeddb'
        ? await bootMirrorPool(machine.pages, machine.world.scheduler, 1e9, sqlite3)
        : await bootPool(machine.disk, 'store', sqlite3);
    expect(old.files()).toEqual([]);
  });

  test.each([
    ['disk', 'kill', 1],
    ['disk', 'power', 3],
    ['pages', 'kill', 1],
  ] as const)(
    'stopped at every step of the %s (%s): one whole house, and the move is finished at the next start',
    async (medium, mode, stride) => {
      let call = 0;
      for (let isWhole = false; !isWhole; ) {
        call += stride;
        const machine = await furnished(before);
        const target = machine[medium];
        const from = target.calls;
        target.stopAfter(call);
        await machine.start(after).catch(() => undefined);
        isWhole = target.calls < from + call;
        machine.stop(mode);
        const { engine, housed } = await machine.start(after);
        expect(housed.pool.backend).toBe(after[0]);
        await requireWhole(engine);
        await engine.close();
      }
      expect(call).toBeGreaterThan(8);
    },
    240_000,
  );
});

test('files that do not fit where they should go stay where they are, and why is said', async () => {
  const machine = await furnished(opfsFirst);
  const { engine, housed } = await machine.start(idbFirst, 64 * 1024);
  expect(housed).toMatchObject({
    pool: { backend: 'opfs-pool' },
    moved: { kind: 'stayed', better: 'indexeddb', why: { kind: 'storageFull' } },
  });
  await requireWhole(engine);
});

test('a vault that forgot everything finds the files where they are', async () => {
  const machine = await furnished(idbFirst);
  const forgetful = new SimVault(() => new Uint8Array(32));
  const sqlite3 = await bootSqlite();
  const open = (backend: Backend): Promise<DurablePool> =>
    backend === 'indexeddb'
      ? bootMirrorPool(machine.pages, machine.world.scheduler, 1e9, sqlite3)
      : bootPool(machine.disk, 'store', sqlite3);
  const found = await chooseHouse({ order: opfsFirst, open, vault: forgetful }, undefined);
  expect(found).toMatchObject({ pool: { backend: 'opfs-pool' }, moved: { kind: 'moved', from: 'indexeddb' } });
  expect((found as Housed).pool.files()).toContain('/workspace.db');
});

test('files in a backend that does not work now are not started anew elsewhere', async () => {
  const machine = await furnished(opfsFirst);
  const refusal = new FoldlogError('unavailable', { where: 'OPFS', reason: 'storageFailed', found: 'SecurityError', expected: 'files' });
  const open = async (backend: Backend): Promise<DurablePool | FoldlogError> =>
    backend === 'opfs-pool' ? refusal : bootMirrorPool(machine.pages, machine.world.scheduler);
  expect(await chooseHouse({ order: opfsFirst, open, vault: machine.vault }, await machine.vault.house())).toBe(refusal);
});
