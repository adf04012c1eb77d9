import { serveEngine } from '../../../worker/browser/worker.ts';
import { applyFault } from './faults.ts';
import { catalogue, till } from './shards.ts';

applyFault();
serveEngine({ shards: [till, catalogue] });

/** Stands still, as a worker of a frozen process does: hears nothing and keeps its lock. */
addEventListener('message', ({ data }: MessageEvent<{ readonly freezeMs?: number } | null>) => {
  const until = performance.now() + (data?.freezeMs ?? 0);
  while (performance.now() < until);
});
