// Chromium behind the common interface: the Device of the other browser tests, driven by Playwright.
import type { Page } from 'playwright';
import { Device } from '../harness.ts';
import type { Body, Engine, EngineDevice, Tab } from './engine.ts';

export const chromiumEngine: Engine = {
  name: 'Chromium',
  mode: 'as it comes',
  missing: undefined,
  makeDevice: () => ChromiumDevice.make(),
};

class ChromiumDevice implements EngineDevice {
  readonly #device: Device;
  #version = '';

  private constructor(device: Device) {
    this.#device = device;
  }

  static async make(): Promise<ChromiumDevice> {
    return new ChromiumDevice(await Device.make());
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
