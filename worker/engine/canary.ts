// The canary fold: once after a move, when nothing else is to do, the present code folds the chain again beside the tables, from genesis or from the
// newest checkpoint, and state hashes are compared. A difference means that the new code reads the past otherwise than the old one wrote it: told
// with both folds, and nothing is repaired, for the tables stand on signed checkpoints (decision 0004).

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { noHash } from '../../kernel/units.ts';
import { type Audited, type AuditPorts, compareFold, withScratch } from './audit.ts';
import { type FetchedCheckpoint, requireImageOf } from './bootstrap.ts';
import { type CanaryReport, isCanaryDue, setCanary } from './canary-note.ts';
import type { ChainLog } from './chain-log.ts';
import type { Database } from './database.ts';
import { imageDdl } from './image.ts';
import type { OwnShardStatus } from './own-shard-status.ts';
import { migrateTables } from './schema-file.ts';
import { Meta, readBase } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

type Folded = Audited & { readonly log: ChainLog };

/**
 * Runs it when it is due. `newest`: asks for a checkpoint when the log does not begin at genesis; absent without a relay. What it could not finish
 * stays due. Never rejects for what it finds.
 * @throws {FoldlogError} what a failing host throws
 */
export async function runCanary(
  ports: AuditPorts,
  pool: StoragePool,
  shard: Folded,
  newest: (() => Promise<FetchedCheckpoint | undefined>) | undefined,
): Promise<void> {
  const begun = await shard.mutex.own('other', () => {
    const meta = new Meta(shard.db);
    return isCanaryDue(meta) ? { base: readBase(meta).head.seq, fromFold: meta.bytes('movedFrom') ?? noHash } : undefined;
  });
  if (begun === undefined) return;
  const fetched = begun.base === 0 ? undefined : await newest?.().catch(() => undefined);
  const start = begun.base === 0 ? 0 : fetched?.checkpoint.head.seq;
  if (start === undefined || (fetched !== undefined && !(await isInLog(shard, fetched)))) return;
  const judged = await withScratch(ports, pool, (scratch) => judge(ports, pool, shard, scratch, start, fetched));
  if (judged === undefined) return;
  const { definition } = shard;
  await shard.mutex.own('other', () => {
    const words = { fromFold: bytesToHex(begun.fromFold), toFold: bytesToHex(definition.foldId) };
    shard.db.transaction(() => setCanary(new Meta(shard.db), { ...judged, ...words, fromSeq: start }));
  });
}

const isInLog = (shard: Folded, { checkpoint }: FetchedCheckpoint): Promise<boolean> =>
  shard.mutex.own('other', () => {
    const known = shard.log.hashAt(checkpoint.head.seq);
    return known !== undefined && isSameBytes(known, checkpoint.head.hash);
  });

async function judge(
  ports: AuditPorts,
  pool: StoragePool,
  shard: Folded,
  scratch: string,
  start: number,
  fetched: FetchedCheckpoint | undefined,
): Promise<Pick<CanaryReport, 'kind' | 'atSeq' | 'found'> | undefined> {
  let db: Database | undefined;
  try {
    db = fetched === undefined ? atGenesis(pool, shard, scratch) : await atCheckpoint(pool, shard, scratch, fetched);
    const compared = await compareFold(ports, shard, db, start);
    if (compared === undefined) return undefined;
    const kind = isSameBytes(compared.found, compared.folded) ? 'same' : 'differs';
    return { kind, atSeq: shard.log.head().seq, found: undefined };
  } catch (cause) {
    const error = db?.failure(cause, shard.file) ?? cause;
    // The app's code cannot fold what its older self saved: that is a finding. A host that fails is none.
    if (error instanceof FoldlogError && (error.kind === 'misuse' || error.kind === 'upgradeNeeded')) {
      return { kind: 'differs', atSeq: shard.log.head().seq, found: error.message };
    }
    throw error;
  } finally {
    db?.close();
  }
}

function atGenesis(pool: StoragePool, shard: Folded, scratch: string): Database {
  const db = pool.create(scratch);
  db.exec('PRAGMA page_size=8192; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF'); // a kill throws it away
  for (const statement of imageDdl(shard.definition)) db.exec(statement);
  return db;
}

async function atCheckpoint(
  pool: StoragePool,
  shard: Folded,
  scratch: string,
  { checkpoint, image }: FetchedCheckpoint,
): Promise<Database> {
  await pool.importImage(scratch, image);
  const db = await pool.open(scratch);
  requireImageOf(checkpoint, db, shard.definition, shard.file);
  db.exec('PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF');
  migrateTables(db, shard.definition, checkpoint.schemaVersion);
  return db;
}

/** For people, beside what else is wrong. */
export function canaryTrouble({ kind, name, schema: { canary } }: OwnShardStatus): readonly string[] {
  if (canary?.kind !== 'differs') return [];
  const [from, to] = [canary.fromFold.slice(0, 8), canary.toFold.slice(0, 8)];
  const why = canary.found === undefined ? '' : ` (${canary.found})`;
  return [
    `shard ${kind}/${name}: fold ${to} makes other rows of the chain up to seq ${canary.atSeq} than fold ${from} did${why}; nothing was changed`,
  ];
}
