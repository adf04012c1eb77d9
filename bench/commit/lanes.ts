// The lanes of the commit benches, as a page runs them. The engine is timed from the page, `save()` to saved: what an app waits for.
import { type Backend, openWorkspace, sql } from '../../worker/browser/page.ts';
import { takeSpans } from '../spans-client.ts';
import { till } from './shards.ts';

export interface LaneRun {
  readonly times: readonly number[];
  /** Mean µs per commit of each part, in a build with spans. */
  readonly spans: Readonly<Record<string, number>>;
}

export interface LaneSettings {
  readonly group: number;
  /** Ops in all, as far as the bounds of `commitsOf` let them. */
  readonly total: number;
  readonly backends?: readonly Backend[];
  readonly hasSpans?: boolean;
}

/** As the floor counts: enough for p999 where commits are cheap. */
export const commitsOf = (group: number, total: number): number => Math.max(500, Math.min(2000, Math.floor(total / group)));

export async function engineLane(startWorker: (name: string) => Worker, settings: LaneSettings): Promise<LaneRun> {
  const { group, total, backends, hasSpans = false } = settings;
  const worker = `bench-${crypto.randomUUID()}`;
  const ws = await openWorkspace({
    shards: [till],
    store: `bench-${backends?.join('-') ?? 'usual'}`,
    worker: () => startWorker(worker),
    ...(backends === undefined ? {} : { backends }),
  });
  try {
    if ((await ws.status()).workspace === undefined) await ws.create({ name: 'bench', device: 'bench' });
    const shop = await ws.open('till', `run-${group}-${Date.now()}`);
    const count = commitsOf(group, total);
    if (hasSpans) await takeSpans(worker);
    const times: number[] = [];
    for (let g = 0; g < count; g++) {
      const ops = Array.from({ length: group }, (_, i) => ['sale.line', { sale: `S${g}`, sku: `SKU${i}`, qty: 6, cents: 255 }] as const);
      const [first] = ops;
      const start = performance.now();
      if (group === 1 && first !== undefined) await shop.save(...first);
      else await shop.saveAll(ops);
      times.push(performance.now() - start);
    }
    const spans = hasSpans ? (await takeSpans(worker)).totals : {};
    const [[found] = []] = await shop.read([sql<{ n: number }>`SELECT count(*) AS n FROM sale_line`]);
    if (found?.n !== count * group) throw new Error(`engine: ${found?.n} rows, expected ${count * group}`);
    return { times, spans: Object.fromEntries(Object.entries(spans).map(([name, ms]) => [name, (ms * 1000) / count])) };
  } finally {
    await ws.close();
  }
}

export interface FloorLane {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly opsPerSecond: number;
}

export function floorLane({ group, total }: LaneSettings): Promise<FloorLane> {
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
