// The start bench: how long a device takes to its rows by each of the three paths (decision 0013), on a shard whose state stays the same size and on one
// that grows with every op, by number of ops; and 50 devices that start at once. Real Chromium, real relay over a folder.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';
import { inChromium } from './browsers.mjs';
import { circumstances, median, percentile, ratio, round1 } from './figures.mjs';
import { buildSite, serveSite } from './site.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const workloads = /** @type {const} */ (['counters', 'lines']);
const sizesWhole = [10_000, 100_000, 1_000_000];
const roundsWhole = 5;
const herd = { devices: 50, ops: 100_000 };

/** What the engine is to reach: a start from a checkpoint against one from genesis, at the largest size, on both workloads. */
const goals = { genesisToCheckpoint: 20 };

/** @typedef {{ ms: number, rows: unknown, bootstrap: { path: string, bytes: number, groupsFolded: number, opsFolded: number, rowsTouched: number } }} Start */

/** @param {{ isJson: boolean, groups?: number[], rounds?: number }} options `groups`: numbers of ops */
export async function run({ isJson, groups: sizes = sizesWhole, rounds = roundsWhole }) {
  const onLine = (/** @type {string} */ line) => {
    if (!isJson) console.log(line);
  };
  const folder = await mkdtemp(join(tmpdir(), 'foldlog-bench-relay-'));
  const site = await serveSite(await buildSite(join(root, 'bench/cold-start')));
  const relay = await startRelay(folder, new URL(site.origin).origin);
  /** @type {Record<string, unknown>[]} */
  const starts = [];
  /** @type {Record<string, unknown>[]} */
  const ratios = [];
  let crowd = {};
  let chromium = '';
  try {
    await inChromium(async (browser) => {
      chromium = browser.version;
      const tab = await browser.open();
      const load = async () => {
        await tab.goto(site.origin);
        await tab.waitForFunction(`'startBench' in globalThis`);
      };
      await load();
      for (const workload of workloads) {
        for (const ops of sizes) {
          const asked = { relay: `${relay.url}/relay`, workload };
          const name = `${workload}-${ops}`;
          const { links, rows } = await tab.evaluate((at) => globalThis.startBench.make(at), { ...asked, store: name, ops });
          onLine(`${name}: made`);
          const same = (/** @type {Start} */ start) => {
            if (JSON.stringify(start.rows) !== JSON.stringify(rows))
              throw new Error(`${name}: ${JSON.stringify(start.rows)}, expected ${JSON.stringify(rows)}`);
            return start;
          };
          /** @type {Record<string, Start[]>} */
          const by = { checkpoint: [], open: [], genesis: [] };
          for (let round = 0; round < rounds; round++) {
            const store = `${name}-${round}`;
            const link = links[Math.floor(round / 10)] ?? '';
            by.checkpoint?.push(same(await tab.evaluate((at) => globalThis.startBench.join(at), { ...asked, store, link })));
            await load();
            by.open?.push(same(await tab.evaluate((at) => globalThis.startBench.start(at), { ...asked, store })));
          }
          const store = `${name}-0`;
          const whole = await tab.evaluate((at) => globalThis.startBench.genesis(at), { ...asked, store });
          by.genesis?.push(same(whole));
          for (const [path, runs] of Object.entries(by)) {
            const found = summary(workload, ops, path, runs);
            starts.push(path === 'genesis' ? { ...found, longestGapMs: round1(whole.longestGapMs), progressTold: whole.told } : found);
            onLine(
              `${name}  ${path.padEnd(10)} p50 ${found.p50Ms} ms, ${found.bytes} bytes, ${found.opsFolded} ops folded, ${found.rowsTouched} rows touched`,
            );
          }
          const genesisToCheckpoint = ratio(whole.ms, median((by.checkpoint ?? []).map(({ ms }) => ms)));
          ratios.push({ workload, ops, genesisToCheckpoint });
          onLine(
            `${name}  genesis takes ${genesisToCheckpoint}× as long as a checkpoint; this thread was kept waiting ${round1(whole.longestGapMs)} ms at most`,
          );
          await load();
        }
      }
      const asked = { relay: `${relay.url}/relay`, workload: workloads[0], store: 'herd', ops: herd.ops };
      const { links } = await tab.evaluate((at) => globalThis.startBench.make(at), asked);
      const before = relay.requests();
      const times = await tab.evaluate((at) => globalThis.startBench.herd(at), { ...asked, links, devices: herd.devices });
      crowd = {
        ...herd,
        p50Ms: round1(median(times)),
        p95Ms: round1(percentile(times, 0.95)),
        maxMs: round1(Math.max(...times)),
        requests: relay.requests() - before,
      };
      onLine(`${herd.devices} devices at once: p50 ${round1(median(times))} ms, p95 ${round1(percentile(times, 0.95))} ms`);
    });
  } finally {
    await relay.close();
    await site.close();
    await rm(folder, { recursive: true, force: true });
  }
  const result = { bench: 'cold-start', ...(await circumstances({ chromium })), goals, rounds, starts, ratios, herd: crowd };
  if (isJson) console.log(JSON.stringify(result));
  if (sizes !== sizesWhole || rounds < roundsWhole) return;
  await mkdir(join(root, 'bench/results'), { recursive: true });
  await writeFile(join(root, 'bench/results/cold-start.json'), `${JSON.stringify(result, null, 2)}\n`);
  if (!isJson) console.log('written to bench/results/cold-start.json');
}

/** @param {string} workload @param {number} ops @param {string} path @param {readonly Start[]} runs */
function summary(workload, ops, path, runs) {
  const times = runs.map(({ ms }) => ms);
  const [first] = runs;
  const taken = first?.bootstrap;
  if (taken === undefined || taken.path !== path) throw new Error(`${workload}, ${ops} ops: started by ${taken?.path}, expected ${path}`);
  const { bytes, groupsFolded, opsFolded, rowsTouched } = taken;
  return {
    workload,
    ops,
    path,
    runs: runs.length,
    p50Ms: round1(median(times)),
    maxMs: round1(Math.max(...times)),
    bytes,
    groupsFolded,
    opsFolded,
    rowsTouched,
  };
}

/** @param {string} folder @param {string} origin */
async function startRelay(folder, origin) {
  const { module } = await runnerImport(join(root, 'relay/main.node.ts'));
  const { startRelay: begin, openFolderStore } = /** @type {typeof import('../relay/main.node.ts')} */ (module);
  let requests = 0;
  const store = await openFolderStore(join(folder, 'objects'));
  const counted = /** @type {typeof store} */ (
    Object.fromEntries(
      ['get', 'head', 'put', 'list', 'delete'].map((name) => [
        name,
        (/** @type {unknown[]} */ ...args) => {
          requests++;
          return /** @type {any} */ (store)[name](...args);
        },
      ]),
    )
  );
  const relay = await begin({ folder, port: 0, origins: [origin], store: counted });
  return { url: relay.url, close: relay.close, requests: () => requests };
}
