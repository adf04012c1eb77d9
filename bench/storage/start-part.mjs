// Storage bench, start by size: from a page that has just loaded again to the rows of its first query, on shards of several sizes, the system's file
// cache warm; beside bare SQLite that opens a file as large and asks the same.
import { median, ratio, round1 } from '../figures.mjs';

/** Megabytes of shard file. The largest is under the cap of files over IndexedDB (256 MB). */
const sizes = [1, 13, 100];
const places = /** @type {const} */ ([
  { backend: 'opfs-pool', on: 'wal' },
  { backend: 'indexeddb', on: 'mirror' },
]);

/** @param {import('../browsers.mjs').Tab} tab @param {{ rounds: number, ready: (tab: import('../browsers.mjs').Tab) => Promise<void>, onLine: (line: string) => void }} options */
export async function startPart(tab, { rounds, ready, onLine }) {
  const cases = places.flatMap((place) => sizes.map((megabytes) => ({ ...place, megabytes, store: `start-${place.on}-${megabytes}` })));
  for (const { store, backend, on, megabytes } of cases) {
    await tab.evaluate((asked) => globalThis.storageBench.fill(asked), { store, backends: [backend], megabytes });
    await tab.evaluate((asked) => globalThis.storageBench.bare(asked), {
      do: /** @type {const} */ ('fill'),
      on,
      store: `bare-${store}`,
      megabytes,
    });
    onLine(`start   filled ${store}`);
  }
  /** @type {Map<string, { engine: Readonly<Record<string, number>>[], floor: Readonly<Record<string, number>>[] }>} */
  const runs = new Map(cases.map(({ store }) => [store, { engine: [], floor: [] }]));
  for (let round = 0; round <= rounds; round++) {
    for (const { store, backend, on } of cases) {
      await tab.reload();
      await ready(tab);
      const engine = await tab.evaluate((asked) => globalThis.storageBench.start(asked), { store, backends: [backend] });
      await tab.reload();
      await ready(tab);
      const floor = await tab.evaluate((asked) => globalThis.storageBench.bareStart(asked), {
        ...{ do: /** @type {const} */ ('start'), on, store: `bare-${store}` },
      });
      if (round === 0) continue; // warms the file cache
      runs.get(store)?.engine.push(engine);
      runs.get(store)?.floor.push(floor);
    }
  }
  const starts = cases.map(({ store, backend, megabytes }) => {
    const { engine = [], floor = [] } = runs.get(store) ?? {};
    const found = { backend, megabytes, engine: middles(engine), floor: middles(floor) };
    const times = ratio(found.engine.whole ?? 0, found.floor.whole ?? 0);
    onLine(`start   ${backend.padEnd(9)} ${megabytes} MB: ${found.engine.whole} ms, bare ${found.floor.whole} ms, ${times}×`);
    return { ...found, ratio: times };
  });
  const growth = places.map(({ backend }) => {
    const at = (/** @type {number} */ size) =>
      starts.find((start) => start.backend === backend && start.megabytes === size)?.engine.whole ?? 0;
    return { backend, ratio100MbTo1Mb: ratio(at(100), at(1)) };
  });
  for (const { backend, ratio100MbTo1Mb } of growth)
    onLine(`start   ${backend.padEnd(9)} 100 MB takes ${ratio100MbTo1Mb}× as long as 1 MB`);
  return { rounds, starts, growth };
}

/** The middle of each part. @param {readonly Readonly<Record<string, number>>[]} runs @returns {Record<string, number>} */
export function middles(runs) {
  const names = Object.keys(runs[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, round1(median(runs.flatMap((run) => run[name] ?? [])))]));
}
