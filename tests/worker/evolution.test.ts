// An own shard through releases of the app: what opening it with newer, changed and older code does, and what a stop at any step leaves behind.

import { describe, expect, test, vi } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { decodeGroupHeader } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import { readSystemOp } from '../../kernel/system-ops.ts';
import { groupId } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { sql } from '../../shards/index.ts';
import { Meta } from '../../worker/engine/meta.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { till1Edited, till1InDevelopment, till1Patched, till2, till2Broken, till2Careless, till3 } from '../sim/evolving.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { SimShop } from '../sim/sim-shop.ts';
import { SimWorld } from '../sim/sim-world.ts';

/** Each test starts several engines, each with a SQLite of its own. */
vi.setConfig({ testTimeout: 60_000 });

interface Home {
  readonly world: SimWorld;
  readonly device: SimDevice;
  readonly sell: (shard: OwnShard, sale: string) => Promise<unknown>;
}

/** A device without a relay that sold three lines with release 1, stopped. */
async function homeWithSales(backend: Backend, sales = 3): Promise<Home> {
  const world = new SimWorld(71);
  const device = new SimDevice(world, 'till', [till], undefined, { backend });
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  const random = world.random('ids');
  const sell = (shard: OwnShard, sale: string) =>
    shard.save(groupId(random.bytes(16)), { kind: 'ops', inputs: [line(sale, 'mug', 2, 250)] });
  const shard = await open(device);
  for (let i = 0; i < sales; i++) await sell(shard, `s${i}`);
  device.stop('kill');
  return { world, device, sell };
}

async function open(device: SimDevice): Promise<OwnShard> {
  return device.engine.shard(await device.engine.openShard('till', 'till-1'));
}

/** Restarts the device with another release and opens its till. */
async function update(device: SimDevice, definition: ShardDefinition): Promise<OwnShard> {
  device.install([definition]);
  await device.boot();
  return open(device);
}

const groupsOf = (shard: OwnShard) =>
  shard.store.db
    .all<{ header: Uint8Array; body: Uint8Array; seal: Uint8Array | null; last_seq: number }>(
      'SELECT header, body, seal, last_seq FROM foldlog_group ORDER BY last_seq',
    )
    .map(({ header, body, seal, last_seq }) => ({
      opCount: decodeGroupHeader(header, 'stored').opCount,
      seq: last_seq,
      bytes: bytesToHex(header) + bytesToHex(body),
      body,
      isSealed: seal !== null,
    }));

const movesOf = (shard: OwnShard) =>
  groupsOf(shard).flatMap(({ body, opCount, seq, isSealed }) => {
    const [op] = decodeOps(body, opCount, 'stored');
    return op?.class === 'foldlog.schemaMoved' ? [{ seq, isSealed, move: readSystemOp(op, 'stored') }] : [];
  });

const vats = async (shard: OwnShard) => (await shard.read([sql`SELECT sale, vat FROM saleLine ORDER BY sale`]))[0];
const schemaOf = async (device: SimDevice) => (await device.engine.status()).own[0]?.schema;

