// Every key of every object in a relay's store, in one place. Grammar: docs/format.md#keys.
// Numbers are zero-padded to 16 digits so that names sort as they count. Shard objects lie under the incarnation of the relay's
// store; control slots do not, since re-seeding puts the very same control log back (decisions 0005, 0008).

import { bytesToHex } from '../kernel/bytes.ts';
import type { Hash, Incarnation, ShardId, Slot, WorkspaceId } from '../kernel/units.ts';

const padded = (number: number): string => String(number).padStart(16, '0');

/** Which life of which shard: the part every key of its objects starts with. */
export interface ShardPlace {
  readonly workspace: WorkspaceId;
  readonly incarnation: Incarnation;
  readonly shard: ShardId;
}

const shardPrefix = ({ workspace, incarnation, shard }: ShardPlace): string =>
  `w/${bytesToHex(workspace)}/${bytesToHex(incarnation)}/s/${bytesToHex(shard)}`;

export const objectKeys = {
  controlSlot: (workspace: WorkspaceId, slot: Slot): string => `w/${bytesToHex(workspace)}/control/${padded(slot)}`,
  logSlot: (place: ShardPlace, slot: Slot): string => `${shardPrefix(place)}/log/${padded(slot)}`,
  checkpoint: (place: ShardPlace, number: number): string => `${shardPrefix(place)}/checkpoint/${padded(number)}`,
  chunk: (place: ShardPlace, chunk: Hash): string => `${shardPrefix(place)}/chunk/${bytesToHex(chunk)}`,
  /** Scratch names of the contract probe; `life` is random per start. */
  probe: (life: string, name: string): string => `probe/${life}/${name}`,
} as const;
