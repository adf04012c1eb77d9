// Runs one lane at a time on demand of bench/commit.mjs. The engine is timed from the page, `save()` to saved: what an app waits for.
import { openWorkspace, sql } from '../../worker/browser/page.ts';
import { till } from './shards.ts';

interface LaneRun {
  readonly times: readonly number[];
  /** Mean µs per commit of each part, in a build with spans. */
  readonly spans: Readonly<Record<string, number>>;
}

/** As the floor counts: enough for p999 where commits are cheap. */
const commitsOf = (group: number, total: number): number => Math.max(500, Math.min(2000, Math.floor(total / group)));

/** Asked over a channel of its own, which product code does not know. */
const takeSpans = (): Promise<Record<string, number>> =>
  new Promise((resolve) => {
    const channel = new BroadcastChannel('bench-spans');
    channel.onmessage = ({ data }: MessageEvent<{ spans?: Record<string, number> }>) => {
      if (data.spans === undefined) return;
      channel.close();
      resolve(data.spans);
    };
    channel.postMessage('take');
  });

async function engineLane(group: number, total: number, hasSpans: boolean): Promise<LaneRun> {
  const ws = await openWorkspace({
    shards: [till],
    store: 'bench',
    worker: () => new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module' }),
  });
  try {
    if ((await ws.status()).workspace === undefined) await ws.create({ name: 'bench', device: 'bench' });
    const shop = await ws.open('till', `run-${group}-${Date.now()}`);
    const count = commitsOf(group, total);
    if (hasSpans) await takeSpans();
    const times: number[] = [];
    for (let g = 0; g < count; g++) {
      const ops = Array.from({ length: group }, (_, i) => ['sale.line', { sale: `S${g}`, sku: `SKU${i}`, qty: 6, cents: 255 }] as const);
      const [first] = ops;
      const start = performance.now();
      if (group === 1 && first !== undefined) await shop.save(...first);
      else await shop.saveAll(ops);
      times.push(performance.now() - start);
    }
    const spans = hasSpans ? await takeSpans() : {};
    const [[found] = []] = await shop.read([sql<{ n: number }>`SELECT count(*) AS n FROM sale_line`]);
    if (found?.n !== count * group) throw new Error(`engine: ${found?.n} rows, expected ${count * group}`);
    return { times, spans: Object.fromEntries(Object.entries(spans).map(([name, ms]) => [name, (ms * 1000) / count])) };
  } finally {
    await ws.close();
  }
}

interface FloorLane {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly opsPerSecond: number;
}

function floorLane(group: number, total: number): Promise<FloorLane> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('../floor-worker.js', import.meta.url), { type: 'module' });
    const end = (done: () => void): void => {
      worker.terminate();
      done();
    };
    worker.onmessage = ({ data }: MessageEvent<{ lanes: readonly FloorLane[] }>) => end(() => resolve(data.lanes[0] as FloorLane));
    worker.onerror = (event) => end(() => reject(new Error(`floor: ${event.message}`)));
    worker.postMessage({ groups: [group], total });
  });
}

export interface CommitBench {
  engineLane: typeof engineLane;
  floorLane: typeof floorLane;
}
declare global {
  var commitBench: CommitBench;
}
globalThis.commitBench = { engineLane, floorLane };
