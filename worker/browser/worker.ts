// The published entry `foldlog/worker`: what an app's worker file calls. Everything durable happens on this side.

import type { Endpoint } from 'comlink';
import type { ShardDefinition } from '../../shards/define.ts';
import { EngineHost } from './host/engine-host.ts';
import { isLeakTest, leak } from './leak-test.ts';
import { prepareSqlite } from './main.ts';

/**
 * Serves one workspace store to the page that started this worker. Call it once, at the top of the worker file, with the same
 * definitions the page opens with; the two are compared before anything is touched.
 * @example
 * // engine-worker.ts
 * import { serveEngine } from 'foldlog/worker';
 * import { catalogue, till } from './shards.ts';
 * serveEngine({ shards: [till, catalogue] });
 */
export function serveEngine(options: { readonly shards: readonly ShardDefinition[] }): void {
  if (isLeakTest()) void leak(prepareSqlite);
  else new EngineHost(options.shards, globalThis as unknown as Endpoint);
}
