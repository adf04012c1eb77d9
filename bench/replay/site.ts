// Builds the replay's page and serves it on loopback, with the invoices to load; takes the database files that devices send.
import { createWriteStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

export async function buildPage(folder: string): Promise<void> {
  await build({
    configFile: false,
    logLevel: 'error',
    root: fileURLToPath(new URL('./page', import.meta.url)),
    base: './',
    worker: { format: 'es' },
    build: { outDir: folder, emptyOutDir: true, target: 'es2023', modulePreload: false, minify: false },
  });
}

export interface Site {
  /** Without a trailing slash. A secure context, as browsers want for storage. */
  readonly origin: string;
  close(): Promise<void>;
}

export interface SiteContent {
  /** The built page. */
  readonly folder: string;
  readonly invoicesJson: string;
  /** Files that may be sent here, by the path they are PUT to, in pieces one after the other; anything else is refused. */
  readonly inbox: ReadonlyMap<string, string>;
}

export async function serveSite({ folder, invoicesJson, inbox }: SiteContent): Promise<Site> {
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    if (request.method === 'PUT') {
      const target = inbox.get(pathname);
      if (target === undefined) return response.writeHead(404).end();
      const size = await stat(target).then(
        ({ size: found }) => found,
        () => 0,
      );
      if (Number(searchParams.get('at')) !== size) return response.writeHead(409).end();
      await pipeline(request, createWriteStream(target, { flags: 'a' })).then(
        () => response.writeHead(204).end(),
        () => response.destroy(),
      );
      return;
    }
    const path = normalize(join(folder, pathname === '/' ? 'index.html' : pathname));
    const isInside = path.startsWith(folder);
    const body = pathname === '/invoices.json' ? invoicesJson : isInside ? await readFile(path).catch(() => undefined) : undefined;
    if (body === undefined) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream', 'cache-control': 'no-store' });
    return response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://localhost:${(server.address() as AddressInfo).port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
