// The promises of storage pools (tests/conformance/storage-pool-suite.ts) kept by a real Chromium with a profile on disk: each life in a worker of
// its own, which is ended without warning. And how long files over IndexedDB take to load, by size.
import type { Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { durablePoolPromises, poolPromises } from '../conformance/storage-pool-suite.ts';
import type { PoolJob } from './app/pool-worker.ts';
import { Device, type Site, serveLab } from './harness.ts';

let site: Site;
let device: Device;
let page: Page;
let stores = 0;

beforeAll(async () => {
  site = await serveLab();
  device = await Device.make();
  page = await device.page(site.origin);
});

afterAll(async () => {
  await device?.remove();
  await site?.close();
});

async function run<T>(job: PoolJob): Promise<T> {
  const answer = await page.evaluate((asked) => lab.pool(asked), job);
  if (answer.kind === 'failed') throw new Error(answer.message);
  return answer.value as T;
}

describe.each(['opfs-pool', 'indexeddb'] as const)('storage pool in Chromium: %s', (backend) => {
  test.each([...poolPromises, ...durablePoolPromises].map(({ name, lives }) => [name, lives.length] as const))(
    '%s',
    async (promise, lives) => {
      const store = `promise-${++stores}`;
      for (let life = 0; life < lives; life++) await run({ kind: 'live', backend, store, promise, life });
    },
  );
});

test('a connection the browser has cut is opened again, and every flush that resolved is there', async () => {
  const seen = await run<{ readonly rows: number; readonly connections: number }>({ kind: 'cut', backend: 'indexeddb', store: 'cut' });
  expect(seen.rows).toBe(12);
  expect(seen.connections).toBeGreaterThan(8);
});

test('a request that the browser refuses outright leaves nothing of its batch', async () => {
  const { rows, calls } = await run<{ readonly rows: readonly unknown[]; readonly calls: number }>({
    ...{ kind: 'refused', backend: 'indexeddb', store: 'refused' },
  });
  expect(calls).toBe(12);
  expect(rows).toEqual(Array(12).fill({ error: 'unavailable indexedDbFailed', untouched: 64 }));
});

test('a file over IndexedDB loads whole and checked: 1, 13 and 50 MB', async () => {
  for (const megabytes of [1, 13, 50]) {
    const at = { backend: 'indexeddb', store: `load-${megabytes}` } as const;
    await run({ kind: 'fill', ...at, bytes: megabytes * 1024 * 1024 });
    const loads: { readonly openMs: number; readonly rows: number }[] = [];
    for (let i = 0; i < 3; i++) loads.push(await run({ kind: 'load', ...at }));
    expect(loads.map(({ rows }) => rows)).toEqual(Array(3).fill(megabytes * 1024));
    console.log(`load of ${megabytes} MB over IndexedDB: ${loads.map(({ openMs }) => openMs.toFixed(0)).join(', ')} ms`);
  }
  const strict = await run<number>({ kind: 'commits', backend: 'indexeddb', store: 'strict', count: 200, durability: 'strict' });
  const relaxed = await run<number>({ kind: 'commits', backend: 'indexeddb', store: 'relaxed', count: 200, durability: 'relaxed' });
  const opfs = await run<number>({ kind: 'commits', backend: 'opfs-pool', store: 'commits', count: 200, durability: 'strict' });
  console.log(`one-row commits, ms: IndexedDB strict ${strict.toFixed(2)}, relaxed ${relaxed.toFixed(2)}; OPFS ${opfs.toFixed(2)}`);
});
