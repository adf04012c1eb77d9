// The relay in workerd over R2, its objects on disk, and a way to take them out when the run is over.
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Miniflare } from 'miniflare';
import { isObjectKey } from '../../relay/object-store.ts';
import type { StoreCalls } from './relay-worker.ts';

export interface RelayHost {
  /** Without a trailing slash. */
  readonly url: string;
  storeCalls(): Promise<StoreCalls>;
  /** Writes every object to `<folder>/<key>`; returns how many. */
  exportObjects(folder: string): Promise<number>;
}

export interface RelayHostOptions {
  /** Where R2 keeps its objects. */
  readonly folder: string;
  /** Of the pages that call it. */
  readonly origin: string;
  /** Given the way to end the runtime as soon as there is one. */
  readonly closes: (close: () => Promise<void>) => void;
}

export async function startRelayHost({ folder, origin, closes }: RelayHostOptions): Promise<RelayHost> {
  const bundle = await build({
    entryPoints: [fileURLToPath(new URL('./relay-worker.ts', import.meta.url))],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2023',
    conditions: ['workerd', 'worker', 'browser'],
    logLevel: 'warning',
  });
  const runtime = withoutItsSignalHandlers(
    () =>
      new Miniflare({
        modules: true,
        script: bundle.outputFiles[0]?.text ?? '',
        compatibilityDate: '2026-04-01',
        host: '127.0.0.1',
        port: 0,
        r2Buckets: { LOG: 'log' },
        r2Persist: folder,
        bindings: { RELAY_SEED: randomBytes(32).toString('base64url'), ORIGINS: origin },
      }),
  );
  closes(() => runtime.dispose());
  const url = await runtime.ready;
  return {
    url: url.href.replace(/\/+$/, ''),
    async storeCalls() {
      return (await (await runtime.dispatchFetch(new URL('/replay/store-calls', url).href)).json()) as StoreCalls;
    },
    async exportObjects(target) {
      const bucket = await runtime.getR2Bucket('LOG');
      let count = 0;
      let cursor: string | undefined;
      do {
        const listed = await bucket.list(cursor === undefined ? {} : { cursor });
        for (const { key } of listed.objects) {
          const object = await bucket.get(key);
          if (object === null || !isObjectKey(key)) throw new Error(`the relay's store lists ${JSON.stringify(key)}, which cannot be read`);
          const path = join(target, ...key.split('/'));
          await mkdir(dirname(path), { recursive: true });
          await writeFile(path, new Uint8Array(await object.arrayBuffer()), { flag: 'wx' });
          count++;
        }
        cursor = listed.truncated ? listed.cursor : undefined;
      } while (cursor !== undefined);
      return count;
    },
  };
}

/** Miniflare ends the process at once on a signal; the replay has browsers and folders to close first. */
function withoutItsSignalHandlers<T>(make: () => T): T {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const before = signals.map((signal) => new Set(process.listeners(signal)));
  const made = make();
  for (const [i, signal] of signals.entries()) {
    for (const listener of process.listeners(signal)) if (before[i]?.has(listener) !== true) process.removeListener(signal, listener);
  }
  return made;
}
