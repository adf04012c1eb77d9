// Saving and reading in a real browser: what was acknowledged is there after a reload, concurrent saves share a flush, live queries follow.
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Device, reload, type Site, serveLab } from './harness.ts';

let site: Site;
let device: Device;
let page: Page;

beforeAll(async () => {
  site = await serveLab();
  device = await Device.make();
  page = await device.page(site.origin);
});

afterAll(async () => {
  await device?.remove();
  await site?.close();
});

test('a saved row is there after a reload', async () => {
  const ref = await page.evaluate(async () => {
    const { shop } = await lab.shop('reload');
    const saved = await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 2, cents: 250 });
    return { kind: saved.kind, ...saved.ref };
  });
  expect(ref).toMatchObject({ kind: 'saved', shard: 'till/till-1', epoch: 1, firstSeq: 1, lastSeq: 1 });
  expect(ref.group).toMatch(/^[0-9a-f]{32}$/);
  await reload(page);
  const seen = await page.evaluate(async () => {
    const ws = await lab.open({ store: 'reload' });
    const shop = await ws.open('till', 'till-1');
    const [rows] = await shop.read([lab.sql<{ sale: string; sku: string; qty: number; cents: number }>`SELECT * FROM saleLine`]);
    const status = await ws.status();
    await ws.close();
    return { rows, status };
  });
  expect(seen.rows).toEqual([{ sale: 'S1', sku: 'A', qty: 2, cents: 250 }]);
  expect(seen.status).toMatchObject({ backend: 'opfs-pool', durability: 'durable', key: 'sealed', workspace: { name: 'reload' } });
  expect(seen.status.verdict).toContain('read back');
  expect(seen.status.storage?.usedBytes).toBeGreaterThan(10_000);
  expect(seen.status.storage?.grantedBytes).toBeGreaterThan(seen.status.storage?.usedBytes ?? 0);
});

