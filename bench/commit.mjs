// The commit bench: how long `save()` takes from the page's call to saved, against the floor (bench/floor-worker.js): the same rows and flushes
// on bare SQLite in the worker, without ops, hashes, signatures, log or port. Lanes alternate within one run, on one profile on disk.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, platform, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright';
import { launchOptions } from '../scripts/browser.mjs';
import { buildSite, serveSite, sizesOf } from './site.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = join(root, 'bench/commit');
const allGroups = [1, 10, 100, 1000];
const total = 20_000;
/** Alternations per group: enough that a noisy second on a shared machine does not decide. */
const roundsWhole = 5;
/** Parts of a commit are shown for the smallest and the largest group. */
const spanGroups = [1, 1000];

/** Results are written by a whole run only: a partial one is for working on the engine. @param {{ isJson: boolean, groups?: number[], rounds?: number }} options */
export async function run({ isJson, groups = allGroups, rounds = roundsWhole }) {
  const lanes = [];
  const ratios = [];
  const { chromiumVersion } = await inBrowser({ hasSpans: false }, async (tab) => {
    for (const group of groups) {
      const floor = [];
      const engine = [];
      for (let round = 0; round < rounds; round++) {
        floor.push(await tab.evaluate(([g, t]) => globalThis.commitBench.floorLane(g, t), [group, total]));
        engine.push(summary((await tab.evaluate(([g, t]) => globalThis.commitBench.engineLane(g, t, false), [group, total])).times, group));
      }
      const pair = { floor: { lane: 'floor', group, ...medianOf(floor) }, engine: { lane: 'engine', group, ...medianOf(engine) } };
      lanes.push(pair.floor, pair.engine);
      ratios.push({ group, p50: round2(pair.engine.p50Ms / pair.floor.p50Ms), p99: round2(pair.engine.p99Ms / pair.floor.p99Ms) });
      if (!isJson) console.log(line(pair.floor), '\n', line(pair.engine), `  ${ratios.at(-1)?.p50}× the floor`);
    }
  });
  const parts = {};
  await inBrowser({ hasSpans: true }, async (tab) => {
    for (const group of spanGroups) {
      const { times, spans } = await tab.evaluate(([g, t]) => globalThis.commitBench.engineLane(g, t, true), [group, total]);
      const whole = (times.reduce((a, b) => a + b, 0) * 1000) / times.length;
      parts[group] = Object.fromEntries(
        Object.entries({ whole, portAndPage: whole - (spans.worker ?? 0), ...spans }).map(([name, us]) => [name, Math.round(us)]),
      );
    }
  });
  const result = {
    bench: 'commit',
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, os: `${platform()} ${release()}` },
    versions: await versions(chromiumVersion),
    rounds,
    lanes,
    ratios,
    partsMicroseconds: parts,
    bundle: await bundle(),
  };
  const isWhole = groups === allGroups && rounds >= roundsWhole;
  if (isWhole) {
    await mkdir(join(root, 'bench/results'), { recursive: true });
    await writeFile(join(root, 'bench/results/commit.json'), `${JSON.stringify(result, null, 2)}\n`);
  }
  if (isJson) console.log(JSON.stringify(result, null, 2));
  else {
    console.log('\nmean µs per commit, spans nest (sign ends when its promise is taken up, which is after fold):');
    console.table(parts);
    console.table(result.bundle);
    if (isWhole) console.log('written to bench/results/commit.json');
  }
}

/**
 * A fresh profile on disk: an ordinary context would keep OPFS in memory.
 * @param {{ hasSpans: boolean }} options
 * @param {(tab: import('playwright').Page) => Promise<void>} work
 */
async function inBrowser(options, work) {
  const site = await serveSite(await buildSite(page, options));
  const profile = await mkdtemp(join(tmpdir(), 'foldlog-bench-profile-'));
  const context = await chromium.launchPersistentContext(profile, launchOptions());
  try {
    const tab = await context.newPage();
    tab.on('pageerror', (error) => console.error('page:', error.message));
    await tab.goto(site.origin);
    await tab.waitForFunction(() => 'commitBench' in globalThis && globalThis.crossOriginIsolated);
    await work(tab);
    return {
      chromiumVersion: context.browser()?.version() ?? (await tab.evaluate(() => navigator.userAgent.match(/Chrome\/([\d.]+)/)?.[1])),
    };
  } finally {
    await context.close();
    await site.close();
    await rm(profile, { recursive: true, force: true });
  }
}

/** @param {readonly number[]} times @param {number} group */
function summary(times, group) {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (/** @type {number} */ p) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
  const spent = times.reduce((a, b) => a + b, 0);
  return { p50Ms: at(0.5), p99Ms: at(0.99), p999Ms: at(0.999), opsPerSecond: (times.length * group * 1000) / spent };
}

/** The middle of each figure over the rounds. @param {readonly ReturnType<typeof summary>[]} runs */
function medianOf(runs) {
  const middle = (/** @type {keyof ReturnType<typeof summary>} */ field) => {
    const sorted = runs.map((run) => run[field]).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  };
  return {
    p50Ms: round3(middle('p50Ms')),
    p99Ms: round3(middle('p99Ms')),
    p999Ms: round3(middle('p999Ms')),
    opsPerSecond: Math.round(middle('opsPerSecond')),
  };
}

const round2 = (/** @type {number} */ value) => Math.round(value * 100) / 100;
const round3 = (/** @type {number} */ value) => Math.round(value * 1000) / 1000;

/** @param {{ lane: string, group: number, p50Ms: number, p99Ms: number, p999Ms: number, opsPerSecond: number }} lane */
const line = ({ lane, group, p50Ms, p99Ms, p999Ms, opsPerSecond }) =>
  `${lane.padEnd(6)} group ${String(group).padStart(4)}  p50 ${p50Ms} ms  p99 ${p99Ms} ms  p999 ${p999Ms} ms  ${opsPerSecond} ops/s`;

/** @param {string | undefined} chromiumVersion */
async function versions(chromiumVersion) {
  const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  return {
    chromium: chromiumVersion ?? 'unknown',
    node: process.version,
    sqliteWasm: manifest.dependencies['@sqlite.org/sqlite-wasm'],
    foldlog: manifest.version,
  };
}

async function bundle() {
  const folder = await buildSite(page, { hasSpans: false });
  try {
    return await sizesOf(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
