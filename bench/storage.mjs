// The storage bench: commits per backend, start by size, hand-over; each beside its bare floor in the same run, in Chromium, and commits in Firefox
// where there is one. What the figures must reach stands in `goals`. A whole run takes about six minutes.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inChromium, inFirefox } from './browsers.mjs';
import { circumstances } from './figures.mjs';
import { buildSite, serveSite } from './site.mjs';
import { openSpans } from './spans.mjs';
import { commitPart } from './storage/commit-part.mjs';
import { handOverPart } from './storage/hand-over-part.mjs';
import { startPart } from './storage/start-part.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = join(root, 'bench/storage');
const allGroups = [1, 10, 100, 1000];
const allParts = ['commit', 'start', 'handover', 'firefox'];
/** Alternations: of commits (each many), of starts, of hand-overs. `--rounds` cuts them. Firefox commits slowly: once, and fewer groups. */
const roundsWhole = { commit: 3, start: 7, handOver: 20 };
const firefoxGroups = [1, 100, 1000];

/**
 * What the engine is to reach: times the floor at groups of 1,000; 100 MB against 1 MB; ms from the lock to the first save.
 */
const goals = { commitRatioAt1000: 1.6, start100MbTo1Mb: 1.5, lockToSavedMs: 150 };

/** @param {{ isJson: boolean, groups?: number[], rounds?: number, parts?: string[] }} options */
export async function run({ isJson, groups = allGroups, rounds, parts = allParts }) {
  const counts = rounds === undefined ? roundsWhole : { commit: rounds, start: Math.max(rounds, 3), handOver: Math.max(rounds, 3) };
  const onLine = (/** @type {string} */ line) => {
    if (!isJson) console.log(line);
  };
  const site = await serveSite(
    await buildSite(page, parts.some((part) => part === 'start' || part === 'handover') ? openSpans : undefined),
  );
  const plain = await serveSite(await buildSite(page));
  const ready = async (/** @type {import('./browsers.mjs').Tab} */ tab) => {
    await tab.waitForFunction(`'storageBench' in globalThis && globalThis.crossOriginIsolated`);
  };
  /** @param {import('./browsers.mjs').Browser} browser @param {string} origin */
  const opener = (browser, origin) => async () => {
    const tab = await browser.open();
    await tab.goto(origin);
    await ready(tab);
    return tab;
  };
  /** @type {Record<string, string>} */
  const versions = {};
  /** @type {Record<string, unknown>} */
  const found = {};
  /** @param {string} name @param {import('./browsers.mjs').InBrowser | undefined} inBrowser @param {(browser: import('./browsers.mjs').Browser) => Promise<unknown>} work */
  const part = async (name, inBrowser, work) => {
    if (!parts.includes(name) || inBrowser === undefined) return;
    found[name] = await inBrowser(async (browser) => {
      versions[name === 'firefox' ? 'firefox' : 'chromium'] = browser.version;
      return await work(browser);
    });
  };
  try {
    const commits = { groups, rounds: counts.commit, onLine };
    await part('commit', inChromium, async (browser) => commitPart(await opener(browser, plain.origin)(), commits));
    await part('start', inChromium, async (browser) =>
      startPart(await opener(browser, site.origin)(), { rounds: counts.start, ready, onLine }),
    );
    await part('handover', inChromium, (browser) => handOverPart(opener(browser, site.origin), { rounds: counts.handOver, ready, onLine }));
    const inFirefoxCommits = { groups: groups.filter((group) => firefoxGroups.includes(group)), rounds: 1, onLine };
    await part('firefox', inFirefox(), async (browser) => commitPart(await opener(browser, plain.origin)(), inFirefoxCommits));
  } finally {
    await site.close();
    await plain.close();
  }
  const result = { bench: 'storage', ...(await circumstances(versions)), goals, ...found };
  if (isJson) console.log(JSON.stringify(result, null, 2));
  const isWhole = rounds === undefined && groups === allGroups && parts === allParts;
  if (!isWhole) return;
  await mkdir(join(root, 'bench/results'), { recursive: true });
  await writeFile(join(root, 'bench/results/storage.json'), `${JSON.stringify(result, null, 2)}\n`);
  if (!isJson) console.log('written to bench/results/storage.json');
}
