// The shard that simulated devices write: ops whose order matters, so that a fold in another order gives other tables; and the same fold a second
// time in plain JavaScript, which shares nothing with reducers, SQL or engine.

import * as v from 'valibot';
import { command, defineShard, FoldlogError, int, type OpInput, op, type ReducerDb, sql, table, text } from '../../shards/index.ts';

const Item = v.object({ key: v.string(), value: v.pipe(v.number(), v.integer()) });
const Note = v.object({ id: v.string(), body: v.string() });

const wrap = 1_000_003;

/** Says in each look at the tables how far they are folded. */
function foldedTo(db: ReducerDb, seq: number): void {
  db.run('INSERT INTO last (one, seq, ops) VALUES (1, ?, 1) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, ops = ops + 1', [seq]);
}

export const stockRoom = defineShard('room', {
  version: 1,
  tables: {
    item: table({ key: text(), value: int(), seq: int(), time: int() }, { key: ['key'] }),
    note: table({ id: text(), body: text(), seq: int() }, { key: ['id'] }),
    last: table({ one: int(), seq: int(), ops: int() }, { key: ['one'] }),
  },
  ops: {
    'item.set': op(Item, (db, { key, value }, { seq, time }) => {
      db.run(
        `INSERT INTO item (key, value, seq, time) VALUES (?, ?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, seq = excluded.seq, time = excluded.time`,
        [key, value, seq, time],
      );
      foldedTo(db, seq);
    }),
    'item.mixed': op(Item, (db, { key, value }, { seq, time }) => {
      db.run(
        `INSERT INTO item (key, value, seq, time) VALUES (?, ?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET value = (value * 31 + excluded.value) % ${wrap}, seq = excluded.seq, time = excluded.time`,
        [key, value, seq, time],
      );
      foldedTo(db, seq);
    }),
    'note.kept': op(Note, (db, { id, body }, { seq }) => {
      db.run('INSERT INTO note (id, body, seq) VALUES (?, ?, ?)', [id, body, seq]);
      foldedTo(db, seq);
    }),
    'note.dropped': op(v.object({ upTo: v.number() }), (db, { upTo }, { seq }) => {
      db.run('DELETE FROM note WHERE seq <= ?', [upTo]);
      foldedTo(db, seq);
    }),
    'bad.throws': op(v.object({ why: v.string() }), (db, { why }, { seq }) => {
      foldedTo(db, seq);
      throw new Error(why);
    }),
  },
  commands: {
    raise: command(v.object({ key: v.string() }), (read, { key }): readonly OpInput[] => {
      if (key === '') throw FoldlogError.misuse({ where: 'raise', reason: 'noKey', found: 'no key', expected: 'one' });
      const [row] = read<{ value: number }>(sql`SELECT value FROM item WHERE key = ${key}`);
      return [['item.set', { key, value: (row?.value ?? 0) + 1 }]];
    }),
  },
});

/** The looks a checker takes at one shard, in this order. */
export const roomQueries = [
  sql`SELECT key, value, seq, time FROM item ORDER BY key`,
  sql`SELECT id, body, seq FROM note ORDER BY id`,
  sql`SELECT seq, ops FROM last`,
];

export interface PlainOp {
  readonly class: string;
  readonly payload: unknown;
  readonly seq: number;
  readonly time: number;
}

interface ItemState {
  readonly value: number;
  readonly seq: number;
  readonly time: number;
}

/** Tables as `roomQueries` show them. */
export class RoomModel {
  readonly #items = new Map<string, ItemState>();
  readonly #notes = new Map<string, { readonly body: string; readonly seq: number }>();
  #seq = 0;
  #ops = 0;

  fold({ class: name, payload, seq, time }: PlainOp): void {
    switch (name) {
      case 'item.set':
      case 'item.mixed': {
        const { key, value } = payload as { readonly key: string; readonly value: number };
        const before = this.#items.get(key);
        const isMixed = name === 'item.mixed' && before !== undefined;
        this.#items.set(key, { value: isMixed ? (before.value * 31 + value) % wrap : value, seq, time });
        break;
      }
      case 'note.kept': {
        const { id, body } = payload as { readonly id: string; readonly body: string };
        this.#notes.set(id, { body, seq });
        break;
      }
      case 'note.dropped': {
        const { upTo } = payload as { readonly upTo: number };
        for (const [id, note] of this.#notes) if (note.seq <= upTo) this.#notes.delete(id);
        break;
      }
      default:
        throw new Error(`an op nobody saves: ${name}`);
    }
    this.#seq = seq;
    this.#ops++;
  }

  rows(): readonly (readonly (readonly unknown[])[])[] {
    const byKey = <T>(entries: Map<string, T>): [string, T][] => [...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return [
      byKey(this.#items).map(([key, { value, seq, time }]) => [key, value, seq, time]),
      byKey(this.#notes).map(([id, { body, seq }]) => [id, body, seq]),
      this.#ops === 0 ? [] : [[this.#seq, this.#ops]],
    ];
  }
}
