// How a replica begins: from its own file when there is one, else from the newest valid checkpoint, else from the first slot when the shard has no
// checkpoint yet. An image is imported under its final name but counts only once `ready` is committed in it; an unready file is removed.

import { type Bytes, concatBytes, isSameBytes } from '../../kernel/bytes.ts';
import { type Checkpoint, decodeCheckpoint, verifyCheckpoint } from '../../kernel/checkpoint.ts';
import { type ControlState, cutAbove, shardOf, speakerFor } from '../../kernel/control/fold.ts';
import { sha256 } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { FormFactor } from '../../kernel/limits.ts';
import type { Deflate, Signer, Verifier } from '../../kernel/ports.ts';
import { short, type WorkspaceId } from '../../kernel/units.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { planStart } from '../../shards/start-plan.ts';
import type { Database } from './database.ts';
import { requireImage } from './image.ts';
import { noteWriter } from './move-check.ts';
import { answerOrThrow, type RelayClient } from './relay-client.ts';
import { readCursor, writeCursor } from './replica.ts';
import { migrateInPlace, migrateTables, requireReadable } from './schema-file.ts';
import {
  addLocalTables,
  createShardFile,
  Meta,
  openShardFile,
  putOnDisk,
  type ShardIdentity,
  setExclusive,
  setPragmas,
} from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

/** `open`: own file · `checkpoint`: newest statement and the groups after it · `genesis`: from the first slot (decision 0013). */
export type BootstrapPath = 'open' | 'checkpoint' | 'genesis';

export interface BootstrapPorts {
  readonly relay: RelayClient;
  readonly verifier: Verifier;
  readonly deflate: Deflate;
  readonly signer: Signer;
}

export interface ReplicaPlace {
  readonly file: string;
  readonly definition: ShardDefinition;
  readonly identity: ShardIdentity;
}

export interface Started {
  readonly db: Database;
  readonly path: BootstrapPath;
  /** How long the relay says the log is, where it was asked. */
  readonly seqAtRelay: number | undefined;
}

/** What is known of the wish beyond the place. */
export interface StartWish {
  readonly isGenesisAsked: boolean;
  readonly formFactor: FormFactor;
}

/** @throws {FoldlogError} typed; nothing half-loaded stays behind. `unavailable` `noCheckpoint`: too long a log to fold unasked */
export async function startReplica(
  ports: BootstrapPorts,
  pool: StoragePool,
  at: { readonly workspace: WorkspaceId; readonly control: ControlState },
  place: ReplicaPlace,
  wish: StartWish,
): Promise<Started> {
  if (pool.has(place.file)) {
    const db = await openShardFileIfReady(pool, place);
    if (db !== undefined) return { db, path: 'open', seqAtRelay: undefined };
    pool.remove(place.file);
  }
  const where = `checkpoint of ${place.identity.kind}/${place.identity.name}`;
  const { isGenesisAsked } = wish;
  const statement = isGenesisAsked
    ? undefined
    : answerOrThrow(await ports.relay.newestCheckpoint(at.workspace, place.identity.id, ports.signer), where);
  if (statement === undefined) {
    const { seq: committedOps } = answerOrThrow(await ports.relay.logHead(at.workspace, place.identity.id, ports.signer), where);
    const plan = planStart({ ...wish, hasCheckpoint: false, committedOps });
    if (plan.kind === 'refuse') throw noCheckpoint(where, committedOps, plan.opsMax);
    await pool.reserve(1);
    const db = createShardFile(pool, place.file, place.definition, place.identity);
    return { db, path: 'genesis', seqAtRelay: committedOps };
  }
  await pool.reserve(1);
  const checkpoint = await requireCheckpoint(ports.verifier, at.control, place, statement, where);
  const image = await fetchImage(ports, at.workspace, checkpoint, where);
  return { db: await loadImage(pool, place, checkpoint, image, where), path: 'checkpoint', seqAtRelay: undefined };
}

const noCheckpoint = (where: string, ops: number, opsMax: number): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'noCheckpoint',
    found: `none, and ${ops} ops to fold`,
    expected: `a checkpoint, or at most ${opsMax} ops`,
    todo: 'let the device that writes the shard publish one; or fold all of it with startFromGenesis',
  });

