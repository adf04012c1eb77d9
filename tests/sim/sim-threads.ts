// Threads that run simulated seeds side by side: bundles the simulator of a source tree once, hands out seeds and plans, and takes a thread down that
// does not come back.

import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { build } from 'esbuild';
import type { Answer, Order } from './seeds-thread.ts';

/** A run takes well under a second; one that takes this long goes round in a circle. */
const runMsMax = 120_000;

interface Thread {
  worker: Worker;
  isBusy: boolean;
}

export class SimThreads {
  readonly #bundle: string;
  readonly #folder: string;
  readonly #threads: Thread[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly #count: number;

  private constructor(folder: string, bundle: string, count: number) {
    this.#folder = folder;
    this.#bundle = bundle;
    this.#count = count;
  }

  /** `root`: a source tree with its packages. */
  static async start(root: string, count: number): Promise<SimThreads> {
    const folder = join(root, 'node_modules', '.cache', 'foldlog-sim', randomUUID());
    const bundle = join(folder, 'thread.mjs');
    mkdirSync(folder, { recursive: true });
    await build({
      entryPoints: [join(root, 'tests/sim/seeds-thread.ts')],
      outfile: bundle,
      ...{ bundle: true, format: 'esm', platform: 'node', target: 'node20', packages: 'external', sourcemap: 'inline' },
      ...{ logLevel: 'silent', absWorkingDir: root },
    });
    return new SimThreads(folder, bundle, count);
  }

  /** Runs an order in the next free thread. @returns undefined when it did not end */
  async run(order: Order): Promise<Answer | undefined> {
    const thread = await this.#free();
    try {
      return await this.#ask(thread, order);
    } finally {
      thread.isBusy = false;
      this.#waiting.shift()?.();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #spawn(): Worker {
    return new Worker(this.#bundle, { execArgv: ['--enable-source-maps'], resourceLimits: { maxOldGenerationSizeMb: 2_048 } });
  }

  async #free(): Promise<Thread> {
    for (;;) {
      const idle = this.#threads.find(({ isBusy }) => !isBusy);
      if (idle !== undefined) {
        idle.isBusy = true; // before anybody else asks
        return idle;
      }
      if (this.#threads.length < this.#count) {
        const thread = { worker: this.#spawn(), isBusy: true };
        this.#threads.push(thread);
        return thread;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #ask(thread: Thread, order: Order): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const { worker } = thread;
      const end = (answer: Answer | undefined): void => {
        clearTimeout(timer);
        worker.removeAllListeners();
        if (answer === undefined) {
          void worker.terminate();
          thread.worker = this.#spawn();
        }
        resolve(answer);
      };
      const timer = setTimeout(() => end(undefined), runMsMax);
      worker.on('message', end);
      worker.on('error', () => end(undefined));
      worker.on('exit', () => end(undefined));
      worker.postMessage(order);
    });
  }
}
