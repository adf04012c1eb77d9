// The same promises in every engine: one rule for signatures, a verdict about storage that was found by doing, what was saved is there
// afterwards, and a page or worker that cannot start says why. What each engine is expected to give stands in table.ts.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backend } from '../../../worker/browser/page.ts';
import { readJson } from '../../vectors/fixtures.ts';
import type { SignatureVector } from '../../vectors/run-signature-vectors.ts';
import { type Site, serveLab } from '../harness.ts';
import { describeEngine, type EngineDevice, type Tab, waitFor } from './engine.ts';
import { engineTable } from './table.ts';

const vectors = readJson<readonly SignatureVector[]>('tests/vectors/signatures.json');
let site: Site;

beforeAll(async () => {
  site = await serveLab();
});

afterAll(async () => {
  await site?.close();
});

for (const row of engineTable) {
  describeEngine(row.engine, () => {
    let device: EngineDevice;
    let tab: Tab;

    beforeAll(async () => {
      device = await row.engine.makeDevice();
      tab = await openLab(device);
    });

    afterAll(async () => {
      await device?.remove();
    });

    const { backend, asks, outlives } = row;
    const kept = { lines: 1, backend, durability: 'durable' };
    const asked = { store: `engine-${backend}`, ...(asks === undefined ? {} : { backends: asks }) };

    test(`keeps what was saved on ${backend} through a reload${asks === undefined ? '' : ', when the app asks for it'}`, async () => {
      const found = await tab.evaluate(saveAndAsk, asked);
      expect(found).toMatchObject(kept);
      if (row.lacks !== undefined) expect(found.verdict).toContain(row.lacks);
      await tab.reload();
      await waitFor(tab, `'lab' in globalThis`);
      expect(await tab.evaluate(ask, asked)).toMatchObject(kept);
    });

    if (outlives === 'browser') {
      test('and through the end of the browser', async () => {
        await device.stop();
        tab = await openLab(device);
        expect(await tab.evaluate(ask, asked)).toMatchObject(kept);
      });
    }

    // Once per engine: how it was started changes nothing here.
    if (row.engine.mode === 'as it comes' && asks === undefined) {
      test(`answers every signature vector alike with the ${row.verifier} verifier it gets and the portable one`, async () => {
        expect(vectors.length).toBeGreaterThan(300);
        const found = await tab.evaluate((given) => lab.signatureVectors(given), vectors);
        expect(found).toEqual({ verifier: row.verifier, best: [], portable: [] });
      });

      const failureBelow = async (folder: string) => {
        await tab.goto(`${site.origin}${folder}/`);
        await waitFor(tab, `'lab' in globalThis`);
        return tab.evaluate(() => lab.failureOf(lab.open({ store: 'cannot-start' })));
      };

      test('says that sqlite3.wasm is missing', async () => {
        expect(await failureBelow('no-wasm')).toMatchObject({ kind: 'unavailable', reason: 'sqliteStart', where: 'sqlite3.wasm' });
      });

      test("says that the page's policy forbids workers", async () => {
        expect(await failureBelow('no-worker')).toMatchObject({ kind: 'unavailable', reason: 'workerStart' });
      });

      test("says that the page's policy forbids WASM", async () => {
        const failure = await failureBelow('no-eval');
        expect(failure).toMatchObject({ kind: 'unavailable', reason: 'sqliteStart', todo: expect.stringContaining('wasm-unsafe-eval') });
      });
    }
  });
}

async function openLab(device: EngineDevice): Promise<Tab> {
  const tab = await device.open(site.origin);
  await waitFor(tab, `'lab' in globalThis`);
  return tab;
}

interface Asked {
  readonly store: string;
  readonly backends?: readonly Backend[];
}

/** In the page: a new shop with one sale in it, then what `ask` finds. */
async function saveAndAsk(asked: Asked) {
  const { ws, shop } = await lab.shop(asked.store, asked);
  await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 2, cents: 250 });
  const [[count] = []] = await shop.read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
  const { backend, durability, verdict } = await ws.status();
  await ws.close();
  return { lines: count?.n, backend, durability, verdict };
}

/** In the page: the sales a store holds, and where it keeps them. */
async function ask(asked: Asked) {
  const ws = await lab.open(asked);
  const shop = await ws.open('till', 'till-1');
  const [[count] = []] = await shop.read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
  const { backend, durability } = await ws.status();
  await ws.close();
  return { lines: count?.n, backend, durability };
}
