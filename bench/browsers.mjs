// The browsers a bench drives, each on a fresh profile on disk: an ordinary Chromium context would keep OPFS and IndexedDB in memory.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright';
import puppeteer from 'puppeteer-core';
import { launchOptions } from '../scripts/browser.mjs';
import { findFirefox } from '../scripts/browsers/firefox.mjs';

/**
 * A tab as both drivers have it. What is evaluated travels as text.
 * @typedef {{
 *   goto(url: string): Promise<unknown>,
 *   reload(): Promise<unknown>,
 *   close(): Promise<void>,
 *   evaluate<Arg, Result>(body: (arg: Arg) => Result | Promise<Result>, arg: Arg): Promise<Result>,
 *   waitForFunction(condition: string): Promise<unknown>,
 * }} Tab
 * @typedef {{ version: string, profile: string, open: () => Promise<Tab> }} Browser
 * @typedef {<T>(work: (browser: Browser) => Promise<T>) => Promise<T>} InBrowser
 */

/** @type {InBrowser} */
export const inChromium = (work) =>
  onProfile(async (profile) => {
    const context = await chromium.launchPersistentContext(profile, launchOptions());
    try {
      const open = async () => {
        const tab = await context.newPage();
        tab.on('pageerror', (error) => console.error('page:', error.message));
        return /** @type {Tab} */ (/** @type {unknown} */ (tab));
      };
      return await work({ version: context.browser()?.version() ?? 'unknown', profile, open });
    } finally {
      await context.close();
    }
  });

/** A lane is one call, and a slow disk makes it a long one. */
const protocolTimeout = 300_000;

/** Undefined where there is no Firefox. @returns {InBrowser | undefined} */
export function inFirefox() {
  const executablePath = findFirefox();
  if (executablePath === undefined) return undefined;
  return (work) =>
    onProfile(async (profile) => {
      const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true, userDataDir: profile, protocolTimeout });
      try {
        const open = async () => /** @type {Tab} */ (/** @type {unknown} */ (await browser.newPage()));
        return await work({ version: (await browser.version()).replace(/^\w+\//, ''), profile, open });
      } finally {
        await browser.close();
      }
    });
}

/** @template T @param {(profile: string) => Promise<T>} work @returns {Promise<T>} */
async function onProfile(work) {
  const profile = await mkdtemp(join(tmpdir(), 'foldlog-bench-profile-'));
  try {
    return await work(profile);
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
