// What goes wrong reaches the page whole and in time: errors of the app's own making, a worker that does not start, a store somebody else has,
// a browser that keeps nothing.
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Device, type Site, serveLab } from './harness.ts';

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

describe('a save that is refused', () => {
  test('rejects with kind, reason and words intact, and nothing is kept', async () => {
    const seen = await page.evaluate(async () => {
      const { ws, shop } = await lab.shop('refused');
      // What TypeScript would not let through: calls of a page written in JavaScript.
      const loose = shop as unknown as { save(name: unknown, payload: unknown): Promise<unknown>; saveAll(ops: unknown): Promise<unknown> };
      const line = { sale: 'S1', sku: 'A', qty: 1, cents: 1 };
      const failures = {
        unknownClass: await lab.failureOf(loose.save('nobody.declared', {})),
        badPayload: await lab.failureOf(loose.save('sale.line', { ...line, qty: 'two' })),
        emptySku: await lab.failureOf(shop.save('sale.line', { ...line, sku: '' })),
        missing: await lab.failureOf(loose.save('sale.line', { ...line, sku: undefined })),
        lossy: await lab.failureOf(shop.save('sale.line', { ...line, qty: Number.NaN })),
        negativeZero: await lab.failureOf(shop.save('sale.line', { ...line, qty: -0 })),
        surrogate: await lab.failureOf(shop.save('sale.line', { ...line, sku: 'lone \ud800' })),
        notAnOp: await lab.failureOf(loose.saveAll([7])),
        noOps: await lab.failureOf(shop.saveAll([])),
        notCloneable: await lab.failureOf(loose.save('sale.line', { ...line, sku: () => 'A' })),
        badGroup: await lab.failureOf(shop.save('sale.line', line, { group: 'xyz' })),
        throws: await lab.failureOf(shop.save('bad.throws', {})),
        clock: await lab.failureOf(shop.save('bad.clock', {})),
        random: await lab.failureOf(shop.save('bad.random', { sale: 'S1' })),
        unknownKind: await lab.failureOf((ws as unknown as { open(kind: string, name: string): Promise<unknown> }).open('bakery', 'b')),
        badQuery: await lab.failureOf(shop.read([lab.sql`SELECT nothing`])),
        writingQuery: await lab.failureOf(shop.read([lab.sql`DELETE FROM saleLine`])),
        noRelay: await lab.failureOf(ws.invite({ role: 'writer' })),
      };
      const good = await shop.save('sale.line', line);
      await ws.close();
      return { failures, closed: await lab.failureOf(shop.save('sale.line', line)), good: good.ref.lastSeq };
    });
    const reasons = Object.fromEntries(
      Object.entries(seen.failures).map(([name, failure]) => [
        name,
        failure?.isFoldlog ? `${failure.kind} ${failure.reason}` : failure?.message,
      ]),
    );
    expect(reasons).toEqual({
      unknownClass: 'misuse unknownClass',
      badPayload: 'misuse badPayload',
      emptySku: 'misuse badPayload',
      missing: 'misuse badPayload',
      lossy: 'misuse badPayload',
      negativeZero: 'misuse badPayload',
      surrogate: 'misuse badPayload',
      notAnOp: 'misuse badOp',
      noOps: 'misuse groupTooLarge',
      notCloneable: 'misuse notCloneable',
      badGroup: 'corrupt badHex',
      throws: 'misuse reducerFailed',
      clock: 'misuse impureReducer',
      random: 'misuse impureReducer',
      unknownKind: 'misuse unknownKind',
      badQuery: 'misuse badQuery',
      writingQuery: 'misuse queryWrites',
      noRelay: 'unavailable notSynced',
    });
    expect(seen.failures.badPayload).toMatchObject({ retry: 'never', where: 'op sale.line, qty' });
    expect(seen.failures.throws).toMatchObject({ found: 'TypeError: a reducer that throws' });
    expect(seen.failures.clock).toMatchObject({ found: 'Date.now()' });
    expect(seen.failures.random).toMatchObject({ found: 'the function random' });
    expect(seen.good).toBe(1);
    expect(seen.closed).toMatchObject({ kind: 'unavailable', reason: 'closed' });
  });
});

