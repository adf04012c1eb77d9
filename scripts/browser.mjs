// The browsers of tests, benches and the demo's walk-through, each found or installed by a file of its own in browsers/. Chromium is what
// nothing runs without; Firefox and WebKit are tested where they can be had.
// Run directly (`node scripts/browser.mjs`) it prints where each is, or what to install, and exits with 1 when there is no Chromium.
import { pathToFileURL } from 'node:url';
import { ensureChromium } from './browsers/chromium.mjs';
import { ensureFirefox } from './browsers/firefox.mjs';
import { ensureWebKit } from './browsers/webkit.mjs';

export { ensureChromium, findChromium, launchOptions } from './browsers/chromium.mjs';

/**
 * Engines that tests may do without, by the name their tests stand under.
 * @type {Readonly<Record<string, () => unknown>>}
 */
const OTHERS = { Firefox: ensureFirefox, WebKit: ensureWebKit };

/**
 * Installs the other engines where that is possible.
 * @returns {{ engine: string, reason: string }[]} those that are not here, and why
 */
export function ensureOtherEngines() {
  return Object.entries(OTHERS).flatMap(([engine, ensure]) => {
    try {
      ensure();
      return [];
    } catch (cause) {
      return [{ engine, reason: wordsOf(cause) }];
    }
  });
}

/** @param {unknown} cause @returns {string} */
function wordsOf(cause) {
  return cause instanceof Error ? cause.message : String(cause);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(`Chromium: ${ensureChromium()}`);
  } catch (cause) {
    console.error(wordsOf(cause));
    process.exitCode = 1;
  }
  const missing = ensureOtherEngines();
  for (const engine of Object.keys(OTHERS)) console.log(`${engine}: ${missing.find((other) => other.engine === engine)?.reason ?? 'here'}`);
}
