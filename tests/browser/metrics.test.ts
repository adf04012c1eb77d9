// What a page learns of its store in a real Chromium: numbers, alerts that rise and fall, a refusal while there is still room on disk, and a battery
// that only the page can see and the worker has to know.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Device, type Site, serveLab } from './harness.ts';

let site: Site;
let device: Device;

beforeAll(async () => {
  site = await serveLab();
  device = await Device.make();
});

afterAll(async () => {
  await device?.remove();
  await site?.close();
});

test('metrics say where files are, how large they are and what the browser grants', async () => {
  const page = await device.page(site.origin);
  const { first, later } = await page.evaluate(async () => {
    const { ws, shop } = await lab.shop('metrics');
    const before = await ws.metrics();
    await shop.save('stock.fill', {});
    const after = await ws.metrics();
    await ws.close();
    return { first: before, later: after };
  });
  expect(first.values).toMatchObject({ vfs_backend: 'opfs-pool', offline_queue_mb: 0, open_period_ops: 0 });
  expect(first.values.quota_used_pct).toBeGreaterThanOrEqual(0);
  expect(first.values.quota_used_pct).toBeLessThan(70);
  expect(later.values.db_file_size_mb).toBeGreaterThan(first.values.db_file_size_mb);
  expect(later.values.fold_ms_p95).toBeGreaterThan(0);
});

test("a save beyond the app's bound is refused, keeps nothing, and the same save goes through in a store opened without it", async () => {
  const page = await device.page(site.origin);
  const found = await page.evaluate(async () => {
    const bounded = await lab.shop('bounded', { storageBytesMax: 1 });
    await bounded.ws.metrics(); // now it has looked
    const failure = await lab.failureOf(bounded.shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 }));
    await bounded.ws.close();
    const ws = await lab.open({ store: 'bounded' });
    const shop = await ws.open('till', 'till-1');
    const read = () => shop.read([lab.sql<{ sale: string }>`SELECT sale FROM saleLine`]);
    const [before] = await read();
    await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
    const [after] = await read();
    await ws.close();
    return { failure, before, after };
  });
  expect(found.failure).toMatchObject({ kind: 'storageFull', reason: 'quotaNear', retry: 'later' });
  expect(found.before).toEqual([]);
  expect(found.after).toEqual([{ sale: 'S1' }]);
});

test('a low battery seen by the page is an alert of the store, and falls when it charges', async () => {
  const page = await device.page(site.origin);
  const found = await page.evaluate(async () => {
    const battery = Object.assign(new EventTarget(), { level: 0.12, charging: false });
    Object.assign(navigator, { getBattery: async () => battery });
    const { ws } = await lab.shop('battery');
    const told: string[] = [];
    const changed = (count: number) =>
      new Promise<void>((resolve) => {
        const stop = ws.onAlert(({ change, alert }) => {
          told.push(`${change} ${alert.name} ${alert.value}`);
          if (told.length < count) return;
          stop();
          resolve();
        });
      });
    // It may have risen while the shop was made: then it stands already.
    const standing = (await ws.metrics()).alerts.map(({ name }) => name);
    if (!standing.includes('lowBattery')) await changed(1);
    const low = await ws.metrics();
    const fell = changed(told.length + 1);
    battery.charging = true;
    battery.dispatchEvent(new Event('chargingchange'));
    await fell;
    const charged = await ws.metrics();
    await ws.close();
    return { low, charged, told };
  });
  expect(found.low.values.battery_pct).toBe(12);
  expect(found.low.alerts.map(({ name }) => name)).toEqual(['lowBattery']);
  expect(found.told.at(-1)).toBe('fell lowBattery 12');
  expect(found.charged.alerts).toEqual([]);
});
