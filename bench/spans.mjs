// Where the time of a commit goes, without a line of measuring code in the product: a vite plugin that wraps named functions of the engine
// while it builds the bench, and only then. A function that is renamed breaks the build here, not the figures.
import { readFileSync } from 'node:fs';

/**
 * File, the text that opens the function, and the span it counts for. Spans nest; each is counted with what it calls.
 * @type {readonly (readonly [file: string, opening: RegExp, span: string])[]}
 */
const targets = [
  ['worker/browser/host/client-session.ts', /async #save\(call: number, [^{]*\{/, 'worker'],
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
];

const sentinel = 'bench-spans';

/** @param {string} root @returns {import('vite').Plugin} */
export function spansPlugin(root) {
  return {
    name: sentinel,
    enforce: 'pre',
    load(id) {
      const file = id.startsWith(root) ? id.slice(root.length) : '';
      if (file === 'bench/commit/engine-worker.ts') return spansRuntime + readFileSync(id, 'utf8');
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

/** Stands in front of the engine worker's own text. */
const spansRuntime = `
const totals = {};
globalThis.__span = (name) => {
  const start = performance.now();
  return { [Symbol.dispose ?? Symbol.for('dispose')]() { totals[name] = (totals[name] ?? 0) + performance.now() - start; } };
};
const channel = new BroadcastChannel('${sentinel}');
channel.onmessage = ({ data }) => {
  if (data !== 'take') return;
  channel.postMessage({ spans: { ...totals } });
  for (const name of Object.keys(totals)) delete totals[name];
};
`;
