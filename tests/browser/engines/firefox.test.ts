// Firefox on the origin private file system, beyond what every engine is asked: killed while it saves, and opened in two tabs.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Site, serveLab } from '../harness.ts';
import { describeEngine, type EngineDevice, pause, type Tab, waitFor } from './engine.ts';
import { firefoxEngine } from './firefox.ts';

const kills = 3;
/** Saves a browser must have acknowledged before it may be killed, and the odd extra wait after that, ms: each kill at another moment. */
const savesMin = 4;
const killDelaysMs = [3, 170, 61] as const;
/** Ops of each group that is judged as a whole. */
const groupOps = 20;

let site: Site;
let journal: Journal;
let device: EngineDevice;

beforeAll(async () => {
  site = await serveLab();
  journal = await openJournal();
});

afterAll(async () => {
  journal?.server.close();
  await site?.close();
});

describeEngine(firefoxEngine, () => {
  beforeAll(async () => {
    device = await firefoxEngine.makeDevice();
  });

  afterAll(async () => {
    await device?.remove();
  });

  test(`every acknowledged save survives SIGKILL of the browser, ${kills} times`, async () => {
    for (let life = 0; life <= kills; life++) {
      const tab = await openLab();
      if (life > 0) await requireKept(tab);
      if (life === kills) break;
      const before = journal.told.length;
      let ended: unknown; // with the browser, and not before
      tab.evaluate(saveUntilKilled, { life, groupOps, journal: journal.url }).catch((cause: unknown) => {
        ended = cause;
      });
      while (journal.told.length < before + savesMin) {
        if (ended !== undefined) throw ended;
        await pause(10);
      }
      await pause(killDelaysMs[life] ?? 0);
      await device.kill();
    }
    expect(journal.told.length).toBeGreaterThanOrEqual(kills * savesMin);
  });

  test('a second tab works through the first, and goes on when the first goes away', async () => {
    const first = await openLab();
    await first.evaluate(async () => void (await lab.shop('two-tabs')));
    const second = await openLab();
    const sell = (sale: string) =>
      second.evaluate(async (sale) => {
        const ws = await lab.open({ store: 'two-tabs' });
        const shop = await ws.open('till', 'till-1');
        const { ref } = await shop.save('sale.line', { sale, sku: 'A', qty: 1, cents: 100 });
        const [rows] = await shop.read([lab.sql<{ sale: string }>`SELECT sale FROM saleLine ORDER BY sale`]);
        await ws.close();
        return { seq: ref.lastSeq, sales: rows.map((row) => row.sale) };
      }, sale);
    expect(await sell('S1')).toEqual({ seq: 1, sales: ['S1'] });
    await first.close();
    expect(await sell('S2')).toEqual({ seq: 2, sales: ['S1', 'S2'] });
  });
});

/** All that was acknowledged is there, every group whole, and SQLite finds nothing torn. */
async function requireKept(tab: Tab): Promise<void> {
  const found = await tab.evaluate(async () => {
    const ws = await lab.open({ store: 'kill' });
    const shop = await ws.open('till', 'till-1');
    const [sales, stock, integrity] = await shop.read([
      lab.sql<{ sale: string; lines: number }>`SELECT sale, count(*) AS lines FROM saleLine GROUP BY sale`,
      lab.sql<{ round: number; rounds: number; notes: number }>`SELECT max(round) AS round, count(DISTINCT round) AS rounds,
        count(DISTINCT note) AS notes FROM stock`,
      lab.sql<{ integrity_check: string }>`PRAGMA integrity_check`,
    ]);
    await ws.close();
    return { sales, stock, integrity };
  });
  expect(found.integrity).toEqual([{ integrity_check: 'ok' }]);
  const lines = new Map(found.sales.map((row) => [row.sale, row.lines]));
  const rounds = journal.told.filter((what) => what.startsWith('round ')).map((what) => Number(what.slice('round '.length)));
  const sales = journal.told.filter((what) => !what.startsWith('round '));
  expect(sales.filter((sale) => !lines.has(sale))).toEqual([]);
  expect(found.stock).toMatchObject([{ rounds: 1, notes: 1 }]);
  expect(found.stock[0]?.round).toBeGreaterThanOrEqual(Math.max(...rounds));
  expect([...lines].filter(([sale, count]) => count !== (sale.endsWith('all') ? groupOps : 1))).toEqual([]);
}

/**
 * In the page: saves alone, in groups, and of all stock in place, which is more pages than the cache holds, so that some reach the file before
 * COMMIT does. Each is told to the journal once it is acknowledged.
 */
async function saveUntilKilled(at: { readonly life: number; readonly groupOps: number; readonly journal: string }): Promise<void> {
  const ws = at.life === 0 ? (await lab.shop('kill')).ws : await lab.open({ store: 'kill' });
  const shop = await ws.open('till', 'till-1');
  const line = (sale: string, sku = 'A') => ['sale.line', { sale, sku, qty: 1, cents: 100 }] as const;
  const tell = (what: string) => fetch(at.journal, { method: 'POST', mode: 'no-cors', body: what });
  if (at.life === 0) await shop.save('stock.fill', {});
  for (let n = 0; ; n++) {
    const one = `L${at.life}-${n}`;
    const all = `${one}-all`;
    const round = at.life * 1_000 + n;
    await Promise.all([
      shop.save(...line(one)).then(() => tell(one)),
      shop.saveAll(Array.from({ length: at.groupOps }, (_, i) => line(all, `sku-${i}`))).then(() => tell(all)),
      shop.save('stock.count', { round }).then(() => tell(`round ${round}`)),
    ]);
  }
}

async function openLab(): Promise<Tab> {
  const tab = await device.open(site.origin);
  await waitFor(tab, `'lab' in globalThis`);
  return tab;
}

interface Journal {
  readonly server: Server;
  readonly url: string;
  /** In the order they were told, by a page that may be dead by now. */
  readonly told: readonly string[];
}

/** Takes down, in this process, what pages say was acknowledged: no kill of a browser reaches it here. */
async function openJournal(): Promise<Journal> {
  const told: string[] = [];
  const server = createServer(async (request, response) => {
    const what = await text(request).catch(() => ''); // cut off by the kill: never told
    if (what !== '') told.push(what);
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://localhost:${(server.address() as AddressInfo).port}/`, told };
}