describe('a worker that does not start', () => {
  const start = (worker: 'older' | 'broken' | 'missing') =>
    page.evaluate((name) => lab.failureOf(lab.open({ store: 'start', worker: name })), worker);

  test('of an older build: reloadNeeded, naming the definition', async () => {
    expect(await start('older')).toMatchObject({ kind: 'reloadNeeded', reason: 'otherSchema', where: 'shard definition catalogue' });
  });

  test('that throws while it loads: named with its own words', async () => {
    expect(await start('broken')).toMatchObject({
      kind: 'unavailable',
      reason: 'workerStart',
      found: expect.stringContaining('no luck today'),
    });
  });

  test('whose script is missing: typed', async () => {
    expect(await start('missing')).toMatchObject({ kind: 'unavailable', reason: 'workerStart', found: 'a script that did not load' });
  });

  test('because sqlite3.wasm is missing: typed, naming it', async () => {
    const other = await device.page(`${site.origin}no-wasm/`);
    const failure = await other.evaluate(() => lab.failureOf(lab.open({ store: 'no-wasm' })));
    expect(failure).toMatchObject({ kind: 'unavailable', reason: 'sqliteStart', where: 'sqlite3.wasm' });
    await other.close();
  });

  test("because the page's policy forbids WASM: typed, naming the directive", async () => {
    const other = await device.page(`${site.origin}no-eval/`);
    const failure = await other.evaluate(() => lab.failureOf(lab.open({ store: 'no-eval' })));
    expect(failure).toMatchObject({ kind: 'unavailable', reason: 'sqliteStart', todo: expect.stringContaining('wasm-unsafe-eval') });
    await other.close();
  });

  test("because the page's policy forbids workers: typed", async () => {
    const other = await device.page(`${site.origin}no-worker/`);
    const failure = await other.evaluate(() => lab.failureOf(lab.open({ store: 'no-worker' })));
    expect(failure).toMatchObject({ kind: 'unavailable', reason: 'workerStart' });
    await other.close();
  });
});

test('a worker that ends is started again; one that keeps ending leaves no call waiting, and the store opens again', async () => {
  const seen = await page.evaluate(async () => {
    const { shop } = await lab.shop('ended');
    const saved = await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
    const uncommitted = lab.failureOf(saved.committed);
    const rows = () => shop.read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
    const survived: unknown[] = [];
    for (let deaths = 0; deaths < 3; deaths++) {
      lab.endWorker();
      survived.push(await lab.failureOf(rows()));
    }
    lab.endWorker();
    const failures = [await lab.failureOf(rows()), await uncommitted, await lab.failureOf(shop.save('stock.fill', {}))];
    const ws = await lab.open({ store: 'ended' });
    const again = await ws.open('till', 'till-1');
    const [[count] = []] = await again.read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
    await ws.close();
    return { survived, failures, count };
  });
  expect(seen.survived).toEqual([undefined, undefined, undefined]);
  expect(seen.failures.map((failure) => failure?.isFoldlog && failure.reason)).toEqual(['workerEnded', 'workerEnded', 'workerEnded']);
  expect(seen.failures[0]).toMatchObject({ kind: 'unknown', retry: 'same' });
  expect(seen.count).toEqual({ n: 1 });
});

test('an owner that is no Foldlog and never answers: `locked` in time, and the store opens when it goes away', async () => {
  await page.evaluate(async () => {
    const { ws } = await lab.shop('locked');
    await ws.close();
    void navigator.locks.request('foldlog/locked', () => new Promise(() => undefined));
  });
  const other = await device.page(site.origin);
  const began = Date.now();
  const failure = await other.evaluate(() => lab.failureOf(lab.open({ store: 'locked' })));
  const tookMs = Date.now() - began;
  expect(failure).toMatchObject({ kind: 'locked', reason: 'storeLocked', retry: 'later' });
  expect(tookMs).toBeGreaterThan(4_500);
  expect(tookMs).toBeLessThan(9_000);
  const waiting = other.evaluate(async () => {
    const ws = await lab.open({ store: 'locked' });
    await ws.open('till', 'till-1');
    await ws.close();
    return 'open';
  });
  await page.goto('about:blank');
  expect(await waiting).toBe('open');
  await page.goto(site.origin);
  await page.waitForFunction(() => 'lab' in globalThis);
  await other.close();
});

