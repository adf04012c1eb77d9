// Several tabs on one store: one owns it, the others work through it, and whatever ends the owner, calls go on with the next: none lost, none doubled.
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Workspace } from '../../worker/browser/page.ts';
import type { catalogue, till } from './app/shards.ts';
import { runFiveTabs } from './five-tabs.ts';
import { Device, type Site, serveLab } from './harness.ts';

type Held = {
  ws: Workspace<readonly [typeof till, typeof catalogue]>;
  rows: readonly unknown[];
  sold: string[];
  failures: string[];
  isOver: boolean;
  /** Ends with the save that was under way when it was told to stop. */
  selling: Promise<void>;
};
declare global {
  var held: Held;
}

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

const newTab = (): Promise<Page> => device.page(site.origin);

/** Opens the store in a tab, with a live query, and keeps both there. */
async function openIn(page: Page, store: string, isFirst = false): Promise<void> {
  await page.evaluate(
    async ({ store, isFirst }) => {
      const ws = isFirst ? (await lab.shop(store)).ws : await lab.open({ store });
      const shop = await ws.open('till', 'till-1');
      const held: Held = { ws, rows: [], sold: [], failures: [], isOver: false, selling: Promise.resolve() };
      const live = shop.live(lab.sql<{ sale: string }>`SELECT sale, sku FROM saleLine ORDER BY sale`, { key: ['sale', 'sku'] as never });
      live.subscribe((rows) => {
        held.rows = rows;
      });
      live.subscribeError((error) => held.failures.push(`live: ${error.message}`));
      globalThis.held = held;
    },
    { store, isFirst },
  );
}

const sell = (page: Page, sale: string) =>
  page.evaluate(async (sale) => {
    const shop = await held.ws.open('till', 'till-1');
    return (await shop.save('sale.line', { sale, sku: 'A', qty: 1, cents: 1 })).ref;
  }, sale);

/** Sells one after another until told to stop; keeps what was acknowledged. */
const sellOn = (page: Page, name: string): Promise<void> =>
  page.evaluate(async (name) => {
    const shop = await held.ws.open('till', 'till-1');
    held.selling = (async () => {
      for (let n = 0; !held.isOver; n++) {
        const sale = `${name}-${n}`;
        const failure = await lab.failureOf(shop.save('sale.line', { sale, sku: 'A', qty: 1, cents: 1 }));
        if (failure === undefined) held.sold.push(sale);
        else held.failures.push(`${sale}: ${JSON.stringify(failure)}`);
      }
    })();
  }, name);

const stopSelling = (page: Page): Promise<{ sold: string[]; failures: string[] }> =>
  page.evaluate(async () => {
    held.isOver = true;
    await held.selling;
    return { sold: held.sold, failures: held.failures };
  });

const salesIn = (page: Page): Promise<{ rows: string[]; ids: number; groups: number }> =>
  page.evaluate(async () => {
    const shop = await held.ws.open('till', 'till-1');
    const [rows, [count]] = await shop.read([
      lab.sql<{ sale: string }>`SELECT sale FROM saleLine ORDER BY sale`,
      lab.sql<{ ids: number; groups: number }>`SELECT count(DISTINCT id) AS ids, count(*) AS groups FROM foldlog_group`,
    ]);
    return { rows: rows.map(({ sale }) => sale), ids: count?.ids ?? 0, groups: count?.groups ?? 0 };
  });

const liveRows = (page: Page): Promise<number> => page.evaluate(() => held.rows.length);

test('two tabs save and read through one owner, and each sees what the other saved', async () => {
  const [first, second] = [await newTab(), await newTab()];
  await openIn(first, 'two', true);
  await openIn(second, 'two');
  expect(await sell(first, 'S1')).toMatchObject({ firstSeq: 1 });
  expect(await sell(second, 'S2')).toMatchObject({ firstSeq: 2 });
  await expect.poll(() => liveRows(first)).toBe(2);
  await expect.poll(() => liveRows(second)).toBe(2);
  const status = await second.evaluate(() => held.ws.status());
  expect(status).toMatchObject({ backend: 'opfs-pool', own: [{ savedSeq: 2 }] });
  const refused = await second.evaluate(async () => {
    const shop = await held.ws.open('till', 'till-1');
    return lab.failureOf(shop.save('sale.line', { sale: 'S3', sku: '', qty: 1, cents: 1 }));
  });
  expect(refused).toMatchObject({ isFoldlog: true, kind: 'misuse' });
  await second.close();
  expect(await sell(first, 'S4')).toMatchObject({ firstSeq: 3 });
  await first.close();
});

