// A real Chromium with a profile on disk, and the test page built and served to it.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright';
import { build } from 'vite';
import { launchOptions } from '../../scripts/browser.mjs';
import type {} from './app/lab.ts';

const types: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** Builds a page folder with vite, as an app would be. */
export async function buildPage(root: string, outDir: string, alias: Readonly<Record<string, string>> = {}): Promise<void> {
  await build({
    configFile: false,
    logLevel: 'error',
    root,
    base: './',
    resolve: { alias },
    worker: { format: 'es' },
    build: { outDir, emptyOutDir: true, target: 'es2023', minify: false, modulePreload: false },
  });
}

export interface Site {
  readonly origin: string;
  readonly folder: string;
  close(): Promise<void>;
}

/** Below these the same page is served by a host that gets something wrong. */
const wrongHosts: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '/no-wasm/': {},
  '/no-eval/': { 'content-security-policy': "script-src 'self'" },
  '/no-worker/': { 'content-security-policy': "worker-src 'none'" },
};

/** The built test page, ready to be served. */
export async function buildLab(alias: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'foldlog-page-'));
  await buildPage(fileURLToPath(new URL('./app', import.meta.url)), folder, alias);
  return folder;
}

/** The test page on a port of its own. */
export async function serveLab(alias: Readonly<Record<string, string>> = {}): Promise<Site> {
  const folder = await buildLab(alias);
  const server = createServer(async (request, response) => {
    const asked = new URL(request.url ?? '/', 'http://localhost').pathname;
    const prefix = Object.keys(wrongHosts).find((start) => asked.startsWith(start)) ?? '/';
    const pathname = asked.slice(prefix.length);
    const path = normalize(join(folder, pathname === '' ? 'index.html' : pathname));
    const isServed = path.startsWith(folder) && !(prefix === '/no-wasm/' && path.endsWith('.wasm'));
    const body = isServed ? await readFile(path).catch(() => undefined) : undefined;
    if (body === undefined) return response.writeHead(404).end();
    const type = types[extname(path)] ?? 'application/octet-stream';
    response.writeHead(200, { ...wrongHosts[prefix], 'content-type': type, 'cache-control': 'no-store' });
    return response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://localhost:${(server.address() as AddressInfo).port}/`,
    folder,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function reload(page: Page): Promise<void> {
  await page.reload();
  await page.waitForFunction(() => 'lab' in globalThis);
}

/** One device: a browser profile on disk. Its browser can be started, ended and killed again and again. */
export class Device {
  readonly profile: string;
  readonly #look: BrowserContextOptions;
  #context: BrowserContext | undefined;

  private constructor(profile: string, look: BrowserContextOptions) {
    this.profile = profile;
    this.#look = look;
  }

  /** `look`: the screen and hands it has, when they matter. */
  static async make(look: BrowserContextOptions = {}): Promise<Device> {
    return new Device(await mkdtemp(join(tmpdir(), 'foldlog-device-')), look);
  }

  /** A page on `url`, in the running browser or a new one. */
  async open(url: string): Promise<Page> {
    this.#context ??= await chromium.launchPersistentContext(this.profile, { ...launchOptions(), ...this.#look });
    const page = await this.#context.newPage();
    await page.goto(url);
    return page;
  }

  /** The same, on the test page. */
  async page(url: string): Promise<Page> {
    const page = await this.open(url);
    await page.waitForFunction(() => 'lab' in globalThis);
    return page;
  }

  async stop(): Promise<void> {
    await this.#context?.close();
    this.#context = undefined;
  }

  /** SIGKILL to every process of this browser at once: nothing gets to finish or flush. */
  async kill(): Promise<void> {
    const pids = this.#pids();
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended with its parent meanwhile.
      }
    }
    while (this.#pids().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await this.#context?.close().catch(() => undefined);
    this.#context = undefined;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.profile, { recursive: true, force: true });
  }

  /** Its main process, found by its profile folder, and everything in that process's group. */
  #pids(): number[] {
    const lines = spawnSync('ps', ['-Ao', 'pid=,pgid=,args='], { encoding: 'utf8' }).stdout.split('\n');
    const processes = lines.map((line) => /^\s*(\d+)\s+(\d+)\s(.*)$/.exec(line)).filter((match) => match !== null);
    const groups = new Set(
      processes.filter(([, , , args]) => args?.includes(`--user-data-dir=${this.profile}`)).map(([, , group]) => group),
    );
    return processes.filter(([, , group]) => groups.has(group)).map(([, pid]) => Number(pid));
  }
}
