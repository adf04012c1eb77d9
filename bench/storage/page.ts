// What a page does for the storage bench, one call of bench/storage/*.mjs at a time. The engine is used as an app uses it.
import { type Backend, openWorkspace, type Shard, sql, type Workspace } from '../../worker/browser/page.ts';
import { commitsOf, engineLane, floorLane, type LaneSettings } from '../commit/lanes.ts';
import { epochMs, type Span, takeSpans } from '../spans-client.ts';
import type { BareAnswer, BareJob } from './bare-worker.ts';
import { notes } from './shards.ts';

interface Asked {
  readonly store: string;
  readonly backends: readonly Backend[];
}

type Shards = readonly [typeof notes];

let ws: Workspace<Shards>;
let shard: Shard<typeof notes>;
let worker: Worker;
let workerName = '';

const startWorker = (name: string): Worker => new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module', name });

/** The commit bench's own worker and shard, so that its figures and these compare. */
const startTill = (name: string): Worker => new Worker(new URL('../commit/engine-worker.ts', import.meta.url), { type: 'module', name });

async function open(asked: Asked): Promise<void> {
  ws = await openWorkspace({
    ...asked,
    shards: [notes],
    worker: () => {
      workerName = `bench-${crypto.randomUUID()}`;
      worker = startWorker(workerName);
      return worker;
    },
  });
}

const newest = sql<{ id: string; length: number }>`SELECT id, length(text) AS length FROM note ORDER BY id DESC LIMIT 20`;
const text = 'n'.repeat(1_000);

/** A new shop with one shard of about that many megabytes, log and table together. */
async function fill({ megabytes, ...asked }: Asked & { readonly megabytes: number }): Promise<void> {
  await open(asked);
  await ws.create({ name: asked.store, device: 'bench' });
  shard = await ws.open('notes', 'notes-1');
  const groups = Math.max(1, Math.round(megabytes / 2));
  const perGroup = Math.round((megabytes * 460) / groups);
  for (let g = 0; g < groups; g++) {
    await shard.saveAll(Array.from({ length: perGroup }, (_, i) => ['note.put', { id: `${g}-${i}`, text }] as const));
  }
  await ws.close();
}

/** From `openWorkspace` to the rows of the first query, ms; `spans` are those of the worker (bench/spans.mjs). */
async function start(asked: Asked): Promise<Readonly<Record<string, number>>> {
  const from = epochMs();
  await open(asked);
  const here = epochMs();
  shard = await ws.open('notes', 'notes-1');
  const opened = epochMs();
  const [rows] = await shard.read([newest]);
  const answered = epochMs();
  if (rows.length !== 20) throw new Error(`start: ${rows.length} rows, expected 20`);
  const { first } = await takeSpans(workerName);
  const [{ page_count: pages } = { page_count: 0 }] = (await shard.read([sql<{ page_count: number }>`PRAGMA page_count`]))[0];
  await ws.close();
  const owner = first.owner as Span;
  const store = first.store as Span;
  return {
    whole: answered - from,
    workerAndLock: owner.start - from,
    sqliteStillMissing: store.start - owner.start,
    ...lengthsOf(first, ['storage', 'engine']),
    told: here - store.end,
    openShard: opened - here,
    query: answered - opened,
    ...Object.fromEntries(Object.entries(lengthsOf(first, inner)).map(([name, ms]) => [`within.${name}`, ms])),
    megabytes: (pages * 8192) / 1e6,
  };
}

/** Parts of storage and engine, for whoever works on them. */
const inner = ['sqlite', 'probe', 'pool', 'leakProof', 'markers', 'mark', 'signer', 'workspaceFile', 'control', 'shard'];

const lengthsOf = (spans: Readonly<Record<string, Span>>, names: readonly string[]): Record<string, number> =>
  Object.fromEntries(
    names.flatMap((name) => {
      const span = spans[name];
      return span === undefined ? [] : [[name, span.end - span.start]];
    }),
  );

/** This page's part in a hand-over: founds the shop, or waits in line behind its owner, SQLite compiled. */
async function stand(asked: Asked): Promise<void> {
  await open(asked);
  if ((await ws.status()).workspace === undefined) await ws.create({ name: asked.store, device: 'bench' });
  shard = await ws.open('notes', 'notes-1');
  await shard.save('note.put', { id: crypto.randomUUID(), text });
  while ((await takeSpans(workerName)).first.sqlite === undefined) await new Promise((resolve) => setTimeout(resolve, 10));
}