describe.each<Backend>(['opfs-pool', 'indexeddb'])('opening with newer code on %s', (backend) => {
  test('tables, version row and a sealed move are there; groups saved before keep their bytes; saves go on', async () => {
    const { device, sell } = await homeWithSales(backend);
    await device.boot();
    const before = groupsOf(await open(device));
    device.stop('kill');
    const shard = await update(device, till2);
    expect(groupsOf(shard).slice(0, 3)).toEqual(before);
    expect(movesOf(shard)).toEqual([{ seq: 4, isSealed: true, move: { kind: 'schemaMoved', from: 1, to: 2, foldId: till2.foldId } }]);
    expect(await vats(shard)).toEqual(['s0', 's1', 's2'].map((sale) => ({ sale, vat: 50 })));
    expect(await schemaOf(device)).toMatchObject({
      version: 2,
      foldIdOf: 'declared',
      moved: { atSeq: 4, fromFold: bytesToHex(till.foldId) },
    });
    await sell(shard, 's3');
    device.stop('kill');
    const again = await update(device, till2);
    expect(again.store.head.seq).toBe(5);
    expect(movesOf(again)).toHaveLength(1);
    expect(await vats(again)).toHaveLength(4);
  });

  test('several versions at once are one move', async () => {
    const { device } = await homeWithSales(backend);
    const shard = await update(device, till3);
    expect(movesOf(shard)).toMatchObject([{ move: { from: 1, to: 3 } }]);
    expect(await shard.read([sql`SELECT count(*) AS n FROM note`])).toEqual([[{ n: 0 }]]);
  });

  test('a stop at any I/O step leaves the file as it was or moved, never between: kill and power cut', async () => {
    const whole = await homeWithSales(backend);
    whole.device.install([till2]);
    await whole.device.boot();
    const before = whole.device.medium.calls;
    await open(whole.device);
    const calls = whole.device.medium.calls - before;
    whole.device.stop('kill');
    expect(calls).toBeGreaterThan(backend === 'indexeddb' ? 1 : 10);
    const found = new Set<string>();
    for (let call = 1; call <= calls; call++) {
      for (const mode of [call % 2 === 0 ? 'kill' : 'power'] satisfies StopMode[]) {
        const { device, sell } = await homeWithSales(backend);
        device.install([till2]);
        await device.boot();
        device.medium.stopAfter(call);
        await Promise.race([open(device).catch(() => undefined), untilStopped(device)]);
        device.stop(mode);
        found.add(await standsAt(device));
        const shard = await update(device, till2);
        expect(movesOf(shard)).toHaveLength(1);
        expect(await vats(shard)).toHaveLength(3);
        await sell(shard, 'after');
        device.stop('kill');
      }
    }
    expect(found).toContain('release 1');
    if (backend === 'opfs-pool') expect(found).toContain('release 2');
  }, 240_000);

  test('a step that fails once ends in a typed error or a moved shard, and the next opening has it moved once', async () => {
    let refused = 0;
    for (let call = 1; call <= 30; call++) {
      const { device, sell } = await homeWithSales(backend);
      device.install([till2]);
      await device.boot();
      device.medium.failAfter(call);
      await open(device).catch((error: unknown) => {
        // Room in the pool is reserved before anything is opened, and the browser's own words say that there is none.
        if ((error as Error).name !== 'QuotaExceededError') expect(error).toBeInstanceOf(FoldlogError);
        refused++;
      });
      device.medium.failAfter(Number.MAX_SAFE_INTEGER);
      const shard = await open(device);
      expect(movesOf(shard)).toHaveLength(1);
      expect(await vats(shard)).toHaveLength(3);
      await sell(shard, 'after');
      device.stop('kill');
    }
    expect(refused).toBeGreaterThan(0);
  }, 120_000);

  test('a migration that stored rows do not let through names version and statement, and the older app still opens the file', async () => {
    const { device, sell } = await homeWithSales(backend);
    await expect(update(device, till2Broken)).rejects.toMatchObject({
      kind: 'misuse',
      reason: 'migrationFailed',
      where: 'till, version 2, statement 2',
    });
    device.stop('kill');
    const shard = await update(device, till);
    expect(shard.store.head.seq).toBe(3);
    await sell(shard, 's3');
    device.stop('kill');
    expect(movesOf(await update(device, till2))).toMatchObject([{ seq: 5 }]);
  });

  test('a signer that fails moves nothing', async () => {
    const { device } = await homeWithSales(backend);
    device.install([till2]);
    await device.boot();
    const signer = await device.vault.signer();
    const sign = signer?.sign;
    Object.assign(signer ?? {}, { sign: async () => Promise.reject(new Error('the key is gone')) });
    await expect(open(device)).rejects.toMatchObject({ kind: 'unavailable' });
    Object.assign(signer ?? {}, { sign });
    expect(movesOf(await open(device))).toHaveLength(1);
  });
});

