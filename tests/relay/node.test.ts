// The Node host: a real folder, a real port, the relay under its base path and a folder of built files beside it.

import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { base64urlToBytes } from '../../kernel/bytes.ts';
import { pushBytesMax } from '../../kernel/push.ts';
import type { RelayInfo } from '../../kernel/relay-api.ts';
import { publicKey } from '../../kernel/units.ts';
import { webClock, webRandom } from '../../kernel/web/web-host.ts';
import { type NodeRelay, type NodeRelaySettings, startRelay } from '../../relay/main.node.ts';
import { relaySeed } from '../../relay/node/relay-key.ts';
import { errorOf, sendHttp, TestWorkspace } from './fixtures.ts';

let folder: string;
let running: NodeRelay[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldlog-relay-'));
});

afterEach(async () => {
  await Promise.all(running.map((relay) => relay.close()));
  running = [];
  await rm(folder, { recursive: true, force: true });
});

async function start(settings: Partial<NodeRelaySettings> = {}): Promise<NodeRelay> {
  const relay = await startRelay({ folder: join(folder, 'relay'), port: 0, ...settings });
  running.push(relay);
  return relay;
}

const relayKeyAt = async (url: string) => {
  const info = (await (await fetch(`${url}/relay/v1/relay`)).json()) as RelayInfo;
  return publicKey(base64urlToBytes(info.key));
};

async function shopAt(relay: NodeRelay) {
  const send = sendHttp(`${relay.url}/relay`);
  const workspace = await TestWorkspace.make('node', webClock);
  await workspace.found(send, await relayKeyAt(relay.url));
  return { send, shard: await workspace.addShard(send, workspace.owner, 'till', 'till-1') };
}

