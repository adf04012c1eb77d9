// The self-test page as a person uses it: started, reloaded, read; and that it says so when something saved is gone, in part or altogether.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Check, Report } from '../../demo/selftest/report.ts';
import { type DemoSite, serveDemo } from './demo-site.ts';
import { chromiumPhone } from './engines/chromium.ts';
import { describeEngine, type EngineDevice, type Tab, waitFor } from './engines/engine.ts';
import { firefoxEngine } from './engines/firefox.ts';

let site: DemoSite;

beforeAll(async () => {
  site = await serveDemo();
});

afterAll(async () => {
  await site?.close();
});

for (const engine of [chromiumPhone, firefoxEngine]) {
  describeEngine(engine, () => {
    let device: EngineDevice;
    let tab: Tab;

    beforeAll(async () => {
      device = await engine.makeDevice();
      tab = await device.open(`${site.url}/selftest`);
      await until(tab, 'new');
    });

    afterAll(async () => {
      await device?.remove();
    });

    test('passes every check up to the reload, with latencies and floors', async () => {
      await press(tab, 'Start the test');
      await until(tab, 'reload');
      const { checks, measures, storage, savedOps } = await reportOf(tab);
      expect(statesOf(checks)).toEqual([...Array(7).fill('passed'), 'waiting']);
      expect(storage).toMatchObject({ backend: 'opfs-pool', durability: 'durable', key: 'sealed' });
      expect(savedOps).toBe(50 + 2_000 + 5_000);
      const latency = { p50Ms: expect.any(Number), p95Ms: expect.any(Number) };
      const lane = (ops: number, saves: number) => ({ ops, saves, save: latency, opfsFloor: latency, indexedDbFloor: latency });
      expect(measures).toEqual([lane(1, 50), lane(100, 20), lane(1_000, 5)]);
    });

    test('says "survived" after the reload, and again after the next', async () => {
      for (const times of ['the reload', '2 reloads']) {
        await tab.reload();
        await until(tab, 'passed');
        const { checks } = await reportOf(tab);
        expect(checks.at(-1)).toMatchObject({ state: 'passed', words: `Survived ${times}: all 7,050 entries.` });
      }
      expect(await tab.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    });

    test('fails when the saved files are gone', async () => {
      await tab.evaluate(async () => {
        const root = await navigator.storage.getDirectory();
        await root.removeEntry('foldlog', { recursive: true });
      });
      await tab.reload();
      await until(tab, 'failed');
      const { checks } = await reportOf(tab);
      expect(checks.at(-1)).toMatchObject({
        state: 'failed',
        words: expect.stringContaining('found nothing of own shard selftest/entries'),
      });
    });

    test('fails when the browser forgot everything, because the address remembers', async () => {
      await tab.evaluate(() => localStorage.clear());
      await tab.reload();
      await until(tab, 'failed');
      const { checks } = await reportOf(tab);
      expect(checks.at(-1)).toMatchObject({ state: 'failed', words: expect.stringContaining('gone') });
    });

    test('starts again from nothing, and removes all it made', async () => {
      await press(tab, 'Test again');
      await until(tab, 'reload');
      expect(await tab.evaluate(whatIsKept)).toMatchObject({
        stores: ['selftest', 'selftest.probe'],
        databases: expect.arrayContaining(['foldlog/selftest']),
        texts: 1,
      });
      await press(tab, 'Remove test data');
      await until(tab, 'new');
      expect(await tab.evaluate(whatIsKept)).toEqual({ stores: [], databases: ['foldlog-proofs'], texts: 0, hash: '' });
    });
  });
}

const until = (tab: Tab, verdict: string): Promise<void> =>
  waitFor(tab, `document.querySelector('.verdict')?.dataset.verdict === '${verdict}'`);

const press = (tab: Tab, label: string): Promise<void> =>
  tab.evaluate((text) => {
    const found = [...document.querySelectorAll('button')].find((button) => button.textContent === text && button.checkVisibility());
    if (found === undefined) throw new Error(`no button "${text}" to press`);
    found.click();
  }, label);

/** In the page: everything this origin keeps. */
async function whatIsKept() {
  const stores: string[] = [];
  const root = await navigator.storage.getDirectory();
  for await (const name of (await root.getDirectoryHandle('foldlog')).keys()) stores.push(name);
  const databases = (await indexedDB.databases()).map(({ name }) => name);
  return { stores: stores.sort(), databases, texts: localStorage.length, hash: location.hash };
}

const reportOf = async (tab: Tab): Promise<Report> =>
  JSON.parse(await tab.evaluate(() => document.querySelector('.results')?.textContent ?? '')) as Report;

const statesOf = (checks: readonly Check[]): readonly string[] => checks.map(({ state }) => state);
