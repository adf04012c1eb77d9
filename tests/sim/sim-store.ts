// The relay's object store in the simulated world: strongly consistent, slow by a drawn time, and failing in the ways object stores do. Shared by all
// relay instances; each has its own connection, which dies with it.

import { createHash } from 'node:crypto';
import type { Bytes } from '../../kernel/bytes.ts';
import { hash } from '../../kernel/units.ts';
import { type CasOutcome, type Etag, etag, isObjectKey, type ObjectStore, type PutCondition } from '../../relay/object-store.ts';
import type { Dice } from './dice.ts';
import { type Marks, mark } from './marks.ts';
import type { SimWorld } from './sim-world.ts';

/** Parts of 1 of all calls. */
export interface StoreRates {
  readonly refused: number;
  readonly replyLost: number;
  readonly appliedLate: number;
  readonly duplicated: number;
  /** Applied, and answered as if the condition had failed: an adapter's own retry met its first attempt. */
  readonly appliedThenLost: number;
  readonly tooMany: number;
  readonly slow: number;
}

export const noStoreFaults: StoreRates = {
  refused: 0,
  replyLost: 0,
  appliedLate: 0,
  duplicated: 0,
  appliedThenLost: 0,
  tooMany: 0,
  slow: 0,
};

interface Entry {
  readonly bytes: Bytes;
  readonly etag: Etag;
  readonly digest: string;
}

type Fate = keyof StoreRates | 'none';

const unknown = (what: string) => ({ kind: 'unknown', cause: new Error(what) }) as const;

export class SimStore {
  rates: StoreRates = noStoreFaults;
  /** What an object that is written once did that it must not. */
  readonly rewrites: string[] = [];
  /** Keys put since somebody looked. */
  readonly fresh: string[] = [];
  #entries = new Map<string, Entry>();
  readonly #world: SimWorld;
  readonly #dice: Dice;
  readonly #marks: Marks;
  #calls = 0;
  #version = 0;

  constructor(world: SimWorld, dice: Dice, marks: Marks) {
    this.#world = world;
    this.#dice = dice;
    this.#marks = marks;
  }

  /** As a reader finds it who comes to the store anew. */
  read(key: string): Bytes | undefined {
    return this.#entries.get(key)?.bytes;
  }

  keys(): readonly string[] {
    return [...this.#entries.keys()].sort();
  }

  snapshot(): ReadonlyMap<string, unknown> {
    return new Map(this.#entries);
  }

  /** The whole store as it was once: what restoring a bucket does. */
  restore(snapshot: ReadonlyMap<string, unknown>): void {
    this.#entries = new Map(snapshot as ReadonlyMap<string, Entry>);
  }

  connect(isAlive: () => boolean): ObjectStore {
    const call = async <T extends { readonly kind: string }>(
      isPut: boolean,
      apply: () => T,
    ): Promise<T | { readonly kind: 'unknown'; readonly cause: unknown }> => {
      const number = this.#calls++;
      const fate = this.#fate(number, isPut);
      await this.#wait(
        fate === 'slow' ? 11_000 + 20_000 * this.#dice.at('store', 'slow', number) : 1 + 14 * this.#dice.at('store', 'ms', number),
      );
      // An instance that ended meanwhile: what it had sent may arrive all the same.
      if (!isAlive()) {
        if (this.#dice.at('store', 'dead', number) < 0.5) apply();
        return new Promise(() => undefined);
      }
      switch (fate) {
        case 'refused':
          return unknown('503');
        case 'tooMany':
          return unknown('429');
        case 'replyLost':
          apply();
          return unknown('no reply');
        case 'appliedLate':
          this.#later(number, apply);
          return unknown('no reply yet');
        case 'duplicated': {
          const outcome = apply();
          this.#later(number, apply);
          return outcome;
        }
        case 'appliedThenLost': {
          const outcome = apply();
          return outcome.kind === 'written' ? ({ kind: 'lost' } as unknown as T) : outcome;
        }
        case 'none':
        case 'slow':
          return apply();
      }
    };
    return {
      put: (key, bytes, condition) => {
        const copy = bytes.slice() as Bytes;
        return call(true, () => this.#put(key, copy, condition));
      },
      get: (key) =>
        call(false, () => {
          const entry = this.#entries.get(key);
          return entry === undefined
            ? ({ kind: 'absent' } as const)
            : ({ kind: 'found', bytes: entry.bytes.slice() as Bytes, etag: entry.etag } as const);
        }),
      head: (key) =>
        call(false, () => {
          const entry = this.#entries.get(key);
          if (entry === undefined) return { kind: 'absent' } as const;
          const digest = hash(new Uint8Array(Buffer.from(entry.digest, 'hex')));
          return { kind: 'found', size: entry.bytes.length, digest, etag: entry.etag } as const;
        }),
      delete: (key) =>
        call(false, () => {
          this.#entries.delete(key);
          return { kind: 'deleted' } as const;
        }),
      list: async () => unknown('nothing may decide by a listing'),
    };
  }

  #put(key: string, bytes: Bytes, condition: PutCondition): CasOutcome {
    if (!isObjectKey(key)) return unknown(`not an object key: ${key}`);
    const current = this.#entries.get(key);
    const isMet = condition.kind === 'absent' ? current === undefined : current?.etag === condition.etag;
    if (!isMet) return { kind: 'lost' };
    if (current !== undefined && !key.startsWith('probe/')) this.rewrites.push(key);
    const entry = { bytes, etag: etag(`v${++this.#version}`), digest: createHash('sha256').update(bytes).digest('hex') };
    this.#entries.set(key, entry);
    if (!key.startsWith('probe/')) this.fresh.push(key);
    this.#world.note(`store put ${key.replace(/[0-9a-f]{24,}/g, (id) => id.slice(0, 6))} ${entry.digest.slice(0, 8)}`);
    return { kind: 'written', etag: entry.etag };
  }

  #later(number: number, apply: () => unknown): void {
    this.#world.scheduler.after(200 + 30_000 * this.#dice.at('store', 'late', number), () => {
      apply();
    });
  }

  #fate(number: number, isPut: boolean): Fate {
    let draw = this.#dice.at('store', 'fate', number);
    const names: readonly (keyof StoreRates)[] = isPut
      ? ['refused', 'tooMany', 'slow', 'replyLost', 'appliedLate', 'duplicated', 'appliedThenLost']
      : ['refused', 'tooMany', 'slow'];
    for (const name of names) {
      draw -= this.rates[name];
      if (draw >= 0) continue;
      mark(this.#marks, faultOfFate[name]);
      return name;
    }
    return 'none';
  }

  #wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.scheduler.after(delayMs, resolve);
    });
  }
}

const faultOfFate: Readonly<Record<keyof StoreRates, string>> = {
  refused: 'F-55 put or read refused by the store',
  tooMany: 'F-57 429',
  slow: 'F-55 store slower than its bound',
  replyLost: 'F-54 put applied, reply lost',
  appliedLate: 'F-56 put applied late',
  duplicated: 'F-51 put applied, and again later',
  appliedThenLost: 'F-54 put applied, answered 412',
};
