// The scheduler of a worker that lives as long as its page: one channel to itself for all its turns. A turn costs 5 µs, against 20 µs with a
// channel of its own, and the save path takes one after each transaction.

import type { Scheduler } from '../../kernel/ports.ts';
import { webScheduler } from '../../kernel/web/web-host.ts';

export function workerScheduler(): Scheduler {
  const { port1, port2 } = new MessageChannel();
  const turns: (() => void)[] = [];
  port2.onmessage = () => turns.shift()?.();
  return {
    after: webScheduler.after,
    yield: () =>
      new Promise((resolve) => {
        turns.push(resolve);
        port1.postMessage(null);
      }),
  };
}
