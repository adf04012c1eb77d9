// Live queries: run again after the state changed, compared by key with what the subscriber has, and told as one patch per change.

import { FoldlogError } from '../../kernel/errors.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';
import type { Sql } from '../../shards/sql.ts';
import type { Row } from './database.ts';

/** What changed since the last patch. `order` lists all keys; it is there in the first patch, and when any row came, went or moved. */
export interface LivePatch {
  readonly changed: readonly (readonly [key: string, row: Row])[];
  readonly order?: readonly string[];
}

export interface LiveSpec {
  readonly query: Sql;
  /** Column (or columns) that tell rows apart. */
  readonly key: readonly string[];
}

export class LiveQuery {
  readonly spec: LiveSpec;
  #texts = new Map<string, string>();
  #order: readonly string[] = [];
  #isFirst = true;

  constructor(spec: LiveSpec) {
    this.spec = spec;
  }

  /**
   * The patch that leads from the rows told last to these; undefined when nothing changed.
   * @throws {FoldlogError} `misuse` `badKey`: a key column missing, or two rows with one key
   */
  patch(rows: readonly Row[]): LivePatch | undefined {
    const texts = new Map<string, string>();
    const order: string[] = [];
    const changed: (readonly [string, Row])[] = [];
    for (const row of rows) {
      const key = this.#keyOf(row);
      if (texts.has(key)) {
        throw FoldlogError.misuse({
          where: 'live query',
          reason: 'badKey',
          found: 'two rows with one key',
          expected: 'a key that tells rows apart',
        });
      }
      const text = textOf(row);
      texts.set(key, text);
      order.push(key);
      if (this.#texts.get(key) !== text) changed.push([key, row]);
    }
    const isSameOrder = !this.#isFirst && order.length === this.#order.length && order.every((key, i) => key === this.#order[i]);
    this.#texts = texts;
    this.#order = order;
    if (isSameOrder && changed.length === 0) return undefined;
    this.#isFirst = false;
    return isSameOrder ? { changed } : { changed, order };
  }

  #keyOf(row: Row): string {
    const parts = this.spec.key.map((column) => {
      if (!Object.hasOwn(row, column)) {
        throw FoldlogError.misuse({
          where: 'live query',
          reason: 'badKey',
          found: `no column ${column}`,
          expected: `one of ${Object.keys(row).join(', ')}`,
        });
      }
      return row[column] as SqlValue;
    });
    return parts.length === 1 && typeof parts[0] === 'string' ? parts[0] : JSON.stringify(parts, plainValue);
  }
}

const textOf = (row: Row): string => JSON.stringify(row, plainValue);

const plainValue = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}n` : value instanceof Uint8Array ? Array.from(value) : value;
