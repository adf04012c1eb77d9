// Five tabs save into one store without pause while owners end at random moments and by several means; afterwards every acknowledged save stands
// exactly once. A few in the tests, for a minute and more in the gates.
import type { Page } from 'playwright';
import { Device, serveLab } from './harness.ts';
import { mulberry32 } from './random.ts';

export interface FiveTabs {
  readonly seed: number;
  /** How often an owner was ended. */
  readonly handOvers: number;
  readonly acked: number;
  readonly lost: number;
  readonly doubled: number;
  /** Saves answered with an error: none is expected, an owner that ends is no failure of a save. */
  readonly failed: readonly string[];
  readonly byMeans: Readonly<Record<string, number>>;
  /** Time without an acknowledgement around each end of an owner, ms, sorted. */
  readonly gapsMs: readonly number[];
}

interface Sale {
  readonly sale: string;
  readonly group: string;
  readonly seq: number;
}

const tabCount = 5;
const store = 'five-tabs';

const means: Readonly<Record<string, (owner: Page) => Promise<unknown>>> = {
  close: (owner) => owner.close(),
  reload: (owner) => owner.reload(),
  crash: async (owner) => {
    const session = await owner.context().newCDPSession(owner);
    const crashed = new Promise((resolve) => owner.once('crash', resolve));
    session.send('Page.crash').catch(() => undefined);
    await crashed;
    await owner.close();
  },
  endWorker: (owner) => owner.evaluate(() => lab.endWorker()),
};

export async function runFiveTabs(options: {
  readonly seed: number;
  readonly handOvers: number;
  readonly onProgress?: (line: string) => void;
}): Promise<FiveTabs> {
  const site = await serveLab();
  const device = await Device.make();
  const random = mulberry32(options.seed);
  const acked: (Sale & { readonly atMs: number })[] = [];
  const failed: string[] = [];
  const byMeans: Record<string, number> = {};
  const endedAtMs: number[] = [];
  let tabs: Page[] = [];

  const openTab = async (isFirst: boolean): Promise<Page> => {
    const page = await device.page(site.origin);
    await page.exposeFunction('acknowledge', (sale: Sale) => acked.push({ ...sale, atMs: Date.now() }));
    await page.exposeFunction('fail', (what: string) => failed.push(what));
    await sell(page, isFirst);
    return page;
  };

  try {
    for (let i = 0; i < tabCount; i++) tabs.push(await openTab(i === 0));
    while (endedAtMs.length < options.handOvers) {
      await pause(300 + random() * 1_200);
      const owner = await ownerAmong(tabs);
      if (owner === undefined) continue; // between two owners
      const names = Object.keys(means);
      const name = names[Math.floor(random() * names.length)] as string;
      byMeans[name] = (byMeans[name] ?? 0) + 1;
      endedAtMs.push(Date.now());
      await means[name]?.(owner);
      options.onProgress?.(`owner ended by ${name}; ${acked.length} saves acknowledged`);
      if (name === 'reload') await sell(owner, false);
      tabs = tabs.filter((tab) => !tab.isClosed());
      while (tabs.length < tabCount) tabs.push(await openTab(false));
    }
    await pause(1_500);
    for (const tab of tabs) await tab.close();
    const found = await readAll(await device.page(site.origin));
    const places = new Map(found.groups.map(({ id, seq }) => [id, seq]));
    return {
      ...{ seed: options.seed, handOvers: endedAtMs.length, acked: acked.length, failed, byMeans },
      lost: acked.filter(({ group, seq, sale }) => places.get(group) !== seq || !found.sales.has(sale)).length,
      doubled:
        found.rows -
        found.sales.size +
        (found.groups.length - places.size) +
        (acked.length - new Set(acked.map(({ group }) => group)).size),
      gapsMs: endedAtMs.map((at) => gapAround(acked, at)).sort((a, b) => a - b),
    };
  } finally {
    await device.remove();
    await site.close();
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function ownerAmong(tabs: readonly Page[]): Promise<Page | undefined> {
  for (const tab of tabs) if (await tab.evaluate((name) => lab.owns(name), store)) return tab;
  return undefined;
}

/** One save after another for as long as the tab lives; returns when the first stands. */
function sell(page: Page, isFirst: boolean): Promise<void> {
  return page.evaluate(
    async ({ isFirst, store }) => {
      const { acknowledge, fail } = globalThis as unknown as { acknowledge(sale: Sale): Promise<void>; fail(what: string): Promise<void> };
      const shop = isFirst ? (await lab.shop(store)).shop : await (await lab.open({ store })).open('till', 'till-1');
      const tab = crypto.randomUUID();
      const one = async (n: number): Promise<void> => {
        const sale = `${tab}-${n}`;
        try {
          const { ref } = await shop.save('sale.line', { sale, sku: 'A', qty: 1, cents: 1 });
          void acknowledge({ sale, group: ref.group, seq: ref.lastSeq });
        } catch (error) {
          void fail(String(error));
        }
      };
      await one(0);
      void (async () => {
        // A breath between saves: five tabs that save as fast as they can leave a small machine no time to open another.
        for (let n = 1; ; n++, await new Promise((resolve) => setTimeout(resolve, 5))) await one(n);
      })();
    },
    { isFirst, store },
  );
}

async function readAll(page: Page) {
  const found = await page.evaluate(async (store) => {
    const ws = await lab.open({ store });
    const shop = await ws.open('till', 'till-1');
    const groups: { id: string; seq: number }[] = [];
    const sales: string[] = [];
    const step = 5_000;
    for (let last = 0; ; ) {
      const [some] = await shop.read([
        lab.sql<{
          id: string;
          seq: number;
        }>`SELECT lower(hex(id)) AS id, last_seq AS seq FROM foldlog_group WHERE last_seq > ${last} ORDER BY last_seq LIMIT ${step}`,
      ]);
      groups.push(...some);
      last = some.at(-1)?.seq ?? last;
      if (some.length < step) break;
    }
    for (let last = ''; ; ) {
      const [some] = await shop.read([
        lab.sql<{ sale: string }>`SELECT sale FROM saleLine WHERE sale > ${last} ORDER BY sale LIMIT ${step}`,
      ]);
      sales.push(...some.map(({ sale }) => sale));
      last = some.at(-1)?.sale ?? last;
      if (some.length < step) break;
    }
    await ws.close();
    return { groups, sales };
  }, store);
  return { groups: found.groups, sales: new Set(found.sales), rows: found.sales.length };
}

function gapAround(acked: readonly { readonly atMs: number }[], at: number): number {
  const after = acked.findIndex(({ atMs }) => atMs > at);
  if (after < 1) return 0;
  let widest = 0;
  for (let i = after; i < acked.length && (acked[i - 1]?.atMs ?? 0) < at + 3_000; i++) {
    widest = Math.max(widest, (acked[i]?.atMs ?? 0) - (acked[i - 1]?.atMs ?? 0));
  }
  return widest;
}
