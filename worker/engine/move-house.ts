// Moves all files of a store from one durable backend to another, when a better one has become available (decision 0009). The vault's word says
// where they are: until it changes the copies are nothing, afterwards the originals are. So a stop anywhere leaves one whole house.

import { type Bytes, isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { setExclusive } from './shard-file.ts';
import { type Backend, type DurablePool, type StoragePool, scratchPrefix } from './storage-pool.ts';
import type { Vault } from './vault.ts';

/**
 * Both pools are open, none of their files is, and the vault says `from`. Copies byte for byte, outbox and all; nothing is fetched again.
 * @throws {FoldlogError} `storageFull` when it does not fit, `corrupt` `badCopy`, what the pools throw; the house is still `from` then
 */
export async function moveHouse(from: DurablePool, to: DurablePool, vault: Vault): Promise<void> {
  for (const file of to.files()) to.remove(file); // copies of a move that was stopped
  for (const file of databases(from)) await moveFile(from, to, file);
  await vault.settle({ at: to.backend, leaving: from.backend });
}

/** Removes what stayed behind a move. Stopped, it is done again at the next start. */
export async function leaveHouse(old: DurablePool, vault: Vault, at: Backend): Promise<void> {
  for (const file of old.files()) {
    old.remove(file);
    await old.flush(file);
  }
  await vault.settle({ at, leaving: undefined });
}

/** A pool lists journals as well; they are taken into their databases before those are copied. */
const databases = (pool: StoragePool): string[] => pool.files().filter((file) => file.endsWith('.db') && !file.startsWith(scratchPrefix));

async function moveFile(from: StoragePool, to: StoragePool, file: string): Promise<void> {
  await settleWal(from, file);
  const image = await from.exportImage(file);
  await to.reserve(1);
  await to.importImage(file, image);
  const copy = await to.exportImage(file);
  if (isSameBytes(withoutMode(copy), withoutMode(image))) return;
  throw FoldlogError.corrupt({
    where: file,
    reason: 'badCopy',
    found: `a copy in ${to.backend} that differs`,
    expected: `the file as it stands in ${from.backend}`,
    todo: 'nothing was moved; the file is where it was',
  });
}

/** What a killed worker left in a WAL is no part of the image before it is taken into the file. */
async function settleWal(pool: StoragePool, file: string): Promise<void> {
  const db = await pool.open(file);
  try {
    setExclusive(db, pool);
    if (pool.backend === 'opfs-pool') db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    db.close();
  }
}

/** The two bytes that say whether a file was last used with a WAL are the backend's own. */
function withoutMode(image: Bytes): Bytes {
  const copy = image.slice();
  copy.fill(0, 18, 20);
  return copy;
}
