// One device: a Chromium with a profile of its own on disk (an ordinary context would keep OPFS in memory), showing the replay's page.
import { type BrowserContext, chromium, type Page } from 'playwright';
import { launchOptions } from '../../scripts/browser.mjs';
import type { News } from './page/page.ts';

export interface DeviceOptions {
  /** An empty folder. */
  readonly profile: string;
  readonly url: string;
  readonly onNews?: (news: readonly News[]) => void;
  /** A page that breaks outside of a call, or a browser that is gone. */
  readonly onFailure: (error: Error) => void;
  /** Given the way to end the browser as soon as there is one. */
  readonly closes: (close: () => Promise<void>) => void;
}

export class Device {
  /** To call `replayPage` on. */
  readonly page: Page;
  readonly version: string;
  readonly #context: BrowserContext;
  #isClosing = false;

  private constructor(context: BrowserContext, page: Page, options: DeviceOptions) {
    this.#context = context;
    this.page = page;
    this.version = context.browser()?.version() ?? 'unknown';
    page.on('pageerror', options.onFailure);
    page.on('crash', () => options.onFailure(new Error('the page crashed')));
    context.on('close', () => {
      if (!this.#isClosing) options.onFailure(new Error('the browser ended'));
    });
  }

  static async start(options: DeviceOptions): Promise<Device> {
    // Signals are the replay's to handle: it closes its browsers itself.
    const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
    const context = await chromium.launchPersistentContext(options.profile, { ...launchOptions(), ...signals });
    let device: Device | undefined;
    options.closes(() => (device === undefined ? context.close() : device.stop()));
    const page = await context.newPage();
    device = new Device(context, page, options);
    await page.exposeFunction('replayNews', options.onNews ?? (() => undefined));
    await page.goto(options.url);
    await page.waitForFunction(() => 'replayPage' in globalThis);
    return device;
  }

  async stop(): Promise<void> {
    this.#isClosing = true;
    await this.#context.close();
  }
}
