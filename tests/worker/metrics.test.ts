// What a store measures of itself, what it tells and when, and what a low battery changes: news are asked for seldom, checkpoints and audits wait, and saves
// and their push go on as ever.

import { describe, expect, test } from 'vitest';
import { auditAfterMs, metricsEveryMs, throttledPollMs } from '../../kernel/limits.ts';
import type { PowerMeter, PowerUse } from '../../kernel/ports.ts';
import { groupId } from '../../kernel/units.ts';
import { type AlertChange, MetricsBoard, type StoreFacts } from '../../worker/engine/metrics.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { EngineEvent } from '../../worker/engine/status.ts';
import { line } from '../sim/shop.ts';
import { SimShop } from '../sim/sim-shop.ts';

const facts: StoreFacts = {
  backend: 'opfs-pool',
  isBetterBackendThere: false,
  formFactor: 'phone',
  storage: { usedBytes: 10, grantedBytes: 1_000, isPersisted: false },
  power: undefined,
  nowMs: 10 * 24 * 3_600_000,
  fileBytes: [1024, 3 * 1024 * 1024],
  own: [],
  bootstraps: [],
};

function board(): { readonly board: MetricsBoard; readonly told: string[] } {
  const told: string[] = [];
  return { told, board: new MetricsBoard(({ change, alert }) => told.push(`${change} ${alert.name} ${alert.value}`)) };
}

describe('board', () => {
  test('measures what parts of the store know, the worst of each', () => {
    const { values } = board().board.look({
      ...facts,
      own: [
        { openOps: 7, queueBytes: 1024 * 1024, oldestPendingMs: 9 * 24 * 3_600_000 },
        { openOps: 3, queueBytes: 512 * 1024, oldestPendingMs: undefined },
      ],
      bootstraps: ['open', 'checkpoint', 'open'],
      power: { pct: 55, isDischarging: true },
    });
    expect(values).toEqual({
      db_file_size_mb: 3,
      quota_used_pct: 1,
      open_period_ops: 7,
      bootstrap_path: 'checkpoint',
      vfs_backend: 'opfs-pool',
      offline_queue_mb: 1.5,
      offline_queue_age_days: 1,
      fold_ms_p95: undefined,
      battery_pct: 55,
    });
  });

  test('says nothing of what no host says, and an empty store is calm', () => {
    const { values, alerts } = board().board.look({ ...facts, storage: undefined, fileBytes: [], nowMs: 0 });
    expect(values).toMatchObject({ quota_used_pct: undefined, bootstrap_path: undefined, db_file_size_mb: 0, offline_queue_age_days: 0 });
    expect(alerts).toEqual([]);
    expect(
      board().board.look({ ...facts, storage: { usedBytes: 1, grantedBytes: 0, isPersisted: false } }).values.quota_used_pct,
    ).toBeUndefined();
  });

  test('the 95th percentile is of the newest 256 folds', () => {
    const { board: of } = board();
    for (let ms = 1; ms <= 100; ms++) of.noteFold(ms);
    expect(of.look(facts).values.fold_ms_p95).toBe(95);
    for (let i = 0; i < 256; i++) of.noteFold(2);
    expect(of.look(facts).values.fold_ms_p95).toBe(2);
  });

  test('tells each crossing once, with hysteresis, and the value it fell to', () => {
    const { board: of, told } = board();
    const at = (usedBytes: number) => of.look({ ...facts, storage: { usedBytes, grantedBytes: 1_000, isPersisted: false } });
    for (const used of [500, 710, 720, 690, 660, 650, 690, 705]) at(used);
    expect(told).toEqual(['raised quotaUsed 71', 'fell quotaUsed 65', 'raised quotaUsed 70.5']);
    expect(of.isDue('truncate')).toBe(true);
    expect(of.isDue('throttle')).toBe(false);
  });
});

/** A battery that a test drains. */
class Battery implements PowerMeter {
  use: PowerUse | undefined;
  readonly #listeners: (() => void)[] = [];

