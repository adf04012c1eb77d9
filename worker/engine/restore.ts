// Fills the next generation of an own shard's file with the state at a given head: the newest checkpoint at or below it, or the first group, and
// the groups after it, from the own log as far as it reaches and from the relay beyond. Log, ids, receipts and outbox are carried along. All of it is one
// transaction: the file is nothing until that commits (decisions 0003 and 0006). The checkpoint's tables are checked at their own version and brought up in it
// (0004). It answers a stranded tail, whose ops are in the state and may
// not stay there, and damaged state over a log that does not begin at genesis.

import { isSameBytes } from '../../kernel/bytes.ts';
import type { Checkpoint } from '../../kernel/checkpoint.ts';
import { lastSeqOf } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { isSameHead } from '../../kernel/run.ts';
import { chainStart, type Head, short } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { type BootstrapPorts, fetchImage, requireCheckpoint, requireImageOf } from './bootstrap.ts';
import { isFoldOfPresent } from './canary-note.ts';
import { ChainLog } from './chain-log.ts';
import { type CommittedAt, committedRuns } from './committed-runs.ts';
import type { Database } from './database.ts';
import { type FoldedGroup, Folder } from './fold.ts';
import { nextFile } from './generations.ts';
import { imageDdl } from './image.ts';
import { forgetCounts } from './queue-count.ts';
import { copyTable, foldNext, localTables, type Rebuilt } from './rebuild.ts';
import { answerOrThrow } from './relay-client.ts';
import { type Cursor, cursorAtGenesis } from './replica.ts';
import { migrateTables, noteSaid, setSchema } from './schema-file.ts';
import { createLocalTables, Meta, readBase, type ShardIdentity, setExclusive, setPragmas, setUp } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

/** The file whose next generation is filled. Only read. */
export interface RestoredFrom {
  readonly file: string;
  readonly db: Database;
  readonly definition: ShardDefinition;
  readonly identity: ShardIdentity;
}

/** Who else is asked. Absent where there is no relay: then only a log from genesis will do. */
export interface RestoreSource extends CommittedAt {
  readonly ports: BootstrapPorts;
}

export interface RestoreGoal {
  /** Where the restored chain ends; not below the end of the own log. */
  readonly head: Head;
  /** What the new file says otherwise than the old one. */
  readonly settle: (meta: Meta) => void;
}

/** A checkpoint that was found and checked, with its image. */
export interface RestoreStart {
  readonly checkpoint: Checkpoint;
  readonly image: Uint8Array<ArrayBuffer>;
}

/**
 * `start` is what `findStart` found for the same goal, outside of the mutex. The caller has the shard's mutex now and knows that the log is sound.
 * @throws {FoldlogError} `corrupt`: what does not verify · `unavailable`: the relay is away · `storageFull`; the new file is gone then
 */
export async function restoreShard(
  source: RestoreSource | undefined,
  pool: StoragePool,
  from: RestoredFrom,
  goal: RestoreGoal,
  start: RestoreStart | undefined,
): Promise<Rebuilt> {
  await pool.reserve(1);
  const file = nextFile(from.file);
  if (pool.has(file)) pool.remove(file); // of a try that failed
  let db: Database | undefined;
  try {
    if (start !== undefined) await pool.importImage(file, start.image);
    db = start === undefined ? pool.create(file) : await pool.open(file);
    setExclusive(db, pool);
    if (start === undefined) setUp(db);
    else requireImageOf(start.checkpoint, db, from.definition, `checkpoint of ${from.identity.kind}/${from.identity.name}`);
    setPragmas(db, pool);
    await fill(source, from, goal, start?.checkpoint, { db, file });
    await pool.flush(file);
    return { file, db };
  } catch (error) {
    const failure = db?.failure(error, file) ?? error;
    db?.close();
    if (pool.has(file)) pool.remove(file);
    throw failure;
  }
}