/** Which release a stopped device's file belongs to, by the words of release 1, which opens nothing newer. */
async function standsAt(device: SimDevice): Promise<'release 1' | 'release 2'> {
  device.install([till]);
  await device.boot();
  try {
    const shard = await open(device);
    expect(shard.store.db.value(`SELECT count(*) FROM pragma_table_info('saleLine') WHERE name = 'vat'`)).toBe(0);
    expect(shard.store.head.seq).toBe(3);
    return 'release 1';
  } catch (error) {
    if (!(error instanceof FoldlogError)) throw error;
    expect(error).toMatchObject({ kind: 'upgradeNeeded', reason: 'newerSchema' });
    return 'release 2';
  } finally {
    device.stop('kill');
  }
}

async function untilStopped(device: SimDevice): Promise<void> {
  while (!device.medium.isStopped) await new Promise((resolve) => setImmediate(resolve));
}

describe('one version, another fold', () => {
  test('in production it is recorded as a move from the version to itself, once', async () => {
    const { device } = await homeWithSales('opfs-pool');
    const shard = await update(device, till1Patched);
    expect(movesOf(shard)).toMatchObject([{ seq: 4, move: { from: 1, to: 1, foldId: till1Patched.foldId } }]);
    expect(await schemaOf(device)).toMatchObject({ version: 1, foldIdOf: 'source', moved: { atSeq: 4 } });
    device.stop('kill');
    expect(movesOf(await update(device, till1Patched))).toHaveLength(1);
  });

  test('in development it is refused, and nothing changed', async () => {
    const { device } = await homeWithSales('opfs-pool');
    await expect(update(device, till1InDevelopment)).rejects.toMatchObject({ kind: 'misuse', reason: 'foldChanged' });
    device.stop('kill');
    const shard = await update(device, till);
    expect(shard.store.head.seq).toBe(3);
    expect(await schemaOf(device)).toMatchObject({ moved: undefined });
  });

  test('tables edited in place are misuse, told from a damaged schema', async () => {
    const { device } = await homeWithSales('opfs-pool');
    await expect(update(device, till1Edited)).rejects.toMatchObject({ kind: 'misuse', reason: 'tablesChanged' });
    device.stop('kill');
    const shard = await update(device, till);
    shard.store.db.exec('PRAGMA writable_schema=ON');
    shard.store.db.exec(`UPDATE sqlite_schema SET sql = replace(sql, '"qty"', '"qtx"') WHERE name = 'total'`);
    device.stop('kill');
    for (const definition of [till, till2]) {
      await expect(update(device, definition)).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedSchema' });
      device.stop('kill');
    }
  });
});

