// One thread of many simulated runs: takes a seed or a plan, runs it, answers what came out. Bundled by sim-threads.ts, because threads load no TypeScript.

import { parentPort } from 'node:worker_threads';
import type { Plan } from './plan.ts';
import { drawPlan, type Outcome, simulate, stray } from './simulate.ts';

export type Order =
  | { readonly kind: 'seed'; readonly seed: number; readonly isTwice: boolean }
  | { readonly kind: 'plan'; readonly plan: Plan };

export interface Answer {
  readonly outcome: Outcome;
  readonly plan: Plan;
  readonly ms: number;
}

process.on('unhandledRejection', stray);
// SQLite says on the console what the runs do to its disk on purpose.
console.warn = () => undefined;
console.error = () => undefined;

async function run(order: Order): Promise<Answer> {
  const from = performance.now();
  const plan = order.kind === 'plan' ? order.plan : drawPlan(order.seed);
  let outcome = await simulate(plan);
  if (order.kind === 'seed' && order.isTwice) {
    const again = await simulate(plan);
    if (again.trace !== outcome.trace) {
      const what = `two runs of one seed differ: ${outcome.trace.slice(0, 12)} and ${again.trace.slice(0, 12)}`;
      outcome = { ...outcome, violations: [...outcome.violations, { invariant: 'I-21', what }] };
    }
  }
  return { outcome, plan, ms: performance.now() - from };
}

const port = parentPort;
if (port !== null) {
  port.on('message', (order: Order) => {
    run(order).then((answer) => port.postMessage(answer));
  });
}
