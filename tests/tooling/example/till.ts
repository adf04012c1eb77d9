// The definition of docs/evolution.md, in its second release.

import * as v from 'valibot';
import { defineShard, int, op, table, text } from '../../../shards/index.ts';

const Sold = v.object({ sale: v.string(), cents: v.number(), vat: v.number() });

export const till = defineShard('till', {
  version: 2,
  tables: { sale: table({ id: text(), cents: int() }, { key: ['id'] }) }, // of version 1, for ever
  migrations: {
    2: ['ALTER TABLE sale ADD COLUMN vat INTEGER NOT NULL DEFAULT 0', 'UPDATE sale SET vat = cents / 5'],
  },
  ops: {
    'sale.made': op(Sold, (db, { sale, cents, vat }) => db.run('INSERT INTO sale (id, cents, vat) VALUES (?, ?, ?)', [sale, cents, vat]), {
      version: 2,
      upcast: { 1: (old) => ({ ...(old as { cents: number }), vat: Math.trunc((old as { cents: number }).cents / 5) }) },
    }),
  },
});
