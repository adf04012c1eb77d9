// The queue of what is saved and not committed: known without counting, right after any kill; a start costs the same however long it is; a whole day of
// it drains with a handful of seals; and only missing room refuses a save, never length or age.

import { describe, expect, test, vi } from 'vitest';
import { utf8 } from '../../kernel/bytes.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import type { StorageUse } from '../../kernel/ports.ts';
import { groupId, timeMs } from '../../kernel/units.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { line } from '../sim/shop.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { SimShop } from '../sim/sim-shop.ts';

/** The queue as the log itself says. */
function counted(shard: OwnShard) {
  const row = shard.store.db.get<{ groups: number; ops: number | null; bytes: number | null }>(
    'SELECT count(*) AS groups, sum(last_seq - first_seq + 1) AS ops, sum(length(body)) AS bytes FROM foldlog_group WHERE last_seq > ?',
    [shard.committed.seq],
  );
  return { groups: row?.groups ?? 0, ops: row?.ops ?? 0, bytes: row?.bytes ?? 0 };
}

const pendingOf = async (shard: OwnShard) => (await shard.status()).pending;

describe('length', () => {
  test.each(['opfs-pool', 'indexeddb'] as const)(
    'is what a count gives, through saves, receipts, batches and restarts: %s',
    async (backend) => {
      const shop = new SimShop(401, { backend });
      let shard = await shop.found();
      for (const sales of [1, 3, 70, 5, 130]) {
        shop.faults.requestLost = 1;
        await shop.sell(shard, sales);
        expect(await pendingOf(shard)).toEqual(counted(shard));
        expect((await pendingOf(shard)).groups).toBeGreaterThanOrEqual(sales);
        shop.owner.stop('kill');
        await shop.owner.boot();
        shard = await shop.reopen();
        expect(await pendingOf(shard)).toEqual(counted(shard));
        if (sales === 3) continue; // one time the queue goes on growing
        shop.faults.requestLost = 0;
        shop.owner.engine.wake(true);
        await shop.committed(shard);
        expect(await pendingOf(shard)).toEqual({ groups: 0, ops: 0, bytes: 0 });
      }
    },
    120_000,
  );

  test.each<StopMode>(['kill', 'power'])(
    'is what a count gives after a stop at any I/O call around a batch and a receipt: %s',
    async (mode) => {
      let stopped = 0;
      for (let call = 1; call <= 60; call += mode === 'kill' ? 5 : 3) {
        const shop = new SimShop(500 + call);
        const shard = await shop.found();
        await shop.sell(shard, 2);
        await shop.committed(shard);
        shop.faults.requestLost = 1;
        await shop.sell(shard, 61);
        shop.owner.medium.stopAfter(call);
        await shop.sell(shard, 4).catch(() => undefined);
        shop.faults.requestLost = 0;
        shop.owner.engine.wake(true);
        await shop.world
          .run(
            'the machine stops or all is committed',
            () => shop.owner.medium.isStopped || shard.committed.seq === shard.store.head.seq,
            30_000,
          )
          .catch(() => undefined);
        if (shop.owner.medium.isStopped) stopped++;
        shop.owner.stop(mode);
        shop.faults.requestLost = 1;
        await shop.owner.boot();
        const again = await shop.reopen();
        expect(await pendingOf(again), `call ${call}`).toEqual(counted(again));
      }
      expect(stopped).toBeGreaterThan(3);
    },
    120_000,
  );

  test('a file whose totals are of another log is counted once more', async () => {
    const shop = new SimShop(402);
    shop.faults.requestLost = 1;
    const shard = await shop.found();
    await shop.sell(shard, 70);
    for (const total of ['999999 3 3', '0 0 0', 'garbage']) {
      shard.store.db.run(`UPDATE foldlog_meta SET value = ? WHERE name = 'countedTo'`, [total]);
      await shard.store.mutex.own('other', () => shard.store.reopen());
      expect(await pendingOf(shard)).toEqual(counted(shard));
    }
  });
});

const seal = utf8('foldlog/v1/seal\0');
const isSeal = (message: Uint8Array): boolean => seal.every((byte, at) => message[at] === byte);

/** Groups of one op each, many to a flush: each is a group of its own all the same. */
async function sellOneByOne(shop: SimShop, shard: OwnShard, count: number): Promise<void> {
  const random = shop.world.random('day');
  for (let from = 0; from < count; from += 500) {
    const size = Math.min(500, count - from);
    const ids = Array.from({ length: size }, () => groupId(random.bytes(16)));
    await Promise.all(
      ids.map((id, n) => shard.save(id, { kind: 'ops', inputs: [line(`d${shard.store.head.seq}-${from + n}`, `sku-${n % 40}`)] })),
    );
  }
}

