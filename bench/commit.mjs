// The commit bench: how long `save()` takes from the page's call to saved, against the floor (bench/floor-worker.js): the same rows and flushes
// on bare SQLite in the worker, without ops, hashes, signatures, log or port. Lanes alternate within one run, on one profile on disk.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inChromium } from './browsers.mjs';
import { circumstances, commitFigures, middleOf, ratio } from './figures.mjs';
import { buildSite, serveSite, sizesOf } from './site.mjs';
import { commitSpans } from './spans.mjs';

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
  const chromium = await onPage(undefined, async (tab) => {
    for (const group of groups) {
      const floor = [];
      const engine = [];
      for (let round = 0; round < rounds; round++) {
        floor.push(await tab.evaluate((asked) => globalThis.commitBench.floorLane(asked), { group, total }));
        const { times } = await tab.evaluate((asked) => globalThis.commitBench.engineLane(asked), { group, total });
        engine.push(commitFigures(times, group));
      }
      const pair = { floor: { lane: 'floor', group, ...middleOf(floor) }, engine: { lane: 'engine', group, ...middleOf(engine) } };
      lanes.push(pair.floor, pair.engine);
      ratios.push({ group, p50: ratio(pair.engine.p50Ms, pair.floor.p50Ms), p99: ratio(pair.engine.p99Ms, pair.floor.p99Ms) });
      if (!isJson) console.log(line(pair.floor), '\n', line(pair.engine), `  ${ratios.at(-1)?.p50}× the floor`);
    }
  });
  const parts = {};
  await onPage(commitSpans, async (tab) => {
    for (const group of spanGroups) {
      const asked = { group, total, hasSpans: true };
      const { times, spans } = await tab.evaluate((asked) => globalThis.commitBench.engineLane(asked), asked);
      const whole = (times.reduce((a, b) => a + b, 0) * 1000) / times.length;
      parts[group] = Object.fromEntries(
        Object.entries({ whole, portAndPage: whole - (spans.worker ?? 0), ...spans }).map(([name, us]) => [name, Math.round(us)]),
      );
    }
  });
  const result = {
    bench: 'commit',
    ...(await circumstances({ chromium })),
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
 * Opens the bench's page; answers with the browser's version.
 * @param {import('./spans.mjs').SpanPlan | undefined} spans
 * @param {(tab: import('./browsers.mjs').Tab) => Promise<void>} work
 */
async function onPage(spans, work) {
  const site = await serveSite(await buildSite(page, spans));
  try {
    return await inChromium(async ({ version, open }) => {
      const tab = await open();
      await tab.goto(site.origin);
      await tab.waitForFunction(`'commitBench' in globalThis && globalThis.crossOriginIsolated`);
      await work(tab);
      return version;
    });
  } finally {
    await site.close();
  }
}

/** @param {{ lane: string, group: number, p50Ms: number, p99Ms: number, p999Ms: number, opsPerSecond: number }} lane */
const line = ({ lane, group, p50Ms, p99Ms, p999Ms, opsPerSecond }) =>
  `${lane.padEnd(6)} group ${String(group).padStart(4)}  p50 ${p50Ms} ms  p99 ${p99Ms} ms  p999 ${p999Ms} ms  ${opsPerSecond} ops/s`;

async function bundle() {
  const folder = await buildSite(page);
  try {
    return await sizesOf(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