let takingOver: Promise<Readonly<Record<string, number>>> | undefined;

/** Listens from now on; `tookOver` answers. Two calls, so that this page surely listens when the owner is ended. */
function expectTakeOver(store: string): void {
  takingOver = takeOver(store);
}

const tookOver = (): typeof takingOver => takingOver;

/** Once this page's worker gets the store, saves at once: the call is there before the store is open. Resolves with the times, ms of the epoch. */
async function takeOver(store: string): Promise<Readonly<Record<string, number>>> {
  const channel = new BroadcastChannel(`foldlog/${store}`);
  const heard = (say: string): Promise<number> =>
    new Promise((resolve) => {
      channel.addEventListener('message', ({ data }: MessageEvent<{ readonly say?: string }>) => data.say === say && resolve(epochMs()));
    });
  const here = heard('here');
  await heard('opening');
  await shard.save('note.put', { id: crypto.randomUUID(), text });
  const savedAt = epochMs();
  const { first } = await takeSpans(workerName);
  channel.close();
  if (first.owner === undefined) throw new Error('hand-over: another worker got the store');
  return { lockAt: first.owner.start, hereAt: await here, savedAt, ...lengthsOf(first, ['storage', 'engine', ...inner]) };
}

/** Ends the worker that owns the store, behind its page's back. Resolves with the time, ms of the epoch. */
function endOwner(): number {
  worker.terminate();
  return epochMs();
}

function bare(job: BareJob): Promise<BareAnswer> {
  const bareWorker = startBare();
  return answerOf(bareWorker, job).finally(() => bareWorker.terminate());
}

const startBare = (): Worker => new Worker(new URL('./bare-worker.ts', import.meta.url), { type: 'module' });

function answerOf(from: Worker, job: BareJob | undefined): Promise<BareAnswer> {
  return new Promise((resolve, reject) => {
    from.onmessage = ({ data }: MessageEvent<BareAnswer>) => (data.kind === 'failed' ? reject(new Error(data.message)) : resolve(data));
    from.onerror = ({ message }) => reject(new Error(`bare worker: ${message}`));
    if (job !== undefined) from.postMessage(job);
  });
}

/** Commits on bare SQLite, or of bare pages. */
async function bareLane(job: Extract<BareJob, { do: 'commit' | 'pages' }>): Promise<readonly number[]> {
  const answer = await bare(job);
  return answer.kind === 'times' ? answer.times : [];
}

/** From the worker's start to the rows of the same first query. */
async function bareStart(job: Extract<BareJob, { do: 'start' }>): Promise<Readonly<Record<string, number>>> {
  const from = epochMs();
  const answer = await bare(job);
  return { whole: epochMs() - from, ...(answer.kind === 'started' ? answer.parts : {}) };
}

/** The floor of a hand-over, `rounds` times: one bare worker has lock and files, the next waits, SQLite compiled. */
async function bareHandOvers({ store, rounds }: { readonly store: string; readonly rounds: number }) {
  const times: Readonly<Record<string, number>>[] = [];
  let owner = startBare();
  await answerOf(owner, { do: 'own', store });
  await answerOf(owner, undefined);
  for (let round = 0; round < rounds; round++) {
    const next = startBare();
    await answerOf(next, { do: 'own', store });
    const owned = answerOf(next, undefined);
    owner.terminate();
    const endAt = epochMs();
    const answer = await owned;
    if (answer.kind === 'owned') times.push({ endAt, lockAt: answer.lockAt, hereAt: answer.hereAt, savedAt: answer.savedAt });
    owner = next;
  }
  owner.terminate();
  return times;
}

const bench = {
  engineLane: (settings: LaneSettings) => engineLane(startTill, settings),
  floorLane,
  commitsOf,
  bare,
  bareLane,
  fill,
  start,
  bareStart,
  stand,
  expectTakeOver,
  tookOver,
  endOwner,
  bareHandOvers,
};

export type StorageBench = typeof bench;
declare global {
  var storageBench: StorageBench;
}
globalThis.storageBench = bench;
