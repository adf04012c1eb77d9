// The page of the browser tests: puts the published entry and the shards where tests can reach them by `page.evaluate`.
import { portableVerifier } from '../../../kernel/ed25519.ts';
import { bestVerifier } from '../../../kernel/web/web-crypto.ts';
import { type Backend, FoldlogError, type OnLoss, openWorkspace, sql, type Workspace } from '../../../worker/browser/page.ts';
import { runSignatureVectors, type SignatureVector } from '../../vectors/run-signature-vectors.ts';
import type { LabMessage } from './engine-worker.ts';
import type { PoolAnswer, PoolJob } from './pool-worker.ts';
import { catalogue, olderCatalogue, till } from './shards.ts';

type Shards = readonly [typeof till, typeof catalogue];

/** The worker started last, so that a test can end it behind the page's back. */
let worker: Worker | undefined;
let workerName = '';

const starts = {
  engine: (name: string) => new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module', name }),
  older: () => new Worker(new URL('./older-worker.ts', import.meta.url), { type: 'module' }),
  broken: () => new Worker(new URL('./broken-worker.ts', import.meta.url), { type: 'module' }),
  missing: () => new Worker('/no-such-worker.js', { type: 'module' }),
};

interface LabOptions {
  readonly store?: string;
  readonly relay?: string;
  readonly worker?: keyof typeof starts;
  /** See faults.ts. */
  readonly fault?: string;
  readonly allowMemory?: boolean;
  readonly onLoss?: OnLoss;
  readonly backends?: readonly Backend[];
  readonly storageBytesMax?: number;
  /** Opens as the build before this one: its page and its worker. */
  readonly isOlder?: boolean;
}

function open({ store = 'lab', worker: wished, fault = '', isOlder = false, ...rest }: LabOptions = {}): Promise<Workspace<Shards>> {
  const start = wished ?? (isOlder ? 'older' : 'engine');
  return openWorkspace({
    shards: [till, isOlder ? olderCatalogue : catalogue],
    store,
    worker: () => {
      worker = starts[start](fault);
      workerName = `lab-worker/${crypto.randomUUID()}`;
      tellWorker({ holdName: workerName });
      return worker;
    },
    pollMs: 200,
    ...rest,
  });
}

const tellWorker = (message: LabMessage): void => worker?.postMessage(message);

/** Whether this page's worker is the one that owns a store. */
async function owns(store: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query();
  const holderOf = (lock: string) => held.find(({ name }) => name === lock)?.clientId;
  const owner = holderOf(`foldlog/${store}`);
  return owner !== undefined && owner === holderOf(workerName);
}

/** A new store with its workspace and one till. */
async function shop(store: string, options: LabOptions = {}) {
  const ws = await open({ store, ...options });
  await ws.create({ name: store, device: 'Till 1' });
  return { ws, shop: await ws.open('till', 'till-1') };
}

/** Runs one job in a worker of its own, which is ended as soon as it has answered. */
async function pool(job: PoolJob): Promise<PoolAnswer> {
  const poolWorker = new Worker(new URL('./pool-worker.ts', import.meta.url), { type: 'module' });
  const answer = await new Promise<PoolAnswer>((resolve) => {
    poolWorker.onmessage = ({ data }: MessageEvent<PoolAnswer>) => resolve(data);
    poolWorker.onerror = ({ message }) => resolve({ kind: 'failed', message });
    poolWorker.postMessage(job);
  });
  poolWorker.terminate();
  return answer;
}

/** What a promise rejected with, as plain values; undefined when it did not. */
async function failureOf(work: Promise<unknown>) {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (!(error instanceof FoldlogError)) return { isFoldlog: false as const, message: String(error) };
    const { kind, reason, retry, where, found, expected, todo, message } = error;
    return { isFoldlog: true as const, kind, reason, retry, where, found, expected, todo, message };
  }
}

const page = {
  open,
  shop,
  failureOf,
  pool,
  sql,
  endWorker: () => worker?.terminate(),
  freezeWorker: (freezeMs: number) => tellWorker({ freezeMs }),
  owns,
  /** What the verifier this browser gets, and the portable one, disagree with. */
  signatureVectors: async (vectors: readonly SignatureVector[]) => {
    const best = await bestVerifier();
    return {
      verifier: best === portableVerifier ? ('portable' as const) : ('web' as const),
      best: await runSignatureVectors(best, vectors),
      portable: await runSignatureVectors(portableVerifier, vectors),
    };
  },
};

export type Lab = typeof page;
declare global {
  var lab: Lab;
}
globalThis.lab = page;
