// An app that is updated in a real browser: the page and worker of the build before, then those of this one, on one store.
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

test.each(['opfs-pool', 'indexeddb'] as const)(
  'rows of the older build are there after the update, in the new tables: %s',
  async (backend) => {
    const store = `evolution-${backend}`;
    const before = await page.evaluate(
      async ([name, where]) => {
        const ws = await lab.open({ store: name, backends: [where], isOlder: true });
        await ws.create({ name, device: 'Office' });
        const shelf = await ws.open('catalogue', 'main');
        await shelf.save('product.named', { sku: 'A', name: 'mug' });
        const { own } = await ws.status();
        await ws.close();
        return own[0];
      },
      [store, backend] as const,
    );
    expect(before).toMatchObject({ savedSeq: 1, schema: { version: 1, foldIdOf: 'declared', moved: undefined } });
    await reload(page);
    const after = await page.evaluate(
      async ([name, where]) => {
        const ws = await lab.open({ store: name, backends: [where] });
        const shelf = await ws.open('catalogue', 'main');
        await shelf.save('product.named', { sku: 'B', name: 'cup' });
        const [rows] = await shelf.read([lab.sql`SELECT sku, name, shelf FROM product ORDER BY sku`]);
        const { own, backend: found } = await ws.status();
        await ws.close();
        return { rows, own: own[0], found };
      },
      [store, backend] as const,
    );
    expect(after.found).toBe(backend);
    expect(after.rows).toEqual([
      { sku: 'A', name: 'mug', shelf: 'none' },
      { sku: 'B', name: 'cup', shelf: 'none' },
    ]);
    expect(after.own).toMatchObject({ savedSeq: 3, schema: { version: 2, moved: { atSeq: 2, fromFold: before?.schema.foldId } } });
    await reload(page);
    const older = await page.evaluate(
      async ([name, where]) => {
        const ws = await lab.open({ store: name, backends: [where], isOlder: true });
        const refused = await lab.failureOf(ws.open('catalogue', 'main'));
        await ws.close();
        return refused;
      },
      [store, backend] as const,
    );
    expect(older).toMatchObject({ isFoldlog: true, kind: 'upgradeNeeded', reason: 'newerSchema' });
    await reload(page);
  },
);