describe('a browser without the origin private file system', () => {
  test.each(['opfs-refuses', 'opfs-hangs'])('keeps files in IndexedDB, and says so: %s', async (fault) => {
    const seen = await page.evaluate(async (name) => {
      const { ws, shop } = await lab.shop(name, { fault: name });
      await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
      await ws.close();
      const again = await lab.open({ store: name, fault: name });
      const { backend, durability } = await again.status();
      const [[count] = []] = await (await again.open('till', 'till-1')).read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
      await again.close();
      return { backend, durability, count };
    }, fault);
    expect(seen).toEqual({ backend: 'indexeddb', durability: 'durable', count: { n: 1 } });
  });

  test('moves what it kept in IndexedDB once it has that file system, and goes on there', async () => {
    const seen = await page.evaluate(async () => {
      const { ws, shop } = await lab.shop('came-back', { fault: 'opfs-refuses' });
      await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
      await ws.close();
      const again = await lab.open({ store: 'came-back' });
      const { backend, verdict } = await again.status();
      const [[count] = []] = await (await again.open('till', 'till-1')).read([lab.sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
      await again.close();
      return { backend, verdict, count };
    });
    expect(seen).toEqual({ backend: 'opfs-pool', verdict: expect.stringContaining('Moved here from indexeddb.'), count: { n: 1 } });
  });
});

describe('a browser that keeps no files', () => {
  test('is refused, with what failed', async () => {
    const failure = await page.evaluate(() => lab.failureOf(lab.shop('no-files', { fault: 'nothing-keeps' })));
    expect(failure).toMatchObject({ kind: 'unavailable', reason: 'noDurableStorage', found: expect.stringContaining('SecurityError') });
  });

  test('works in memory by consent, and says so', async () => {
    const seen = await page.evaluate(async () => {
      const { ws, shop } = await lab.shop('by-consent', { fault: 'nothing-keeps', allowMemory: true });
      await shop.save('sale.line', { sale: 'S1', sku: 'A', qty: 1, cents: 1 });
      const { backend, durability, verdict } = await ws.status();
      await ws.close();
      return { backend, durability, verdict };
    });
    expect(seen).toMatchObject({ backend: 'memory', durability: 'volatile', verdict: expect.stringContaining('SecurityError') });
  });

  test('is refused even with consent where something was saved before', async () => {
    const failure = await page.evaluate(async () => {
      const { ws } = await lab.shop('had-data');
      await ws.close();
      return lab.failureOf(lab.open({ store: 'had-data', fault: 'opfs-refuses', allowMemory: true }));
    });
    expect(failure).toMatchObject({ kind: 'unavailable', reason: 'noDurableStorage', todo: expect.stringContaining('untouched') });
  });
});

describe('the vault', () => {
  test('that a newer version of the app made: upgradeNeeded', async () => {
    const failure = await page.evaluate(async () => {
      await new Promise<void>((resolve) => {
        const request = indexedDB.open('foldlog/newer', 99);
        request.onsuccess = () => {
          request.result.close();
          resolve();
        };
      });
      return lab.failureOf(lab.open({ store: 'newer', allowMemory: true }));
    });
    expect(failure).toMatchObject({ kind: 'upgradeNeeded', reason: 'newerVault' });
  });

  test('that another connection holds up: typed, within its bound', async () => {
    const failure = await page.evaluate(async () => {
      await new Promise<void>((resolve) => {
        const request = indexedDB.open('foldlog/held', 1);
        request.onsuccess = () => {
          Object.assign(globalThis, { held: request.result }); // left open, and deaf to versionchange; unreferenced, it would be collected and closed
          resolve();
        };
      });
      indexedDB.deleteDatabase('foldlog/held'); // waits for it, and whoever opens next waits for this
      return lab.failureOf(lab.open({ store: 'held', allowMemory: true }));
    });
    expect(failure).toMatchObject({ kind: 'locked', reason: 'vaultBlocked' });
  });

  test('never stands in the way of a person who clears the data', async () => {
    const isGone = await page.evaluate(async () => {
      const { ws } = await lab.shop('cleared');
      const gone = await new Promise<boolean>((resolve) => {
        const request = indexedDB.deleteDatabase('foldlog/cleared');
        request.onsuccess = () => resolve(true);
        request.onerror = () => resolve(false);
      });
      await ws.close();
      return gone;
    });
    expect(isGone).toBe(true);
  });
});
