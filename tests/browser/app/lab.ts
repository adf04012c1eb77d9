// The page of the browser tests: puts the published entry and the shards where tests can reach them by `page.evaluate`.
import { portableVerifier } from '../../../kernel/ed25519.ts';
import { bestVerifier } from '../../../kernel/web/web-crypto.ts';
import { FoldlogError, openWorkspace, sql, type Workspace } from '../../../worker/browser/page.ts';
import { runSignatureVectors, type SignatureVector } from '../../vectors/run-signature-vectors.ts';
import { catalogue, till } from './shards.ts';

type Shards = readonly [typeof till, typeof catalogue];

/** The worker started last, so that a test can end it behind the page's back. */
let worker: Worker | undefined;

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
}

function open({ store = 'lab', worker: start = 'engine', fault = '', ...rest }: LabOptions = {}): Promise<Workspace<Shards>> {
  return openWorkspace({
    shards: [till, catalogue],
    store,
    worker: () => {
      worker = starts[start](fault);
      return worker;
    },
    pollMs: 200,
    ...rest,
  });
}

/** A new store with its workspace and one till. */
async function shop(store: string, options: LabOptions = {}) {
  const ws = await open({ store, ...options });
  await ws.create({ name: store, device: 'Till 1' });
  return { ws, shop: await ws.open('till', 'till-1') };
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
  sql,
  endWorker: () => worker?.terminate(),
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
