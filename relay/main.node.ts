// Composition root for Node, and the published entry `foldlog/relay/node`: a relay over a folder, optionally with the app's built
// files beside it, in one process on one origin. Layout of the folder: `relay-key` and `objects/`.

import { join } from 'node:path';
import { portableSigner } from '../kernel/ed25519.ts';
import { bestVerifier } from '../kernel/web/web-crypto.ts';
import { webDeflate } from '../kernel/web/web-deflate.ts';
import { webClock, webRandom, webScheduler } from '../kernel/web/web-host.ts';
import { createRelay, type RelaySettings } from './core.ts';
import { type FetchHandler, serveHttp } from './node/http-server.ts';
import { relaySeed } from './node/relay-key.ts';
import { serveFolder } from './node/static-files.ts';
import type { ObjectStore } from './object-store.ts';
import { openFolderStore } from './stores/folder.ts';

export { openFolderStore } from './stores/folder.ts';

export interface NodeRelaySettings extends Omit<RelaySettings, 'basePath'> {
  /** Holds the relay's key and the objects; created when missing. */
  readonly folder: string;
  /** Keeps the objects elsewhere, e.g. `s3Store(…)`; default the folder's `objects/`. The key stays in the folder. */
  readonly store?: ObjectStore;
  /** 0 takes any free port. */
  readonly port: number;
  /** Default 127.0.0.1: only this machine. Put a TLS proxy in front for others. */
  readonly host?: string;
  /** Also serves a folder of built files at `/`. */
  readonly serve?: { readonly dir: string; readonly isolated?: boolean };
  /** Closes the relay. */
  readonly signal?: AbortSignal;
}

export interface NodeRelay {
  /** Origin without a trailing slash; the relay is at `/relay` below it. */
  readonly url: string;
  /** Lets requests in progress end. */
  close(): Promise<void>;
}

const basePath = '/relay';

/**
 * Starts a relay. Resolves when it listens, after its folder has passed the contract probe.
 * @throws {FoldlogError} `misuse` `storeContract`: the folder's file system does not keep the contract · `corrupt` `badRelayKey`
 * @throws {Error} the port is taken
 */
export async function startRelay(settings: NodeRelaySettings): Promise<NodeRelay> {
  const { folder, port, host = '127.0.0.1', serve, signal, store, ...core } = settings;
  signal?.throwIfAborted();
  const relay = createRelay(
    {
      store: store ?? (await openFolderStore(join(folder, 'objects'))),
      signer: portableSigner(await relaySeed(folder, webRandom)),
      verifier: await bestVerifier(),
      clock: webClock,
      scheduler: webScheduler,
      random: webRandom,
      deflate: webDeflate,
      report: (failure) => console.error('foldlog relay:', failure),
    },
    { ...core, basePath },
  );
  await relay.ready();
  const files = serve === undefined ? notFound : await serveFolder({ folder: serve.dir, isolated: serve.isolated ?? false });
  const server = await serveHttp((request) => (isForRelay(request) ? relay.fetch(request) : files(request)), { host, port });
  signal?.addEventListener('abort', () => void server.close(), { once: true });
  return { url: server.url, close: server.close };
}

const isForRelay = (request: Request): boolean => new URL(request.url).pathname.startsWith(`${basePath}/`);

const notFound: FetchHandler = async (request) => {
  await request.body?.cancel();
  return new Response('Not found. The relay is at /relay.\n', { status: 404 });
};
