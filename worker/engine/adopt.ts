// Shard files that the shard list does not name: a start that was stopped between file, marker and list row (decision 0006). A whole file says by
// itself whose it is and is taken back into the list; an unready one without a marker was never answered from and goes.

import { bytesToHex } from '../../kernel/bytes.ts';
import { keyIdOf, shardIdOf } from '../../kernel/digest.ts';
import type { Signer } from '../../kernel/ports.ts';
import { type ShardId, shardId, type WorkspaceId } from '../../kernel/units.ts';
import { generationOf } from './generations.ts';
import { markedShard, markedWorkspace } from './loss.ts';
import { Meta, setExclusive } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';
import type { MarkedFile, Vault } from './vault.ts';
import type { WorkspaceFile } from './workspace-file.ts';

/** `markers`: those of the vault, as they stand. */
export async function adoptStrays(
  pool: StoragePool,
  vault: Vault,
  markers: ReadonlyMap<string, MarkedFile>,
  file: WorkspaceFile,
  signer: Signer,
): Promise<void> {
  const listed = new Set(file.shards().map(({ id }) => bytesToHex(id)));
  for (const name of pool.files()) {
    const id = generationOf(name)?.id;
    if (id === undefined || listed.has(id)) continue;
    const found = await whoseFile(pool, name);
    if (found !== undefined) {
      await vault.mark(name, strayMark(file, found));
      list(file, signer, found);
    } else if (!markers.has(name)) {
      pool.remove(name);
    }
  }
}

interface Stray {
  readonly id: ShardId;
  readonly kind: string;
  readonly name: string;
  /** There for a shard this device made: what its control act must say. */
  readonly nonce: Uint8Array | undefined;
  /** Taken over by this device, which saves in it. */
  readonly isTakenOver: boolean;
}

/** Undefined for a file whose own tables were never committed. Files with other content are left to their open, which refuses them typed. */
async function whoseFile(pool: StoragePool, name: string): Promise<Stray | undefined> {
  const db = await pool.open(name);
  try {
    setExclusive(db, pool);
    if (db.value(`SELECT 1 FROM sqlite_schema WHERE name = 'foldlog_meta'`) !== 1) return undefined;
    const meta = new Meta(db);
    const id = meta.bytes('shard');
    const kind = meta.text('kind');
    const title = meta.text('name');
    if (id === undefined || kind === undefined || title === undefined) return undefined;
    return { id: shardId(id), kind, name: title, nonce: meta.bytes('nonce'), isTakenOver: meta.number('ownEpoch') !== undefined };
  } finally {
    db.close();
  }
}

function strayMark(file: WorkspaceFile, stray: Stray): MarkedFile {
  const { workspace } = file;
  if (workspace === undefined) return markedWorkspace(file);
  return markedShard(workspace, stray, stray.isTakenOver || isMadeHere(workspace, stray));
}

const isMadeHere = (workspace: WorkspaceId, { id, nonce }: Stray): boolean =>
  nonce !== undefined && bytesToHex(shardIdOf(workspace, nonce)) === bytesToHex(id);

function list(file: WorkspaceFile, signer: Signer, stray: Stray): void {
  const { workspace } = file;
  if (workspace === undefined) return;
  const isMade = isMadeHere(workspace, stray);
  file.db.transaction(() => {
    file.holdShard({ ...stray, hold: isMade || stray.isTakenOver ? 'own' : 'replica' });
    if (isMade && stray.nonce !== undefined) {
      file.queueActs([{ act: 'shard', nonce: stray.nonce, kind: stray.kind, name: stray.name, writer: keyIdOf(signer.publicKey) }]);
    }
  });
}
