// Chromium behind the common interface: the Device of the other browser tests, driven by Playwright.
import { type BrowserContextOptions, devices, type Page } from 'playwright';
import { Device } from '../harness.ts';
import type { Body, Engine, EngineDevice, Tab } from './engine.ts';

const chromium = (mode: string, look: BrowserContextOptions): Engine => ({
  name: 'Chromium',
  mode,
  missing: undefined, // nothing runs without it
  makeDevice: () => ChromiumDevice.make(look),
});

export const chromiumEngine = chromium('as it comes', {});
/** The narrowest phone the demo is made for. */
export const chromiumPhone = chromium('as a phone', { ...devices['Pixel 7'], viewport: { width: 360, height: 740 } });

class ChromiumDevice implements EngineDevice {
  readonly #device: Device;
  #version = '';

  private constructor(device: Device) {
    this.#device = device;
  }

  static async make(look: BrowserContextOptions): Promise<ChromiumDevice> {
    return new ChromiumDevice(await Device.make(look));
  }

  async open(url: string): Promise<Tab> {
    const page = await this.#device.open(url);
    this.#version = page.context().browser()?.version() ?? '';
    return new ChromiumTab(page);
  }

  version(): string {
    return this.#version;
  }

  kill(): Promise<void> {
    return this.#device.kill();
  }

  stop(): Promise<void> {
    return this.#device.stop();
  }

  remove(): Promise<void> {
    return this.#device.remove();
  }
}

class ChromiumTab implements Tab {
  readonly #page: Page;

  constructor(page: Page) {
    this.#page = page;
  }

  evaluate<Result, Arg = undefined>(body: Body<Arg, Result>, arg?: Arg): Promise<Result> {
    return this.#page.evaluate(body as (arg: unknown) => Result | Promise<Result>, arg);
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
