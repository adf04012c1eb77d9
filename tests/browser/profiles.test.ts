// The till's main path on a phone, a tablet and a desk, in Chromium's emulation of their screens, hands and speed: a sale, a reload, the sale is
// still there; nothing is wider than the screen, and what a finger must hit is large enough. Emulated: no real phone is claimed.
import { type BrowserContextOptions, devices, type Locator, type Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type DemoSite, serveDemo } from './demo-site.ts';
import { Device } from './harness.ts';

interface Profile {
  readonly name: string;
  readonly look: BrowserContextOptions;
  /** How many times slower than this machine its processor is made. */
  readonly slowdown: number;
}

const profiles: readonly Profile[] = [
  { name: 'phone', look: { ...devices['Pixel 7'], viewport: { width: 360, height: 740 } }, slowdown: 4 },
  { name: 'tablet', look: devices['Galaxy Tab S4'] ?? {}, slowdown: 2 },
  { name: 'desktop', look: { viewport: { width: 1440, height: 900 } }, slowdown: 1 },
];

const targetPxMin = 40;
let site: DemoSite;

beforeAll(async () => {
  site = await serveDemo();
});

afterAll(async () => {
  await site?.close();
});

test.each(profiles)('on a $name a sale is there after a reload, on screens that fit, with targets to hit', async ({ look, slowdown }) => {
  const device = await Device.make({ ...look, locale: 'en-IE' });
  try {
    const page = await device.open(site.url);
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Emulation.setCPUThrottlingRate', { rate: slowdown });
    const hit = (what: Locator): Promise<void> => (look.hasTouch ? what.tap() : what.click());

    await hit(page.getByRole('button', { name: 'Open a new shop' }));
    await page.getByLabel('Name of the shop').fill('Harbour Gifts');
    await hit(page.getByRole('button', { name: 'Open the shop' }));
    await page.getByLabel('I have stored it').check();
    await hit(page.getByRole('button', { name: 'Start selling' }));
    await hit(page.getByRole('button', { name: 'Glass lantern' }));
    await requireFits(page, look.hasTouch ?? false);
    const bar = page.getByRole('button', { name: '1 item' });
    if (await bar.isVisible()) await hit(bar);
    await requireFits(page, look.hasTouch ?? false);
    await hit(page.getByRole('button', { name: 'Card', exact: true }));
    await hit(page.getByRole('button', { name: 'Next sale' }));
    await page.getByText('1 sale today', { exact: true }).waitFor();

    await page.reload();
    await page.getByText('1 sale today', { exact: true }).waitFor();
    await hit(page.getByRole('button', { name: 'Sales', exact: true }));
    await page.getByRole('button', { name: /€19\.50/ }).waitFor();
    await requireFits(page, look.hasTouch ?? false);
  } finally {
    await device.remove();
  }
});

async function requireFits(page: Page, isTouched: boolean): Promise<void> {
  const found = await page.evaluate((min) => {
    // What is tapped for a box to tick is its label.
    const targets = [...document.querySelectorAll<HTMLElement>('button, a[href], summary, input')].map(
      (element) => element.closest('label') ?? element,
    );
    const small = targets
      .filter((element) => element.checkVisibility({ visibilityProperty: true }))
      .map((element) => ({ words: element.textContent || element.ariaLabel || element.outerHTML, box: element.getBoundingClientRect() }))
      .filter(({ box }) => box.height < min || box.width < min)
      .map(({ words, box }) => `${words}: ${box.width} × ${box.height}`);
    return { widest: document.documentElement.scrollWidth, width: innerWidth, targets: targets.length, small };
  }, targetPxMin);
  expect(found.widest).toBeLessThanOrEqual(found.width);
  expect(found.targets).toBeGreaterThan(5);
  if (isTouched) expect(found.small).toEqual([]);
}