  now(): PowerUse | undefined {
    return this.use;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  is(pct: number, isDischarging = true): void {
    this.use = { pct, isDischarging };
    for (const listener of this.#listeners) listener();
  }
}

async function shopWithBattery(seed: number) {
  const battery = new Battery();
  const shop = new SimShop(seed, { host: { power: battery } });
  const shard = await shop.found();
  const alerts: AlertChange[] = [];
  shop.owner.engine.onEvent((event: EngineEvent) => {
    if (event.kind === 'alert') alerts.push({ change: event.change, alert: event.alert });
  });
  await shop.sell(shard);
  await shop.committed(shard);
  return { shop, shard, battery, alerts };
}

const pass = (shop: SimShop, ms: number): Promise<void> => shop.world.run('time passes', () => false, ms).catch(() => undefined);

describe('a low battery', () => {
  test('news are asked for seldom, and as before once it charges', async () => {
    const { shop, battery, alerts } = await shopWithBattery(431);
    const asked = { count: 0 };
    const { fetch } = shop.relay;
    shop.relay.fetch = (request) => {
      if (request.url.includes('/control?')) asked.count++;
      return fetch.call(shop.relay, request);
    };
    const countIn = async (ms: number): Promise<number> => {
      const before = asked.count;
      await pass(shop, ms);
      return asked.count - before;
    };
    expect(await countIn(60_000)).toBeGreaterThan(40);
    battery.is(19);
    await pass(shop, 3_000);
    expect(await countIn(2 * throttledPollMs)).toBeLessThanOrEqual(3);
    battery.is(22); // between the two numbers: as it was
    expect(await countIn(throttledPollMs)).toBeLessThanOrEqual(2);
    battery.is(22, false);
    expect(await countIn(60_000)).toBeGreaterThan(40);
    expect(alerts.map(({ change, alert }) => `${change} ${alert.name} ${alert.value}`)).toEqual([
      'raised lowBattery 19',
      'fell lowBattery 22',
    ]);
  }, 60_000);

  test('saves are committed as fast as ever', async () => {
    const { shop, shard, battery } = await shopWithBattery(432);
    battery.is(3);
    await pass(shop, 5_000);
    await shop.sell(shard, 5);
    await shop.world.run('committed', () => shard.committed.seq === shard.store.head.seq, 2_000);
  });

  test('a checkpoint that is due waits until it charges; one a person asks for does not', async () => {
    const { shop, shard, battery } = await shopWithBattery(433);
    const checkpoints = (of: OwnShard) => of.status().then(({ checkpointSeq }) => checkpointSeq);
    battery.is(10);
    await pass(shop, 1_000);
    // Beyond the second of folding that is worth a checkpoint.
    for (const mark of [1, 2]) {
      const inputs = Array.from({ length: 9_000 }, (_, n) => line(`large ${mark}`, `sku ${n}`));
      await shard.save(groupId(new Uint8Array(16).fill(mark)), { kind: 'ops', inputs });
    }
    await shop.committed(shard);
    await pass(shop, 30_000);
    expect(await checkpoints(shard)).toBe(0);
    battery.is(10, false);
    await shop.world.run('published', async () => (await checkpoints(shard)) > 0, 60_000);
    battery.is(10);
    await pass(shop, 1_000);
    await shop.sell(shard, 1);
    const { head } = await shop.world.finish('asked for', shard.publish());
    expect(head).toEqual(shard.store.head);
  }, 60_000);

  test('the audit waits until it charges', async () => {
    const { shop, shard, battery } = await shopWithBattery(434);
    battery.is(10);
    await pass(shop, 3 * auditAfterMs);
    expect((await shard.status()).audit).toBeUndefined();
    battery.is(10, false);
    await pass(shop, 2 * auditAfterMs);
    expect((await shard.status()).audit).toMatchObject({ verdict: { kind: 'sound' } });
  });
});

test('a store looks by itself, and status holds the last look', async () => {
  const shop = new SimShop(435);
  const shard = await shop.found();
  expect((await shop.owner.engine.status()).metrics).toBeUndefined();
  shop.faults.requestLost = 1;
  await shop.sell(shard, 3);
  await pass(shop, metricsEveryMs + 6_000);
  const { metrics } = await shop.owner.engine.status();
  expect(metrics?.values).toMatchObject({ vfs_backend: 'opfs-pool', open_period_ops: 6, quota_used_pct: undefined });
  expect(metrics?.values.offline_queue_mb).toBeGreaterThan(0);
  expect(metrics?.values.db_file_size_mb).toBeGreaterThan(0);
  expect(metrics?.values.fold_ms_p95).toBeGreaterThan(0);
});

test('a follower says how it began, and its replicas count among the files', async () => {
  const shop = new SimShop(436);
  const shard = await shop.found();
  await shop.sell(shard, 3);
  await shop.committed(shard);
  const follower = await shop.join('till 2');
  await shop.level(follower, shard);
  const { values } = await follower.engine.metrics();
  expect(values).toMatchObject({ bootstrap_path: 'genesis', open_period_ops: 0, offline_queue_mb: 0 });
  expect(values.db_file_size_mb).toBeGreaterThan(0);
});

test('a shard that cannot be read just now is left out, and the others are measured', async () => {
  const shop = new SimShop(437);
  const shard = await shop.found();
  const other = shop.owner.engine.shard(await shop.owner.engine.openShard('till', 'till-2'));
  shop.faults.requestLost = 1;
  await shop.sell(other, 2);
  shard.store.db.close();
  const { values } = await shop.owner.engine.metrics();
  expect(values.open_period_ops).toBe(4);
  expect(values.db_file_size_mb).toBeGreaterThan(0);
});
