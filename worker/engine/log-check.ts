// Whether a stored log is the chain it says it is: link by link, body by body. Used on every open for what opening can afford, and by the audit for all
// of it. A log that ends too early is the worst of its damages, because the next save would sign seqs that were used before: so what else in
// the file bears witness to its end is asked too.

import { type Bytes, isSameBytes } from '../../kernel/bytes.ts';
import { decodeGroupHeader, groupHashOf, isBodyOf, lastSeqOf } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { openCheckBytesMax } from '../../kernel/limits.ts';
import { decodeReceipt } from '../../kernel/receipt.ts';
import { readSeal } from '../../kernel/seal.ts';
import { type Head, hash, seq } from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import type { Database } from './database.ts';
import { Meta, readBase, type ShardIdentity } from './shard-file.ts';

interface GroupRow {
  readonly last_seq: number;
  readonly first_seq: number;
  readonly id: Bytes;
  readonly hash: Bytes;
  readonly header: Bytes;
  readonly salt: Bytes;
  readonly body: Bytes;
  readonly seal: Bytes | null;
}

/** How far verifying came. `sealedSeq`: end of the last group with a seal. */
export interface LogPlace {
  readonly head: Head;
  readonly sealedSeq: number;
  readonly isEnd: boolean;
}

/**
 * What is asked of an own shard's log before its first save: sound pages, as far as the file is small enough to read whole, the chain since the last batch
 * of ids, and an end that is not before the newest receipt. Reads 16 MB at most.
 * @throws {FoldlogError} `corrupt` `damagedPages`, `damagedLog`
 */
export function requireSoundEnd(db: Database, identity: ShardIdentity, file: string): void {
  const meta = new Meta(db);
  const bytes = Number(db.value('PRAGMA page_count')) * Number(db.value('PRAGMA page_size'));
  if (bytes <= openCheckBytesMax) requireSoundPages(db, file);
  const base = readBase(meta).head;
  requireBegin(db, base, file);
  const known = meta.number('idsUpTo') ?? base.seq;
  const start = known === base.seq ? base : headAt(db, known, file);
  let place: LogPlace = { head: start, sealedSeq: start.seq, isEnd: false };
  while (!place.isEnd) place = verifyGroups(db, identity, place, 256, file);
  if (place.sealedSeq !== place.head.seq) {
    throw damagedLog(file, `no seal after seq ${place.sealedSeq}`, `one at the head, seq ${place.head.seq}`);
  }
  requireReceiptInLog(db, file);
}

/** @throws {FoldlogError} `corrupt` `damagedPages` */
export function requireSoundPages(db: Database, file: string): void {
  const found = db.value('PRAGMA quick_check(1)');
  if (found !== 'ok')
    throw FoldlogError.corrupt({ where: file, reason: 'damagedPages', found: String(found), expected: 'quick_check ok', todo: keepIt });
}

/** Verifies up to `count` stored groups that follow `after`. @throws {FoldlogError} `corrupt` `damagedLog`, or what a decoder throws */
export function verifyGroups(db: Database, identity: ShardIdentity, after: LogPlace, count: number, file: string): LogPlace {
  const rows = db.all<GroupRow>(
    `SELECT last_seq, first_seq, id, hash, header, salt, body, seal FROM foldlog_group WHERE last_seq > ? ORDER BY last_seq LIMIT ${count}`,
    [after.head.seq],
  );
  let { head, sealedSeq } = after;
  for (const row of rows) {
    head = verifyGroup(row, identity, head, file);
    if (row.seal === null) continue;
    readSeal(new Reader(row.seal, `${file}, seal at seq ${head.seq}`));
    sealedSeq = head.seq;
  }
  return { head, sealedSeq, isEnd: rows.length < count };
}

function verifyGroup(row: GroupRow, identity: ShardIdentity, after: Head, file: string): Head {
  const where = `${file}, group after seq ${after.seq}`;
  const header = decodeGroupHeader(row.header, where);
  const isLinked = header.firstSeq === after.seq + 1 && isSameBytes(header.prev, after.hash) && isSameBytes(header.shard, identity.id);
  if (!isLinked) throw damagedLog(where, `a group from seq ${header.firstSeq}`, 'the group that continues the chain');
  const groupHash = groupHashOf(row.header);
  const isIndexed =
    row.first_seq === header.firstSeq &&
    row.last_seq === lastSeqOf(header) &&
    isSameBytes(row.id, header.id) &&
    isSameBytes(row.hash, groupHash);
  if (!isIndexed) throw damagedLog(where, 'columns that differ from the header', 'what was written with it');
  if (!isBodyOf(header, row.salt, row.body)) throw damagedLog(where, 'a body with another hash', 'the body that was saved');
  return { seq: lastSeqOf(header), hash: groupHash };
}

/** The log begins exactly behind its base: rows and base move together (decision 0012). */
function requireBegin(db: Database, base: Head, file: string): void {
  const first = db.get<{ first_seq: number }>('SELECT first_seq FROM foldlog_group ORDER BY last_seq LIMIT 1');
  if (first === undefined || first.first_seq === base.seq + 1) return;
  throw damagedLog(file, `a log from seq ${first.first_seq}`, `one from seq ${base.seq + 1}, behind its base`);
}

function headAt(db: Database, at: number, file: string): Head {
  const found = db.value('SELECT hash FROM foldlog_group WHERE last_seq = ?', [at]);
  if (found instanceof Uint8Array && found.length === 32) return { seq: seq(at), hash: hash(found) };
  throw damagedLog(file, `no group that ends at seq ${at}`, 'the log up to there at least');
}

/** The relay has given its word for this head: a log without it has lost its end. */
function requireReceiptInLog(db: Database, file: string): void {
  const newest = db.value('SELECT receipt FROM foldlog_receipt ORDER BY seq DESC LIMIT 1');
  if (!(newest instanceof Uint8Array)) return;
  const { head } = decodeReceipt(newest as Bytes, `${file}, receipt`);
  const { head: base } = readBase(new Meta(db));
  const ours = head.seq === base.seq ? base : headAt(db, head.seq, file);
  if (!isSameBytes(ours.hash, head.hash))
    throw damagedLog(file, `another group at seq ${head.seq}`, 'the one the relay gave its receipt for');
}

const damagedLog = (where: string, found: string, expected: string): FoldlogError =>
  FoldlogError.corrupt({ where, reason: 'damagedLog', found, expected, todo: keepIt });

const keepIt = 'nothing is saved on top of it and nothing was changed; what was committed can be followed under another store name';
