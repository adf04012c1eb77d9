// Whose a shard is, as the control log and the files of this device say it together: whether it is still this device's to write, and where what was
// stranded may go (decision 0003).

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { type ControlState, cutAbove, isWriterOf, type ShardEpoch, shardOf } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import type { Signer } from '../../kernel/ports.ts';
import type { KeyId, ShardId } from '../../kernel/units.ts';
import type { BootstrapPorts } from './bootstrap.ts';
import type { ControlReplica } from './control.ts';
import { Meta } from './meta.ts';
import type { Destination } from './rebase.ts';
import type { ShardStore } from './shard-store.ts';
import type { StrandingHost } from './stranding.ts';
import type { HeldShard, WorkspaceFile } from './workspace-file.ts';

/**
 * Sealed by another key than this device has now, and not given to this one since. Its groups can still be read and sent: their seals prove them. A shard
 * that this device sealed and another one writes now is not lost: stranding.ts.
 */
export function isKeyLost(state: ControlState | undefined, signer: Signer, store: ShardStore): boolean {
  const mine = keyIdOf(signer.publicKey);
  const declared = state === undefined ? undefined : shardOf(state, store.identity.id);
  if (declared !== undefined && isWriterOf(declared, mine)) return false;
  const sealedBy = store.log.lastSealKey() ?? declared?.writer;
  return sealedBy !== undefined && !isSameBytes(sealedBy, mine);
}

/** Whether this copy may still save in the epoch its file is in, as far as file and control log know (stranding.ts). */
export function isEpochOpen(state: ControlState | undefined, store: ShardStore): boolean {
  const own = store.log.base.epoch;
  const meta = new Meta(store.db);
  if (meta.number('fencedEpoch') === own || meta.number('handedOverEpoch') === own) return false;
  return state === undefined || cutAbove(state, store.identity.id, own) === undefined;
}

/** A restart must not save into an epoch that is known to be closed. */
export function noteFencedEpoch(store: ShardStore): Promise<void> {
  return store.mutex.own('other', async () => {
    new Meta(store.db).set('fencedEpoch', store.log.base.epoch);
    await store.flush();
  });
}

/** A key that wrote the shard before may lie in a backup or a clone as well: of its copies only the one that noted the fence goes on (decision 0003). */
function mayWrite(state: ControlState, shard: ShardId, opened: ShardEpoch, key: KeyId, rights: EpochRights): boolean {
  if (opened.writer === undefined || !isSameBytes(opened.writer, key)) return false;
  const before = shardOf(state, shard)?.epochs.filter(({ epoch }) => epoch < opened.epoch) ?? [];
  const hasWritten = before.some(({ writer }) => writer !== undefined && isSameBytes(writer, key));
  return !hasWritten || rights.mayEnter(shard, opened);
}

/** What this copy noted of its own take-overs: take-over.ts. */
export interface EpochRights {
  /** Whether this copy noted the fence that opened it. */
  mayEnter(shard: ShardId, opened: ShardEpoch): boolean;
  /** It saves in that epoch, durably: a note of its fence has served. */
  entered(shard: ShardId, opened: ShardEpoch): Promise<void>;
}

/** What stranding asks of the rest of the device, for one shard. */
export function strandingHost(
  at: {
    readonly file: WorkspaceFile;
    readonly control: ControlReplica;
    readonly signer: Signer;
    readonly ports: BootstrapPorts | undefined;
    readonly rights: EpochRights;
  },
  shard: ShardId,
  engine: { readonly open: (held: HeldShard) => Promise<Destination & { readonly isEntered: boolean }>; readonly askControl: () => void },
): StrandingHost {
  const key = keyIdOf(at.signer.publicKey);
  return {
    cutAbove: (closed) => (at.control.state === undefined ? undefined : cutAbove(at.control.state, shard, closed)),
    newestCut: () =>
      at.control.state === undefined ? undefined : shardOf(at.control.state, shard)?.epochs.findLast(({ epoch }) => epoch > 1),
    mayWrite: (opened) => at.control.state !== undefined && mayWrite(at.control.state, shard, opened, key, at.rights),
    entered: (opened) => at.rights.entered(shard, opened),
    destination: async (id) => {
      const { state } = at.control;
      const entry = state === undefined ? undefined : shardOf(state, id);
      const held = at.file.shards().find((known) => known.hold === 'own' && bytesToHex(known.id) === bytesToHex(id));
      if (entry === undefined || !isWriterOf(entry, key) || held === undefined) return undefined;
      const to = await engine.open(held);
      return to.isEntered ? to : undefined;
    },
    askControl: engine.askControl,
    source: () => {
      const { workspace, state } = at.control;
      if (at.ports === undefined || workspace === undefined || state === undefined) return undefined;
      return { ports: at.ports, workspace, control: state };
    },
  };
}