/** A request as raw as node:http sends it: `fetch` would normalise the path. */
function statusOfRaw(url: string, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const asked = request({ hostname, port, path }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('relay in Node', () => {
  it('commits over HTTP, and a restart over the same folder goes on under the same key', async () => {
    const first = await start();
    const { send, shard } = await shopAt(first);
    expect((await shard.push(send)).slot).toBe(1);
    const key = await relayKeyAt(first.url);
    await first.close();
    running = [];

    const second = await start();
    expect(await relayKeyAt(second.url)).toEqual(key);
    const later = sendHttp(`${second.url}/relay`);
    expect((await shard.push(later)).slot).toBe(2);
    expect(await shard.readLog(later)).toHaveLength(2);
  });

  it('keeps its key in a file only the owner reads, and leaves nothing else in the folder', async () => {
    await start();
    expect((await stat(join(folder, 'relay', 'relay-key'))).mode & 0o777).toBe(0o600);
    expect((await readdir(join(folder, 'relay'))).sort()).toEqual(['objects', 'relay-key']);
    // What the probe wrote is gone; its empty folders stay.
    const left = await readdir(join(folder, 'relay', 'objects'), { recursive: true, withFileTypes: true });
    expect(left.filter((entry) => entry.isFile())).toEqual([]);
  });

  it('eight starts on one fresh folder agree on one key', async () => {
    const seeds = await Promise.all(Array.from({ length: 8 }, () => relaySeed(join(folder, 'fresh'), webRandom)));
    for (const seed of seeds) expect(seed).toEqual(seeds[0]);
    expect(await readdir(join(folder, 'fresh'))).toEqual(['relay-key']);
  });

  it.each(['', 'too short', `${'A'.repeat(43)}=`])('a key file holding %j is corrupt and stays as it is', async (text) => {
    await mkdir(join(folder, 'relay'));
    await writeFile(join(folder, 'relay', 'relay-key'), text);
    await expect(start()).rejects.toMatchObject({ kind: 'corrupt', reason: 'badRelayKey' });
    expect(await readFile(join(folder, 'relay', 'relay-key'), 'utf8')).toBe(text);
  });

  it('two relays over one folder are two instances of one', async () => {
    const [a, b] = [await start(), await start()];
    const { send, shard } = await shopAt(a);
    const other = sendHttp(`${b.url}/relay`);
    for (let n = 0; n < 4; n++) {
      const run = await shard.nextRun();
      const answers = await Promise.all([shard.send(send, run), shard.send(other, run)]);
      expect(answers.map(({ kind }) => kind)).toEqual(['ok', 'ok']);
      await shard.push(n % 2 === 0 ? send : other, run);
    }
    expect(await shard.readLog(other)).toHaveLength(4);
  });

  it('answers a body above the bound typed, and the connection is good for the next', async () => {
    const relay = await start();
    const { send, shard } = await shopAt(relay);
    const tooLarge = { encoded: new Uint8Array(pushBytesMax + 100_000) };
    expect(errorOf(await shard.send(send, tooLarge, undefined))).toMatchObject({ status: 413, reason: 'tooLarge' });
    expect((await shard.push(send)).slot).toBe(1);
  });

  it('a sender that goes away in the middle of a body harms nobody', async () => {
    const relay = await start();
    const { send, shard } = await shopAt(relay);
    const { hostname, port } = new URL(relay.url);
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(`POST /relay${shard.pushPath} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf`);
        socket.destroy();
        resolve();
      });
    });
    expect((await shard.push(send)).slot).toBe(1);
  });

  it('closes by signal, and a taken port is an error before anything is served', async () => {
    const stop = new AbortController();
    const relay = await start({ signal: stop.signal });
    await expect(start({ port: Number(new URL(relay.url).port) })).rejects.toMatchObject({ code: 'EADDRINUSE' });
    stop.abort();
    await relay.close();
    await expect(fetch(`${relay.url}/relay/v1/relay`)).rejects.toThrow();
    await expect(start({ signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('files beside the relay', () => {
  const site = async () => {
    const dir = join(folder, 'site');
    await mkdir(join(dir, 'assets'), { recursive: true });
    await writeFile(join(dir, 'index.html'), '<!doctype html>');
    await writeFile(join(dir, 'assets', 'engine.wasm'), Uint8Array.of(0, 97, 115, 109));
    await writeFile(join(dir, 'assets', 'app.js'), 'export {};');
    await writeFile(join(dir, '.secret'), 'no');
    await writeFile(join(folder, 'outside.txt'), 'no');
    await symlink(join(folder, 'outside.txt'), join(dir, 'link.txt'));
    return dir;
  };

  it('have their types, a policy that lets in WASM and own workers only, and an ETag', async () => {
    const { url } = await start({ serve: { dir: await site() } });
    const page = await fetch(`${url}/`);
    expect(await page.text()).toBe('<!doctype html>');
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'");
    expect(page.headers.get('cross-origin-opener-policy')).toBe(null);
    const wasm = await fetch(`${url}/assets/engine.wasm`);
    expect(wasm.headers.get('content-type')).toBe('application/wasm');
    expect(new Uint8Array(await wasm.arrayBuffer())).toEqual(Uint8Array.of(0, 97, 115, 109));
    expect((await fetch(`${url}/assets/app.js`)).headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    const again = await fetch(`${url}/assets/app.js`, {
      headers: { 'if-none-match': (await fetch(`${url}/assets/app.js`)).headers.get('etag') ?? '' },
    });
    expect(again.status).toBe(304);
    expect((await fetch(`${url}/relay/v1/relay`)).status).toBe(200);
  });

  it('are isolated when asked', async () => {
    const { url } = await start({ serve: { dir: await site(), isolated: true } });
    const page = await fetch(`${url}/`);
    expect(page.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(page.headers.get('cross-origin-embedder-policy')).toBe('require-corp');
  });

  it.each([
    '/nothing',
    '/assets',
    '/assets/',
    '/../outside.txt',
    '/assets/../../outside.txt',
    '/%2e%2e/outside.txt',
    '/..%2foutside.txt',
    '/link.txt',
    '/.secret',
    '/%00',
    '/%',
    '//etc/passwd',
    '/assets/app.js/',
  ])('%s is not found', async (path) => {
    const { url } = await start({ serve: { dir: await site() } });
    expect(await statusOfRaw(url, path)).toBe(404);
  });

  it('HEAD has no body, other methods are refused, and without a folder there is only the relay', async () => {
    const { url } = await start({ serve: { dir: await site() } });
    const head = await fetch(`${url}/index.html`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '15', '']);
    expect((await fetch(`${url}/index.html`, { method: 'POST', body: 'x' })).status).toBe(405);
    const bare = await start({ folder: join(folder, 'bare') });
    expect((await fetch(`${bare.url}/index.html`)).status).toBe(404);
  });
});
