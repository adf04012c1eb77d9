// How much of a shard's log the relay has not given its word for, without counting it: totals along the log, kept in memory and written beside
// what is written anyway, as they stood at one seq. The queue is the difference of two totals, so rows may be dropped below (truncation) at any time.
// A crash leaves a total that is right for the seq it names; groups after it, a batch at most, are counted when it is opened.

import { recordBytesOf } from '../../kernel/run.ts';
import type { Seq } from '../../kernel/units.ts';
import type { Database } from './database.ts';
import { Meta } from './shard-file.ts';

/** Groups and bytes of bodies, from wherever counting began up to `seq`. */
export interface Total {
  readonly seq: number;
  readonly groups: number;
  readonly bytes: number;
}

/** What is saved and not committed. */
export interface Pending {
  readonly groups: number;
  readonly ops: number;
  /** Of bodies. */
  readonly bytes: number;
}

export const nothingPending: Pending = { groups: 0, ops: 0, bytes: 0 };

/** Bytes the queue takes to send, before compression. */
export const queueBytes = ({ groups, bytes }: Pending): number => bytes + groups * recordBytesOf(0);

export class QueueCount {
  readonly #db: Database;
  #saved: Total;
  #committed: Total;

  /** `committed`: seq of the newest receipt; `head`: of the newest group. What was never counted, or cut off since, is counted once. */
  constructor(db: Database, at: { readonly committed: number; readonly head: number }) {
    this.#db = db;
    const meta = new Meta(db);
    const below = readTotal(meta, 'countedCommitted') ?? { seq: at.committed, groups: 0, bytes: 0 };
    const known = readTotal(meta, 'countedTo') ?? below;
    const isOfThisLog = below.seq === at.committed && known.seq >= at.committed && known.seq <= at.head;
    this.#committed = isOfThisLog ? below : { seq: at.committed, groups: 0, bytes: 0 };
    this.#saved = this.#grown(isOfThisLog ? known : this.#committed, undefined);
  }

  pending(): Pending {
    const ops = this.#saved.seq - this.#committed.seq;
    if (ops <= 0) return nothingPending;
    return { groups: this.#saved.groups - this.#committed.groups, ops, bytes: this.#saved.bytes - this.#committed.bytes };
  }

  get savedBytes(): number {
    return this.#saved.bytes;
  }

  /** After COMMIT, with what it made durable. */
  committed(groups: readonly { readonly lastSeq: Seq; readonly bodyLength: number }[]): void {
    for (const { lastSeq, bodyLength } of groups) {
      this.#saved = { seq: lastSeq, groups: this.#saved.groups + 1, bytes: this.#saved.bytes + bodyLength };
    }
  }

  /** In a transaction that writes to the table of small values already: where the totals stand. */
  settle(): void {
    writeTotal(new Meta(this.#db), 'countedTo', this.#saved);
  }

  /** In the transaction that stores a receipt: counts what it covers, which is what was just sent. `take` makes it so after COMMIT. */
  cover(head: Seq): { readonly take: () => void } {
    const isAll = head === this.#saved.seq;
    const covered = isAll ? this.#saved : this.#grown(this.#committed, head);
    const meta = new Meta(this.#db);
    writeTotal(meta, 'countedCommitted', covered);
    this.settle();
    return {
      take: () => {
        this.#committed = covered;
      },
    };
  }

  #grown(from: Total, upTo: number | undefined): Total {
    // The length of a body stands in its row's head: its pages are not read.
    const row = this.#db.get<{ last: number | null; groups: number; bytes: number | null }>(
      'SELECT max(last_seq) AS last, count(*) AS groups, sum(length(body)) AS bytes FROM foldlog_group WHERE last_seq > ? AND last_seq <= ?',
      [from.seq, upTo ?? Number.MAX_SAFE_INTEGER],
    );
    return { seq: row?.last ?? from.seq, groups: from.groups + (row?.groups ?? 0), bytes: from.bytes + (row?.bytes ?? 0) };
  }
}

/** In a transaction that takes groups from the end of the log, or puts others in their place: what was counted is of another log. */
export function forgetCounts(meta: Meta): void {
  meta.delete('countedTo');
  meta.delete('countedCommitted');
}

/** One small value holds all three, so that no crash and no damage can leave two of different moments. */
function readTotal(meta: Meta, name: string): Total | undefined {
  const [at = '', groups = '', bytes = ''] = /^(\d{1,16}) (\d{1,16}) (\d{1,16})$/.exec(meta.text(name) ?? '')?.slice(1) ?? [];
  return at === '' ? undefined : { seq: Number(at), groups: Number(groups), bytes: Number(bytes) };
}

const writeTotal = (meta: Meta, name: string, { seq, groups, bytes }: Total): void => meta.set(name, `${seq} ${groups} ${bytes}`);
