// The log of one shard in its database: groups with their seals, receipts, and the head they lead to. SQL only; no transactions of its own
// (callers decide what lands together).

import { type Bytes, isSameBytes } from '../../kernel/bytes.ts';
import { type CommitGroup, decodeGroupHeader, encodeGroupHeader, groupHashOf, headOf, lastSeqOf } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { runBytesMax, runGroupsMax } from '../../kernel/limits.ts';
import { decodeReceipt, type Receipt } from '../../kernel/receipt.ts';
import { recordBytesOf } from '../../kernel/run.ts';
import { encodeSeal, readSeal, type Seal } from '../../kernel/seal.ts';
import { type Epoch, epoch, type GroupId, type Hash, type Head, hash, type KeyId, type Seq, seq, type TimeMs } from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import type { Database } from './database.ts';
import { GroupIds } from './group-ids.ts';
import { type Pending, QueueCount } from './queue-count.ts';
import { type ChainBase, Meta, readBase } from './shard-file.ts';

/** Where a saved group stands. */
export interface GroupPlace {
  readonly epoch: Epoch;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  readonly hash: Hash;
}

export interface PendingRun {
  readonly after: Head;
  readonly groups: readonly CommitGroup[];
  readonly seal: Seal;
}

/** What one slice of truncating let go. `head`: the base from now on. */
export interface Truncated {
  readonly head: Head;
  readonly bytes: number;
  readonly isEnd: boolean;
}

/** Of a row of `foldlog_group`, without SQLite's own. */
const storedBytesSql = 'length(id) + length(hash) + length(header) + length(salt) + length(body) + ifnull(length(seal), 0)';
/** Rows that are looked at in one go when the log is measured: under a millisecond. */
const measureGroups = 512;

interface GroupRow {
  readonly last_seq: number;
  readonly first_seq: number;
  readonly hash: Bytes;
  readonly header: Bytes;
  readonly salt: Bytes;
  readonly body: Bytes;
  readonly seal: Bytes | null;
}

export class ChainLog {
  readonly #db: Database;
  readonly #ids: GroupIds;
  readonly #queue: QueueCount;
  #base: ChainBase;

  constructor(db: Database) {
    this.#db = db;
    this.#ids = new GroupIds(db);
    this.#base = readBase(new Meta(db));
    this.#queue = new QueueCount(db, { committed: this.newestReceipt()?.receipt.head.seq ?? this.base.head.seq, head: this.head().seq });
  }

  /** Behind which the log begins; truncating moves it. */
  get base(): ChainBase {
    return this.#base;
  }

  /** Head of the saved chain. */
  head(): Head {
    const row = this.#db.get<{ last_seq: number; hash: Bytes }>('SELECT last_seq, hash FROM foldlog_group ORDER BY last_seq DESC LIMIT 1');
    return row === undefined ? this.base.head : { seq: seq(row.last_seq), hash: hash(row.hash) };
  }

  find(id: GroupId): GroupPlace | undefined {
    const lastSeq = this.#ids.find(id);
    if (lastSeq === undefined) return undefined;
    const row = this.#db.get<{ header: Bytes; hash: Bytes }>('SELECT header, hash FROM foldlog_group WHERE last_seq = ?', [lastSeq]);
    if (row === undefined) return this.#findPast(lastSeq);
    if (!isSameBytes(groupHashOf(row.header), row.hash)) {
      // The id is known and what stands there is not what was saved: neither "saved" nor "not saved" would be true.
      throw FoldlogError.corrupt({
        where: this.#db.name,
        reason: 'damagedLog',
        found: `another header at seq ${lastSeq}`,
        expected: 'the group as saved',
      });
    }
    const header = decodeGroupHeader(row.header, 'stored group');
    return { epoch: header.epoch, firstSeq: header.firstSeq, lastSeq: lastSeqOf(header), hash: hash(row.hash) };
  }