export interface FetchedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly image: Bytes;
}

/** Where to ask: a store that is in no workspace yet has nobody. */
interface Membership {
  readonly workspace: WorkspaceId | undefined;
  readonly state: ControlState | undefined;
}

type ShardPlace = Pick<ReplicaPlace, 'definition' | 'identity'>;

/** The newest statement the relay holds, verified; undefined when there is none. @throws {FoldlogError} see `requireCheckpoint` */
export async function newestStatement(ports: BootstrapPorts, at: Membership, place: ShardPlace): Promise<Checkpoint | undefined> {
  if (at.workspace === undefined || at.state === undefined) return undefined;
  const where = `checkpoint of ${place.identity.kind}/${place.identity.name}`;
  const statement = answerOrThrow(await ports.relay.newestCheckpoint(at.workspace, place.identity.id, ports.signer), where);
  return statement === undefined ? undefined : requireCheckpoint(ports.verifier, at.state, place, statement, where);
}

/** The same with its image, of which nothing was looked at yet. */
export async function newestCheckpoint(ports: BootstrapPorts, at: Membership, place: ShardPlace): Promise<FetchedCheckpoint | undefined> {
  const checkpoint = await newestStatement(ports, at, place);
  if (checkpoint === undefined || at.workspace === undefined) return undefined;
  const where = `checkpoint of ${place.identity.kind}/${place.identity.name}`;
  return { checkpoint, image: await fetchImage(ports, at.workspace, checkpoint, where) };
}

/** Undefined when the file was being loaded and never became ready. */
async function openShardFileIfReady(pool: StoragePool, place: ReplicaPlace): Promise<Database | undefined> {
  const db = await pool.open(place.file);
  let isReady = false;
  try {
    setExclusive(db, pool);
    isReady = Number(db.value(`SELECT count(*) FROM sqlite_schema WHERE name = 'foldlog_meta'`)) === 1;
  } finally {
    db.close();
  }
  return isReady ? openReplicaFile(pool, place) : undefined;
}

/** Tables of an older schema are brought up at once, and its cursor stays: what comes after it is folded by the present code. */
async function openReplicaFile(pool: StoragePool, { file, definition, identity }: ReplicaPlace): Promise<Database> {
  const { db, standing } = await openShardFile(pool, file, definition, identity);
  try {
    requireReadable(standing, file, definition);
    putOnDisk(db, pool);
    migrateInPlace(db, definition, standing, readCursor(new Meta(db)).head.seq);
    return db;
  } catch (error) {
    const failure = db.failure(error, file);
    db.abandon();
    throw failure;
  }
}

/**
 * The checks of a loader on the statement (docs/durability.md#checkpoint): shard, signer, signature, cuts, and a schema this code knows. The image is
 * checked against the schema of its own version.
 */
export async function requireCheckpoint(
  verifier: Verifier,
  control: ControlState,
  place: ShardPlace,
  bytes: Bytes,
  where: string,
): Promise<Checkpoint> {
  const checkpoint = decodeCheckpoint(bytes, where);
  const { definition, identity } = place;
  if (!isSameBytes(checkpoint.shard, identity.id)) {
    throw FoldlogError.corrupt({ where, reason: 'wrongShard', found: `shard ${short(checkpoint.shard)}`, expected: short(identity.id) });
  }
  const entry = shardOf(control, identity.id);
  const signer = entry === undefined ? undefined : speakerFor(control, entry, checkpoint.key);
  if (signer === undefined) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongSigner',
      found: `a statement by key ${short(checkpoint.key)}`,
      expected: "the shard's writer or an admin",
    });
  }
  await verifyCheckpoint(verifier, signer.key, checkpoint, where);
  const cut = cutAbove(control, identity.id, checkpoint.epoch)?.cut;
  if (cut !== undefined && checkpoint.head.seq > cut.seq) {
    throw FoldlogError.corrupt({
      where,
      reason: 'aboveCut',
      found: `a checkpoint of epoch ${checkpoint.epoch} at seq ${checkpoint.head.seq}`,
      expected: `at most seq ${cut.seq}, where that epoch was cut`,
    });
  }
  requireReadable({ version: checkpoint.schemaVersion }, where, definition);
  return checkpoint;
}

