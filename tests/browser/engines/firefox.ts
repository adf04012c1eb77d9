// Firefox over WebDriver BiDi, without a driver in between. Its profile is on disk, so OPFS and IndexedDB are, too.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { findFirefox, missingFirefox } from '../../../scripts/browsers/firefox.mjs';
import { type Body, type Engine, type EngineDevice, killGroup, type Tab } from './engine.ts';

const executablePath = findFirefox();

export const firefoxEngine: Engine = {
  name: 'Firefox',
  mode: 'as it comes',
  missing: executablePath === undefined ? missingFirefox : undefined,
  makeDevice: () => FirefoxDevice.make(),
};

/** A browser that calls home while it is tested measures the network. */
const quiet = {
  'app.normandy.enabled': false,
  'browser.safebrowsing.downloads.remote.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.enabled': false,
};

class FirefoxDevice implements EngineDevice {
  readonly #profile: string;
  #browser: Browser | undefined;
  #version = '';

  private constructor(profile: string) {
    this.#profile = profile;
  }

  static async make(): Promise<FirefoxDevice> {
    return new FirefoxDevice(await mkdtemp(join(tmpdir(), 'foldlog-firefox-')));
  }

  async open(url: string): Promise<Tab> {
    this.#browser ??= await this.#start();
    const page = await this.#browser.newPage();
    await page.goto(url);
    return new FirefoxTab(page);
  }

  version(): string {
    return this.#version;
  }

  async kill(): Promise<void> {
    const leader = this.#browser?.process()?.pid;
    if (leader !== undefined) await killGroup(leader);
    this.#browser = undefined;
  }

  async stop(): Promise<void> {
    await this.#browser?.close();
    this.#browser = undefined;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  async #start(): Promise<Browser> {
    const browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath: executablePath as string, // nobody makes a device of an engine that is missing
      headless: true,
      userDataDir: this.#profile,
      extraPrefsFirefox: quiet,
    });
    this.#version = await browser.version();
    return browser;
  }
}

class FirefoxTab implements Tab {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  evaluate<Result, Arg = undefined>(body: Body<Arg, Result>, arg?: Arg): Promise<Result> {
    return this.#page.evaluate(body as (arg: unknown) => Result | Promise<Result>, arg) as Promise<Result>;
  }

  async goto(url: string): Promise<void> {
    await this.#page.goto(url);
  }

  async reload(): Promise<void> {
    await this.#page.reload();
  }

  close(): Promise<void> {
    return this.#page.close();
  }
}
