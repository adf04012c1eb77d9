// The generations of a shard's file. State is never mended in place: the next generation is filled beside the present one and counts once its tables
// are committed, all in one transaction. Then the marker moves and the older file goes. A start that finds two carries that on (decision 0006).

import { bytesToHex } from '../../kernel/bytes.ts';
import type { ShardId } from '../../kernel/units.ts';
import { setExclusive } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';
import type { Vault } from './vault.ts';

const filePattern = /^\/s-([0-9a-f]{32})-(\d+)\.db$/;

export const shardFileName = (id: Uint8Array, generation = 1): string => `/s-${bytesToHex(id)}-${generation}.db`;

/** Id, in hex, and generation of a shard's file; undefined for other files. */
export function generationOf(file: string): { readonly id: string; readonly generation: number } | undefined {
  const [, id, generation] = filePattern.exec(file) ?? [];
  return id === undefined ? undefined : { id, generation: Number(generation) };
}

/** The newest generation that is here; the name of the first when there is none. */
export function currentFile(pool: StoragePool, id: ShardId): string {
  return generationsIn(pool).get(bytesToHex(id))?.at(-1) ?? shardFileName(id);
}

export function nextFile(file: string): string {
  const at = generationOf(file);
  return at === undefined ? file : `/s-${at.id}-${at.generation + 1}.db`;
}

/** Moves the marker to a generation that is ready, then lets the older one go. Stopped anywhere, `settleGenerations` ends it. */
export async function succeed(pool: StoragePool, vault: Vault, at: { readonly older: string; readonly newer: string }): Promise<void> {
  const held = (await vault.markers()).get(at.older);
  if (held !== undefined) await vault.mark(at.newer, held);
  await vault.unmark(at.older);
  if (pool.has(at.older)) pool.remove(at.older);
  await pool.flush(at.older);
}

/** Before anything is opened: of each shard the newest generation that is ready stays; one that never became ready goes. */
export async function settleGenerations(pool: StoragePool, vault: Vault): Promise<void> {
  for (const files of generationsIn(pool).values()) {
    while (files.length > 1) {
      const newer = files.pop() as string;
      const older = files.pop() as string;
      if (await isReady(pool, newer)) {
        await succeed(pool, vault, { older, newer });
        files.push(newer);
      } else {
        pool.remove(newer);
        files.push(older);
      }
    }
  }
}

/** Oldest first, by shard. */
function generationsIn(pool: StoragePool): Map<string, string[]> {
  const found = new Map<string, string[]>();
  const named = pool.files().flatMap((file) => {
    const at = generationOf(file);
    return at === undefined ? [] : [{ file, ...at }];
  });
  for (const { id, file } of named.sort((a, b) => a.generation - b.generation)) found.set(id, [...(found.get(id) ?? []), file]);
  return found;
}

async function isReady(pool: StoragePool, file: string): Promise<boolean> {
  const db = await pool.open(file);
  try {
    setExclusive(db, pool);
    return db.value(`SELECT 1 FROM sqlite_schema WHERE name = 'foldlog_meta'`) === 1;
  } finally {
    db.close();
  }
}
