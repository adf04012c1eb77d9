// A live query as the page holds it: the rows told last, patched as news arrive, with one identity per state so that frameworks can compare.

import type { FoldlogError } from '../../../kernel/errors.ts';
import type { LivePatch } from '../../engine/live.ts';

/** Rows that follow the shard. A Svelte store as it is; for React: `useSyncExternalStore(live.subscribe, live.getSnapshot)`. */
export interface Live<Row> {
  /** Calls back at once when rows are known, then after each change. Returns the end of it. */
  readonly subscribe: (listener: (rows: readonly Row[]) => void) => () => void;
  /** The rows known now; the same array until they change; undefined before the first answer. */
  readonly getSnapshot: () => readonly Row[] | undefined;
  /** Why the query cannot be answered, at once when known; the rows stay as they were. */
  readonly subscribeError: (listener: (error: FoldlogError) => void) => () => void;
  close(): void;
}

export class LiveRows<Row> implements Live<Row> {
  readonly close: () => void;
  readonly #listeners = new Set<(rows: readonly Row[]) => void>();
  readonly #errorListeners = new Set<(error: FoldlogError) => void>();
  readonly #byKey = new Map<string, Row>();
  #order: readonly string[] = [];
  #rows: readonly Row[] | undefined;
  #error: FoldlogError | undefined;

  constructor(close: () => void) {
    this.close = () => {
      this.#listeners.clear();
      this.#errorListeners.clear();
      close();
    };
  }

  readonly subscribe = (listener: (rows: readonly Row[]) => void): (() => void) => {
    const own = (rows: readonly Row[]): void => listener(rows);
    this.#listeners.add(own);
    if (this.#rows !== undefined) own(this.#rows);
    return () => this.#listeners.delete(own);
  };

  readonly getSnapshot = (): readonly Row[] | undefined => this.#rows;

  readonly subscribeError = (listener: (error: FoldlogError) => void): (() => void) => {
    const own = (error: FoldlogError): void => listener(error);
    this.#errorListeners.add(own);
    if (this.#error !== undefined) own(this.#error);
    return () => this.#errorListeners.delete(own);
  };

  take(patch: LivePatch): void {
    for (const [key, row] of patch.changed) this.#byKey.set(key, row as Row);
    if (patch.order !== undefined) {
      this.#order = patch.order;
      const present = new Set(patch.order);
      for (const key of this.#byKey.keys()) if (!present.has(key)) this.#byKey.delete(key);
    }
    this.#rows = this.#order.map((key) => this.#byKey.get(key) as Row);
    this.#error = undefined;
    for (const listener of this.#listeners) listener(this.#rows);
  }

  fail(error: FoldlogError): void {
    this.#error = error;
    for (const listener of this.#errorListeners) listener(error);
  }
}
