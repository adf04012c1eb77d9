// Reading: statements of an app on an open database, under a time limit and unable to write. A worker has one thread, so a save that arrives while a
// statement runs cannot be seen before it ends; the limit is what keeps such a save from waiting long.

import { FoldlogError } from '../../kernel/errors.ts';
import { liveRowsMax } from '../../kernel/limits.ts';
import type { Clock } from '../../kernel/ports.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';
import type { Sql } from '../../shards/sql.ts';
import type { Database, Row } from './database.ts';

export interface QueryBounds {
  readonly msMax: number;
  readonly rowsMax: number;
}

export const readBounds: QueryBounds = { msMax: 1_000, rowsMax: 100_000 };
export const liveBounds: QueryBounds = { msMax: 250, rowsMax: liveRowsMax };

/** VM steps between two looks at the clock: about every 20 µs. */
const stepsPerLook = 2_000;

/**
 * Runs statements in one turn, on one state.
 * @throws {FoldlogError} `misuse` `badQuery`, `queryWrites`, `queryTooLong`, `tooManyRows`
 */
export function runQueries(db: Database, clock: Clock, queries: readonly Sql[], bounds: QueryBounds): readonly (readonly Row[])[] {
  const { capi } = db.sqlite3;
  const until = clock.ticks() + bounds.msMax;
  capi.sqlite3_progress_handler(db.handle, stepsPerLook, () => (clock.ticks() > until ? 1 : 0), 0);
  try {
    return queries.map((query, i) => runQuery(db, query, bounds, `query ${i + 1}`));
  } finally {
    capi.sqlite3_progress_handler(db.handle, 0, 0 as never, 0);
  }
}

function runQuery(db: Database, query: Sql, bounds: QueryBounds, where: string): readonly Row[] {
  const { capi } = db.sqlite3;
  let rows: readonly Row[];
  let statement: ReturnType<Database['handle']['prepare']> | undefined;
  try {
    statement = db.handle.prepare(query.text);
    if (capi.sqlite3_stmt_readonly(statement) === 0) {
      throw FoldlogError.misuse({
        where,
        reason: 'queryWrites',
        found: 'a statement that writes',
        expected: 'a SELECT',
        todo: 'change state by saving ops',
      });
    }
    if (query.params.length > 0) statement.bind(query.params as SqlValue[]);
    const found: Row[] = [];
    while (statement.step()) {
      if (found.length >= bounds.rowsMax) {
        throw FoldlogError.misuse({
          where,
          reason: 'tooManyRows',
          found: `more than ${bounds.rowsMax} rows`,
          expected: 'fewer',
          todo: 'add a LIMIT or aggregate in SQL',
        });
      }
      found.push(statement.get({}) as Row);
    }
    rows = found;
  } catch (cause) {
    const failure = db.failure(cause, where);
    if (cause instanceof FoldlogError || failure.kind === 'corrupt') throw failure; // damaged pages are nobody's bad query
    const code = (cause as { resultCode?: number }).resultCode;
    const isSlow = code === capi.SQLITE_INTERRUPT;
    throw FoldlogError.misuse({
      where,
      reason: isSlow ? 'queryTooLong' : 'badQuery',
      found: isSlow ? `more than ${bounds.msMax} ms` : cause instanceof Error ? cause.message : String(cause),
      expected: isSlow ? 'an answer within the limit' : 'SQL over the declared tables',
      todo: isSlow ? 'add an index, or read less at once' : 'correct the statement',
      cause,
    });
  } finally {
    statement?.finalize();
  }
  return rows;
}