test('a day of 86,400 groups: a start costs what it costs with one, and all of it drains in order with a handful of seals', async () => {
  const shop = new SimShop(410);
  let shard = await shop.found();
  await shop.sell(shard, 1, 1);
  await shop.committed(shard);
  shop.faults.requestLost = 1;
  const costs: Record<number, { readonly calls: number; readonly pages: number }> = {};
  let saved = 1;
  for (const length of [1, 1_000, 86_400]) {
    await sellOneByOne(shop, shard, length + 1 - saved);
    saved = length + 1;
    const pages = Number(shard.store.db.value('PRAGMA page_count'));
    await shop.owner.engine.close();
    const before = shop.owner.disk.calls;
    await shop.owner.boot();
    shard = await shop.reopen();
    expect(await pendingOf(shard)).toMatchObject({ groups: length, ops: length });
    costs[length] = { calls: shop.owner.disk.calls - before, pages };
  }
  const [one, thousand, day] = [costs[1], costs[1_000], costs[86_400]];
  if (one === undefined || thousand === undefined || day === undefined) throw new Error('not measured');
  // A small file is read whole for damage, up to 16 MB (log-check.ts); nothing else grows.
  expect(thousand.calls).toBeLessThan(one.calls + 2 * thousand.pages + 60);
  expect(day.pages * 8192).toBeGreaterThan(16 * 1024 * 1024);
  expect(day.calls).toBeLessThan(one.calls + 120);

  const verify = vi.spyOn(portableVerifier, 'verify');
  const requests = vi.spyOn(shop.relay, 'fetch');
  shop.faults.requestLost = 0;
  shop.owner.engine.wake(true);
  await shop.world.run('the day is committed', () => shard.committed.seq === shard.store.head.seq, 600_000);
  const pushes = requests.mock.calls.filter(([request]) => request.url.endsWith('/push')).length;
  const atRelay = verify.mock.calls.filter(([, message]) => isSeal(message)).length;
  expect(atRelay).toBe(pushes);
  expect(pushes).toBeLessThanOrEqual(10);
  expect(await pendingOf(shard)).toEqual({ groups: 0, ops: 0, bytes: 0 });

  verify.mockClear();
  const follower = await shop.join('back office');
  await shop.world.run('the follower is level', async () => (await shop.followed(follower))?.seq === shard.store.head.seq, 600_000);
  expect(verify.mock.calls.filter(([, message]) => isSeal(message)).length).toBeLessThanOrEqual(pushes + 1);
  vi.restoreAllMocks();
  const rows = { text: 'SELECT sku, qty, cents FROM total ORDER BY sku', params: [] };
  expect(await follower.engine.readAcross('till/*', [rows])).toEqual(await shop.owner.engine.readAcross('till/*', [rows]));
}, 300_000);

describe('room', () => {
  /** A host that says what the test says. */
  function measured(seed: number, settings: { readonly storageBytesMax?: number } = {}) {
    const said: { use: StorageUse | undefined } = { use: { usedBytes: 1_000, grantedBytes: 1_000_000, isPersisted: true } };
    const shop = new SimShop(seed, { host: { meter: { measure: async () => said.use } }, settings });
    const use = (usedBytes: number, grantedBytes = 1_000_000): void => {
      said.use = { usedBytes, grantedBytes, isPersisted: true };
    };
    return { shop, use };
  }

  const source = (sale: string) => ({ kind: 'ops', inputs: [line(sale, 'sku')] }) as const;
  const idOf = (n: number) => groupId(new Uint8Array(16).fill(n));
  const refusal = { kind: 'storageFull', reason: 'quotaNear', retry: 'later' };

  test('at 80 % of what the host grants a new save is refused and keeps nothing; a saved one is answered; sending goes on; with room saving goes on', async () => {
    const { shop, use } = measured(420);
    const shard = await shop.found();
    shop.faults.requestLost = 1;
    const place = await shard.save(idOf(1), source('a'));
    use(800_000);
    await shop.owner.engine.metrics();
    const head = shard.store.head;
    await expect(shard.save(idOf(2), source('b'))).rejects.toMatchObject(refusal);
    expect(shard.store.head).toEqual(head);
    expect(await shard.find(idOf(2))).toBeUndefined();
    expect(await shard.save(idOf(1), source('a'))).toEqual(place);
    shop.faults.requestLost = 0;
    shop.owner.engine.wake(true);
    await shop.committed(shard);
    use(799_000);
    await shop.owner.engine.metrics();
    await shard.save(idOf(2), source('b'));
    await shop.committed(shard);
  });

  test('what is saved between two answers of the host counts', async () => {
    const { shop, use } = measured(421);
    use(790_000);
    const shard = await shop.found();
    await shop.owner.engine.metrics();
    let saves = 0;
    for (; saves < 200; saves++) {
      const failure: unknown = await shard.save(idOf(saves), source(`s${saves}`)).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined) continue;
      expect(failure).toMatchObject(refusal);
      break;
    }
    expect(saves).toBeGreaterThan(5);
    expect(saves).toBeLessThan(100);
  });

  test('the app may set less, also where the host says nothing', async () => {
    const shop = new SimShop(422, { settings: { storageBytesMax: 1 } });
    const shard = await shop.found();
    await shard.save(idOf(1), source('a')); // nobody has looked yet
    await shop.owner.engine.metrics();
    await expect(shard.save(idOf(2), source('b'))).rejects.toMatchObject(refusal);
  });

  test('neither a long nor an old queue refuses a save', async () => {
    const { shop } = measured(423);
    const shard = await shop.found();
    shop.faults.requestLost = 1;
    await shard.save(idOf(1), source('old'));
    const { now } = shop.world.clock;
    const nineDays = vi.spyOn(shop.world.clock, 'now').mockImplementation(() => timeMs(now() + 9 * 24 * 3_600_000));
    const { values, alerts } = await shop.owner.engine.metrics();
    expect(values.offline_queue_age_days).toBeGreaterThan(8.9);
    expect(alerts.map(({ name }) => name)).toEqual(['queueGrows', 'queueLong']);
    await shard.save(idOf(2), source('new'));
    shop.faults.requestLost = 0;
    shop.owner.engine.wake(true);
    await shop.committed(shard);
    expect((await shop.owner.engine.metrics()).alerts).toEqual([]);
    nineDays.mockRestore();
  });
});