export async function fetchImage(ports: BootstrapPorts, workspace: WorkspaceId, checkpoint: Checkpoint, where: string): Promise<Bytes> {
  const parts: Bytes[] = [];
  for (const [i, chunk] of checkpoint.chunks.entries()) {
    const stored = answerOrThrow(await ports.relay.chunk(workspace, checkpoint.shard, chunk.hash, ports.signer), where);
    if (stored.length !== chunk.storedLength || !isSameBytes(sha256(stored), chunk.hash)) {
      throw FoldlogError.corrupt({
        where: `${where}, chunk ${i + 1}`,
        reason: 'badChunk',
        found: `${stored.length} bytes with another hash`,
        expected: `${chunk.storedLength} bytes that hash to ${short(chunk.hash)}`,
      });
    }
    const raw = await ports.deflate.inflate(stored, chunk.rawLength, `${where}, chunk ${i + 1}`);
    if (raw.length !== chunk.rawLength) {
      throw FoldlogError.corrupt({ where, reason: 'badChunk', found: `${raw.length} raw bytes`, expected: `${chunk.rawLength}` });
    }
    parts.push(raw);
  }
  return concatBytes(...parts);
}

async function loadImage(pool: StoragePool, place: ReplicaPlace, checkpoint: Checkpoint, image: Bytes, where: string): Promise<Database> {
  try {
    await pool.importImage(place.file, image);
  } catch (cause) {
    if (pool.has(place.file)) pool.remove(place.file);
    if (cause instanceof FoldlogError) throw cause; // no room is not a bad image
    throw FoldlogError.corrupt({ where, reason: 'badImage', found: 'bytes the pool refuses', expected: 'a database image', cause });
  }
  const db = await pool.open(place.file);
  try {
    setExclusive(db, pool);
    requireImageOf(checkpoint, db, place.definition, where);
    setPragmas(db, pool);
    // Until this commits the file has no table of ours and is removed at the next start.
    db.transaction(() => {
      migrateTables(db, place.definition, checkpoint.schemaVersion);
      addLocalTables(db, place.definition, place.identity);
      const meta = new Meta(db);
      noteWriter(meta, place.definition, { version: checkpoint.schemaVersion, foldId: checkpoint.foldId });
      meta.set('epoch', checkpoint.epoch);
      meta.set('baseSeq', checkpoint.head.seq);
      meta.set('baseHash', checkpoint.head.hash);
      writeCursor(meta, {
        slot: checkpoint.slot,
        objectHash: checkpoint.slotObject,
        slotTime: checkpoint.slotTime,
        head: checkpoint.head,
        epoch: checkpoint.epoch,
        isFenced: false,
      });
    });
    return db;
  } catch (error) {
    const failure = db.failure(error, where);
    db.close();
    pool.remove(place.file);
    throw failure;
  }
}

/** Other tables under one version are another app's doing, unless the fold is ours: then they cannot be. */
export function requireImageOf(checkpoint: Checkpoint, db: Database, definition: ShardDefinition, where: string): void {
  try {
    requireImage(db, definition, where, checkpoint.schemaVersion);
  } catch (error) {
    const isBadImage = error instanceof FoldlogError && error.reason === 'badImage';
    if (!isBadImage || isSameBytes(checkpoint.foldId, definition.foldId) || !hasSoundPages(db)) throw error;
    throw new FoldlogError('upgradeNeeded', {
      where,
      reason: 'schemaDiffers',
      found: `other tables under schema version ${checkpoint.schemaVersion}, fold ${short(checkpoint.foldId)}`,
      expected: `those this app declares for it, fold ${short(definition.foldId)}`,
      cause: error,
    });
  }
}

function hasSoundPages(db: Database): boolean {
  try {
    return db.value('PRAGMA quick_check(1)') === 'ok';
  } catch {
    return false;
  }
}
