// What the self-test saves: entries of about the size of a sale line, numbered so that afterwards every one of them can be asked for.

import { defineShard, int, op, table, text } from 'foldlog/schema';
import * as v from 'valibot';

const index = v.pipe(v.number(), v.integer(), v.minValue(0));
const Entry = v.object({ ops: index, save: index, at: index, note: v.string() });

export const entries = defineShard('selftest', {
  version: 1,
  tables: { entry: table({ ops: int(), save: int(), at: int(), note: text() }, { key: ['ops', 'save', 'at'] }) },
  ops: {
    'entry.made': op(Entry, (db, entry) => {
      db.run('INSERT INTO entry (ops, save, at, note) VALUES (?, ?, ?, ?)', [entry.ops, entry.save, entry.at, entry.note]);
    }),
  },
});

/** One lane of the test: so many saves of so many ops each. */
export interface Lane {
  readonly ops: number;
  readonly saves: number;
}

export const lanes: readonly Lane[] = [
  { ops: 1, saves: 50 },
  { ops: 100, saves: 20 },
  { ops: 1_000, saves: 5 },
];

/** Bytes of one op as it is stored, about: what the floors write for each. */
export const opBytes = 150;

const note = 'n'.repeat(100);

/** The ops of one save of a lane. */
export const entriesOf = (lane: Lane, save: number) =>
  Array.from({ length: lane.ops }, (_, at) => ['entry.made', { ops: lane.ops, save, at, note }] as const);
