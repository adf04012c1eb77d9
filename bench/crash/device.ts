// One device: a browser on a profile of its own on disk, started and ended again and again. An ordinary context would keep OPFS in memory.
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BrowserContext, chromium, type LaunchOptions, type Page } from 'playwright';
import { launchOptions } from '../../scripts/browser.mjs';
import { bringToEnd, killAll, type Means, type Processes } from './means.ts';
import type { Acknowledged } from './page/page.ts';
import { within } from './within.ts';

/** A browser starts, or a page loads, within a second or two; after this it is broken. */
const startMsMax = 30_000;
const endMsMax = 15_000;

export class Device {
  readonly #profile: string;
  readonly #url: string;
  readonly #options: LaunchOptions;
  readonly #onAcknowledged: (acknowledged: Acknowledged) => void;
  #context: BrowserContext | undefined;
  #page: Page | undefined;
  #version = 'unknown';
  #isBegun = false;

  constructor(profile: string, url: string, onAcknowledged: (acknowledged: Acknowledged) => void) {
    this.#profile = profile;
    this.#url = url;
    // Signals are the run's to handle: it ends its browsers itself.
    this.#options = { ...launchOptionsOnce(), handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
    this.#onAcknowledged = onAcknowledged;
  }

  get version(): string {
    return this.#version;
  }

  /** The page, in whatever is left: itself, a new tab, or a new browser on the same profile. */
  async page(): Promise<Page> {
    this.#page ??= await within(startMsMax, 'starting the browser', this.#start());
    return this.#page;
  }

  /** Ends what runs in the page by these means; `page` starts anew from what remains. */
  async end(means: Means): Promise<void> {
    const page = await this.page();
    const remains = await within(endMsMax, means, bringToEnd(means, page, this.#processes()));
    if (remains === 'page') return;
    this.#page = undefined;
    if (remains === 'browser') return;
    await within(endMsMax, 'the end of the browser', this.#gone());
    this.#context = undefined;
  }

  /** Whatever state it is in: nothing is left running. */
  async stop(): Promise<void> {
    this.#page = undefined;
    killAll(this.#processes());
    await within(endMsMax, 'the end of the browser', this.#gone());
    this.#context = undefined;
  }

  async #start(): Promise<Page> {
    this.#context ??= await this.#launch();
    this.#version = this.#context.browser()?.version() ?? this.#version;
    const page = await this.#context.newPage();
    await page.exposeFunction('crashTell', this.#onAcknowledged);
    await page.goto(this.#url);
    await page.waitForFunction(() => 'crashPage' in globalThis);
    return page;
  }

  /** A profile that somebody took away would look like a browser that lost everything: the run is broken then, and the engine is not to blame. */
  async #launch(): Promise<BrowserContext> {
    const witness = join(this.#profile, 'foldlog-crash-profile');
    if (this.#isBegun && !existsSync(witness)) throw new Error(`the profile ${this.#profile} was taken away while the gate ran`);
    const context = await chromium.launchPersistentContext(this.#profile, this.#options);
    writeFileSync(witness, '');
    this.#isBegun = true;
    return context;
  }

  async #gone(): Promise<void> {
    const processes = this.#processes();
    while (processes.all().length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await this.#context?.close().catch(() => undefined);
  }

  /** Its main process, found by its profile folder, and everything in that process's group. */
  #processes(): Processes {
    const list = (): readonly { readonly pid: number; readonly args: string }[] => {
      const lines = spawnSync('ps', ['-Ao', 'pid=,pgid=,stat=,args='], { encoding: 'utf8' }).stdout.split('\n');
      const rows = lines.flatMap((line) => {
        const [, pid, group, state = '', args = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s(.*)$/.exec(line) ?? [];
        return pid === undefined || state.startsWith('Z') ? [] : [{ pid: Number(pid), group, args }];
      });
      const groups = new Set(rows.filter(({ args }) => args.includes(`--user-data-dir=${this.#profile}`)).map(({ group }) => group));
      return rows.filter(({ group }) => groups.has(group));
    };
    return {
      all: () => list().map(({ pid }) => pid),
      renderers: () => list().flatMap(({ pid, args }) => (args.includes('--type=renderer') ? [pid] : [])),
    };
  }
}

let found: LaunchOptions | undefined;

/** Looking for a Chromium starts one: once is enough. */
function launchOptionsOnce(): LaunchOptions {
  found ??= launchOptions();
  return found;
}
