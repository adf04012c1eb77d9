// Builds a bench page with vite, serves it on loopback as an isolated page (COOP and COEP give `performance.now()` steps of 5 µs), and says how
// large its scripts are.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { spansPlugin } from './spans.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
/** @type {Record<string, string>} */
const types = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/**
 * @param {string} page folder with an index.html
 * @param {import('./spans.mjs').SpanPlan} [spans] what to take the time of
 */
export async function buildSite(page, spans) {
  const folder = await mkdtemp(join(tmpdir(), 'foldlog-bench-'));
  await build({
    configFile: false,
    logLevel: 'error',
    root: page,
    base: './',
    worker: { format: 'es', plugins: () => (spans === undefined ? [] : [spansPlugin(root, spans)]) },
    build: { outDir: folder, emptyOutDir: true, target: spans === undefined ? 'es2023' : 'esnext', modulePreload: false },
  });
  return folder;
}

/** @param {string} folder */
export async function serveSite(folder) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const path = normalize(join(folder, pathname.endsWith('/') ? `${pathname}index.html` : pathname));
    const body = path.startsWith(folder) ? await readFile(path).catch(() => undefined) : undefined;
    if (body === undefined) return response.writeHead(404).end();
    response.writeHead(200, {
      'content-type': types[extname(path)] ?? 'application/octet-stream',
      'cache-control': 'no-store',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    });
    return response.end(body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  return {
    origin: `http://localhost:${address.port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Bytes of each built script and of SQLite, as they are and compressed. @param {string} folder */
export async function sizesOf(folder) {
  const files = (await readdir(join(folder, 'assets'))).filter((name) => /\.(?:js|wasm)$/.test(name)).sort();
  const sizes = [];
  for (const name of files) {
    const bytes = await readFile(join(folder, 'assets', name));
    sizes.push({ file: name.replace(/-[\w-]{8}(?=\.)/, ''), bytes: bytes.length, gzipBytes: gzipSync(bytes, { level: 9 }).length });
  }
  return sizes;
}
