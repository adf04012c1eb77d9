// The self-test itself: each check in turn, over the engine's public page entry and a store of its own. Every check ends in words a person can
// read; one that cannot run because an earlier one failed says so, and what does not depend on it runs all the same.

import { openWorkspace, sql } from 'foldlog';
import { entries, entriesOf, type Lane, lanes, opBytes } from './entries.ts';
import { type FloorKind, type FloorResult, measureFloor } from './floors.ts';
import {
  blankChecks,
  type CheckId,
  type Latency,
  latencyOf,
  latencyWords,
  type Measure,
  type Report,
  said,
  toMicros,
  withCheck,
} from './report.ts';
import { storeName } from './stored.ts';

/** Told after every step. */
type Tell = (report: Report) => void;

const openStore = () =>
  openWorkspace({
    shards: [entries],
    store: storeName,
    worker: () => new Worker(new URL('./selftest-worker.ts', import.meta.url), { type: 'module' }),
  });
const openShard = (ws: Workspace) => ws.open('selftest', 'entries');

type Workspace = Awaited<ReturnType<typeof openStore>>;
type EntryShard = Awaited<ReturnType<typeof openShard>>;

const idOf = (lane: Lane): CheckId => `save${lane.ops}` as CheckId;
const savedWords = (ops: number): string => `${ops.toLocaleString('en')} entries`;

export const blankReport = (): Report => ({
  kind: 'foldlog-selftest',
  version: 1,
  run: crypto.randomUUID(),
  startedAt: new Date().toISOString(),
  browser: {
    userAgent: navigator.userAgent,
    screen: `${screen.width}×${screen.height} at ${devicePixelRatio}`,
    cores: navigator.hardwareConcurrency,
    clockStepMs: clockStep(),
  },
  storage: undefined,
  measures: [],
  savedOps: 0,
  reloads: 0,
  checks: blankChecks,
});

/** Everything up to the reload, in a store that is empty. */
export async function runUntilReload(tell: Tell): Promise<void> {
  let report = blankReport();
  const move = (next: Report): void => {
    report = next;
    tell(report);
  };
  const step = async (id: CheckId, work: () => Promise<string> | string): Promise<boolean> => {
    move(withCheck(report, id, 'running'));
    try {
      const words = await work();
      move(withCheck(report, id, 'passed', words));
      return true;
    } catch (error) {
      move(withCheck(report, id, 'failed', said(error)));
      return false;
    }
  };

  await step('page', requirePage);
  let ws: Workspace | undefined;
  let shard: EntryShard | undefined;
  await step('storage', async () => {
    ws = await openStore();
    await ws.create({ name: 'Self-test', device: 'This device' });
    shard = await openShard(ws);
    const { backend, durability, verdict, key } = await ws.status();
    report = { ...report, storage: { backend, durability, verdict, key } };
    if (durability !== 'durable') throw new Error(`${durability}: ${verdict}`);
    return `On ${backend}, ${durability}. ${verdict}.`;
  });
  const { storage } = report;
  if (storage === undefined) move(withCheck(report, 'key', 'not run', 'There is no store.'));
  else await step('key', () => keyWords(storage.key));

  for (const lane of lanes) {
    let save: Latency | undefined;
    const into = shard;
    if (into === undefined) move(withCheck(report, idOf(lane), 'not run', 'There is no store.'));
    else {
      await step(idOf(lane), async () => {
        save = await measureSaves(into, lane);
        report = { ...report, savedOps: report.savedOps + lane.ops * lane.saves };
        return `Saved: ${latencyWords(save, report.browser.clockStepMs)}.`;
      });
    }
    report = { ...report, measures: [...report.measures, await withFloors(lane, save)] };
  }
  if (shard === undefined) move(withCheck(report, 'reload', 'not run', 'Nothing was saved.'));
  await ws?.close().catch(() => undefined); // its worker may have ended: what was acknowledged is looked for after the reload
  await step('floors', () => floorWords(report));
}

