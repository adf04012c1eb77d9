// SQLite in this process's memory, and the ports of work that has all the time it wants.

import startSqlite from '@sqlite.org/sqlite-wasm';
import type { Clock, Scheduler } from '../kernel/ports.ts';
import { timeMs } from '../kernel/units.ts';
import { memoryPool, type StoragePool } from '../worker/engine/storage-pool.ts';

let pool: Promise<StoragePool> | undefined;
let files = 0;

/** One instance for all fixtures of a test run. */
export function sharedPool(): Promise<StoragePool> {
  pool ??= startSqlite().then(memoryPool);
  return pool;
}

export const freshName = (): string => `/fixture-${++files}.db`;

const clock: Clock = { now: () => timeMs(0), ticks: () => 0 };
const scheduler: Scheduler = { after: () => () => undefined, yield: () => Promise.resolve() };
export const unhurried = { clock, scheduler };
