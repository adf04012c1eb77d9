// Serves one build of the page on loopback; takes the database files it sends, and the word of a fuse that has blown, which it never answers.
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream/promises';

const types: Readonly<Record<string, string>> = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

/** A fuse on the server's side: the worker stands still until `release`. */
export interface SetFuse {
  /** To hand to the page. */
  readonly url: string;
  /** Resolves with the operation it stopped at. */
  readonly blown: Promise<string>;
  /** Hangs up on the worker; only once it is dead or ordered to be. */
  release(): void;
}

export class Site {
  readonly #server: ReturnType<typeof createServer>;
  readonly #inbox: string;
  readonly #fuses = new Map<string, { readonly blow: (operation: string) => void; readonly held: ServerResponse[] }>();
  #fusesMade = 0;

  private constructor(folder: string, inbox: string) {
    this.#inbox = inbox;
    this.#server = createServer(async (request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
      if (pathname === '/fuse') return this.#hold(searchParams, response);
      if (request.method === 'PUT') {
        const target = createWriteStream(join(this.#inbox, pathname.replaceAll('/', '')));
        return void pipeline(request, target).then(
          () => response.writeHead(204).end(),
          () => response.destroy(),
        );
      }
      const path = normalize(join(folder, pathname === '/' ? 'index.html' : pathname));
      const body = path.startsWith(folder) ? await readFile(path).catch(() => undefined) : undefined;
      if (body === undefined) return void response.writeHead(404).end();
      response.writeHead(200, { 'content-type': types[extname(path)] ?? 'application/octet-stream', 'cache-control': 'max-age=3600' });
      response.end(body);
    });
  }

  /** `inbox`: folder for what the page PUTs. */
  static async serve(folder: string, inbox: string): Promise<Site> {
    const site = new Site(folder, inbox);
    await new Promise<void>((resolve) => site.#server.listen(0, '127.0.0.1', resolve));
    return site;
  }

  /** Without a trailing slash. A secure context, as browsers want for storage. */
  get origin(): string {
    return `http://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  setFuse(): SetFuse {
    const name = String(++this.#fusesMade);
    let blow: (operation: string) => void = () => undefined;
    const blown = new Promise<string>((resolve) => {
      blow = resolve;
    });
    const held: ServerResponse[] = [];
    this.#fuses.set(name, { blow, held });
    const release = (): void => {
      this.#fuses.delete(name);
      for (const response of held) response.destroy();
    };
    return { url: `${this.origin}/fuse?name=${name}`, blown, release };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #hold(asked: URLSearchParams, response: ServerResponse): void {
    const fuse = this.#fuses.get(asked.get('name') ?? '');
    if (fuse === undefined) return void response.destroy();
    fuse.held.push(response);
    fuse.blow(asked.get('operation') ?? 'unknown');
  }
}