/**
 * Where the state can begin: at the newest checkpoint up to `head`; undefined when the log begins at genesis and there is none.
 * @throws {FoldlogError} `corrupt` `noBase`: neither a log from genesis nor a checkpoint; what does not verify · `unavailable`: the relay is away
 */
export async function findStart(source: RestoreSource | undefined, from: RestoredFrom, head: Head): Promise<RestoreStart | undefined> {
  const where = `checkpoint of ${from.identity.kind}/${from.identity.name}`;
  const base = readBase(new Meta(from.db)).head;
  // Below a move the present code may make other rows than stood there: then the checkpoint is asked for until somebody answers (decision 0004).
  const isWhole = base.seq === 0 && new ChainLog(from.db).head().seq >= head.seq && isFoldOfPresent(new Meta(from.db));
  try {
    const found = source === undefined ? undefined : await newestUpTo(source, from, head, where);
    if (found !== undefined || base.seq === 0) return found;
  } catch (error) {
    // The own log says all that a checkpoint could, only more slowly.
    if (isWhole) return undefined;
    throw error;
  }
  throw FoldlogError.corrupt({
    where: from.file,
    reason: 'noBase',
    found: `a log that begins after seq ${base.seq}, and no checkpoint up to seq ${head.seq}`,
    expected: 'one of the two',
  });
}

async function newestUpTo(
  { ports, workspace, control }: RestoreSource,
  from: RestoredFrom,
  head: Head,
  where: string,
): Promise<RestoreStart | undefined> {
  const statement = answerOrThrow(await ports.relay.newestCheckpoint(workspace, from.identity.id, ports.signer, head.seq), where);
  if (statement === undefined) return undefined;
  const checkpoint = await requireCheckpoint(ports.verifier, control, from, statement, where);
  if (checkpoint.head.seq > head.seq) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongSlot',
      found: `a head at seq ${checkpoint.head.seq}`,
      expected: `one up to seq ${head.seq}, as asked`,
    });
  }
  // A checkpoint below the begin of the own log would leave a hole between the two.
  if (checkpoint.head.seq < readBase(new Meta(from.db)).head.seq) return undefined;
  return { checkpoint, image: await fetchImage(ports, workspace, checkpoint, where) };
}

async function fill(
  source: RestoreSource | undefined,
  from: RestoredFrom,
  goal: RestoreGoal,
  checkpoint: Checkpoint | undefined,
  to: { readonly db: Database; readonly file: string },
): Promise<void> {
  const { db } = to;
  db.exec('BEGIN IMMEDIATE');
  try {
    if (checkpoint === undefined) for (const statement of imageDdl(from.definition)) db.exec(statement);
    createLocalTables(db);
    for (const table of localTables) copyTable(from.db, db, table);
    const { definition } = from;
    if (checkpoint !== undefined) {
      migrateTables(db, definition, checkpoint.schemaVersion);
      noteSaid(new Meta(db), definition, { version: checkpoint.schemaVersion, foldId: checkpoint.foldId });
    }
    setSchema(db, definition);
    const ownHead = new ChainLog(from.db).head();
    const reached = checkpoint === undefined ? chainStart : startAt(db, checkpoint, ownHead, to.file);
    const folder = new Folder(from.definition, db);
    for (let at = { seq: reached.seq as number, isEnd: false }; !at.isEnd; )
      at = foldNext({ db, file: to.file }, folder, at.seq, (folded) => noteMoves(db, definition, folded));
    const logged = reached.seq > ownHead.seq ? reached : ownHead;
    if (!isSameHead(logged, goal.head)) await fetchRest(source, from, goal.head, { db, folder, head: logged, checkpoint });
    forgetCounts(new Meta(db));
    goal.settle(new Meta(db));
    db.exec('COMMIT');
  } catch (error) {
    db.rollback();
    throw error;
  }
}