describe('with a relay', () => {
  const checkpointSeq = async (shop: SimShop): Promise<number> => (await shop.owner.engine.status()).own[0]?.checkpointSeq ?? 0;

  async function shopWithSales(): Promise<SimShop> {
    const shop = new SimShop(72);
    const shard = await shop.found();
    await shop.sell(shard, 3);
    await shop.committed(shard);
    return shop;
  }

  async function updateOwner(shop: SimShop, definition: ShardDefinition): Promise<OwnShard> {
    shop.owner.install([definition]);
    await shop.owner.boot();
    return shop.world.finish('opened', open(shop.owner));
  }

  test('a checkpoint is due at once, and holds the move and nothing saved after it', async () => {
    const shop = await shopWithSales();
    shop.owner.stop('kill');
    // The relay is away while the shard moves and the first saves come: a state that was not frozen by then would have them.
    shop.faults.requestLost = 1;
    const shard = await updateOwner(shop, till2);
    expect(movesOf(shard)).toMatchObject([{ seq: 7 }]);
    await shop.sell(shard, 2);
    shop.faults.requestLost = 0;
    await shop.world.run('published', async () => (await checkpointSeq(shop)) > 0);
    expect(await checkpointSeq(shop)).toBe(7);
  });

  test('a move whose checkpoint never came to be makes it due on the next start, with nothing left to commit', async () => {
    const shop = await shopWithSales();
    shop.owner.stop('kill');
    const shard = await updateOwner(shop, till2);
    await shop.committed(shard);
    shop.owner.stop('kill');
    expect(await shop.keys('/checkpoint/')).toHaveLength(0);
    await updateOwner(shop, till2);
    await shop.world.run('published', async () => (await checkpointSeq(shop)) === 7);
    expect(await shop.keys('/checkpoint/')).toHaveLength(1);
  });

  test('an older app leaves the file alone and saves nothing, but what was saved is sent; the newer one goes on', async () => {
    const shop = await shopWithSales();
    shop.owner.stop('kill');
    shop.faults.requestLost = 1;
    const shard = await updateOwner(shop, till2);
    await shop.sell(shard, 2);
    const { seq } = shard.store.head;
    shop.owner.stop('kill');
    shop.owner.install([till]);
    await shop.owner.boot();
    await expect(shop.world.finish('refused', open(shop.owner))).rejects.toMatchObject({ kind: 'upgradeNeeded', reason: 'newerSchema' });
    await expect(shop.world.finish('refused again', open(shop.owner))).rejects.toMatchObject({ reason: 'newerSchema' });
    const waiting = async () => (await shop.owner.engine.status()).sentOnly[0];
    expect(await waiting()).toMatchObject({ kind: 'till', name: 'till-1', savedSeq: seq, committedSeq: 6, pending: { groups: 3 } });
    shop.faults.requestLost = 0;
    await shop.world.run('sent', async () => (await waiting())?.committedSeq === seq);
    expect((await waiting())?.why).toMatchObject({ kind: 'upgradeNeeded' });
    shop.owner.stop('kill');
    const again = await updateOwner(shop, till2);
    expect(again.store.head.seq).toBe(seq);
    expect(again.committed.seq).toBe(seq);
    expect(await vats(again)).toHaveLength(10);
  });

  test('a shard of a kind that is not declared any more is sent, too, without anybody opening it', async () => {
    const shop = await shopWithSales();
    shop.faults.requestLost = 1;
    await shop.sell(await shop.reopen(), 2);
    shop.owner.stop('kill');
    shop.faults.requestLost = 0;
    shop.owner.install([]);
    await shop.owner.boot();
    await shop.world.run('sent', async () => (await shop.owner.engine.status()).sentOnly[0]?.committedSeq === 10);
  });

  test('the canary folds the chain again when the start is over, and tells when the new code makes other rows of it', async () => {
    for (const [definition, kind] of [
      [till2, 'same'],
      [till2Careless, 'differs'],
    ] as const) {
      const { device } = await homeWithSales('opfs-pool');
      await update(device, definition);
      expect((await schemaOf(device))?.canary).toBeUndefined();
      const [report] = await device.engine.audit();
      const status = await device.engine.status();
      expect(status.own[0]?.schema.canary).toEqual({
        ...{ kind, atSeq: 4, fromSeq: 0, found: undefined },
        ...{ fromFold: bytesToHex(till.foldId), toFold: bytesToHex(definition.foldId) },
      });
      expect(status.troubles).toHaveLength(kind === 'same' ? 0 : 1);
      // What proves that a fold from genesis gives these tables also lets the audit rely on it; and a difference is no damage.
      expect(report?.verdict).toEqual({ kind: 'sound', covers: kind === 'same' ? 'log and state' : 'log' });
      const rows = await vats(device.engine.shard('till/till-1'));
      expect(rows?.[0]).toEqual({ sale: 's0', vat: kind === 'same' ? 50 : 0 });
      device.stop('kill');
    }
  });

  test('over a log that does not begin at genesis the canary starts from the newest checkpoint', async () => {
    const shop = await shopWithSales();
    const shard = shop.owner.engine.shard('till/till-1');
    const base = (await shop.world.finish('published', shard.publish())).head;
    // What truncating leaves: the log from the checkpoint on.
    shard.store.db.transaction(() => {
      const meta = new Meta(shard.store.db);
      meta.set('baseSeq', base.seq);
      meta.set('baseHash', base.hash);
      meta.set('idsUpTo', base.seq);
      shard.store.db.run('DELETE FROM foldlog_group WHERE last_seq <= ?', [base.seq]);
    });
    shop.owner.stop('kill');
    const moved = await updateOwner(shop, till2);
    await shop.sell(moved, 2);
    await shop.world.run('published', async () => (await checkpointSeq(shop)) === 7);
    await shop.committed(moved);
    await shop.world.finish('audited', shop.owner.engine.audit());
    expect((await schemaOf(shop.owner))?.canary).toMatchObject({ kind: 'same', atSeq: 11, fromSeq: 7 });
  });
});
