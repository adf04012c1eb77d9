// Declared tables: columns, key, indexes, and the one DDL text they stand for. All tables are STRICT and WITHOUT ROWID, so a row has
// exactly one place and "key order" means the same in every database. Pure.

import { FoldlogError } from '../kernel/errors.ts';
import { nameLengthMax } from '../kernel/limits.ts';

export type ColumnType = 'TEXT' | 'INTEGER' | 'REAL' | 'BLOB';

export interface Column {
  readonly type: ColumnType;
  readonly isNullable: boolean;
}

export const text = (): Column => ({ type: 'TEXT', isNullable: false });
/** 64-bit in SQLite; JavaScript sees at most 2^53-1. */
export const int = (): Column => ({ type: 'INTEGER', isNullable: false });
export const real = (): Column => ({ type: 'REAL', isNullable: false });
export const blob = (): Column => ({ type: 'BLOB', isNullable: false });
export const nullable = (column: Column): Column => ({ ...column, isNullable: true });

export interface Table {
  readonly columns: Readonly<Record<string, Column>>;
  readonly key: readonly string[];
  readonly indexes: readonly (readonly string[])[];
}

/**
 * A table that reducers write and queries read.
 * `key` is the primary key; `indexes` lists column groups to index.
 */
export function table<Columns extends Readonly<Record<string, Column>>>(
  columns: Columns,
  options: {
    readonly key: readonly (keyof Columns & string)[];
    readonly indexes?: readonly (readonly (keyof Columns & string)[])[];
  },
): Table {
  return { columns, key: options.key, indexes: options.indexes ?? [] };
}

const identifierPattern = /^[A-Za-z][A-Za-z0-9_]*$/;

/** Names that reach SQL text. Everything else is bound. */
export function requireIdentifier(name: string, where: string): string {
  if (name.length > nameLengthMax || !identifierPattern.test(name) || /^(sqlite_|foldlog_)/i.test(name)) {
    throw FoldlogError.misuse({
      where,
      reason: 'badIdentifier',
      found: JSON.stringify(name.slice(0, nameLengthMax)),
      expected: `a letter, then letters, digits and _, at most ${nameLengthMax}, not beginning with sqlite_ or foldlog_`,
    });
  }
  return name;
}

/** The statements that make a table and its indexes, in order. */
export function tableDdl(name: string, definition: Table): readonly string[] {
  const where = `table ${name.slice(0, nameLengthMax)}`;
  requireIdentifier(name, where);
  const columns = Object.entries(definition.columns).map(
    ([column, { type, isNullable }]) => `"${requireIdentifier(column, where)}" ${type}${isNullable ? '' : ' NOT NULL'}`,
  );
  requireColumns(definition, definition.key, `${where}, key`);
  const quoted = (names: readonly string[]): string => names.map((column) => `"${column}"`).join(', ');
  const ddl = [`CREATE TABLE "${name}" (${columns.join(', ')}, PRIMARY KEY (${quoted(definition.key)})) STRICT, WITHOUT ROWID`];
  for (const index of definition.indexes) {
    requireColumns(definition, index, `${where}, index`);
    ddl.push(`CREATE INDEX "${name}_${index.join('_')}" ON "${name}" (${quoted(index)})`);
  }
  return ddl;
}

function requireColumns(definition: Table, names: readonly string[], where: string): void {
  const unknown = names.find((name) => !Object.hasOwn(definition.columns, name));
  if (names.length > 0 && unknown === undefined) return;
  throw FoldlogError.misuse({
    where,
    reason: 'badIdentifier',
    found: unknown === undefined ? 'no columns' : `the column ${unknown}`,
    expected: `columns of the table: ${Object.keys(definition.columns).join(', ')}`,
  });
}
