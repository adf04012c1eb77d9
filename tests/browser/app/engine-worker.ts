import { serveEngine } from '../../../worker/browser/worker.ts';
import { applyFault } from './faults.ts';
import { catalogue, till } from './shards.ts';

applyFault();
serveEngine({ shards: [till, catalogue] });

/** What tests tell a worker beside the engine's own messages. */
export type LabMessage =
  /** Hold a lock of this name: says which of all workers holds the store's. */
  | { readonly holdName: string }
  /** Stand still, as a worker of a frozen process does: hear nothing and keep the store. */
  | { readonly freezeMs: number };

addEventListener('message', ({ data }: MessageEvent<Partial<Record<'holdName' | 'freezeMs', unknown>> | null>) => {
  if (typeof data?.holdName === 'string') void navigator.locks.request(data.holdName, () => new Promise(() => undefined));
  if (typeof data?.freezeMs !== 'number') return;
  const until = performance.now() + data.freezeMs;
  while (performance.now() < until);
});
