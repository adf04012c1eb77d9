// What a store does by itself, by the clock: opens the device's own shards behind the start, audits once a day, and looks at its metrics. One job of a
// kind at a time; a job that fails is tried at its next time. On a low battery an audit waits (docs/metrics.md#battery).

import { auditAfterMs, auditEveryMs, metricsAfterMs, metricsEveryMs, ownOpenAfterMs } from '../../kernel/limits.ts';
import type { Scheduler } from '../../kernel/ports.ts';

export interface StoreWork {
  readonly audit: () => Promise<unknown>;
  readonly look: () => Promise<unknown>;
  /** Absent in a workspace without a relay: nothing waits there to be sent. */
  readonly openOwn: (() => Promise<void>) | undefined;
  readonly isThrottled: () => boolean;
}

export class StoreJobs {
  readonly #scheduler: Scheduler;
  readonly #cancels = new Map<string, () => void>();
  readonly #running = new Map<string, Promise<unknown>>();
  #isClosed = false;

  constructor(scheduler: Scheduler, work: StoreWork) {
    this.#scheduler = scheduler;
    const audit = (): Promise<unknown> => (work.isThrottled() ? Promise.resolve() : work.audit());
    this.#in(auditAfterMs, 'audit', audit, () => (work.isThrottled() ? auditAfterMs : auditEveryMs));
    this.#in(metricsAfterMs, 'look', work.look, () => metricsEveryMs);
    if (work.openOwn !== undefined) this.#in(ownOpenAfterMs, 'open', work.openOwn, () => undefined);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** No job begins any more; resolves when those that run have ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const cancel of this.#cancels.values()) cancel();
    await Promise.all(this.#running.values());
  }

  #in(delayMs: number, name: string, job: () => Promise<unknown>, againMs: () => number | undefined): void {
    const cancel = this.#scheduler.after(delayMs, () => {
      const again = againMs();
      const running = this.#running.get(name) ?? job().catch(() => undefined);
      this.#running.set(name, running);
      void running.then(() => this.#running.delete(name));
      if (again !== undefined) this.#in(again, name, job, againMs);
    });
    this.#cancels.set(name, cancel);
  }
}
