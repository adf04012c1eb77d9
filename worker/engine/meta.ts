// The small named values a file of ours keeps about itself: identity, schema, base of the chain, cursors. Apart, because whatever opens, moves or
// follows a shard reads some of them.

import type { Database } from './database.ts';

/** Small named values of a shard: identity, base of the chain, cursors. */
export class Meta {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  set(name: string, value: string | number | Uint8Array): void {
    this.#db.run('INSERT INTO foldlog_meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value', [
      name,
      value,
    ]);
  }

  delete(name: string): void {
    this.#db.run('DELETE FROM foldlog_meta WHERE name = ?', [name]);
  }

  number(name: string): number | undefined {
    const value = this.#read(name);
    return typeof value === 'number' ? value : undefined;
  }

  text(name: string): string | undefined {
    const value = this.#read(name);
    return typeof value === 'string' ? value : undefined;
  }

  bytes(name: string): Uint8Array<ArrayBuffer> | undefined {
    const value = this.#read(name);
    return value instanceof Uint8Array ? (value as Uint8Array<ArrayBuffer>) : undefined;
  }

  #read(name: string): unknown {
    return this.#db.value('SELECT value FROM foldlog_meta WHERE name = ?', [name]);
  }
}
