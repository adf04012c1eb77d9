// Whose a shard is, as the control log and the files of this device say it together: which names are free, whether a shard is still this device's to
// write, and where what was stranded may go (decision 0003).

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { isRoleAtLeast, type Role } from '../../kernel/control/acts.ts';
import { type ControlState, cutAbove, deviceOf, isWriterOf, type ShardEpoch, shardNamed, shardOf } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Signer } from '../../kernel/ports.ts';
import type { Hash, KeyId, ShardId } from '../../kernel/units.ts';
import type { BootstrapPorts } from './bootstrap.ts';
import type { ControlReplica } from './control.ts';
import { lostShard } from './loss.ts';
import type { Destination } from './rebase.ts';
import type { ShardStore } from './shard-store.ts';
import type { StrandingHost } from './stranding.ts';
import type { HeldShard, WorkspaceFile } from './workspace-file.ts';

/** @throws {FoldlogError} `misuse` `notAllowed`, `notWriter` · `corrupt` `missingFile`: it was this device's, and its file is gone */
export function requireFreeName(
  by: { readonly state: ControlState | undefined; readonly signer: Signer; readonly role: Role },
  { kind, name }: { readonly kind: string; readonly name: string },
  where: string,
): void {
  const { state, signer, role } = by;
  const taken = state === undefined ? undefined : shardNamed(state, kind, name);
  if (state === undefined || taken === undefined) {
    if (isRoleAtLeast(role, 'writer')) return;
    throw FoldlogError.misuse({ where, reason: 'notAllowed', found: `a device with the role ${role}`, expected: 'writer or above' });
  }
  if (isWriterOf(taken, keyIdOf(signer.publicKey))) throw lostShard(where);
  const writer = taken.writer === undefined ? undefined : deviceOf(state, taken.writer);
  throw FoldlogError.misuse({
    where,
    reason: 'notWriter',
    found: `a shard that ${writer?.name ?? 'another device'} writes`,
    expected: 'a shard of this device',
    todo: 'follow it, or open one under another name',
  });
}

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

/**
 * Whether this device, and this copy of it, may save in an epoch. A key that wrote the shard before may lie in a backup or a clone as well: only the
 * copy that put the fence, and remembers it, goes on.
 */
export function mayContinue(
  state: ControlState,
  shard: ShardId,
  opened: ShardEpoch,
  by: { readonly key: KeyId; readonly holdsFence: (fence: Hash) => boolean },
): boolean {
  if (opened.writer === undefined || !isSameBytes(opened.writer, by.key)) return false;
  const before = shardOf(state, shard)?.epochs.filter(({ epoch }) => epoch < opened.epoch) ?? [];
  const hasWritten = before.some(({ writer }) => writer !== undefined && isSameBytes(writer, by.key));
  return !hasWritten || by.holdsFence(opened.fence);
}

/** What stranding asks of the rest of the device, for one shard. */
export function strandingHost(
  at: {
    readonly file: WorkspaceFile;
    readonly control: ControlReplica;
    readonly signer: Signer;
    readonly ports: BootstrapPorts | undefined;
  },
  shard: ShardId,
  engine: { readonly open: (held: HeldShard) => Promise<Destination>; readonly askControl: () => void },
): StrandingHost {
  const key = keyIdOf(at.signer.publicKey);
  const holdsFence = (fence: Hash): boolean => at.file.holdsFence(fence);
  return {
    cutAbove: (closed) => (at.control.state === undefined ? undefined : cutAbove(at.control.state, shard, closed)),
    newestCut: () =>
      at.control.state === undefined ? undefined : shardOf(at.control.state, shard)?.epochs.findLast(({ epoch }) => epoch > 1),
    mayWrite: (opened) => at.control.state !== undefined && mayContinue(at.control.state, shard, opened, { key, holdsFence }),
    destination: async (id) => {
      const { state } = at.control;
      const entry = state === undefined ? undefined : shardOf(state, id);
      if (state === undefined || entry === undefined || !isWriterOf(entry, key)) return undefined;
      const newest = entry.epochs.at(-1);
      if (newest === undefined || !mayContinue(state, id, newest, { key, holdsFence })) return undefined;
      const held = at.file.shards().find((known) => known.hold === 'own' && bytesToHex(known.id) === bytesToHex(id));
      return held === undefined ? undefined : engine.open(held);
    },
    askControl: engine.askControl,
    source: () => {
      const { workspace, state } = at.control;
      if (at.ports === undefined || workspace === undefined || state === undefined) return undefined;
      return { ports: at.ports, workspace, control: state };
    },
  };
}
