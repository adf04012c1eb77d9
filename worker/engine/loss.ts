// What was here and is gone, while something else bears witness to it: files without the vault's word for them are evicted or deleted; a workspace
// without the device's key has lost its vault. Neither is ever taken for a new, empty store. What is gone is told by name; going on with what is
// left is a choice the app makes (`onLoss`), and the epoch of a lost shard is not continued: nobody here knows which seqs were signed
// (decision 0003). docs/durability.md#what-was-lost

import { bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { decodeCheckpoint } from '../../kernel/checkpoint.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Deflate, Signer } from '../../kernel/ports.ts';
import { unpackRun } from '../../kernel/run.ts';
import { decodeSlotObject } from '../../kernel/segment.ts';
import { type Seq, type ShardId, seq, shardId, slot, type WorkspaceId, workspaceId } from '../../kernel/units.ts';
import { generationOf } from './generations.ts';
import type { RelayClient } from './relay-client.ts';
import type { ShardIdentity } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';
import type { MarkedFile, Vault } from './vault.ts';
import { type WorkspaceFile, workspaceFileName } from './workspace-file.ts';

/** `refuse`: opening rejects and changes nothing. `follow`: the store opens; lost own shards are followed read-only, replicas start again. */
export type OnLoss = 'refuse' | 'follow';

export interface LostShard {
  readonly kind: string;
  readonly name: string;
  /** `file`: its data was here and is gone. `key`: the data is here, the key that signed it is gone. */
  readonly why: 'file' | 'key';
}

/** Who is asked how far a lost shard is committed. */
interface LossPorts {
  readonly relay: RelayClient | undefined;
  readonly signer: Signer | undefined;
  readonly deflate: Deflate;
}

export interface GoneFile {
  readonly file: string;
  readonly held: MarkedFile;
}

export const markedWorkspace = ({ workspace }: WorkspaceFile): MarkedFile => ({
  workspace: workspace === undefined ? undefined : bytesToHex(workspace),
  shard: undefined,
});

export const markedShard = (workspace: WorkspaceId, { kind, name }: Omit<ShardIdentity, 'id'>, isOwn: boolean): MarkedFile => ({
  workspace: bytesToHex(workspace),
  shard: { kind, name, isOwn },
});

/** A strict transaction is the dearest step of a start: not for a marker that says the same already. */
export async function keepMarked(vault: Vault, markers: ReadonlyMap<string, MarkedFile>, file: string, holds: MarkedFile): Promise<void> {
  const there = markers.get(file);
  if (there !== undefined && JSON.stringify(there) === JSON.stringify(holds)) return;
  await vault.mark(file, holds);
}

export const goneFiles = (pool: StoragePool, markers: ReadonlyMap<string, MarkedFile>): readonly GoneFile[] =>
  [...markers].filter(([file]) => !pool.has(file)).map(([file, held]) => ({ file, held }));

/** Whether something is gone that nobody else may have. */
export const isGrave = ({ held }: GoneFile): boolean => held.shard === undefined || held.shard.isOwn;

/** Says what is gone by name and, where the relay answers, up to which op it is committed there. Changes nothing. */
export async function missingFiles(ports: LossPorts, gone: readonly GoneFile[]): Promise<FoldlogError> {
  const words: string[] = [];
  for (const one of gone) words.push(await wordsFor(one, ports));
  return FoldlogError.corrupt({
    where: gone.length === 1 ? (gone[0] as GoneFile).file : `${gone.length} files`,
    reason: 'missingFile',
    found: `nothing of ${words.join(', ')}`,
    expected: 'the databases that were there',
    todo: "nothing was created in their place; open with onLoss: 'follow' to go on with what the relay has, own shards read-only",
  });
}

/**
 * Takes note of what is gone, so that the store can go on without it: own shards are listed as lost, replicas start again by themselves. Stopped
 * anywhere, the next start does it again: a marker goes last.
 */
export async function acceptGone(file: WorkspaceFile, vault: Vault, gone: readonly GoneFile[]): Promise<void> {
  if (gone.length === 0) return;
  const workspace = gone.map(({ held }) => held.workspace).find((id) => id !== undefined);
  file.db.transaction(() => {
    if (file.workspace === undefined && workspace !== undefined) file.setWorkspace(workspaceId(hexToBytes(workspace)));
    for (const { file: name, held } of gone) {
      const id = shardIdIn(name);
      if (id !== undefined && held.shard?.isOwn === true) file.loseShard({ id, kind: held.shard.kind, name: held.shard.name });
    }
  });
  await file.flush();
  for (const { file: name } of gone) if (name !== workspaceFileName) await vault.unmark(name);
}

export const keyLost = (file: WorkspaceFile): FoldlogError =>
  FoldlogError.corrupt({
    where: 'vault',
    reason: 'keyLost',
    found: `files of ${file.shards().length} shards without the key of this device`,
    expected: 'the key that signed them',
    todo: "nothing was changed; open with onLoss: 'follow' to read them and to send what is not committed, then join again by an invite",
  });

export const lostShard = (where: string): FoldlogError =>
  FoldlogError.corrupt({
    where,
    reason: 'missingFile',
    found: "this device's shard without its data",
    expected: 'the file that was here',
    todo: 'open a new one under another name; what was committed is followed and can be read across shards',
  });

export const lostKeyShard = (where: string): FoldlogError =>
  FoldlogError.corrupt({
    where,
    reason: 'keyLost',
    found: 'a shard that another key signed',
    expected: 'the key of this device',
    todo: 'it can be read, and what is not committed is still sent; save under another name',
  });

async function wordsFor({ file, held }: GoneFile, ports: LossPorts): Promise<string> {
  if (held.shard === undefined) return file === workspaceFileName ? 'the workspace file' : file;
  const { kind, name, isOwn } = held.shard;
  const title = `${isOwn ? 'own' : 'followed'} shard ${kind}/${name}`;
  const id = shardIdIn(file);
  if (!isOwn || id === undefined || held.workspace === undefined) return title;
  // What the relay says amiss must not stand in the way of saying what is gone.
  const committed = await committedSeq(ports, workspaceId(hexToBytes(held.workspace)), id).catch(() => undefined);
  return committed === undefined ? `${title} (the relay does not answer)` : `${title} (committed up to seq ${committed})`;
}

/** As the relay says it, not verified: for words. Undefined when it does not answer. */
async function committedSeq({ relay, signer, deflate }: LossPorts, workspace: WorkspaceId, shard: ShardId): Promise<Seq | undefined> {
  if (relay === undefined || signer === undefined) return undefined;
  const newest = await relay.newestCheckpoint(workspace, shard, signer);
  if (newest.kind !== 'ok') return undefined;
  const checkpoint = newest.value === undefined ? undefined : decodeCheckpoint(newest.value, 'checkpoint');
  let at = { slot: checkpoint?.slot ?? slot(0), seq: checkpoint?.head.seq ?? seq(0) };
  for (;;) {
    const log = await relay.log(workspace, shard, at.slot, logBytes, signer);
    if (log.kind !== 'ok') return undefined;
    const last = log.value.at(-1);
    if (last === undefined) return at.seq;
    const object = decodeSlotObject(last, 'slot');
    at = {
      slot: object.slot,
      seq: object.kind === 'segment' ? (await unpackRun(deflate, shard, object.run, 'slot')).head.seq : object.fence.head.seq,
    };
  }
}

/** One answer's worth of log while a lost shard is named. */
const logBytes = 4 * 1024 * 1024;

const shardIdIn = (file: string): ShardId | undefined => {
  const at = generationOf(file);
  return at === undefined ? undefined : shardId(hexToBytes(at.id));
};
