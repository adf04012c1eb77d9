// Unknown outcomes are settled here: the identical call again, with growing pauses, until it is decided or the time is up.
// The same calls run after a restart: nothing is remembered between two attempts. A slot is never skipped (decision 0008).

import { settleMsMax } from '../kernel/limits.ts';
import type { Clock, Random, Scheduler } from '../kernel/ports.ts';
import type { CasOutcome, ObjectStore, PutCondition } from './object-store.ts';

export interface SettlePorts {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
}

const pauseMsMin = 50;
const pauseMsMax = 2_000;

/** Repeats `call` while it answers `unknown`, at most about `settleMsMax`; the last answer stands. */
export async function untilKnown<T extends { readonly kind: string }>(ports: SettlePorts, call: () => Promise<T>): Promise<T> {
  const start = ports.clock.ticks();
  for (let pauseMs = pauseMsMin; ; pauseMs = Math.min(2 * pauseMs, pauseMsMax)) {
    const outcome = await call();
    if (outcome.kind !== 'unknown') return outcome;
    if (ports.clock.ticks() - start + pauseMs > settleMsMax) return outcome;
    await pause(ports, pauseMs);
  }
}

/**
 * Puts until the store says `written` or `lost`. `lost` after an unknown attempt may be that attempt having landed:
 * the caller reads what stands there, always.
 */
export const putUntilDecided = (ports: SettlePorts, key: string, bytes: Uint8Array, condition: PutCondition): Promise<CasOutcome> =>
  untilKnown(ports, () => ports.store.put(key, bytes, condition));

/** Half fixed, half random: racing instances do not march in step. */
function pause(ports: SettlePorts, pauseMs: number): Promise<void> {
  const [byte = 0] = ports.random.bytes(1);
  return new Promise((resolve) => {
    ports.scheduler.after(pauseMs / 2 + (pauseMs / 2) * (byte / 255), resolve);
  });
}
