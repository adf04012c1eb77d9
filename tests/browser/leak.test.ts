// The engine finds out by itself that a SQLite build shows what a killed worker left half done, before any shard is opened on it.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Device, serveLab } from './harness.ts';

let device: Device;

beforeAll(async () => {
  device = await Device.make();
});

afterAll(async () => {
  await device?.remove();
});

const openOn = async (alias: Readonly<Record<string, string>>) => {
  const site = await serveLab(alias);
  try {
    const page = await device.page(site.origin);
    return await page.evaluate(async () => {
      const { ws, shop } = await lab.shop('leak');
      await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
      const { backend, verdict } = await ws.status();
      const proofs = await new Promise<number>((resolve, reject) => {
        const opening = indexedDB.open('foldlog-proofs');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const counting = opening.result.transaction('proof').objectStore('proof').count();
          counting.onsuccess = () => {
            opening.result.close();
            resolve(counting.result);
          };
        };
      });
      await ws.close();
      return { backend, verdict, proofs };
    });
  } finally {
    await site.close();
  }
};

test('the shipped build is asked once and passes', async () => {
  expect(await openOn({})).toMatchObject({ backend: 'opfs-pool', proofs: 1 });
});

test('a build that leaks is refused: files go to IndexedDB, and why is said', async () => {
  const found = await openOn({ '@sqlite.org/sqlite-wasm': 'sqlite-wasm-broken' });
  expect(found).toMatchObject({ backend: 'indexeddb', proofs: 0 });
  expect(found.verdict).toMatch(/SQLite on OPFS: (\d+ of 200 rows of a transaction that never ended|.*malformed)/);
});
