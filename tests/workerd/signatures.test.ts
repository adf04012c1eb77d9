// The signature vectors and the deflate rule inside workerd itself: what a relay on Workers takes, every device must take, and nothing else.
import { join } from 'node:path';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readJson, root } from '../vectors/fixtures.ts';
import type { SignatureVector } from '../vectors/run-signature-vectors.ts';

// Runs in the worker. It has no Node API: the kernel must do with what every host of ours has.
const workerSource = `
  import { portableVerifier } from './kernel/ed25519.ts';
  import { hasWebEd25519, webVerifier } from './kernel/web/web-crypto.ts';
  import { webDeflate } from './kernel/web/web-deflate.ts';
  import { runSignatureVectors } from './tests/vectors/run-signature-vectors.ts';

  async function deflateEndings() {
    const raw = new TextEncoder().encode('sale.completed '.repeat(100));
    const packed = await webDeflate.deflate(raw);
    const longer = new Uint8Array(packed.length + 1);
    longer.set(packed);
    const cases = {
      whole: [packed, raw.length],
      'beyond the bound': [packed, raw.length - 1],
      'cut short': [packed.slice(0, -1), raw.length],
      'a byte after the end': [longer, raw.length],
      'other bytes': [new Uint8Array(20).fill(255), raw.length],
      nothing: [new Uint8Array(0), raw.length],
    };
    const endings = {};
    for (const [name, [bytes, max]] of Object.entries(cases)) {
      endings[name] = await webDeflate.inflate(bytes, max, 'test').then((out) => out.length, (error) => error.kind + ' ' + error.reason);
    }
    return endings;
  }

  export default {
    async fetch(request) {
      const vectors = await request.json();
      return Response.json({
        runtime: navigator.userAgent,
        hasWebEd25519: await hasWebEd25519(),
        portable: await runSignatureVectors(portableVerifier, vectors),
        web: await runSignatureVectors(webVerifier(), vectors),
        deflate: await deflateEndings(),
      });
    },
  };
`;

interface Answer {
  readonly runtime: string;
  readonly hasWebEd25519: boolean;
  readonly portable: readonly string[];
  readonly web: readonly string[];
  readonly deflate: Readonly<Record<string, number | string>>;
}

let runtime: Miniflare;
let answer: Answer;
const vectors = readJson<readonly SignatureVector[]>('tests/vectors/signatures.json');

beforeAll(async () => {
  const bundle = await build({
    stdin: { contents: workerSource, resolveDir: root, sourcefile: join(root, 'signatures-worker.js') },
    bundle: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'],
    write: false,
  });
  runtime = new Miniflare({
    modules: true,
    script: bundle.outputFiles[0]?.text ?? '',
    compatibilityDate: '2026-04-01',
  });
  await runtime.ready;
  const response = await runtime.dispatchFetch('http://localhost/', { method: 'POST', body: JSON.stringify(vectors) });
  answer = (await response.json()) as Answer;
});

afterAll(() => runtime.dispose());

describe('signature vectors in workerd', () => {
  test('it is workerd that answers, with Ed25519 of its own', () => {
    expect(answer).toMatchObject({ runtime: 'Cloudflare-Workers', hasWebEd25519: true });
    expect(vectors.length).toBeGreaterThan(350);
  });

  test('the portable verifier keeps the rule', () => {
    expect(answer.portable).toEqual([]);
  });

  test('WebCrypto behind the byte checks keeps the rule', () => {
    expect(answer.web).toEqual([]);
  });
});

test('inflate in workerd ends as it does in Node and browsers', () => {
  expect(answer.deflate).toEqual({
    whole: 1500,
    'beyond the bound': 'corrupt bomb',
    'cut short': 'corrupt badDeflate',
    'a byte after the end': 'corrupt badDeflate',
    'other bytes': 'corrupt badDeflate',
    nothing: 'corrupt badDeflate',
  });
});
