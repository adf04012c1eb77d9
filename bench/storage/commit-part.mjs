// Storage bench, commits: the engine on each backend, each beside its floor, by turns within one run. The floor of the OPFS pool is
// bench/floor-worker.js; that of IndexedDB is the bare mirror VFS, one INSERT transaction and its flush, because nothing else carries SQLite's pages
// into IndexedDB synchronously: it is what the engine adds that is compared. The strict transaction alone stands beside it as `pages`.
import { commitFigures, middleOf, ratio } from '../figures.mjs';

/** 8 KB pages that a group of rows dirties on bare SQLite, measured as the mirror hands them on: the table, its index, the header. */
const pagesOf = { 1: 3, 10: 4, 100: 4, 1000: 13 };
const total = 20_000;
/** Commits of a floor that is only there to be named beside the others. */
const asideMax = 300;

/**
 * Durability modes the engine has. A `relaxed` one gets its lanes by being named here.
 * @type {readonly ('strict' | 'relaxed')[]}
 */
const modes = ['strict'];

/**
 * @typedef {import('../figures.mjs').CommitFigures & { lane: string, backend: string, mode: string, group: number }} CommitLane
 * @typedef {{ backend: string, mode: string, group: number, p50: number, opsPerSecond: number }} CommitRatio
 */

/** @param {import('../browsers.mjs').Tab} tab @param {{ groups: readonly number[], rounds: number, onLine: (line: string) => void }} options */
export async function commitPart(tab, { groups, rounds, onLine }) {
  /** @type {CommitLane[]} */
  const lanes = [];
  /** @type {CommitRatio[]} */
  const ratios = [];
  for (const mode of modes) {
    for (const group of groups) {
      /** @type {Map<string, import('../figures.mjs').CommitFigures[]>} */
      const runs = new Map();
      for (let round = 0; round < rounds; round++) {
        for (const [name, measure] of Object.entries(lanesOf(tab, group))) runs.set(name, [...(runs.get(name) ?? []), await measure()]);
      }
      for (const [name, figures] of runs) {
        const [lane = '', backend = ''] = name.split(' on ');
        lanes.push({ lane, backend, mode, group, ...middleOf(figures) });
      }
      for (const backend of ['opfs-pool', 'indexeddb']) {
        const of = (/** @type {string} */ lane) => middleOf(runs.get(`${lane} on ${backend}`) ?? []);
        const [engine, floor] = [of('engine'), of('floor')];
        const found = {
          ...{ backend, mode, group },
          p50: ratio(engine.p50Ms, floor.p50Ms),
          opsPerSecond: ratio(floor.opsPerSecond, engine.opsPerSecond),
        };
        ratios.push(found);
        onLine(
          `commit  ${backend.padEnd(9)} group ${group}: p50 ${engine.p50Ms} ms, ${engine.opsPerSecond} rows/s, ${found.p50}× the floor`,
        );
      }
    }
  }
  return { rounds, lanes, ratios };
}

/** @param {import('../browsers.mjs').Tab} tab @param {number} group @returns {Record<string, () => Promise<import('../figures.mjs').CommitFigures>>} */
function lanesOf(tab, group) {
  const count = Math.max(500, Math.min(2000, Math.floor(total / group)));
  /** @param {import('./page.ts').StorageBench['bareLane'] extends (job: infer Job) => unknown ? Job : never} job */
  const bare = async (job) => commitFigures(await tab.evaluate((asked) => globalThis.storageBench.bareLane(asked), job), group);
  /** @param {'opfs-pool' | 'indexeddb'} backend */
  const engine = async (backend) => {
    const asked = { group, total, backends: [backend] };
    return commitFigures((await tab.evaluate((asked) => globalThis.storageBench.engineLane(asked), asked)).times, group);
  };
  const pages = pagesOf[/** @type {keyof typeof pagesOf} */ (group)] ?? 4;
  return {
    'floor on opfs-pool': () => tab.evaluate((asked) => globalThis.storageBench.floorLane(asked), { group, total }),
    'engine on opfs-pool': () => engine('opfs-pool'),
    'truncate on opfs-pool': () => bare({ do: 'commit', on: 'truncate', group, count: asideMax }),
    'floor on indexeddb': () => bare({ do: 'commit', on: 'mirror', group, count }),
    'engine on indexeddb': () => engine('indexeddb'),
    'pages on indexeddb': () => bare({ do: 'pages', pages, count: asideMax }),
  };
}
