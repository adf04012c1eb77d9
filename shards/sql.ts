// SQL with its parameters kept apart, so that a value can never become syntax. Used by live queries, reads and commands.

import type { SqlValue } from '../kernel/state-hash.ts';

export type { SqlValue } from '../kernel/state-hash.ts';

declare const rowType: unique symbol;

/** A statement and its bound values; `Row` is what each result row looks like. */
export interface Sql<Row = Record<string, SqlValue>> {
  readonly text: string;
  readonly params: readonly SqlValue[];
  readonly [rowType]?: Row;
}

/**
 * A statement from a template: every `${value}` becomes a bound parameter.
 * Identifiers cannot be interpolated; write them out.
 * @example sql<{ n: number }>`SELECT count(*) AS n FROM saleLine WHERE sku = ${sku}`
 */
export function sql<Row = Record<string, SqlValue>>(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Sql<Row> {
  return { text: strings.join('?'), params: values };
}
