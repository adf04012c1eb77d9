// The outbox of a shard's file: groups that were saved here and can no longer be committed in their place, byte for byte with their seals, where they
// stood, the cut they stand above, and what became of each. SQL only; callers decide what lands together (decision 0003). Nothing leaves it but what
// is committed in its new place.

import type { Bytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { readSeal, type Seal } from '../../kernel/seal.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';
import type { Origin } from '../../kernel/system-ops.ts';
import {
  type Epoch,
  epoch,
  type GroupId,
  groupId,
  type Hash,
  type Head,
  hash,
  type Seq,
  type ShardId,
  type Slot,
  seq,
  shardId,
  slot,
  type TimeMs,
  timeMs,
} from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import type { Database } from './database.ts';
import { forgetCounts } from './queue-count.ts';
import { Meta } from './shard-file.ts';

/** Where a group stands now that was saved again. No seq: it was taken there before, and its place is known no more. */
export interface NewPlace {
  readonly shard: ShardId;
  readonly epoch: Epoch;
  readonly lastSeq: Seq | undefined;
}

/** What became of a stranded group. */
export type EntryState =
  | { readonly kind: 'waiting' }
  | { readonly kind: 'rebased'; readonly to: NewPlace }
  /** Its fold threw, or it may not be saved there: kept, and nobody waits for it. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** By a person. Its bytes stay. */
  | { readonly kind: 'discarded' }
  /** Ops of the engine itself, which are made anew and never saved again. */
  | { readonly kind: 'engine' };

export interface OutboxEntry {
  readonly n: number;
  readonly id: GroupId;
  readonly from: Origin;
  readonly hash: Hash;
  /** The cut it stands above, and the control slot that made it. */
  readonly cut: Seq;
  readonly controlSlot: Slot;
  /** The one shard where it may be saved again; undefined when the cut names none. */
  readonly destination: ShardId | undefined;
  readonly state: EntryState;
  /** When its state was last decided. */
  readonly at: TimeMs;
}

/** An entry with its bytes. */
export interface StrandedGroup extends OutboxEntry {
  readonly header: Bytes;
  readonly salt: Bytes;
  readonly body: Bytes;
  /** The seal that covers it: its own, or that of the next sealed group behind it. */
  readonly seal: Seal;
}

export interface OutboxCounts {
  readonly waiting: number;
  readonly rebased: number;
  readonly refused: number;
  readonly discarded: number;
}

/** What a tail is cut off by. */
export interface StrandedBy {
  readonly cut: Seq;
  readonly controlSlot: Slot;
  readonly destination: ShardId | undefined;
}

interface EntryRow {
  readonly n: number;
  readonly id: Bytes;
  readonly shard: Bytes;
  readonly epoch: number;
  readonly first_seq: number;
  readonly last_seq: number;
  readonly hash: Bytes;
  readonly cut_seq: number;
  readonly cut_slot: number;
  readonly destination: Bytes | null;
  readonly state: EntryState['kind'];
  readonly reason: string | null;
  readonly to_shard: Bytes | null;
  readonly to_epoch: number | null;
  readonly to_seq: number | null;
  readonly at: number;
}

interface GroupRow extends EntryRow {
  readonly header: Bytes;
  readonly salt: Bytes;
  readonly body: Bytes;
}

const entryColumns =
  'n, id, shard, epoch, first_seq, last_seq, hash, cut_seq, cut_slot, destination, state, reason, to_shard, to_epoch, to_seq, at';

export class Outbox {
  readonly #db: Database;
  /** Most outboxes are empty for ever: a save asks this instead of the table. */
  #isEmpty: boolean;

  constructor(db: Database) {
    this.#db = db;
    this.#isEmpty = db.value('SELECT 1 FROM foldlog_outbox LIMIT 1') === undefined;
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /**
   * Step 1 of decision 0003, in the caller's transaction: everything of the log above `kept` moves here. A group that stands at or below the cut
   * although it is not of the committed chain is one of a fork: it has no place to be saved again in, and is kept refused.
   */
  strand(at: {
    readonly shard: ShardId;
    readonly epoch: Epoch;
    readonly kept: Head;
    readonly by: StrandedBy;
    readonly time: TimeMs;
  }): number {
    const { kept, by } = at;
    const before = Number(this.#db.value('SELECT count(*) FROM foldlog_outbox'));
    this.#db.run(
      `INSERT INTO foldlog_outbox (id, shard, epoch, first_seq, last_seq, hash, header, salt, body, seal, cut_seq, cut_slot, destination, state, reason, at)
       SELECT id, ?, ?, first_seq, last_seq, hash, header, salt, body, seal, ?, ?, ?,
         iif(first_seq > ?, 'waiting', 'refused'), iif(first_seq > ?, NULL, ?), ?
       FROM foldlog_group WHERE last_seq > ? ORDER BY last_seq`,
      [at.shard, at.epoch, by.cut, by.controlSlot, by.destination ?? null, by.cut, by.cut, forkReason, at.time, kept.seq],
    );
    this.#db.run('DELETE FROM foldlog_group WHERE last_seq > ?', [kept.seq]);
    forgetCounts(new Meta(this.#db));
    this.#db.run('DELETE FROM foldlog_id WHERE last_seq > ?', [kept.seq]);
    this.#isEmpty = false;
    return Number(this.#db.value('SELECT count(*) FROM foldlog_outbox')) - before;
  }

  /** Newest first where a group stranded more than once. */
  find(id: GroupId): OutboxEntry | undefined {
    if (this.#isEmpty) return undefined;
    const row = this.#db.get<EntryRow>(`SELECT ${entryColumns} FROM foldlog_outbox WHERE id = ? ORDER BY n DESC LIMIT 1`, [id]);
    return row === undefined ? undefined : entryOf(row);
  }

  /** A call that is asked again after its group stranded was saved once, and is not saved a second time beside it. @throws {FoldlogError} `fenced` `stranded` */
  requireAbsent(id: GroupId): void {
    const entry = this.find(id);
    if (entry === undefined) return;
    throw new FoldlogError('fenced', {
      where: 'save',
      reason: 'stranded',
      found: `a group that was saved before and is ${entry.state.kind} in the outbox`,
      expected: 'a new one',
      todo: 'nothing is lost: see outbox()',
    });
  }

  /** All but the engine's own, in the order in which they were saved. */
  entries(): readonly OutboxEntry[] {
    if (this.#isEmpty) return [];
    return this.#db.all<EntryRow>(`SELECT ${entryColumns} FROM foldlog_outbox WHERE state <> 'engine' ORDER BY n`).map(entryOf);
  }

  counts(): OutboxCounts {
    const counts: Record<string, number> = { waiting: 0, rebased: 0, refused: 0, discarded: 0 };
    if (!this.#isEmpty) {
      const rows = this.#db.all<{ state: string; n: number }>('SELECT state, count(*) AS n FROM foldlog_outbox GROUP BY state');
      for (const { state, n } of rows) if (state in counts) counts[state] = n;
    }
    return counts as unknown as OutboxCounts;
  }

  /** Destinations that something waits for. */
  destinations(): readonly ShardId[] {
    if (this.#isEmpty) return [];
    return this.#db
      .all<{ destination: Bytes }>(`SELECT DISTINCT destination FROM foldlog_outbox WHERE state = 'waiting' AND destination IS NOT NULL`)
      .map((row) => shardId(row.destination));
  }

  /** Shards in which something of this outbox was saved again, and not yet committed as far as is known here. */
  rebasedTo(): readonly ShardId[] {
    if (this.#isEmpty) return [];
    return this.#db
      .all<{ to_shard: Bytes }>(`SELECT DISTINCT to_shard FROM foldlog_outbox WHERE state = 'rebased' AND to_shard IS NOT NULL`)
      .map((row) => shardId(row.to_shard));
  }

  /** The next groups that wait for a destination, oldest first: as many as fit, and at least one when there is one. */
  waiting(
    destination: ShardId,
    after: number,
    bounds: { readonly groupsMax: number; readonly bytesMax: number },
  ): readonly StrandedGroup[] {
    const found: StrandedGroup[] = [];
    let bytes = 0;
    for (let n = after; found.length < bounds.groupsMax; ) {
      const row = this.#db.get<GroupRow>(
        `SELECT ${entryColumns}, header, salt, body FROM foldlog_outbox WHERE n > ? AND state = 'waiting' AND destination = ? ORDER BY n LIMIT 1`,
        [n, destination],
      );
      if (row === undefined) break;
      bytes += row.body.length;
      if (found.length > 0 && bytes > bounds.bytesMax) break;
      found.push(this.#groupOf(row));
      n = row.n;
    }
    return found;
  }

  group(n: number): StrandedGroup | undefined {
    const row = this.#db.get<GroupRow>(`SELECT ${entryColumns}, header, salt, body FROM foldlog_outbox WHERE n = ?`, [n]);
    return row === undefined ? undefined : this.#groupOf(row);
  }

  /** The groups from `n` up to the one whose seal covers it, with that seal: what proves the first of them. */
  sealedFrom(n: number): readonly StrandedGroup[] {
    const groups: StrandedGroup[] = [];
    for (let at: number | undefined = n; at !== undefined; ) {
      const group = this.group(at);
      if (group === undefined) break;
      groups.push(group);
      const isSealed = this.#db.value('SELECT seal IS NOT NULL FROM foldlog_outbox WHERE n = ?', [at]) === 1;
      if (isSealed) break;
      const next = this.#db.value(
        'SELECT n FROM foldlog_outbox WHERE shard = ? AND epoch = ? AND first_seq = ? AND n > ? ORDER BY n LIMIT 1',
        [group.from.shard, group.from.epoch, group.from.lastSeq + 1, at],
      );
      at = next === undefined ? undefined : Number(next);
    }
    return groups;
  }

  mark(n: number, state: EntryState, at: TimeMs): void {
    const to = state.kind === 'rebased' ? state.to : undefined;
    this.#db.run('UPDATE foldlog_outbox SET state = ?, reason = ?, to_shard = ?, to_epoch = ?, to_seq = ?, at = ? WHERE n = ?', [
      state.kind,
      state.kind === 'refused' ? state.reason : null,
      to?.shard ?? null,
      to?.epoch ?? null,
      to?.lastSeq ?? null,
      at,
      n,
    ]);
  }

  /** A receipt or a cut covers the new place: the bytes of the old one are of no more use. The engine's own go with the last of their tail. */
  dropCommitted(shard: ShardId, committed: { readonly epoch: Epoch; readonly seq: Seq }): void {
    if (this.#isEmpty) return;
    this.#db.run(
      `DELETE FROM foldlog_outbox WHERE state = 'rebased' AND to_shard = ? AND to_epoch <= ? AND (to_seq IS NULL OR to_seq <= ?)`,
      [shard, committed.epoch, committed.seq],
    );
    this.#db.run(
      `DELETE FROM foldlog_outbox WHERE state = 'engine' AND NOT EXISTS (SELECT 1 FROM foldlog_outbox WHERE state IN ('waiting', 'refused', 'rebased'))`,
    );
    this.#isEmpty = this.#db.value('SELECT 1 FROM foldlog_outbox LIMIT 1') === undefined;
  }

  /** From another device, verified by the caller, with the seal that covers it. False when it is here already. */
  take(group: Omit<StrandedGroup, 'n' | 'state' | 'seal' | 'at'>, seal: Uint8Array, at: TimeMs): boolean {
    const { from, cut, controlSlot, destination } = group;
    if (this.#db.value('SELECT 1 FROM foldlog_outbox WHERE hash = ?', [group.hash]) !== undefined) return false;
    const values: SqlValue[] = [
      group.id,
      from.shard,
      from.epoch,
      from.firstSeq,
      from.lastSeq,
      group.hash,
      group.header,
      group.salt,
      group.body,
    ];
    this.#db.run(
      `INSERT INTO foldlog_outbox (id, shard, epoch, first_seq, last_seq, hash, header, salt, body, seal, cut_seq, cut_slot, destination, state, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)`,
      [...values, seal, cut, controlSlot, destination ?? null, at],
    );
    this.#isEmpty = false;
    return true;
  }

  #groupOf(row: GroupRow): StrandedGroup {
    const seal = this.#db.value(
      `SELECT seal FROM foldlog_outbox WHERE shard = ? AND epoch = ? AND first_seq >= ? AND seal IS NOT NULL ORDER BY first_seq LIMIT 1`,
      [row.shard, row.epoch, row.first_seq],
    );
    if (!(seal instanceof Uint8Array)) {
      throw FoldlogError.corrupt({
        where: `outbox, seq ${row.first_seq} to ${row.last_seq}`,
        reason: 'damagedLog',
        found: 'no seal at or behind a stranded group',
        expected: 'the one it was saved under',
      });
    }
    const { header, salt, body } = row;
    return { ...entryOf(row), header, salt, body, seal: readSeal(new Reader(seal, 'stranded seal')) };
  }
}

/** Words of the state of a group that another copy of the key stands in the place of. */
const forkReason = 'another copy of this device committed other ops in its place';

function entryOf(row: EntryRow): OutboxEntry {
  return {
    n: row.n,
    id: groupId(row.id),
    from: { shard: shardId(row.shard), epoch: epoch(row.epoch), firstSeq: seq(row.first_seq), lastSeq: seq(row.last_seq) },
    hash: hash(row.hash),
    cut: seq(row.cut_seq),
    controlSlot: slot(row.cut_slot),
    destination: row.destination === null ? undefined : shardId(row.destination),
    state: stateOf(row),
    at: timeMs(row.at),
  };
}

function stateOf(row: EntryRow): EntryState {
  if (row.state === 'refused') return { kind: row.state, reason: row.reason ?? '' };
  if (row.state !== 'rebased') return { kind: row.state };
  const to = { shard: shardId(row.to_shard ?? new Uint8Array(16)), epoch: epoch(row.to_epoch ?? 1) };
  return { kind: row.state, to: { ...to, lastSeq: row.to_seq === null ? undefined : seq(row.to_seq) } };
}
