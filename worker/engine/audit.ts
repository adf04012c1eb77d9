// Looks for damage nobody has met yet, while nothing else is to do: pages, then the log, then whether the state is what the log folds to. Works in turns
// of the shard's mutex of at most 8 ms, saves first, except that one table's quick_check cannot be divided. Finds; what follows from a finding is
// decided where the shard lives (own-shard.ts, follow.ts).

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { auditTriesMax, sliceMsMax } from '../../kernel/limits.ts';
import type { Clock, Random, Scheduler } from '../../kernel/ports.ts';
import { type SqlValue, StateHasher } from '../../kernel/state-hash.ts';
import type { Hash, Seq, TimeMs } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { isFoldOfPresent } from './canary-note.ts';
import type { Database } from './database.ts';
import { Folder } from './fold.ts';
import { type ImageTable, imageDdl, imageTables } from './image.ts';
import { type LogPlace, verifyGroups } from './log-check.ts';
import type { Mutex } from './mutex.ts';
import { foldNext } from './rebuild.ts';
import { Meta, readBase, type ShardIdentity } from './shard-file.ts';
import { type StoragePool, scratchPrefix } from './storage-pool.ts';

export interface AuditPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly scheduler: Scheduler;
}

/** What is audited. `db` is asked anew in each turn: a shard may reopen its file in between. */
export interface Audited {
  readonly db: Database;
  readonly mutex: Mutex;
  readonly file: string;
  readonly identity: ShardIdentity;
  readonly definition: ShardDefinition;
  readonly version: number;
}

/** `sound`: all of it, as far as `covers` says. `unfinished`: saves went on all the while. */
export type Verdict =
  | { readonly kind: 'sound'; readonly covers: 'log and state' | 'log' | 'pages' | 'state since the last audit' }
  | { readonly kind: 'unfinished' }
  | { readonly kind: 'damaged'; readonly part: 'pages' | 'log' | 'ids' | 'state'; readonly error: FoldlogError };

export interface AuditReport {
  readonly atSeq: Seq;
  readonly atMs: TimeMs;
  readonly verdict: Verdict;
}

/** An own shard, whose log is here. With a log from genesis the state is folded again beside it and compared. */
export async function auditOwn(ports: AuditPorts, pool: StoragePool, shard: Audited): Promise<Verdict> {
  return judge(shard, async (at) => {
    await checkPages(shard, at);
    const base = await shard.mutex.own('other', () => readBase(new Meta(shard.db)).head);
    at.part = 'log';
    let place: LogPlace = { head: base, sealedSeq: base.seq, isEnd: false };
    while (!place.isEnd) place = await inSlice(ports, shard, place, (from) => verifyGroups(shard.db, shard.identity, from, 16, shard.file));
    at.part = 'ids';
    await checkIds(ports, shard, base.seq);
    await checkPastIds(ports, shard);
    // Below a move another code folded: what this one makes of it proves nothing, unless the canary found the same (decision 0004).
    const isRefoldable = await shard.mutex.own('other', () => base.seq === 0 && isFoldOfPresent(new Meta(shard.db)));
    if (!isRefoldable) return { kind: 'sound', covers: 'log' };
    at.part = 'state';
    return compareWithFold(ports, pool, shard);
  });
}

/** A replica, which keeps no log: its pages, and whether its state is still what it was at the same seq. */
export async function auditReplica(ports: AuditPorts, shard: Audited, seqNow: () => Seq): Promise<Verdict> {
  return judge(shard, async (at) => {
    await checkPages(shard, at);
    at.part = 'state';
    const found = await hashInSlices(ports, shard);
    if (found === undefined) return { kind: 'unfinished' };
    return shard.mutex.own('other', () => {
      const meta = new Meta(shard.db);
      const known = meta.number('auditSeq') === seqNow() ? meta.bytes('auditHash') : undefined;
      if (known !== undefined && !isSameBytes(known, found)) throw differs(shard, known, found);
      shard.db.transaction(() => {
        meta.set('auditSeq', seqNow());
        meta.set('auditHash', found);
      });
      return { kind: 'sound', covers: known === undefined ? 'pages' : 'state since the last audit' };
    });
  });
}

type Part = Extract<Verdict, { kind: 'damaged' }>['part'];

