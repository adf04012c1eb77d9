// One seeded world: virtual time, named random streams, a scheduler that runs timers in order, and a trace of what happened. Nothing here waits
// for the real clock; `run` lets everything that is ready happen, then moves time to the next timer.

import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Bytes } from '../../kernel/bytes.ts';
import { sha256 } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { BulkDigest, Clock, Deflate, Random, Scheduler } from '../../kernel/ports.ts';
import { timeMs } from '../../kernel/units.ts';

/** Small, fast, well mixed: enough to choose faults, not to make keys. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

const lookMs = 0.05;

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
}

export class SimWorld {
  readonly seed: number;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly #start = Date.UTC(2026, 0, 1);
  readonly #timers: Timer[] = [];
  readonly #trace = createHash('sha256');
  readonly #streams = new Map<string, () => number>();
  #now = 0;
  #order = 0;
  #events = 0;

  constructor(seed: number) {
    this.seed = seed;
    this.clock = { now: () => timeMs(this.#start + Math.floor(this.#now)), ticks: () => this.#look() };
    this.scheduler = {
      after: (delayMs, task) => {
        const timer: Timer = { at: this.#now + delayMs, order: this.#order++, task };
        this.#timers.push(timer);
        return () => {
          const at = this.#timers.indexOf(timer);
          if (at >= 0) this.#timers.splice(at, 1);
        };
      },
      yield: () => Promise.resolve(),
    };
  }

  /** A stream of its own per name: what one component draws moves no other. */
  stream(name: string): () => number {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      const mixed = createHash('sha256').update(`${this.seed}/${name}`).digest();
      stream = seededRandom(mixed.readUInt32BE(0));
      this.#streams.set(name, stream);
    }
    return stream;
  }

  random(name: string): Random {
    const stream = this.stream(name);
    return { bytes: (length) => Uint8Array.from({ length }, () => Math.floor(stream() * 256)) };
  }

  /** Hears every event: for a person who reads a run. */
  onNote: ((atMs: number, event: string) => void) | undefined;

  note(event: string): void {
    this.#events++;
    this.onNote?.(this.#now, event);
    this.#trace.update(`${this.#now} ${event}\n`);
  }

  traceHash(): { readonly hash: string; readonly events: number } {
    return { hash: this.#trace.copy().digest('hex'), events: this.#events };
  }

  /** Runs until `isDone`, at most `limitMs` of virtual time. @throws when it did not get there: a hang is a failure */
  async run(what: string, isDone: () => boolean | Promise<boolean>, limitMs = 120_000): Promise<void> {
    const until = this.#now + limitMs;
    for (;;) {
      await settle();
      if (await isDone()) return;
      const next = this.#next();
      if (next === undefined || next.at > until)
        throw new Error(`seed ${this.seed}: ${what} did not happen within ${limitMs} simulated ms`);
      this.#timers.splice(this.#timers.indexOf(next), 1);
      this.#now = Math.max(this.#now, next.at);
      next.task();
    }
  }

  /** Lets a promise of the simulated world finish while time moves. */
  async finish<T>(what: string, promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const watched = promise.finally(() => {
      isSettled = true;
    });
    watched.catch(() => undefined);
    await this.run(what, () => isSettled);
    return watched;
  }

  /** Looking at the clock costs time, so that work bounded by it comes to its bound. */
  #look(): number {
    this.#now += lookMs;
    return this.#now;
  }

  #next(): Timer | undefined {
    return this.#timers.reduce<Timer | undefined>(
      (best, timer) => (best === undefined || timer.at < best.at || (timer.at === best.at && timer.order < best.order) ? timer : best),
      undefined,
    );
  }
}

/** Everything that is ready without time passing: promises, and the macrotasks web streams use. */
async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Deflate without threads, so that completions come in one order. */
export const syncDeflate: Deflate = {
  deflate: async (bytes) => new Uint8Array(deflateRawSync(bytes)),
  inflate: async (bytes, bytesMax, where) => {
    try {
      return new Uint8Array(inflateRawSync(bytes, { maxOutputLength: Math.max(1, bytesMax) }));
    } catch (cause) {
      throw FoldlogError.corrupt({ where, reason: 'badDeflate', found: 'bytes that do not inflate', expected: 'raw deflate', cause });
    }
  },
};

export const syncDigest: BulkDigest = async (bytes): Promise<Bytes> => sha256(bytes);
