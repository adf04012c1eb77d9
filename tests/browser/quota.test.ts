// Files over IndexedDB in a browser that runs out of room: a save that does not fit is a typed refusal, what was acknowledged is there, and saving
// goes on once there is room again.
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

type Shop = Awaited<ReturnType<typeof lab.shop>>['shop'];

test('a full quota is storageFull; everything acknowledged stays, and saving works again when there is room', async () => {
  const first = await device.page(site.origin);
  const usage = await first.evaluate(async () => {
    const { ws, shop } = await lab.shop('quota', { fault: 'opfs-refuses' });
    await shop.save('stock.fill', {});
    await ws.close();
    return (await navigator.storage.estimate()).usage ?? 0;
  });
  // A running Chromium goes on with the room it saw last: the limit has to be there before IndexedDB is used at all.
  await device.stop();
  const page = await device.page(site.origin);
  const control = await page.context().newCDPSession(page);
  const { origin } = new URL(site.origin);
  await control.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: usage + 4_000_000 });
  const full = await page.evaluate(async () => {
    const ws = await lab.open({ store: 'quota', fault: 'opfs-refuses' });
    const shop = await ws.open('till', 'till-1');
    Object.assign(globalThis, { shop });
    const saved: string[] = [];
    for (let n = 0; n < 20; n++) {
      await shop.save('sale.line', { sale: `S${n}`, sku: 'A', qty: 1, cents: 1 });
      saved.push(`S${n}`);
      const failure = await lab.failureOf(shop.save('stock.count', { round: n }));
      if (failure !== undefined) return { failure, saved };
    }
    return { failure: undefined, saved };
  });
  expect(full.failure).toMatchObject({ kind: 'storageFull', reason: 'indexedDbQuota', retry: 'later' });
  const readable = await page.evaluate(async () => {
    const { shop } = globalThis as unknown as { readonly shop: Shop };
    const [lines] = await shop.read([lab.sql<{ sale: string }>`SELECT sale FROM saleLine`]);
    return lines.map(({ sale }) => sale);
  });
  expect(readable.sort()).toEqual([...full.saved].sort());
  await control.send('Storage.overrideQuotaForOrigin', { origin });
  await page.evaluate(async () => {
    const { shop } = globalThis as unknown as { readonly shop: Shop };
    await shop.save('sale.line', { sale: 'after', sku: 'A', qty: 1, cents: 1 });
    await shop.save('stock.count', { round: 1_000 });
  });
  await device.kill();
  const again = await device.page(site.origin);
  const seen = await again.evaluate(async () => {
    const ws = await lab.open({ store: 'quota', fault: 'opfs-refuses' });
    const shop = await ws.open('till', 'till-1');
    const [lines, stock, check] = await shop.read([
      lab.sql<{ sale: string }>`SELECT sale FROM saleLine`,
      lab.sql<{ rounds: number; round: number }>`SELECT count(DISTINCT round) AS rounds, max(round) AS round FROM stock`,
      lab.sql<{ integrity_check: string }>`PRAGMA integrity_check`,
    ]);
    await ws.close();
    return { lines: lines.map(({ sale }) => sale), stock, check };
  });
  expect(seen.lines.sort()).toEqual([...full.saved, 'after'].sort());
  expect(seen.stock).toEqual([{ rounds: 1, round: 1_000 }]);
  expect(seen.check).toEqual([{ integrity_check: 'ok' }]);
});
