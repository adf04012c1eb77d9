// Serves a folder of built files beside the relay: the embedded way to run an app and its relay from one process and one origin.
// Only regular files inside the folder, links resolved; headers let the page run WASM and workers of its own and nothing foreign.

import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { Readable } from 'node:stream';
import type { FetchHandler } from './http-server.ts';

export interface StaticSettings {
  readonly folder: string;
  /** Sends COOP and COEP, so that the page is cross-origin isolated (SharedArrayBuffer, precise timers). */
  readonly isolated: boolean;
}

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
};

const contentPolicy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export async function serveFolder(settings: StaticSettings): Promise<FetchHandler> {
  const root = await realpath(settings.folder);
  const headers: Record<string, string> = {
    'content-security-policy': contentPolicy,
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    // Checked on every load: a file without a hash in its name may change at the next deployment.
    'cache-control': 'no-cache',
  };
  if (settings.isolated) {
    headers['cross-origin-opener-policy'] = 'same-origin';
    headers['cross-origin-embedder-policy'] = 'require-corp';
  }

  return async (request) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      await request.body?.cancel();
      return new Response('Only GET and HEAD.\n', { status: 405, headers: { ...headers, allow: 'GET, HEAD' } });
    }
    const { pathname } = new URL(request.url);
    // A page may be asked for without its ending: `/about` is about.html.
    const file = (await findFile(root, pathname)) ?? (pathname.endsWith('/') ? undefined : await findFile(root, `${pathname}.html`));
    if (file === undefined) return new Response('Not found.\n', { status: 404, headers });
    const own = {
      ...headers,
      'content-type': types[extname(file.path).toLowerCase()] ?? 'application/octet-stream',
      'content-length': String(file.size),
      etag: file.etag,
      'last-modified': file.modified,
    };
    if (request.headers.get('if-none-match') === file.etag)
      return new Response(null, { status: 304, headers: { ...headers, etag: file.etag } });
    if (request.method === 'HEAD') return new Response(null, { headers: own });
    return new Response(Readable.toWeb(createReadStream(file.path)) as ReadableStream<Uint8Array>, { headers: own });
  };
}

interface FoundFile {
  readonly path: string;
  readonly size: number;
  readonly etag: string;
  readonly modified: string;
}

/** The regular file a path names, or its index.html; undefined for anything that is not inside `root` after following links. */
async function findFile(root: string, pathname: string): Promise<FoundFile | undefined> {
  let wanted: string;
  try {
    wanted = decodeURIComponent(pathname);
  } catch {
    return undefined;
  }
  if (wanted.includes('\0') || wanted.split('/').some((part) => part.startsWith('.'))) return undefined;
  try {
    const path = await realpath(join(root, wanted));
    if (path !== root && !path.startsWith(root + sep)) return undefined;
    const found = await stat(path);
    if (found.isDirectory()) return wanted.endsWith('/') ? await findFile(root, `${pathname}index.html`) : undefined;
    if (!found.isFile()) return undefined;
    const etag = `"${found.size.toString(36)}-${found.mtimeMs.toString(36)}"`;
    return { path, size: found.size, etag, modified: found.mtime.toUTCString() };
  } catch {
    return undefined;
  }
}
