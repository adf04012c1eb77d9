// Queries across shards: a separate in-memory connection attaches each file read-only as it stands on disk and unites tables of one name in
// TEMP views with the columns `shardKind` and `shardName` in front. Each file's WAL is checkpointed first, so the look is as new as its last commit.

import { FoldlogError } from '../../kernel/errors.ts';
import { queryShardsMax } from '../../kernel/limits.ts';
import type { Clock } from '../../kernel/ports.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import type { Sql } from '../../shards/sql.ts';
import { Database, type Row } from './database.ts';
import { readBounds, runQueries } from './query.ts';
import { schemaOf } from './schema.ts';
import type { StoragePool } from './storage-pool.ts';

/** A shard that can be looked at: own or followed. */
export interface Readable {
  readonly file: string;
  readonly definition: ShardDefinition;
  readonly identity: { readonly kind: string; readonly name: string };
  readonly version: number;
  checkpointWal(): void;
}

/**
 * Runs statements over several shards at once. Call it while no shard has a transaction open (the engine holds their mutexes).
 * @throws {FoldlogError} `misuse` `tooManyShards`, and what query.ts throws
 */
export function queryAcross(
  pool: StoragePool,
  clock: Clock,
  shards: readonly Readable[],
  queries: readonly Sql[],
): readonly (readonly Row[])[] {
  if (shards.length < 1 || shards.length > queryShardsMax) {
    throw FoldlogError.misuse({
      where: 'query across shards',
      reason: 'tooManyShards',
      found: `${shards.length} shards`,
      expected: `1 to ${queryShardsMax}`,
      todo: 'name the shards to read, or read them one by one',
    });
  }
  const { sqlite3 } = pool;
  const db = new Database(sqlite3, new sqlite3.oo1.DB(':memory:', 'c'), 'query across shards');
  try {
    db.exec('PRAGMA trusted_schema=OFF');
    for (const [i, shard] of shards.entries()) {
      shard.checkpointWal();
      db.run(`ATTACH ? AS s${i}`, [pool.attachImmutable(shard.file)]);
    }
    for (const [name, parts] of viewsOf(pool, shards)) db.exec(`CREATE TEMP VIEW "${name}" AS ${parts.join(' UNION ALL ')}`);
    return runQueries(db, clock, queries, readBounds);
  } catch (error) {
    throw db.failure(error, 'query across shards');
  } finally {
    db.close();
  }
}

function viewsOf({ sqlite3 }: StoragePool, shards: readonly Readable[]): ReadonlyMap<string, readonly string[]> {
  const views = new Map<string, string[]>();
  for (const [i, { definition, identity }] of shards.entries()) {
    const label = `${literal(identity.kind)} AS shardKind, ${literal(identity.name)} AS shardName`;
    for (const { name, columns: names } of schemaOf(sqlite3, definition).tables) {
      const columns = names.map((column) => `"${column}"`).join(', ');
      const parts = views.get(name) ?? [];
      parts.push(`SELECT ${label}, ${columns} FROM s${i}."${name}"`);
      views.set(name, parts);
    }
  }
  return views;
}

/** A view cannot bind parameters; names are checked against a pattern when shards are made, and quoted here all the same. */
const literal = (value: string): string => `'${value.replaceAll("'", "''")}'`;