test('a result of several megabytes crosses to another tab whole, bytes and all', async () => {
  const [first, second] = [await newTab(), await newTab()];
  await openIn(first, 'large', true);
  await openIn(second, 'large');
  const seen = await second.evaluate(async () => {
    const shop = await held.ws.open('till', 'till-1');
    await shop.save('stock.fill', {});
    const [rows, [odd]] = await shop.read([
      lab.sql<{ note: string }>`SELECT sku, note FROM stock`,
      lab.sql<{ blob: Uint8Array; big: bigint; none: null }>`SELECT x'00ff10' AS blob, 9007199254740993 AS big, NULL AS none`,
    ]);
    return {
      rows: rows.length,
      length: rows.reduce((sum, { note }) => sum + note.length, 0),
      blob: [...(odd?.blob ?? [])],
      big: String(odd?.big),
      none: odd?.none,
    };
  });
  expect(seen).toEqual({ rows: 3_000, length: 6_000_000, blob: [0, 255, 16], big: '9007199254740993', none: null });
  await first.close();
  await second.close();
});

describe('while two other tabs sell, the owner', () => {
  const ends: Readonly<Record<string, (owner: Page) => Promise<unknown>>> = {
    'is closed': (owner) => owner.close(),
    'closes the workspace': (owner) => owner.evaluate(() => held.ws.close()),
    'navigates away': (owner) => owner.goto('about:blank'),
    crashes: async (owner) => {
      const session = await owner.context().newCDPSession(owner);
      const crashed = new Promise((resolve) => owner.once('crash', resolve));
      session.send('Page.crash').catch(() => undefined);
      await crashed;
    },
    'loses its worker': (owner) => owner.evaluate(() => lab.endWorker()),
  };
  for (const [name, end] of Object.entries(ends)) {
    test(`${name}: every save is acknowledged once, and live queries go on`, async () => {
      const store = name.replaceAll(' ', '-');
      const tabs = [await newTab(), await newTab(), await newTab()] as const;
      const [owner, ...others] = tabs;
      await openIn(owner, store, true);
      for (const other of others) await openIn(other, store);
      for (const [i, other] of others.entries()) await sellOn(other, `tab${i}`);
      await expect.poll(() => liveRows(others[0] as Page)).toBeGreaterThan(20);
      await end(owner);
      const before = (await salesIn(others[1] as Page)).rows.length;
      await expect.poll(async () => (await salesIn(others[1] as Page)).rows.length).toBeGreaterThan(before + 20);
      const ledgers = [];
      for (const other of others) ledgers.push(await stopSelling(other));
      expect(ledgers.flatMap(({ failures }) => failures)).toEqual([]);
      const found = await salesIn(others[0] as Page);
      for (const { sold } of ledgers) expect(found.rows).toEqual(expect.arrayContaining(sold));
      expect(new Set(found.rows).size).toBe(found.rows.length);
      expect(found.ids).toBe(found.groups);
      await expect.poll(() => liveRows(others[0] as Page)).toBe(found.rows.length);
      await expect.poll(() => liveRows(others[1] as Page)).toBe(found.rows.length);
      for (const tab of tabs) if (!tab.isClosed()) await tab.close();
    });
  }
});

describe('another build', () => {
  test('that is older gives way to a newer tab and is told to reload', async () => {
    const [old, fresh] = [await newTab(), await newTab()];
    await old.evaluate(async () => {
      const ws = await lab.open({ store: 'skew', isOlder: true });
      await ws.create({ name: 'skew', device: 'Till 1' });
      const shop = await ws.open('till', 'till-1');
      await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
      globalThis.held = { ws, rows: [], sold: [], failures: [], isOver: false, selling: Promise.resolve() };
    });
    await openIn(fresh, 'skew');
    expect(await sell(fresh, 'S2')).toMatchObject({ firstSeq: 2 });
    const told = await old.evaluate(() => lab.failureOf(held.ws.status()));
    expect(told).toMatchObject({ kind: 'reloadNeeded', reason: 'otherSchema', where: 'shard definition catalogue' });
    await old.close();
    await fresh.close();
  });

  test('that is newer keeps the store, and the older tab is told to reload', async () => {
    const [fresh, old] = [await newTab(), await newTab()];
    await openIn(fresh, 'skew2', true);
    const told = await old.evaluate(() => lab.failureOf(lab.open({ store: 'skew2', isOlder: true })));
    expect(told).toMatchObject({ kind: 'reloadNeeded', reason: 'otherSchema' });
    expect(await sell(fresh, 'S1')).toMatchObject({ firstSeq: 1 });
    await old.close();
    await fresh.close();
  });
});

