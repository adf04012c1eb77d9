// The demo till as its people use it: built as for production, served by the relay, in browser profiles on disk. One shop lives through
// all tests of this file, in order.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, chromium, type Page } from 'playwright';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type NodeRelay, startRelay } from '../../relay/main.node.ts';
import { launchOptions } from '../../scripts/browser.mjs';

const actionMsMax = 15_000;
const shop = 'Harbour Gifts';
let folder: string;
let relay: NodeRelay;
let desk: Page;
/** What no page of the till may do: errors in the console, refusals by the page's policy, uncaught throws. */
const complaints: string[] = [];
const contexts: BrowserContext[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldlog-demo-'));
  const configFile = fileURLToPath(new URL('../../vite.config.ts', import.meta.url));
  await build({ configFile, logLevel: 'error', build: { outDir: join(folder, 'page'), emptyOutDir: true, sourcemap: false } });
  relay = await serve(0);
  desk = await openProfile('desk', { width: 390, height: 844 });
});

afterAll(async () => {
  for (const context of contexts) await context.close();
  await relay?.close().catch(() => undefined); // a test that failed may have left it closed
  await rm(folder, { recursive: true, force: true });
});

test('a shop is created and sells: the takings count it, the list calls it committed', async () => {
  await desk.goto(relay.url);
  await desk.getByRole('button', { name: 'Open a new shop' }).click();
  await desk.getByLabel('Name of the shop').fill(shop);
  await desk.getByLabel('Name of this till').fill('Front desk');
  await desk.getByRole('button', { name: 'Open the shop' }).click();
  await desk.getByLabel('I have stored it').check();
  await desk.getByRole('button', { name: 'Start selling' }).click();

  await desk.getByLabel('Search products').fill('lantern');
  await desk.getByRole('button', { name: 'Glass lantern' }).click();
  await desk.getByRole('button', { name: '1 item' }).click();
  await desk.getByLabel('One more: Glass lantern').click();
  await desk.getByRole('button', { name: 'Cash', exact: true }).click();
  await desk.getByRole('button', { name: '€50.00' }).click();
  await desk.getByRole('dialog', { name: 'Sold' }).getByText('committed').waitFor();
  expect(await desk.locator('.receipt-change').innerText()).toContain('€11.00');
  await desk.getByRole('button', { name: 'Next sale' }).click();
  await desk.getByText('1 sale today', { exact: true }).waitFor();
  await desk.getByText('€39.00').first().waitFor();
});

test('after a reload the sale is still there, and a second one is undone', async () => {
  await desk.reload();
  await desk.getByText('1 sale today', { exact: true }).waitFor();
  await sellByCard(desk, 'Soap bubbles');
  await desk.getByRole('button', { name: 'Sales', exact: true }).click();
  await desk.getByRole('button', { name: /€39\.00/ }).waitFor();
  await desk.getByRole('button', { name: /€1\.90/ }).click();
  await desk.getByRole('button', { name: 'Undo this sale' }).click();
  await desk.getByRole('button', { name: 'Undo the sale' }).click();
  await desk.getByText('Sale 2 is undone').waitFor();
  await desk.getByText('1 sale today', { exact: true }).waitFor();
});

test('a second device joins by link, sees the first till and sells beside it', async () => {
  await desk.getByRole('button', { name: 'Tills', exact: true }).click();
  await desk.getByRole('button', { name: 'Add a device' }).click();
  const link = await desk.getByLabel('Link for the other device').inputValue();
  await desk.getByRole('button', { name: 'Close' }).click();

  const stall = await openProfile('stall', { width: 1440, height: 900 });
  await stall.goto(link);
  await stall.getByLabel('Name of this till').fill('Market stall');
  await stall.getByRole('button', { name: 'Join the shop' }).click();
  await stall.getByRole('button', { name: 'Glass lantern' }).waitFor();
  expect(stall.url()).not.toContain('foldlog-invite');
  await stall.getByRole('button', { name: 'Tills', exact: true }).click();
  await stall.getByRole('listitem').filter({ hasText: 'Front desk' }).getByText('€39.00').waitFor();

  await sellByCard(stall, 'Wool throw');
  await desk.getByRole('listitem').filter({ hasText: 'Market stall' }).getByText('€69.00').waitFor();
  await desk.getByText('€108.00').waitFor();
});

test('without the relay the page opens from its cache and sells; the sale is committed when the relay is back', async () => {
  await desk.waitForFunction(() => navigator.serviceWorker.controller !== null);
  const { port } = new URL(relay.url);
  await relay.close();
  await desk.reload();
  await sellByCard(desk, 'Kite, diamond');
  await desk.getByText('Offline — selling goes on · 1 not committed').first().waitFor();
  await desk.getByRole('button', { name: 'Sales', exact: true }).click();
  await desk
    .getByRole('button', { name: /€16\.50/ })
    .getByText('saved')
    .waitFor();

  relay = await serve(Number(port));
  await desk.getByRole('button', { name: 'State of syncing' }).click();
  await desk.getByRole('button', { name: 'Sync now' }).click();
  await desk.getByText('All committed').first().waitFor();
  await desk.keyboard.press('Escape');
  await desk
    .getByRole('button', { name: /€16\.50/ })
    .getByText('committed')
    .waitFor();
});

test('a second tab is the same till: it shows the sales, sells, and goes on when the first is closed', async () => {
  const tab = await desk.context().newPage();
  await tab.goto(relay.url);
  await sellByCard(tab, 'Soap bubbles');
  await tab.getByRole('button', { name: 'Sales', exact: true }).click();
  await tab.getByRole('button', { name: /€16\.50/ }).waitFor();
  await desk.getByRole('button', { name: 'Sales', exact: true }).click();
  await desk
    .getByRole('button', { name: /€1\.90/ })
    .first()
    .waitFor();
  await desk.close();
  await sellByCard(tab, 'Kite, diamond');
  await tab.getByRole('button', { name: 'Sales', exact: true }).click();
  await expect.poll(() => tab.getByRole('button', { name: /€16\.50/ }).count()).toBe(2);
});

test('no page complained', () => {
  expect(complaints).toEqual([]);
});

function serve(port: number): Promise<NodeRelay> {
  return startRelay({ folder: join(folder, 'relay'), port, serve: { dir: join(folder, 'page') } });
}

async function openProfile(name: string, viewport: { readonly width: number; readonly height: number }): Promise<Page> {
  const context = await chromium.launchPersistentContext(join(folder, name), { ...launchOptions(), viewport, locale: 'en-IE' });
  contexts.push(context);
  context.setDefaultTimeout(actionMsMax);
  const page = context.pages()[0] ?? (await context.newPage());
  page.on('pageerror', (error) => complaints.push(`${name}: ${error.message}`));
  page.on('console', (message) => {
    // A relay that is not there is logged by the browser itself; the till's own words for it are tested above.
    const isUnreachable = message.text().includes('net::ERR_CONNECTION_REFUSED');
    if (message.type() === 'error' && !isUnreachable) complaints.push(`${name}: ${message.text()}`);
  });
  return page;
}

async function sellByCard(page: Page, product: string): Promise<void> {
  await page.getByRole('button', { name: 'Sell', exact: true }).click();
  await page.getByRole('button', { name: product }).click();
  const bar = page.getByRole('button', { name: '1 item' });
  if (await bar.isVisible()) await bar.click();
  await page.getByRole('button', { name: 'Card', exact: true }).click();
  await page.getByRole('button', { name: 'Next sale' }).click();
  await page.getByText('Tap a product to begin a sale.').waitFor({ state: 'attached' });
}
