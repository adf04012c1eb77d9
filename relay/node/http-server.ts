// node:http in front of a fetch handler: requests and answers are turned into each other and stream both ways.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';

export type FetchHandler = (request: Request) => Promise<Response>;

export interface HttpServer {
  readonly url: string;
  /** Takes no new connection, lets answers in progress end, and closes what is left after a grace. Again: the same closing. */
  close(): Promise<void>;
}

/** Answers in progress get this long when the server closes: more than a put takes to settle would keep an operator waiting. */
const closeGraceMs = 5_000;
/** Whole requests, headers included, must have arrived by then: a device on a bad line sends 8 MiB at 70 kB/s. */
const requestTimeoutMs = 120_000;

export async function serveHttp(handler: FetchHandler, at: { readonly host: string; readonly port: number }): Promise<HttpServer> {
  const server = createServer((incoming, outgoing) => {
    answer(handler, incoming, outgoing).catch(() => outgoing.destroy());
  });
  server.requestTimeout = requestTimeoutMs;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const host = at.host.includes(':') ? `[${at.host}]` : at.host;
  let closing: Promise<void> | undefined;
  return {
    url: `http://${host}:${port}`,
    close() {
      closing ??= closeServer(server);
      return closing;
    },
  };
}

async function answer(handler: FetchHandler, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const response = await handler(toRequest(incoming));
  outgoing.writeHead(response.status, [...response.headers].flat());
  if (response.body === null || incoming.method === 'HEAD') {
    outgoing.end();
    await response.body?.cancel();
    return;
  }
  const body = Readable.fromWeb(response.body as import('node:stream/web').ReadableStream);
  body.pipe(outgoing);
  await finished(outgoing).catch(() => body.destroy()); // the asker left
}

function toRequest(incoming: IncomingMessage): Request {
  const headers = new Headers();
  for (let i = 0; i + 1 < incoming.rawHeaders.length; i += 2)
    headers.append(incoming.rawHeaders[i] as string, incoming.rawHeaders[i + 1] as string);
  const method = incoming.method ?? 'GET';
  // Only path and query are used; a Host header that is no host must not fail the request.
  const url = new URL(`http://relay${incoming.url?.startsWith('/') ? incoming.url : '/'}`);
  if (method === 'GET' || method === 'HEAD') return new Request(url, { method, headers });
  const body = Readable.toWeb(incoming) as ReadableStream<Uint8Array>;
  return new Request(url, { method, headers, body, duplex: 'half' } as RequestInit);
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    const grace = setTimeout(() => server.closeAllConnections(), closeGraceMs);
    server.close((failure) => {
      clearTimeout(grace);
      if (failure === undefined) resolve();
      else reject(failure);
    });
    server.closeIdleConnections();
  });
}
