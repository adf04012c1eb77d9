// The move of an own shard to the present schema and fold: all missing migrations, the new version row and the op `foldlog.schemaMoved` with its seal,
// in one transaction of the save path (decisions 0002 and 0004). After a kill the file is as it was, or moved: never between.

import { utf8 } from '../../kernel/bytes.ts';
import { bodyHashOf, headOf, linkGroup, saltBytes } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { decodeOps, encodeOps } from '../../kernel/op-body.ts';
import { readSystemOp, type SystemOp, systemOp } from '../../kernel/system-ops.ts';
import { groupId, type Hash, noHash, type Seq, short } from '../../kernel/units.ts';
import type { ReadyOp } from './fold.ts';
import { Meta } from './meta.ts';
import type { Believed, SavePorts } from './save.ts';
import {
  forgetUnsaid,
  migrateInPlace,
  migrateTables,
  noteMove,
  requireReadable,
  type SchemaStanding,
  setSchema,
  unsaidOf,
} from './schema-file.ts';
import { beginSeal } from './sealing.ts';
import type { ShardStore } from './shard-store.ts';

/** Where the schema or the fold of a shard last changed on this device, in words for status. */
export interface MoveNote {
  readonly atSeq: number;
  /** Code that made what lies below. */
  readonly fromFold: Hash;
}

export function readMove(meta: Meta): MoveNote | undefined {
  const atSeq = meta.number('movedSeq');
  const from = meta.bytes('movedFrom');
  return atSeq === undefined || from === undefined ? undefined : { atSeq, fromFold: from as Hash };
}

/**
 * Brings the tables of an own shard that was just opened to the present, before anything else uses them; in most openings there is nothing to do.
 * `maySign`: whether this device writes the shard; if not, the tables are brought up and the chain stays as it is. What throws closes the store.
 * @throws {FoldlogError} `upgradeNeeded` `newerSchema` · `misuse` `migrationFailed`, `foldChanged` · `unavailable`, `storageFull`: again later. The
 * file is as it was. `unknown`: what a failed COMMIT left could not be read back; opening again answers
 */
export async function moveOpened(ports: SavePorts, store: ShardStore, controlHead: Hash, maySign: boolean): Promise<void> {
  const { standing, definition } = store;
  try {
    requireReadable(standing, store.file, definition);
    if (standing.kind === 'present' || standing.kind === 'ahead') return;
    if (standing.kind === 'unsaid' && !maySign) return;
    if (standing.kind === 'otherFold' && definition.mode === 'development') {
      throw foldChanged(`${definition.kind}/${store.identity.name}`, standing.foldId, definition.foldId);
    }
    await store.mutex.own('save', async () => {
      if (maySign) return move(ports, store, standing, { epoch: store.log.base.epoch, controlHead, headsSeen: noHash });
      migrateInPlace(store.db, definition, standing, store.head.seq);
      await store.flush();
      store.movedUp();
    });
  } catch (error) {
    store.abandon();
    throw error;
  }
}

/**
 * The same for a shard that is open and may save again: its op stranded, or was not this device's to sign until now (decision 0003). True when there was
 * something to say.
 * @throws {FoldlogError} as `moveOpened`; the store stays open
 */
export function sayMove(ports: SavePorts, store: ShardStore, controlHead: Hash): Promise<boolean> {
  return store.mutex.own('save', async () => {
    const unsaid = unsaidOf(new Meta(store.db), store.definition);
    if (unsaid !== undefined) await move(ports, store, unsaid, { epoch: store.log.base.epoch, controlHead, headsSeen: noHash });
    return unsaid !== undefined;
  });
}

/** Which version the chain spoke of below the groups above `kept`, when one of them moved it. In a turn of the mutex. */
export function saidBelow({ db, file }: Pick<ShardStore, 'db' | 'file'>, kept: Seq): number | undefined {
  const row = db.get<{ body: Uint8Array }>(
    'SELECT body FROM foldlog_group WHERE last_seq > ? AND first_seq = last_seq AND substr(body, 1, ?) = ? ORDER BY last_seq LIMIT 1',
    [kept, moveBegins.length, moveBegins],
  );
  if (row === undefined) return undefined;
  const [op] = decodeOps(row.body, 1, file);
  const made = op === undefined ? undefined : readSystemOp(op, file);
  return made?.kind === 'schemaMoved' ? made.from : undefined;
}

/** A body has one spelling, and this device's moves stand alone in theirs. */
const moveBegins = utf8('[["foldlog.schemaMoved",1,');

async function move(
  ports: SavePorts,
  store: ShardStore,
  standing: Extract<SchemaStanding, { kind: 'behind' | 'otherFold' | 'unsaid' }>,
  writer: Believed,
): Promise<void> {
  const { definition, identity } = store;
  const where = `move of ${identity.kind}/${identity.name} to schema version ${definition.spec.version}`;
  const system: SystemOp = { kind: 'schemaMoved', from: standing.said, to: definition.spec.version, foldId: definition.foldId };
  const ready: ReadyOp = { kind: 'system', op: systemOp(system), system };
  const [salt, id] = [ports.random.bytes(saltBytes), groupId(ports.random.bytes(16))];
  const body = encodeOps([ready.op], where);
  const group = linkGroup({
    ...{ shard: identity.id, epoch: writer.epoch, after: store.head, opCount: 1, time: ports.clock.now() },
    ...{ id, salt, body, bodyHash: bodyHashOf(salt, body) },
  });
  const sealing = beginSeal(ports, { shard: identity.id, epoch: writer.epoch, head: headOf(group) }, writer);
  let step: 'before commit' | 'commit' = 'before commit';
  try {
    await store.makeDurable();
    store.db.run('BEGIN IMMEDIATE');
    if (standing.kind === 'behind') migrateTables(store.db, definition, standing.version);
    store.folder.fold([ready], group.header.firstSeq, group.header.time);
    setSchema(store.db, definition);
    noteMove(store.db, headOf(group).seq, standing.foldId);
    forgetUnsaid(new Meta(store.db));
    new Meta(store.db).set('canary', 'due');
    store.log.insert(group, await sealing);
    store.log.settle();
    step = 'commit';
    store.db.run('COMMIT');
    await store.flush();
    store.movedUp();
  } catch (error) {
    const failure = store.db.failure(error, where);
    if (step === 'before commit') {
      store.db.rollback();
      store.db.finalizeStatements(); // some were prepared against tables that are gone again
      throw failure;
    }
    // Nobody knows what the disk kept: the version row of the file, read again, answers.
    await store.reopen();
    if (store.standing.kind !== 'present') throw asNotMoved(failure);
  }
}

/** The file was read back and is not moved: what was unknown is known now. */
function asNotMoved(failure: FoldlogError): FoldlogError {
  if (failure.kind !== 'unknown') return failure;
  const { where, reason, found, expected } = failure;
  return new FoldlogError('unavailable', { where, reason, found, expected, cause: failure });
}

const foldChanged = (where: string, found: Hash, expected: Hash): FoldlogError =>
  FoldlogError.misuse({
    where,
    reason: 'foldChanged',
    found: `rows that other code made (fold ${short(found)}) under the same schema version`,
    expected: `fold ${short(expected)}`,
    todo: 'raise the version, with a migration if tables change, or drop the test data; in production this is recorded as a move',
  });