/** What is thrown as corrupt is a finding about the part that was looked at; anything else is the caller's. */
async function judge(shard: Audited, look: (at: { part: Part }) => Promise<Verdict>): Promise<Verdict> {
  const at: { part: Part } = { part: 'pages' };
  try {
    return await look(at);
  } catch (cause) {
    const error = shard.db.failure(cause, shard.file);
    if (error.kind !== 'corrupt') throw error;
    return { kind: 'damaged', part: at.part, error };
  }
}

/** The log's tables first: damage there is of another kind than in tables that can be folded again. */
async function checkPages(shard: Audited, at: { part: Part }): Promise<void> {
  const names = await shard.mutex.own('other', () =>
    shard.db.all<{ name: string }>(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`),
  );
  const isState = new Set(imageTables(shard.db, shard.definition).map(({ name }) => name));
  for (const { name } of [...names].sort((a, b) => Number(isState.has(a.name)) - Number(isState.has(b.name)))) {
    at.part = isState.has(name) ? 'state' : 'log';
    const found = await shard.mutex.own('other', () => shard.db.value(`PRAGMA quick_check("${name}")`));
    if (found === 'ok') continue;
    throw FoldlogError.corrupt({
      where: `${shard.file}, table ${name}`,
      reason: 'damagedPages',
      found: String(found),
      expected: 'quick_check ok',
    });
  }
}

/** Whether every id up to the last batch is found: one that is not would let a late retry be saved twice. */
async function checkIds(ports: AuditPorts, shard: Audited, from: number): Promise<void> {
  let at = { seq: from, isEnd: false };
  while (!at.isEnd) {
    at = await inSlice(ports, shard, at, ({ seq: after }) => {
      const upTo = new Meta(shard.db).number('idsUpTo') ?? 0;
      const rows = shard.db.all<{ id: Uint8Array; last_seq: number; known: number | null }>(
        `SELECT g.id, g.last_seq, i.last_seq AS known FROM foldlog_group g LEFT JOIN foldlog_id i ON i.id = g.id
         WHERE g.last_seq > ? AND g.last_seq <= ? ORDER BY g.last_seq LIMIT 64`,
        [after, upTo],
      );
      requireKnown(shard, rows);
      return { seq: rows.at(-1)?.last_seq ?? after, isEnd: rows.length < 64 };
    });
  }
}

/** The same for groups that were truncated: their id is all that is asked for now. */
async function checkPastIds(ports: AuditPorts, shard: Audited): Promise<void> {
  let at = { seq: 0, isEnd: false };
  while (!at.isEnd) {
    at = await inSlice(ports, shard, at, ({ seq: after }) => {
      const rows = shard.db.all<{ id: Uint8Array; last_seq: number; known: number | null }>(
        `SELECT p.id, p.last_seq, i.last_seq AS known FROM foldlog_past p LEFT JOIN foldlog_id i ON i.id = p.id
         WHERE p.last_seq > ? ORDER BY p.last_seq LIMIT 64`,
        [after],
      );
      requireKnown(shard, rows);
      return { seq: rows.at(-1)?.last_seq ?? after, isEnd: rows.length < 64 };
    });
  }
}

function requireKnown(
  shard: Audited,
  rows: readonly { readonly id: Uint8Array; readonly last_seq: number; readonly known: number | null }[],
): void {
  const unknown = rows.find(({ last_seq, known }) => known !== last_seq);
  if (unknown === undefined) return;
  throw FoldlogError.corrupt({
    where: `${shard.file}, ids`,
    reason: 'damagedLog',
    found: `group ${bytesToHex(unknown.id)} at ${unknown.known === null ? 'no place' : `seq ${unknown.known}`}`,
    expected: `seq ${unknown.last_seq}`,
  });
}

async function compareWithFold(ports: AuditPorts, pool: StoragePool, shard: Audited): Promise<Verdict> {
  const compared = await withScratch(ports, pool, async (scratch) => {
    const db = pool.create(scratch);
    try {
      db.exec('PRAGMA page_size=8192; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF'); // a kill throws it away
      for (const statement of imageDdl(shard.definition)) db.exec(statement);
      return await compareFold(ports, shard, db, 0);
    } finally {
      db.close();
    }
  });
  if (compared === undefined) return { kind: 'unfinished' };
  if (!isSameBytes(compared.found, compared.folded)) throw differs(shard, compared.folded, compared.found);
  return { kind: 'sound', covers: 'log and state' };
}

/** Room for one more file, and a name under which a kill throws it away. */
export async function withScratch<T>(ports: Pick<AuditPorts, 'random'>, pool: StoragePool, work: (file: string) => Promise<T>): Promise<T> {
  await pool.reserve(1);
  const scratch = `${scratchPrefix}${bytesToHex(ports.random.bytes(8))}.db`;
  try {
    return await work(scratch);
  } finally {
    if (pool.has(scratch)) pool.remove(scratch);
  }
}

/**
 * Folds the stored groups after `from` into another database that stands there, and takes the state hashes of both at one head; a save in between
 * means: fold on, compare again. Undefined when saves went on all the while.
 */
export async function compareFold(
  ports: AuditPorts,
  shard: Audited,
  db: Database,
  from: number,
): Promise<{ readonly found: Hash; readonly folded: Hash } | undefined> {
  const folder = new Folder(shard.definition, db);
  let at = { seq: from, isEnd: false };
  for (let attempt = 0; attempt < auditTriesMax; attempt++) {
    at = { ...at, isEnd: false };
    while (!at.isEnd) at = await inSlice(ports, shard, at, ({ seq: after }) => foldNext(shard, folder, after));
    const version = shard.version;
    const found = await hashInSlices(ports, shard);
    if (found === undefined || shard.version !== version) continue;
    const folded = await hashInSlices(ports, { ...audited(shard), db });
    if (folded !== undefined) return { found, folded };
  }
  return undefined;
}

/** The state hash of what a shard holds; undefined when the tables changed meanwhile. Each turn asks for the rows behind the last key, so nothing stays open between turns. */
export async function hashInSlices(ports: Pick<AuditPorts, 'clock' | 'scheduler'>, shard: Audited): Promise<Hash | undefined> {
  const { version } = shard;
  const hasher = new StateHasher();
  for (const table of imageTables(shard.db, shard.definition)) {
    hasher.table(table.name, table.columns);
    let at: { readonly key: readonly SqlValue[] | undefined; readonly isEnd: boolean } = { key: undefined, isEnd: false };
    while (!at.isEnd) {
      at = await inSlice(ports, shard, at, ({ key }) => hashNext(shard.db, table, hasher, key));
      if (shard.version !== version) return undefined;
    }
  }
  return hasher.digest();
}

const rowsPerLook = 64;

function hashNext(db: Database, table: ImageTable, hasher: StateHasher, after: readonly SqlValue[] | undefined) {
  const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(', ');
  const key = quoted(table.key);
  const behind = after === undefined ? '' : `WHERE (${key}) > (${table.key.map(() => '?').join(', ')})`;
  const rows = db.all(`SELECT ${quoted(table.columns)} FROM "${table.name}" ${behind} ORDER BY ${key} LIMIT ${rowsPerLook}`, after);
  for (const row of rows)
    hasher.row(
      table.columns.map((name) => row[name] as SqlValue),
      table.isReal,
    );
  const last = rows.at(-1);
  return { key: last === undefined ? after : table.key.map((name) => last[name] as SqlValue), isEnd: rows.length < rowsPerLook };
}

/** One turn of the mutex: steps until the time is up, a save waits, or the work is done. */
async function inSlice<S extends { readonly isEnd: boolean }>(
  ports: Pick<AuditPorts, 'clock' | 'scheduler'>,
  shard: Audited,
  from: S,
  step: (at: S) => S,
): Promise<S> {
  await ports.scheduler.yield();
  return shard.mutex.own('other', () => {
    const until = ports.clock.ticks() + sliceMsMax;
    let at = from;
    do at = step(at);
    while (!at.isEnd && !shard.mutex.hasWaitingSave && ports.clock.ticks() < until);
    return at;
  });
}

/** Its plain fields: a shard gives them by getters, which a copy would not take along. */
const audited = ({ mutex, file, identity, definition, version, db }: Audited): Audited => ({
  mutex,
  file,
  identity,
  definition,
  version,
  db,
});

const differs = (shard: Audited, expected: Uint8Array, found: Uint8Array): FoldlogError =>
  FoldlogError.corrupt({
    where: shard.file,
    reason: 'damagedState',
    found: `tables with state hash ${bytesToHex(found).slice(0, 8)}`,
    expected: `${bytesToHex(expected).slice(0, 8)}, as the chain folds to`,
    todo: 'what is shown may be wrong; what was saved is in the log and is whole',
  });
