// Two devices, each a browser profile of its own, and a real relay over a folder in between.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type NodeRelay, startRelay } from '../../relay/main.node.ts';
import { buildLab, Device, reload } from './harness.ts';

let page: string;
let folder: string;
let relay: NodeRelay;
let owner: Device;
let other: Device;

beforeAll(async () => {
  page = await buildLab();
  folder = await mkdtemp(join(tmpdir(), 'foldlog-relay-'));
  relay = await startRelay({ folder, port: 0, serve: { dir: page } });
  owner = await Device.make();
  other = await Device.make();
});

afterAll(async () => {
  await owner?.remove();
  await other?.remove();
  await relay?.close();
  await rm(folder, { recursive: true, force: true });
  await rm(page, { recursive: true, force: true });
});

const till = (name: string) => ({ store: 'shop', relay: '/relay', till: name });

/** Saves lines and waits until the relay has them all. */
function sell(tab: Page, at: ReturnType<typeof till>, from: number, count: number): Promise<number> {
  return tab.evaluate(
    async ({ store, relay: url, till: name, first, n }) => {
      const ws = await lab.open({ store, relay: url });
      const shop = await ws.open('till', name);
      let last = 0;
      const committed: Promise<void>[] = [];
      for (let i = first; i < first + n; i++) {
        const saved = await shop.save('sale.line', { sale: `S${i}`, sku: 'A', qty: 1, cents: i });
        committed.push(saved.committed);
        last = saved.ref.lastSeq;
      }
      await Promise.all(committed);
      const covered = await shop.save('sale.line', { sale: `S${first + n}`, sku: 'A', qty: 1, cents: 0 });
      await covered.committed;
      await covered.committed; // asked again when it is covered already
      await ws.close();
      return last + 1;
    },
    { ...at, first: from, n: count },
  );
}

const total = { text: 'SELECT shardName, count(*) AS n, sum(cents) AS cents FROM saleLine GROUP BY shardName ORDER BY shardName' };

