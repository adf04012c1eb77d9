// What the engine takes for granted of a browser, asked of the very Chromium the other browser tests drive.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { launchOptions } from '../../scripts/browser.mjs';

// The worker writes through a synchronous access handle, flushes, and answers with what it reads back.
const WORKER = `
  const root = await navigator.storage.getDirectory();
  const handle = await (await root.getFileHandle('probe', { create: true })).createSyncAccessHandle();
  const size = handle.getSize();
  handle.write(new Uint8Array([7]), { at: size });
  handle.flush();
  postMessage(handle.getSize());
  handle.close();
`;

let server: Server;
let profileDir: string;
let origin: string;

beforeAll(async () => {
  profileDir = await mkdtemp(join(tmpdir(), 'foldlog-host-'));
  server = createServer((request, response) => {
    const isWorker = request.url === '/worker.js';
    response.setHeader('content-type', isWorker ? 'text/javascript' : 'text/html');
    response.end(isWorker ? WORKER : '<!doctype html><title>probe</title>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://localhost:${(server.address() as AddressInfo).port}/`;
});

afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(profileDir, { recursive: true, force: true });
});

test('bytes flushed through OPFS in a worker are there when the browser starts again', async () => {
  expect(await withPage(appendInWorker)).toBe(1);
  expect(await withPage(appendInWorker)).toBe(2);
});

test('WebCrypto signs with an Ed25519 key that cannot be exported', async () => {
  const verified = await withPage((page) =>
    page.evaluate(async () => {
      const pair = (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair;
      const message = new Uint8Array([1, 2, 3]);
      const signature = await crypto.subtle.sign('Ed25519', pair.privateKey, message);
      const isSealed = !pair.privateKey.extractable;
      return isSealed && (await crypto.subtle.verify('Ed25519', pair.publicKey, signature, message));
    }),
  );
  expect(verified).toBe(true);
});

test('an exclusive Web Lock has one holder', async () => {
  const second = await withPage((page) =>
    page.evaluate(() =>
      navigator.locks.request('probe', () => navigator.locks.request('probe', { ifAvailable: true }, (lock) => lock === null)),
    ),
  );
  expect(second).toBe(true);
});

async function withPage<T>(body: (page: Page) => Promise<T>): Promise<T> {
  const context: BrowserContext = await chromium.launchPersistentContext(profileDir, launchOptions());
  try {
    const page = await context.newPage();
    await page.goto(origin);
    return await body(page);
  } finally {
    await context.close();
  }
}

function appendInWorker(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve, reject) => {
        const worker = new Worker('/worker.js', { type: 'module' });
        worker.onmessage = (event: MessageEvent<number>) => resolve(event.data);
        worker.onerror = (event) => reject(new Error(event.message));
      }),
  );
}
