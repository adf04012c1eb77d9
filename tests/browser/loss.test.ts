// What a real Chromium leaves when files or vault are deleted behind the store's back, and when a bit of a stored file flips between two runs of the
// browser: told, never an empty shop. The choices an app has then: tests/worker/loss.test.ts.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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

/** A store with one sale, closed again. */
const sellOnce = (store: string): Promise<void> =>
  page.evaluate(async (store) => {
    const { ws, shop } = await lab.shop(store);
    await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
    await ws.close();
  }, store);

const failureOfOpening = (store: string) => page.evaluate((store) => lab.failureOf(lab.open({ store })), store);

/** A worker that just ended may hold its files a moment longer. */
const deleteFiles = (store: string): Promise<void> =>
  page.evaluate(async (store) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('foldlog');
    for (let attempt = 0; ; attempt++) {
      try {
        return await folder.removeEntry(store, { recursive: true });
      } catch (error) {
        if (attempt === 40) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }, store);

const deleteVault = (store: string): Promise<void> =>
  page.evaluate(
    (store) =>
      new Promise<void>((resolve, reject) => {
        const request = indexedDB.deleteDatabase(`foldlog/${store}`);
        request.onsuccess = () => resolve();
        request.onerror = () => reject(request.error);
      }),
    store,
  );

describe('deleted behind the store', () => {
  test('files gone, vault there: told by name, and again the next time; by choice the store goes on without them', async () => {
    await sellOnce('no-files');
    await deleteFiles('no-files');
    const told = { kind: 'corrupt', reason: 'missingFile', found: expect.stringContaining('own shard till/till-1') };
    expect(await failureOfOpening('no-files')).toMatchObject(told);
    expect(await failureOfOpening('no-files')).toMatchObject(told);
    const seen = await page.evaluate(async () => {
      const ws = await lab.open({ store: 'no-files', onLoss: 'follow' });
      const same = await lab.failureOf(ws.open('till', 'till-1'));
      const { lost } = await ws.status();
      await ws.close();
      return { same, lost };
    });
    expect(seen).toMatchObject({ same: { kind: 'corrupt', reason: 'missingFile' }, lost: [{ kind: 'till', name: 'till-1', why: 'file' }] });
  });

  test('vault gone, files there: told; by choice they can be read, and nothing is signed by another key', async () => {
    await sellOnce('no-vault');
    await deleteVault('no-vault');
    expect(await failureOfOpening('no-vault')).toMatchObject({ kind: 'corrupt', reason: 'keyLost' });
    const seen = await page.evaluate(async () => {
      const ws = await lab.open({ store: 'no-vault', onLoss: 'follow' });
      const shop = await ws.open('till', 'till-1');
      const [[count] = []] = await shop.read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
      const refused = await lab.failureOf(shop.save('sale.line', { sale: 'S2', sku: 'A', qty: 1, cents: 1 }));
      await ws.close();
      return { count, refused };
    });
    expect(seen).toMatchObject({ count: { n: 1 }, refused: { kind: 'corrupt', reason: 'keyLost' } });
  });

  test('all of the origin cleared: nothing bears witness any more, and the store is a new one', async () => {
    await sellOnce('cleared-all');
    const session = await page.context().newCDPSession(page);
    await session.send('Storage.clearDataForOrigin', { origin: new URL(site.origin).origin, storageTypes: 'all' });
    await session.detach();
    await reload(page); // Chromium ends what the page had from before
    const status = await page.evaluate(async () => {
      const ws = await lab.open({ store: 'cleared-all' });
      const { workspace, own } = await ws.status();
      await ws.close();
      return { workspace: workspace?.id, own };
    });
    expect(status).toEqual({ workspace: undefined, own: [] });
  });
});

test('one flipped bit in the slot of a database, between two runs of the browser: told, and flipped back everything is there', async () => {
  await sellOnce('flipped');
  await device.stop();
  const slot = await slotOf(device.profile, 'foldlog/flipped', '/s-');
  await flipBit(slot, 9);
  page = await device.page(site.origin);
  expect(await failureOfOpening('flipped')).toMatchObject({ kind: 'corrupt', reason: 'damagedSlot' });
  await device.stop();
  await flipBit(slot, 9);
  page = await device.page(site.origin);
  const count = await page.evaluate(async () => {
    const ws = await lab.open({ store: 'flipped' });
    const [[count] = []] = await (await ws.open('till', 'till-1')).read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
    await ws.close();
    return count;
  });
  expect(count).toEqual({ n: 1 });
});

/** The file in the profile that holds a database whose name begins so: found by the name in its first bytes. */
async function slotOf(profile: string, store: string, prefix: string): Promise<string> {
  const entries = await readdir(join(profile, 'Default', 'File System'), { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const head = (await readFile(path)).subarray(0, 512).toString('latin1');
    if (head.startsWith(prefix) && head.slice(0, head.indexOf('\0')).endsWith('.db')) return path;
  }
  throw new Error(`no slot of ${store} in the profile`);
}

async function flipBit(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[at] = (bytes[at] as number) ^ 4;
  await writeFile(path, bytes);
}