/** After the reload, this one and any later: all that was acknowledged must be there, every save whole. */
export async function verifyKept(before: Report, tell: Tell): Promise<Report> {
  const report = { ...before, reloads: before.reloads + 1 };
  tell(withCheck(report, 'reload', 'running'));
  let ws: Workspace | undefined;
  try {
    ws = await openStore();
    const shard = await openShard(ws);
    const [saves] = await shard.read([
      sql<{ ops: number; save: number; found: number }>`SELECT ops, save, count(*) AS found FROM entry GROUP BY ops, save`,
    ]);
    const found = new Map(saves.map((row) => [`${row.ops}/${row.save}`, row.found]));
    const acknowledged = report.measures.filter((lane) => lane.save !== undefined);
    const missing = acknowledged.flatMap(({ ops, saves: count }) =>
      Array.from({ length: count }, (_, save) => `${ops}/${save}`).filter((save) => !found.has(save)),
    );
    const torn = saves.filter((row) => row.found !== row.ops);
    if (missing.length + torn.length > 0) {
      throw new Error(`${missing.length} saves that were acknowledged are missing, and ${torn.length} are there in part only.`);
    }
    const times = report.reloads === 1 ? 'the reload' : `${report.reloads} reloads`;
    return withCheck(report, 'reload', 'passed', `Survived ${times}: all ${savedWords(report.savedOps)}.`);
  } catch (error) {
    return withCheck(report, 'reload', 'failed', said(error));
  } finally {
    await ws?.close().catch(() => undefined); // a store that did not open has nothing to close
  }
}

function requirePage(): string {
  if (!isSecureContext) throw new Error('This address is not secure: browsers keep data only for https or localhost.');
  if (!('locks' in navigator)) throw new Error('This browser has no Web Locks: update it.');
  return 'The address is secure.';
}

const keyWords = (hold: string): string =>
  hold === 'sealed'
    ? 'Kept by the browser; no script can take it out.'
    : `Held as ${hold}: this browser has no keys of that kind, so it lies beside the data.`;

async function measureSaves(shard: EntryShard, lane: Lane): Promise<Latency> {
  const times: number[] = [];
  for (let save = 0; save < lane.saves; save++) {
    const ops = entriesOf(lane, save);
    const from = performance.now();
    await shard.saveAll(ops);
    times.push(performance.now() - from);
  }
  return latencyOf(times);
}

async function withFloors(lane: Lane, save: Latency | undefined): Promise<Measure> {
  const floor = async (kind: FloorKind): Promise<Latency | string> =>
    floorOf(await measureFloor({ floor: kind, bytes: lane.ops * opBytes, count: lane.saves }));
  return { ...lane, save, opfsFloor: await floor('opfs'), indexedDbFloor: await floor('indexedDb') };
}

const floorOf = (result: FloorResult): Latency | string => (result.kind === 'measured' ? latencyOf(result.times) : result.words);

/** Passes when at least one way of writing works: the other may be lacking, and which is said. */
function floorWords({ measures, browser }: Report): string {
  const [single] = measures;
  if (single === undefined) throw new Error('nothing was measured');
  const { opfsFloor, indexedDbFloor } = single;
  if (typeof opfsFloor === 'string' && typeof indexedDbFloor === 'string') throw new Error(`${opfsFloor}; ${indexedDbFloor}`);
  const words = (floor: Latency | string): string =>
    typeof floor === 'string' ? `not here (${floor})` : latencyWords(floor, browser.clockStepMs);
  return `One entry to a file, flushed: ${words(opfsFloor)}. To IndexedDB, strict: ${words(indexedDbFloor)}.`;
}

/** The smallest step of this browser's clock, found by looking at it. */
function clockStep(): number {
  let step = Number.POSITIVE_INFINITY;
  for (let seen = 0, last = performance.now(); seen < 10; ) {
    const now = performance.now();
    if (now === last) continue;
    step = Math.min(step, now - last);
    last = now;
    seen++;
  }
  return toMicros(step);
}
