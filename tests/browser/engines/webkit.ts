// WebKitGTK through its own WebDriver, on a screen in memory. What it lacks of the origin private file system depends on how it is started,
// in three ways (decision 0006 takes none of their names for granted): each is a mode here. A fourth keeps its data on disk.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { findWebKit, missingWebKit } from '../../../scripts/browsers/webkit.mjs';
import { type Engine, type EngineDevice, killGroup, type Tab } from './engine.ts';
import { WebDriverSession } from './webdriver-session.ts';

type Parts = NonNullable<ReturnType<typeof findWebKit>>;

const parts = findWebKit();
const launcher = fileURLToPath(new URL('./webkit-launcher.py', import.meta.url));
/** Off by default in WebKitGTK. */
const storageFeatures = ['StorageAPI', 'StorageAPIEstimate', 'FileSystem', 'AccessHandle', 'FileSystemWritableStream'];

/** The program to start, with its arguments, over a folder for its data. */
const modes = {
  /** The browser as packaged: no `navigator.storage` at all. */
  'as it comes': ({ miniBrowser }: Parts) => ({ binary: miniBrowser, args: ['--automation'] }),
  /** Every name is there, every call rejects. */
  'file system on, nothing on disk': ({ miniBrowser }: Parts) => ({
    binary: miniBrowser,
    args: ['--automation', `--features=${storageFeatures.map((feature) => `+${feature}`).join(',')}`],
  }),
  /** Files can be made, but no synchronous access handle. */
  'file system on, data on disk': ({ python }: Parts, store: string) => ({
    binary: python,
    args: [launcher, store, storageFeatures.join(',')],
  }),
  /** As it comes, but IndexedDB outlives the browser: nearest to what people have. */
  'data on disk': ({ python }: Parts, store: string) => ({ binary: python, args: [launcher, store] }),
} as const;

export type WebKitMode = keyof typeof modes;

export const webkitEngine = (mode: WebKitMode): Engine => ({
  name: 'WebKit',
  mode,
  missing: parts === undefined ? missingWebKit : undefined,
  makeDevice: () => WebKitDevice.make(mode),
});

interface Running {
  readonly session: WebDriverSession;
  readonly driver: ChildProcess;
  readonly screen: ChildProcess;
}

class WebKitDevice implements EngineDevice {
  readonly #mode: WebKitMode;
  readonly #home: string;
  #running: Running | undefined;

  private constructor(mode: WebKitMode, home: string) {
    this.#mode = mode;
    this.#home = home;
  }

  static async make(mode: WebKitMode): Promise<WebKitDevice> {
    return new WebKitDevice(mode, await mkdtemp(join(tmpdir(), 'foldlog-webkit-')));
  }

  async open(url: string): Promise<Tab> {
    this.#running ??= await this.#start();
    return this.#running.session.open(url);
  }

  version(): string {
    return this.#running?.session.version ?? '';
  }

  async kill(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running?.driver.pid !== undefined) await killGroup(running.driver.pid);
    running?.screen.kill();
  }

  /** The browser is asked to end, then whatever did not follow is ended. */
  async stop(): Promise<void> {
    await this.#running?.session.end();
    await this.kill();
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  async #start(): Promise<Running> {
    const found = parts as Parts; // nobody makes a device of an engine that is missing
    // Xvfb chooses a free display and writes its number where it is told.
    const screen = spawn(found.screen, ['-displayfd', '3', '-screen', '0', '1280x800x24', '-nolisten', 'tcp'], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const display = await firstLine(screen.stdio[3] as Readable);
    const port = await freePort();
    // A group of its own: the browser and its processes are in it, and die together.
    const driver = spawn(found.driver, [`--port=${port}`], {
      detached: true,
      stdio: 'ignore',
      env: await environment(this.#home, display),
    });
    try {
      const start = modes[this.#mode](found, join(this.#home, 'store'));
      const session = await WebDriverSession.start(`http://127.0.0.1:${port}`, { 'webkitgtk:browserOptions': start });
      return { session, driver, screen };
    } catch (cause) {
      if (driver.pid !== undefined) await killGroup(driver.pid);
      screen.kill();
      throw cause;
    }
  }
}

/** Every folder it may write to lies in `home`; drawing is done in software. */
async function environment(home: string, display: string): Promise<NodeJS.ProcessEnv> {
  const folders = { XDG_DATA_HOME: 'data', XDG_CACHE_HOME: 'cache', XDG_CONFIG_HOME: 'config', XDG_RUNTIME_DIR: 'run' };
  const paths = Object.fromEntries(Object.entries(folders).map(([name, folder]) => [name, join(home, folder)]));
  for (const path of Object.values(paths)) await mkdir(path, { recursive: true, mode: 0o700 });
  return {
    ...process.env,
    ...paths,
    HOME: home,
    DISPLAY: `:${display}`,
    GDK_BACKEND: 'x11',
    GSETTINGS_BACKEND: 'memory',
    LIBGL_ALWAYS_SOFTWARE: '1',
    NO_AT_BRIDGE: '1',
    WEBKIT_DISABLE_COMPOSITING_MODE: '1',
    WEBKIT_DISABLE_DMABUF_RENDERER: '1',
  };
}

function firstLine(stream: Readable): Promise<string> {
  return new Promise((resolve, reject) => {
    stream.once('data', (chunk) => resolve(String(chunk).trim()));
    stream.once('close', () => reject(new Error('Xvfb ended before it had a display')));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
