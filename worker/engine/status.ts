// What an engine tells about itself: the status a page shows, and the events that say when it is worth asking again.

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import type { Role } from '../../kernel/control/acts.ts';
import { type ControlState, deviceOf } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import type { Signer, StorageUse } from '../../kernel/ports.ts';
import type { LinkState } from './control.ts';
import type { LostShard } from './loss.ts';
import type { AlertChange, MetricsReport } from './metrics.ts';
import type { OwnShardStatus } from './own-shard-status.ts';
import type { Traffic } from './relay-client.ts';
import type { ReplicaStatus } from './replica-status.ts';
import type { SentShard } from './shard-sender.ts';
import type { DurabilityClass, StoragePool } from './storage-pool.ts';
import type { WorkspaceFile } from './workspace-file.ts';

export type EngineEvent =
  | { readonly kind: 'status' }
  | { readonly kind: 'committed'; readonly shard: string; readonly seq: number }
  | { readonly kind: 'changed'; readonly shard: string }
  /** What was saved in an epoch up to `epoch`, above `seq`, is in the outbox now. */
  | ({ readonly kind: 'alert' } & AlertChange)
  | { readonly kind: 'stranded'; readonly shard: string; readonly epoch: number; readonly seq: number };

export interface EngineStatus {
  readonly backend: StoragePool['backend'];
  readonly durability: DurabilityClass;
  readonly verdict: string;
  /** Room for all of this origin; undefined where the browser does not say. */
  readonly storage: StorageUse | undefined;
  readonly key: Signer['hold'];
  readonly workspace:
    | { readonly id: string; readonly name: string; readonly device: string; readonly role: Role; readonly isAtRelay: boolean }
    | undefined;
  readonly link: LinkState;
  readonly own: readonly OwnShardStatus[];
  readonly followed: readonly ReplicaStatus[];
  /** Shards of this device that only a newer version of the app can read. */
  readonly sentOnly: readonly SentShard[];
  /** Shards of this device that it cannot write any more, and why. What was committed of them is followed. */
  readonly lost: readonly LostShard[];
  /** Who is in the workspace. `id` names a device to `revoke`. */
  readonly devices: readonly { readonly id: string; readonly name: string; readonly role: Role; readonly isThis: boolean }[];
  /** Acts the control log refused, and shards that could not be started, in words. */
  readonly troubles: readonly string[];
  readonly traffic: Readonly<Traffic>;
  /** The last look; undefined before the first, some seconds after the start. */
  readonly metrics: MetricsReport | undefined;
}

export function workspaceStatus(file: WorkspaceFile, state: ControlState | undefined, signer: Signer): EngineStatus['workspace'] {
  const { workspace } = file;
  if (workspace === undefined) return undefined;
  const device = state === undefined ? undefined : deviceOf(state, keyIdOf(signer.publicKey));
  const genesis = file.pendingActs().flatMap(({ acts }) => acts.filter((act) => act.act === 'genesis'))[0];
  return {
    id: bytesToHex(workspace),
    name: state?.name ?? genesis?.name ?? '',
    device: device?.name ?? genesis?.device ?? '',
    role: device?.role ?? (genesis === undefined ? 'reader' : 'owner'),
    isAtRelay: state?.relay !== undefined,
  };
}

export function devicesOf(state: ControlState | undefined, signer: Signer): EngineStatus['devices'] {
  const me = keyIdOf(signer.publicKey);
  return [...(state?.devices.values() ?? [])].map(({ id, name, role }) => ({
    id: bytesToHex(id),
    name,
    role,
    isThis: isSameBytes(id, me),
  }));
}