test('several ops are one group, and a command reads and saves in one step', async () => {
  const seen = await page.evaluate(async () => {
    const { ws, shop } = await lab.shop('groups');
    const first = await shop.saveAll([
      ['sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 }],
      ['sale.line', { sale: 'S1', sku: 'B', qty: 1, cents: 1 }, 'line-2'],
    ]);
    const second = await shop.run('sell', { sale: 'S2', sku: 'A', qty: 3 });
    const again = await lab.failureOf(shop.run('sell', { sale: 'S2', sku: 'A', qty: 3 }));
    const [[count] = []] = await shop.read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine WHERE sale = ${'S2'}`]);
    await ws.close();
    return { first: first.ref, second: second.ref, again, count };
  });
  expect(seen.first).toMatchObject({ firstSeq: 1, lastSeq: 2 });
  expect(seen.second).toMatchObject({ firstSeq: 3, lastSeq: 3 });
  expect(seen.again).toMatchObject({ isFoldlog: true, kind: 'misuse', reason: 'soldBefore', found: 'sale S2' });
  expect(seen.count).toEqual({ n: 1 });
});

test('fifty concurrent saves share flushes: fewer seals than groups', async () => {
  const seen = await page.evaluate(async () => {
    const { ws, shop } = await lab.shop('concurrent');
    const saves = Array.from({ length: 50 }, (_, i) => shop.save('sale.line', { sale: `S${i}`, sku: 'A', qty: 1, cents: 1 }));
    const places = (await Promise.all(saves)).map(({ ref }) => ref.lastSeq);
    const [[count] = []] = await shop.read([
      lab.sql<{ groups: number; seals: number }>`SELECT count(*) AS groups, count(seal) AS seals FROM foldlog_group`,
    ]);
    await ws.close();
    return { places, count };
  });
  expect(seen.places).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
  expect(seen.count?.groups).toBe(50);
  expect(seen.count?.seals).toBeLessThan(25);
});

test('the same group id again gives the same place, also after a reload', async () => {
  const first = await page.evaluate(async () => {
    const { shop } = await lab.shop('retry');
    await shop.save('sale.line', { sale: 'S0', sku: 'A', qty: 1, cents: 1 });
    const { ref } = await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
    await shop.save('sale.line', { sale: 'S2', sku: 'A', qty: 1, cents: 1 });
    const again = await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 }, { group: ref.group });
    return { ref, again: again.ref };
  });
  expect(first.again).toEqual(first.ref);
  await reload(page);
  const later = await page.evaluate(async (group) => {
    const ws = await lab.open({ store: 'retry' });
    const shop = await ws.open('till', 'till-1');
    const { ref } = await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 }, { group });
    const [[count] = []] = await shop.read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
    await ws.close();
    return { ref, count };
  }, first.ref.group);
  expect(later).toEqual({ ref: first.ref, count: { n: 3 } });
});

test('a live query tells rows at once and after each change, with one identity per state', async () => {
  const seen = await page.evaluate(async () => {
    const { ws, shop } = await lab.shop('live');
    const live = shop.live(lab.sql<{ sku: string; qty: number }>`SELECT sku, sum(qty) AS qty FROM saleLine GROUP BY sku ORDER BY sku`, {
      key: 'sku',
    });
    const told: (readonly { sku: string; qty: number }[])[] = [];
    let wake = (): void => undefined;
    const until = (count: number) =>
      new Promise<void>((resolve) => {
        wake = () => told.length >= count && resolve();
        wake();
      });
    const before = live.getSnapshot();
    live.subscribe((rows) => {
      told.push(rows);
      wake();
    });
    await until(1);
    await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
    await until(2);
    await shop.save('sale.line', { sale: 'S1', sku: 'B', qty: 5, cents: 1 });
    await until(3);
    const [unchanged] = told[1] ?? [];
    const isRowKept = told[2]?.[0] === unchanged;
    const snapshot = live.getSnapshot();
    const isSnapshotStable = snapshot === told[2] && live.getSnapshot() === snapshot;
    let late: unknown;
    live.subscribe((rows) => {
      late = rows;
    })();
    live.close();
    await shop.save('sale.line', { sale: 'S1', sku: 'C', qty: 5, cents: 1 });
    const bad = shop.live(lab.sql<{ sku: string }>`SELECT sku FROM noSuchTable`, { key: 'sku' });
    const failure = await new Promise<string>((resolve) => bad.subscribeError((error) => resolve(`${error.kind} ${error.reason}`)));
    await ws.close();
    return { before, told, isRowKept, isSnapshotStable, late, failure };
  });
  expect(seen).toEqual({
    before: undefined,
    told: [
      [],
      [{ sku: 'A', qty: 1 }],
      [
        { sku: 'A', qty: 1 },
        { sku: 'B', qty: 5 },
      ],
    ],
    isRowKept: true,
    isSnapshotStable: true,
    late: [
      { sku: 'A', qty: 1 },
      { sku: 'B', qty: 5 },
    ],
    failure: 'misuse badQuery',
  });
});

test('status is told to those who watch, and grows with what is saved', async () => {
  const told = await page.evaluate(async () => {
    const { ws, shop } = await lab.shop('status');
    const pending: number[] = [];
    const stop = ws.subscribe((status) => pending.push(status.own[0]?.pending.ops ?? -1));
    await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
    while (pending.at(-1) !== 1) await new Promise((resolve) => setTimeout(resolve, 20));
    stop();
    await ws.close();
    return pending.length;
  });
  expect(told).toBeLessThan(5);
});

test('a browser without Ed25519 keeps a software key and says so', async () => {
  const keys = await page.evaluate(async () => {
    const { ws, shop } = await lab.shop('software', { fault: 'no-ed25519' });
    await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
    const first = (await ws.status()).key;
    await ws.close();
    const again = await lab.open({ store: 'software' });
    const second = (await again.status()).key;
    await again.close();
    return [first, second];
  });
  expect(keys).toEqual(['software', 'software']);
});
