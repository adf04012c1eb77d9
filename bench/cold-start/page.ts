// What a page does for the start bench, one call of bench/cold-start.mjs at a time, through the published API alone.
import { type EngineStatus, openWorkspace, type Sql, sql, type Workspace } from '../../worker/browser/page.ts';
import { counters, lines } from './shards.ts';

export type Workload = 'counters' | 'lines';

interface Asked {
  readonly store: string;
  readonly relay: string;
  readonly workload: Workload;
}

type Shop = Workspace<readonly [typeof counters, typeof lines]>;

/** Groups of a till that was busy for years: what a backlog is pushed and folded in. */
const opsPerGroup = 1_000;
/** Different products: the size of the counters' state. */
const skus = 1_000;
/** Saved one by one after the last checkpoint: what a start folds behind it. */
const residualOps = 100;

const counts: Readonly<Record<Workload, Sql<{ rows: number; sum: number }>>> = {
  counters: sql`SELECT count(*) AS rows, sum(qty) AS sum FROM stock`,
  lines: sql`SELECT count(*) AS rows, sum(qty) AS sum FROM sale_line`,
};

const open = ({ store, relay }: Asked): Promise<Shop> =>
  openWorkspace({
    shards: [counters, lines],
    ...{ store, relay, pollMs: 500 },
    worker: () => new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module' }),
  });

const opOf = {
  counters: (n: number) => ['stock.sold', { sku: `sku-${(n * 7919) % skus}`, qty: (n % 3) + 1 }] as const,
  lines: (n: number) => ['sale.line', { sale: `sale-${Math.floor(n / 5)}`, sku: `sku-${n % 5}`, qty: (n % 3) + 1, cents: 199 }] as const,
};

/** Writes a shard of so many ops, publishes a checkpoint near its end, and answers with links for 50 devices. */
async function make(asked: Asked & { readonly ops: number }): Promise<{ readonly links: readonly string[]; readonly rows: unknown }> {
  const { workload, ops } = asked;
  const ws = await open(asked);
  await ws.create({ name: asked.store, device: 'writer' });
  const shard = await ws.open(workload, 'one');
  const save = (from: number, count: number) =>
    shard.saveAll(Array.from({ length: count }, (_, i) => opOf[workload](from + i)) as unknown as Parameters<typeof shard.saveAll>[0]);
  const before = ops - residualOps;
  let last = await save(0, Math.min(opsPerGroup, before));
  for (let from = opsPerGroup; from < before; from += opsPerGroup) last = await save(from, Math.min(opsPerGroup, before - from));
  await last.committed;
  await shard.publish();
  for (let n = before; n < ops; n++) last = await save(n, 1);
  await last.committed;
  const links: string[] = [];
  for (let i = 0; i < 8; i++) links.push(await ws.invite({ uses: 10 }));
  const rows = await ws.read(`${workload}/*`, [counts[workload]]);
  await ws.close();
  return { links, rows };
}

/** Resolves with the shard's status once it is level with the relay. */
const level = (ws: Shop): Promise<EngineStatus['followed'][number]> =>
  new Promise((resolve) => {
    const unwatch = ws.subscribe(({ followed: [at] }) => {
      if (at?.bootstrap.isLevel !== true) return;
      queueMicrotask(() => unwatch());
      resolve(at);
    });
  });

/** An empty device that joins and follows: from `follow` to level, ms; and the rows it shows. */
async function join(asked: Asked & { readonly link: string }) {
  const ws = await open(asked);
  await ws.join(asked.link, { device: asked.store });
  const from = performance.now();
  await ws.follow(`${asked.workload}/*`);
  const { bootstrap } = await level(ws);
  const ms = performance.now() - from;
  const rows = await ws.read(`${asked.workload}/*`, [counts[asked.workload]]);
  await ws.close();
  return { ms, rows, bootstrap };
}

/** A device that has its file: from `openWorkspace` to the rows of the first query, ms. */
async function start(asked: Asked) {
  const from = performance.now();
  const ws = await open(asked);
  const rows = await ws.read(`${asked.workload}/*`, [counts[asked.workload]]);
  const ms = performance.now() - from;
  const { bootstrap } = await level(ws);
  await ws.close();
  return { ms, rows, bootstrap };
}

/** Folds all of it from the first slot, while this thread says how long it was kept from running at most. */
async function genesis(asked: Asked) {
  const ws = await open(asked);
  await level(ws);
  let longestGapMs = 0;
  let heard = performance.now();
  const beat = setInterval(() => {
    const now = performance.now();
    longestGapMs = Math.max(longestGapMs, now - heard - beatMs);
    heard = now;
  }, beatMs);
  let told = 0;
  const from = performance.now();
  const bootstrap = await ws.startFromGenesis(asked.workload, 'one', { evenOnPhone: true, onProgress: () => told++ });
  const ms = performance.now() - from;
  clearInterval(beat);
  const rows = await ws.read(`${asked.workload}/*`, [counts[asked.workload]]);
  await ws.close();
  return { ms, rows, bootstrap, longestGapMs, told };
}

const beatMs = 4;

/** So many devices, each a store with a worker of its own, all enrolled, none with a file: they follow at the same moment. */
async function herd(asked: Asked & { readonly links: readonly string[]; readonly devices: number }): Promise<readonly number[]> {
  const devices: Shop[] = [];
  for (let i = 0; i < asked.devices; i++) {
    const ws = await open({ ...asked, store: `${asked.store}-${i}` });
    await ws.join(asked.links[Math.floor(i / 10)] as string, { device: `device ${i}` });
    devices.push(ws);
  }
  const from = performance.now();
  return Promise.all(
    devices.map(async (ws) => {
      await ws.follow(`${asked.workload}/*`);
      await level(ws);
      const ms = performance.now() - from;
      await ws.close();
      return ms;
    }),
  );
}

const bench = { make, join, start, genesis, herd };
export type StartBench = typeof bench;
declare global {
  var startBench: StartBench;
}
globalThis.startBench = bench;