async function readTotals(tab: Page, wanted: number): Promise<unknown> {
  return tab.evaluate(
    async ({ text, rows }) => {
      const ws = await lab.open({ store: 'shop', relay: '/relay' });
      await ws.follow('till/*');
      await ws.sync();
      for (;;) {
        const [found] = await ws.read('till/*', [{ text, params: [] } as unknown as ReturnType<typeof lab.sql<{ n: number }>>]);
        if (found.reduce((sum, { n }) => sum + n, 0) >= rows) {
          const { followed, link } = await ws.status();
          await ws.close();
          return { found, followed: followed.map(({ name, seq, stopped }) => ({ name, seq, stopped })), link: link.kind };
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    { ...total, rows: wanted },
  );
}

test('a device joins by link, follows, and reads the same rows; committed means the relay has them', async () => {
  const first = await owner.page(`${relay.url}/`);
  const created = await first.evaluate(async () => {
    const ws = await lab.open({ store: 'shop', relay: '/relay' });
    const { recoveryKey } = await ws.create({ name: 'shop', device: 'Till 1' });
    const isAtRelay = () => ws.status().then(({ workspace }) => workspace?.isAtRelay);
    while (!(await isAtRelay())) await new Promise((resolve) => setTimeout(resolve, 20));
    const link = await ws.invite({ role: 'writer' });
    await ws.close();
    return { recoveryKey, link };
  });
  expect(created.recoveryKey.length).toBeGreaterThan(40);
  expect(await sell(first, till('till-1'), 0, 40)).toBe(41);

  const second = await other.page(`${relay.url}/`);
  const failures = await second.evaluate(async (link) => {
    const ws = await lab.open({ store: 'shop', relay: '/relay' });
    const badLink = await lab.failureOf(ws.join('nonsense', { device: 'Till 2' }));
    await ws.join(link, { device: 'Till 2' });
    const again = await lab.failureOf(
      lab.open({ store: 'elsewhere', relay: '/relay' }).then((more) => more.join(link, { device: 'Till 3' })),
    );
    await ws.close();
    return { badLink, again };
  }, created.link);
  expect(failures.badLink).toMatchObject({ kind: 'misuse', reason: 'badInvite' });
  expect(failures.again).toMatchObject({ isFoldlog: true });
  expect(await sell(second, till('till-2'), 1000, 5)).toBe(6);

  const expected = [
    { shardName: 'till-1', n: 41, cents: 780 },
    { shardName: 'till-2', n: 6, cents: 5010 },
  ];
  expect(await readTotals(first, 47)).toEqual({ found: expected, followed: [{ name: 'till-2', seq: 6 }], link: 'online' });
  expect(await readTotals(second, 47)).toEqual({ found: expected, followed: [{ name: 'till-1', seq: 41 }], link: 'online' });
});

test('reloads and kills at any point resume: nothing is lost, nothing comes twice', async () => {
  const first = await owner.page(`${relay.url}/`);
  let second = await other.page(`${relay.url}/`);
  const saving = sell(first, till('till-1'), 100, 400);
  for (let round = 0; round < 4; round++) {
    second.evaluate(follow).catch(() => undefined); // cut off below
    await new Promise((resolve) => setTimeout(resolve, 150 + 130 * round));
    if (round === 2) {
      await other.kill();
      second = await other.page(`${relay.url}/`);
    } else {
      await reload(second);
    }
  }
  expect(await saving).toBe(442);
  const seen = (await readTotals(second, 448)) as { readonly found: readonly { readonly shardName: string; readonly n: number }[] };
  expect(seen.found.map(({ shardName, n }) => [shardName, n])).toEqual([
    ['till-1', 442],
    ['till-2', 6],
  ]);
});

test('a device without data starts from a published checkpoint', async () => {
  const first = await owner.page(`${relay.url}/`);
  const made = await first.evaluate(async () => {
    const ws = await lab.open({ store: 'shop', relay: '/relay' });
    const shop = await ws.open('till', 'till-1');
    const published = await shop.publish();
    const link = await ws.invite({ role: 'reader' });
    await ws.close();
    return { number: published.number, seq: published.head.seq, link };
  });
  expect(made).toMatchObject({ number: 1, seq: 442 });
  const third = await Device.make();
  try {
    const tab = await third.page(`${relay.url}/`);
    const bootstrap = await tab.evaluate(async (link) => {
      const ws = await lab.open({ store: 'shop', relay: '/relay' });
      await ws.join(link, { device: 'Office' });
      await ws.follow('till/till-1');
      for (;;) {
        const [shard] = (await ws.status()).followed;
        if (shard?.bootstrap.isLevel) {
          await ws.close();
          return { path: shard.bootstrap.path, groupsFolded: shard.bootstrap.groupsFolded, seq: shard.seq };
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }, made.link);
    expect(bootstrap).toEqual({ path: 'checkpoint', groupsFolded: 0, seq: 442 });
  } finally {
    await third.remove();
  }
});

test('saves wait out a relay that is away, and are committed when it is back', async () => {
  const first = await owner.page(`${relay.url}/`);
  const { port } = new URL(relay.url);
  await first.evaluate(async () => {
    const ws = await lab.open({ store: 'shop', relay: '/relay' });
    Object.assign(globalThis, { ws, shop: await ws.open('till', 'till-1') });
  });
  await relay.close();
  const offline = await first.evaluate(async () => {
    const { ws, shop } = globalThis as unknown as {
      ws: Awaited<ReturnType<typeof lab.open>>;
      shop: Awaited<ReturnType<typeof lab.shop>>['shop'];
    };
    const saved = await shop.save('sale.line', { sale: 'offline', sku: 'A', qty: 1, cents: 1 });
    Object.assign(globalThis, { committed: saved.committed });
    for (;;) {
      const { own } = await ws.status();
      const push = own[0]?.push.kind;
      if (push === 'waiting') return { push, pending: own[0]?.pending.ops };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  });
  expect(offline).toEqual({ push: 'waiting', pending: 1 });
  relay = await startRelay({ folder, port: Number(port), serve: { dir: page } });
  await first.evaluate(async () => {
    const { ws, committed } = globalThis as unknown as { ws: Awaited<ReturnType<typeof lab.open>>; committed: Promise<void> };
    await ws.sync();
    await committed;
    await ws.close();
  });
});

async function follow(): Promise<void> {
  const ws = await lab.open({ store: 'shop', relay: '/relay' });
  await ws.follow('till/*');
}
