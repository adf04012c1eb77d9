// Which group ids stand in the log, and where: the answer to a call that is asked again. Ids are random, so an index kept up to date by every
// commit would write one more page each time; instead the newest ids are held in memory and reach the table by the batch, inside the transaction
// of a save. A crash anywhere leaves both in step: what the table does not cover yet is read back from the log itself when it is opened.

import { bytesToHex } from '../../kernel/bytes.ts';
import { type GroupId, type Seq, seq } from '../../kernel/units.ts';
import type { Database } from './database.ts';
import { Meta } from './shard-file.ts';

/** Groups whose ids are in memory before they go into the table: opening reads as many rows, and a batch dirties at most as many pages. */
const batchGroups = 64;

export class GroupIds {
  readonly #db: Database;
  readonly #recent = new Map<string, Seq>();
  /** Set between `settle` and the COMMIT that makes it true. */
  #isSettled = false;

  constructor(db: Database) {
    this.#db = db;
    const upTo = new Meta(db).number('idsUpTo') ?? 0;
    const rows = db.all<{ id: Uint8Array; last_seq: number }>(
      'SELECT id, last_seq FROM foldlog_group WHERE last_seq > ? ORDER BY last_seq',
      [upTo],
    );
    for (const row of rows) this.#recent.set(bytesToHex(row.id), seq(row.last_seq));
  }

  /** Last seq of the group of that name. */
  find(id: GroupId): Seq | undefined {
    const recent = this.#recent.get(bytesToHex(id));
    if (recent !== undefined) return recent;
    const found = this.#db.value('SELECT last_seq FROM foldlog_id WHERE id = ?', [id]);
    return found === undefined ? undefined : seq(Number(found));
  }

  /** Moves a full batch into the table; whether it did. Last thing in a transaction of a save; forgotten with it when it is rolled back. */
  settle(): boolean {
    this.#isSettled = false;
    if (this.#recent.size < batchGroups) return false;
    for (const lastSeq of this.#recent.values()) {
      this.#db.run('INSERT OR IGNORE INTO foldlog_id (id, last_seq) SELECT id, last_seq FROM foldlog_group WHERE last_seq = ?', [lastSeq]);
    }
    new Meta(this.#db).set('idsUpTo', Math.max(...this.#recent.values()));
    this.#isSettled = true;
    return true;
  }

  /** Takes the id of a group that is being truncated into the table when no batch did, in the transaction that truncates it. `absorbed` follows its COMMIT. */
  absorb(id: Uint8Array, lastSeq: Seq): void {
    this.#db.run('INSERT OR IGNORE INTO foldlog_id (id, last_seq) VALUES (?, ?)', [id, lastSeq]);
  }

  absorbed(upTo: Seq): void {
    for (const [id, lastSeq] of this.#recent) if (lastSeq <= upTo) this.#recent.delete(id);
  }

  /** The transaction is on disk: what it settled is the table's now, and what it inserted is remembered. */
  committed(groups: readonly { readonly id: GroupId; readonly lastSeq: Seq }[]): void {
    if (this.#isSettled) this.#recent.clear();
    this.#isSettled = false;
    for (const { id, lastSeq } of groups) this.#recent.set(bytesToHex(id), lastSeq);
  }
}