/** The log goes on from a checkpoint: inside the own log its head must be there; beyond it the log begins anew at its head. */
function startAt(db: Database, { head }: Checkpoint, ownHead: Head, file: string): Head {
  if (head.seq <= ownHead.seq) {
    const ours = new ChainLog(db).hashAt(head.seq);
    if (ours !== undefined && isSameBytes(ours, head.hash)) return head;
    throw FoldlogError.corrupt({
      where: file,
      reason: 'brokenLink',
      found: `a checkpoint at seq ${head.seq} (${short(head.hash)})`,
      expected: ours === undefined ? 'one at the end of a group' : `one at ${short(ours)}`,
    });
  }
  db.run('DELETE FROM foldlog_group');
  db.run('DELETE FROM foldlog_receipt WHERE seq < ?', [head.seq]);
  const meta = new Meta(db);
  meta.set('baseSeq', head.seq);
  meta.set('baseHash', head.hash);
  meta.set('idsUpTo', head.seq);
  return head;
}

/** What was committed beyond the own log: by another copy of this device, or by who wrote the shard meanwhile. */
async function fetchRest(
  source: RestoreSource | undefined,
  from: RestoredFrom,
  upTo: Head,
  at: { readonly db: Database; readonly folder: Folder; readonly head: Head; readonly checkpoint: Checkpoint | undefined },
): Promise<void> {
  const where = `log of ${from.identity.kind}/${from.identity.name}`;
  if (source === undefined) {
    throw FoldlogError.misuse({ where, reason: 'noRelay', found: `groups up to seq ${at.head.seq}`, expected: `up to seq ${upTo.seq}` });
  }
  const log = new ChainLog(at.db);
  let head = at.head;
  for await (const run of committedRuns(source.ports, source, from.identity, slotBehind(at.checkpoint, log, head), upTo)) {
    for (const [i, group] of run.groups.entries()) {
      if (lastSeqOf(group.header) <= head.seq) continue;
      if (!isSameBytes(group.header.prev, head.hash)) throw forked(where, head);
      if (group.content.kind === 'erased') {
        throw FoldlogError.corrupt({ where, reason: 'erased', found: 'an erased body', expected: 'a start from a checkpoint above it' });
      }
      log.insert(group, i === run.groups.length - 1 ? run.seal : undefined);
      noteMoves(at.db, from.definition, at.folder.foldGroup(group.header, group.content.body, where));
      head = { seq: lastSeqOf(group.header), hash: group.hash };
    }
  }
  if (!isSameHead(head, upTo)) throw forked(where, head);
}

/** What the chain says of schema and fold on the way: at its end it is known whether it speaks of the present ones. */
function noteMoves(db: Database, definition: ShardDefinition, folded: FoldedGroup): void {
  for (const each of folded.kind === 'void' ? [] : folded.ops) {
    if (each.kind !== 'system' || each.system.kind !== 'schemaMoved') continue;
    noteSaid(new Meta(db), definition, { version: each.system.to, foldId: each.system.foldId });
  }
}

/** The newest slot of which it is known what stands there, not behind the head. */
export function slotBehind(checkpoint: Checkpoint | undefined, log: ChainLog, head: Head): Cursor {
  const receipt = log.newestReceipt()?.receipt;
  if (receipt !== undefined && receipt.head.seq <= head.seq && receipt.head.seq >= (checkpoint?.head.seq ?? 0)) {
    return {
      slot: receipt.slot,
      objectHash: receipt.objectHash,
      slotTime: receipt.time,
      head: receipt.head,
      epoch: receipt.epoch,
      isFenced: false,
    };
  }
  if (checkpoint === undefined) return cursorAtGenesis;
  return {
    slot: checkpoint.slot,
    objectHash: checkpoint.slotObject,
    slotTime: checkpoint.slotTime,
    head: checkpoint.head,
    epoch: checkpoint.epoch,
    isFenced: false,
  };
}

const forked = (where: string, head: Head): FoldlogError =>
  FoldlogError.corrupt({
    where,
    reason: 'brokenLink',
    found: 'a committed group that does not follow the own log',
    expected: `one after seq ${head.seq} (${short(head.hash)})`,
  });
