// A shard that grows to any size fast: notes of 1 KB, the log holding each once and the table once more.
import * as v from 'valibot';
import { defineShard, op, table, text } from '../../shards/index.ts';

const Note = v.object({ id: v.string(), text: v.string() });

export const notes = defineShard('notes', {
  version: 1,
  tables: { note: table({ id: text(), text: text() }, { key: ['id'] }) },
  ops: {
    'note.put': op(Note, (db, { id, text: words }) => {
      db.run('INSERT INTO note (id, text) VALUES (?, ?)', [id, words]);
    }),
  },
});