/** Headless pages are always visible, and none is kept in the back-forward cache by a driver: what the browser would tell the page is told here. */
const tell = (page: Page, event: 'hidden' | 'visible' | 'pagehide' | 'pageshow'): Promise<void> =>
  page.evaluate((event) => {
    if (event === 'pagehide' || event === 'pageshow') {
      dispatchEvent(new PageTransitionEvent(event, { persisted: true }));
      return;
    }
    Object.defineProperty(document, 'visibilityState', { value: event, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, event);

/** Lock that names the worker which has the store: ends with its tab. */
const ownerOf = (page: Page, store: string): Promise<string | undefined> =>
  page.evaluate(async (store) => {
    const { held = [] } = await navigator.locks.query();
    return held.find(({ name }) => name === `foldlog/${store}`)?.clientId;
  }, store);

test('a hidden owner hands over to a visible tab that wants the store, and keeps it when nobody does', async () => {
  const [first, second] = [await newTab(), await newTab()];
  await openIn(first, 'hidden', true);
  const before = await ownerOf(first, 'hidden');
  await tell(first, 'hidden');
  await sell(first, 'S1');
  expect(await ownerOf(first, 'hidden')).toBe(before);
  await openIn(second, 'hidden');
  await expect.poll(() => ownerOf(second, 'hidden')).not.toBe(before);
  const after = await ownerOf(second, 'hidden');
  expect(await sell(first, 'S2')).toMatchObject({ firstSeq: 2 });
  expect(await sell(second, 'S3')).toMatchObject({ firstSeq: 3 });
  await tell(second, 'hidden');
  await tell(first, 'visible');
  await expect.poll(async () => [before, after, undefined].includes(await ownerOf(second, 'hidden'))).toBe(false);
  expect(await sell(second, 'S4')).toMatchObject({ firstSeq: 4 });
  await first.close();
  await second.close();
});

test('a page in the back-forward cache holds nothing, and works again when it comes back', async () => {
  const [first, second] = [await newTab(), await newTab()];
  await openIn(first, 'cached', true);
  await openIn(second, 'cached');
  await sell(first, 'S1');
  await tell(first, 'pagehide');
  expect(await sell(second, 'S2')).toMatchObject({ firstSeq: 2 });
  await tell(first, 'pageshow');
  expect(await sell(first, 'S3')).toMatchObject({ firstSeq: 3 });
  await expect.poll(() => liveRows(first)).toBe(3);
  await first.close();
  await second.close();
});

test('an owner that is frozen is named in time; thawed, it goes on, and nothing is doubled', async () => {
  const [owner, other] = [await newTab(), await newTab()];
  await openIn(owner, 'frozen', true);
  await openIn(other, 'frozen');
  await sell(other, 'S1');
  await owner.evaluate(() => lab.freezeWorker(8_000));
  const began = Date.now();
  const failure = await other.evaluate(() => lab.failureOf(held.ws.open('till', 'till-1')));
  expect(failure).toMatchObject({
    isFoldlog: true,
    kind: 'unavailable',
    reason: 'ownerStuck',
    found: expect.stringContaining('says nothing'),
  });
  expect(Date.now() - began).toBeLessThan(8_000);
  const group = '11'.repeat(16);
  const stuck = await other.evaluate(async (group) => {
    const shop = await held.ws.open('till', 'till-1');
    return (await shop.save('sale.line', { sale: 'S2', sku: 'A', qty: 1, cents: 1 }, { group })).ref;
  }, group);
  expect(stuck).toMatchObject({ firstSeq: 2, group });
  expect((await salesIn(owner)).rows).toEqual(['S1', 'S2']);
  await owner.close();
  await other.close();
});

test('five tabs save while owners end at random: every acknowledged save stands once (seed 20261121)', async () => {
  const found = await runFiveTabs({ seed: 20261121, handOvers: 6 });
  expect(found).toMatchObject({ lost: 0, doubled: 0, failed: [] });
  expect(found.acked).toBeGreaterThan(100);
});