  /** Where a group stood that was truncated. */
  #findPast(lastSeq: Seq): GroupPlace | undefined {
    const row = this.#db.get<{ first_seq: number; epoch: number; hash: Bytes }>(
      'SELECT first_seq, epoch, hash FROM foldlog_past WHERE last_seq = ?',
      [lastSeq],
    );
    if (row === undefined) return undefined;
    return { epoch: epoch(row.epoch), firstSeq: seq(row.first_seq), lastSeq, hash: hash(row.hash) };
  }

  /**
   * Lets go of the oldest groups up to `limit`, whole ones, until `isEnough`: at least one. The base moves with them, in the caller's transaction;
   * `truncated` follows its COMMIT.
   */
  truncate(limit: Seq, pastMax: number, isEnough: () => boolean): Truncated {
    const meta = new Meta(this.#db);
    const idsUpTo = meta.number('idsUpTo') ?? 0;
    let past = meta.number('pastGroups') ?? 0;
    let bytes = 0;
    let head = this.#base.head;
    let isEnd = false;
    do {
      const row = this.#db.get<{ last_seq: number; first_seq: number; id: Bytes; hash: Bytes; header: Bytes; bytes: number }>(
        `SELECT last_seq, first_seq, id, hash, header, ${storedBytesSql} AS bytes FROM foldlog_group ORDER BY last_seq LIMIT 1`,
      );
      isEnd = row === undefined || row.last_seq > limit;
      if (row === undefined || isEnd) break;
      if (row.last_seq > idsUpTo) this.#ids.absorb(row.id, seq(row.last_seq));
      this.#db.run('INSERT INTO foldlog_past (last_seq, first_seq, epoch, id, hash) VALUES (?, ?, ?, ?, ?)', [
        row.last_seq,
        row.first_seq,
        decodeGroupHeader(row.header, 'stored group').epoch,
        row.id,
        row.hash,
      ]);
      this.#db.run('DELETE FROM foldlog_group WHERE last_seq = ?', [row.last_seq]);
      past = this.#forget(past + 1, pastMax);
      head = { seq: seq(row.last_seq), hash: hash(row.hash) };
      bytes += row.bytes;
    } while (!isEnough());
    meta.set('baseSeq', head.seq);
    meta.set('baseHash', head.hash);
    meta.set('pastGroups', past);
    if (head.seq > idsUpTo) meta.set('idsUpTo', head.seq);
    meta.set('truncatedBytes', (meta.number('truncatedBytes') ?? 0) + bytes);
    return { head, bytes, isEnd: isEnd || head.seq === limit };
  }

  /** After COMMIT. */
  truncated({ head }: Truncated): void {
    this.#base = { ...this.#base, head };
    this.#ids.absorbed(head.seq);
  }

  /** Drops the oldest truncated groups and their ids beyond the bound; two at a time, so that a lower bound is reached in time. */
  #forget(past: number, pastMax: number): number {
    let left = past;
    for (let i = 0; i < 2 && left > pastMax; i++) {
      const oldest = this.#db.get<{ last_seq: number; id: Bytes }>('SELECT last_seq, id FROM foldlog_past ORDER BY last_seq LIMIT 1');
      if (oldest === undefined) return 0;
      this.#db.run('DELETE FROM foldlog_past WHERE last_seq = ?', [oldest.last_seq]);
      this.#db.run('DELETE FROM foldlog_id WHERE id = ?', [oldest.id]);
      left--;
    }
    return left;
  }

  /** Stored bytes of the groups after `after` up to `upTo`, as far as one look of some hundred rows goes. */
  measure(after: Seq, upTo: Seq): { readonly upTo: Seq; readonly bytes: number; readonly isEnd: boolean } {
    const row = this.#db.get<{ groups: number; at: number | null; bytes: number | null }>(
      `SELECT count(*) AS groups, max(last_seq) AS at, sum(bytes) AS bytes FROM (SELECT last_seq, ${storedBytesSql} AS bytes FROM foldlog_group
       WHERE last_seq > ? AND last_seq <= ? ORDER BY last_seq LIMIT ${measureGroups})`,
      [after, upTo],
    );
    const groups = row?.groups ?? 0;
    return { upTo: row?.at == null ? after : seq(row.at), bytes: row?.bytes ?? 0, isEnd: groups < measureGroups };
  }

  /** Writes the table of ids again from the log and from what was truncated. */
  restoreIds(): void {
    this.#db.transaction(() => {
      this.#db.run('DELETE FROM foldlog_id');
      this.#db.run('INSERT INTO foldlog_id (id, last_seq) SELECT id, last_seq FROM foldlog_past');
      this.#db.run('INSERT INTO foldlog_id (id, last_seq) SELECT id, last_seq FROM foldlog_group WHERE last_seq <= ?', [
        new Meta(this.#db).number('idsUpTo') ?? 0,
      ]);
    });
  }

  /** `seal` stands on the last group of each transaction. */
  insert(group: CommitGroup, seal?: Seal): void {
    if (group.content.kind !== 'whole')
      throw FoldlogError.misuse({ where: 'chain log', reason: 'erasedGroup', found: 'no body', expected: 'one' });
    const { header, content } = group;
    this.#db.run('INSERT INTO foldlog_group (last_seq, first_seq, id, hash, header, salt, body, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?)', [
      lastSeqOf(header),
      header.firstSeq,
      header.id,
      group.hash,
      encodeGroupHeader(header),
      content.salt,
      content.body,
      seal === undefined ? null : encodeSeal(seal),
    ]);
  }

  /** Before COMMIT, once all groups of the transaction are inserted. */
  settle(): void {
    if (this.#ids.settle()) this.#queue.settle();
  }

  /** After COMMIT, with the groups it made durable. */
  committed(groups: readonly CommitGroup[]): void {
    this.#ids.committed(groups.map(({ header }) => ({ id: header.id, lastSeq: lastSeqOf(header) })));
    this.#queue.committed(groups.map(({ header }) => ({ lastSeq: lastSeqOf(header), bodyLength: header.bodyLength })));
  }

  /**
   * The groups after `committed` that make the next run: as many as fit the bounds, up to the last sealed one and at most to `upTo`.
   * Undefined when nothing waits.
   */
  pendingRun(committed: Head, bounds: { readonly bytesMax: number; readonly upTo: Seq | undefined }): PendingRun | undefined {
    const limit = bounds.upTo ?? Number.MAX_SAFE_INTEGER;
    const bytesMax = Math.min(bounds.bytesMax, runBytesMax);
    const groups: CommitGroup[] = [];
    let sealed: { readonly count: number; readonly seal: Seal } | undefined;
    let bytes = 0;
    let from: number = committed.seq;
    while (groups.length < runGroupsMax) {
      const rows = this.#db.all<GroupRow>(
        `SELECT last_seq, first_seq, hash, header, salt, body, seal FROM foldlog_group
         WHERE last_seq > ? AND last_seq <= ? ORDER BY last_seq LIMIT 256`,
        [from, limit],
      );
      for (const row of rows) {
        bytes += recordBytesOf(row.body.length);
        if ((bytes > bytesMax && sealed !== undefined) || groups.length >= runGroupsMax) return cut(committed, groups, sealed);
        groups.push({
          header: decodeGroupHeader(row.header, 'stored group'),
          hash: hash(row.hash),
          content: { kind: 'whole', salt: row.salt, body: row.body },
        });
        if (row.seal !== null) sealed = { count: groups.length, seal: readSeal(new Reader(row.seal, 'stored seal')) };
        from = row.last_seq;
      }
      if (rows.length < 256) break;
    }
    return cut(committed, groups, sealed);
  }

  /** Hash of the group that ends at `at`, when it is in the log. */
  hashAt(at: Seq): Hash | undefined {
    if (at === this.base.head.seq) return this.base.head.hash;
    const value = this.#db.value('SELECT hash FROM foldlog_group WHERE last_seq = ?', [at]);
    return value instanceof Uint8Array ? hash(value) : undefined;
  }

  /** End of the group before the one that ends at `at`, when it is in the log. */
  endBefore(at: Seq): Seq | undefined {
    const value = this.#db.value('SELECT last_seq FROM foldlog_group WHERE last_seq < ? ORDER BY last_seq DESC LIMIT 1', [at]);
    return typeof value === 'number' ? seq(value) : undefined;
  }

  /** Key of the newest seal; undefined while nothing was saved. */
  lastSealKey(): KeyId | undefined {
    const seal = this.#db.value('SELECT seal FROM foldlog_group WHERE seal IS NOT NULL ORDER BY last_seq DESC LIMIT 1');
    return seal instanceof Uint8Array ? readSeal(new Reader(seal, 'stored seal')).key : undefined;
  }

  newestReceipt(): { readonly bytes: Bytes; readonly receipt: Receipt } | undefined {
    const value = this.#db.value('SELECT receipt FROM foldlog_receipt ORDER BY seq DESC LIMIT 1');
    if (!(value instanceof Uint8Array)) return undefined;
    const bytes = value as Bytes;
    return { bytes, receipt: decodeReceipt(bytes, 'stored receipt') };
  }

  /** In a transaction. `take` is called once that is durable: only then does the queue shrink. */
  putReceipt(receipt: Receipt, bytes: Bytes): { readonly take: () => void } {
    this.#db.run('INSERT OR REPLACE INTO foldlog_receipt (seq, receipt) VALUES (?, ?)', [receipt.head.seq, bytes]);
    // Only the newest is ever sent; a few more are evidence when a relay forgets.
    this.#db.run(
      'DELETE FROM foldlog_receipt WHERE seq < (SELECT min(seq) FROM (SELECT seq FROM foldlog_receipt ORDER BY seq DESC LIMIT 8))',
    );
    return this.#queue.cover(receipt.head.seq);
  }

  /** What is saved and not committed, without looking at it. */
  pending(): Pending {
    return this.#queue.pending();
  }

  /** Bytes of bodies along the log; only the difference of two means something. */
  get savedBytes(): number {
    return this.#queue.savedBytes;
  }

  /** When the oldest group after `committed` was saved, by the clock of then. */
  oldestPendingMs(committed: Seq): TimeMs | undefined {
    const header = this.#db.value('SELECT header FROM foldlog_group WHERE last_seq > ? ORDER BY last_seq LIMIT 1', [committed]);
    return header instanceof Uint8Array ? decodeGroupHeader(header, 'stored group').time : undefined;
  }
}

function cut(
  after: Head,
  groups: readonly CommitGroup[],
  sealed: { readonly count: number; readonly seal: Seal } | undefined,
): PendingRun | undefined {
  if (sealed === undefined) return undefined;
  return { after, groups: groups.slice(0, sealed.count), seal: sealed.seal };
}

export const runHead = (run: PendingRun): Head => headOf(run.groups[run.groups.length - 1] as CommitGroup);
