// Where time goes, without a line of measuring code in the product: a vite plugin that wraps named functions of the engine while it builds a
// bench, and only then. A function that is renamed breaks the build here, not the figures.
import { readFileSync } from 'node:fs';

/**
 * File, the text after which the span begins, and its name. A span ends with the block it stands in. Spans nest; each is counted with what it calls.
 * @typedef {{ worker: string, targets: readonly (readonly [file: string, opening: RegExp, span: string])[] }} SpanPlan
 */

/** The parts of one commit. @type {SpanPlan} */
export const commitSpans = {
  worker: 'bench/commit/engine-worker.ts',
  targets: [
    ['worker/browser/host/client-session.ts', /async #save\(\.\.\.\[call, [^{]*\{/, 'worker'],
    ['worker/engine/save.ts', /async #transaction\(\)[^{]*\{/, 'transaction'],
    ['worker/engine/fold.ts', / {2}prepare\(input: OpInput\): ReadyOp \{/, 'validate'],
    ['worker/engine/fold.ts', / {2}fold\(ops: readonly ReadyOp\[\], firstSeq: Seq, time: TimeMs\): void \{/, 'fold'],
    ['worker/engine/chain-log.ts', / {2}insert\(group: CommitGroup, seal\?: Seal\): void \{/, 'insert'],
    ['worker/engine/chain-log.ts', / {2}find\([^)]*\)[^{]*\{/, 'find'],
    ['kernel/op-body.ts', /export function encodeOps\([^)]*\): Bytes \{/, 'encode'],
    ['kernel/digest.ts', /export function taggedHash\([^)]*\): Hash \{/, 'hash'],
    ['worker/engine/save.ts', /step = 'commit';/, 'commit'],
    [
      'kernel/seal.ts',
      /export async function makeSeal\([^{]*\{ readonly controlHead: Hash; readonly headsSeen: Hash \},\s*\): Promise<Seal> \{/,
      'sign',
    ],
  ],
};

/** The way from a worker's start to an open store. `owner` begins when the store's lock is granted, `store` when SQLite is there as well. @type {SpanPlan} */
export const openSpans = {
  worker: 'bench/storage/engine-worker.ts',
  targets: [
    ['worker/browser/main.ts', /async function loadSqlite\([^{]*\{/, 'sqlite'],
    ['worker/browser/host/engine-host.ts', /this\.#stage = 'opening';/, 'owner'],
    ['worker/browser/main.ts', /export async function openStore\([^{]*\{/, 'store'],
    ['worker/browser/storage.ts', /export async function openStorage\([^{]*\{/, 'storage'],
    ['worker/browser/opfs-probe.ts', /export async function probeOpfs\([^{]*\{/, 'probe'],
    ['worker/engine/storage-pool.ts', /export async function openSahPool\([^{]*\{/, 'pool'],
    ['worker/browser/leak-test.ts', /export async function requireNoLeak\([^{]*\{/, 'leakProof'],
    ['worker/browser/vault.ts', / {2}async signer\([^{]*\{/, 'signer'],
    ['worker/browser/vault.ts', / {2}async mark\([^{]*\{/, 'mark'],
    ['worker/browser/vault.ts', / {2}async markers\([^{]*\{/, 'markers'],
    ['worker/engine/engine.ts', / {2}static async open\([^{]*\{/, 'engine'],
    ['worker/engine/workspace-file.ts', / {2}static async open\([^{]*\{/, 'workspaceFile'],
    ['worker/engine/control.ts', / {2}static async open\([^{]*\{/, 'control'],
    ['worker/engine/engine.ts', / {2}async #open\(kind: string, name: string\)[^{]*\{/, 'shard'],
  ],
};

/** @param {string} root @param {SpanPlan} plan @returns {import('vite').Plugin} */
export function spansPlugin(root, { worker, targets }) {
  return {
    name: 'bench-spans',
    enforce: 'pre',
    load(id) {
      const file = id.startsWith(root) ? id.slice(root.length) : '';
      if (file === worker) return runtime + readFileSync(id, 'utf8');
      const own = targets.filter(([target]) => target === file);
      if (own.length === 0) return undefined;
      let text = readFileSync(id, 'utf8');
      for (const [, opening, span] of own) {
        if (!opening.test(text)) throw new Error(`spans: no ${span} in ${file}`);
        text = text.replace(opening, (found) => `${found} using _span = globalThis.__span?.('${span}');`);
      }
      return text;
    },
  };
}

/** Stands in front of the engine worker's own text; bench/spans-client.ts asks it, by the worker's name. Times are of the epoch, so that tabs compare. */
const runtime = `
const totals = {};
const first = {};
const now = () => performance.timeOrigin + performance.now();
globalThis.__span = (name) => {
  const start = now();
  return {
    [Symbol.dispose]() {
      const end = now();
      totals[name] = (totals[name] ?? 0) + end - start;
      first[name] ??= { start, end };
    },
  };
};
const channel = new BroadcastChannel('bench-spans');
channel.onmessage = ({ data }) => {
  if (data.take !== self.name) return;
  channel.postMessage({ of: self.name, totals: { ...totals }, first: { ...first } });
  for (const name of Object.keys(totals)) delete totals[name];
};
`;
