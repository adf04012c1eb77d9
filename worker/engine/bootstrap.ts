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
import { answerOrThrow, type RelayClient } from './relay-client.ts';
import { writeCursor } from './replica.ts';
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
    if (db !== undefined) {
      putOnDisk(db, pool);
      return { db, path: 'open', seqAtRelay: undefined };
    }
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
  return isReady ? openShardFile(pool, place.file, place.definition, place.identity) : undefined;
}

/** The checks of a loader on the statement (docs/durability.md#checkpoint): shard, signer, schema, fold. */
export async function requireCheckpoint(
  verifier: Verifier,
  control: ControlState,
  place: Omit<ReplicaPlace, 'file'>,
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
  if (checkpoint.schemaVersion !== definition.spec.version || !isSameBytes(checkpoint.foldId, definition.foldId)) {
    throw new FoldlogError('upgradeNeeded', {
      where,
      reason: 'schemaDiffers',
      found: `schema version ${checkpoint.schemaVersion}, fold ${short(checkpoint.foldId)}`,
      expected: `version ${definition.spec.version}, fold ${short(definition.foldId)}`,
    });
  }
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
    requireImage(db, place.definition, where);
    setPragmas(db, pool);
    // Until this commits the file has no table of ours and is removed at the next start.
    db.transaction(() => {
      addLocalTables(db, place.definition, place.identity);
      const meta = new Meta(db);
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
    db.close();
    pool.remove(place.file);
    throw error;
  }
}
