// What was released, as a small record to keep beside the sources, and what changed since without the version that says so. A check for an app's tests:
// on a device the same mistakes show themselves too late.

import { bytesToHex } from '../kernel/bytes.ts';
import type { ShardDefinition } from '../shards/define.ts';
import { schemasOf } from '../worker/engine/schema.ts';
import { sharedPool } from './memory.ts';

export interface Release {
  readonly version: number;
  /** In hex. */
  readonly foldId: string;
  readonly foldIdOf: ShardDefinition['foldIdOf'];
  /** Ids of the tables at version 1, 2, …, in hex. */
  readonly schemas: readonly string[];
}

/** By kind of shard. JSON. */
export type Releases = Readonly<Record<string, Release>>;

export interface ReleaseChange {
  readonly kind: string;
  /**
   * `tables`: a released version has other tables now, and files of it will not open: put them back, add a version. `fold`: other code under a released
   * version: raise it, or accept that every device records a move. `version`: below what was released. `gone`: not declared any more.
   */
  readonly what: 'tables' | 'fold' | 'version' | 'gone';
  /** In words, with the version. */
  readonly found: string;
}

/** The record of these definitions, to be kept when they are released. */
export async function releaseOf(definitions: readonly ShardDefinition[]): Promise<Releases> {
  const { sqlite3 } = await sharedPool();
  return Object.fromEntries(
    definitions.map((definition) => [
      definition.kind,
      {
        version: definition.spec.version,
        foldId: bytesToHex(definition.foldId),
        foldIdOf: definition.foldIdOf,
        schemas: schemasOf(sqlite3, definition).map(({ id }) => bytesToHex(id)),
      },
    ]),
  );
}

/**
 * What changed since a release without a version that says so; empty when all is well. Kinds that were never released do not count.
 * @example
 * expect(await changesSince(released, [till, catalogue])).toEqual([]);
 */
export async function changesSince(released: Releases, definitions: readonly ShardDefinition[]): Promise<readonly ReleaseChange[]> {
  const present = await releaseOf(definitions);
  return Object.entries(released).flatMap(([kind, then]): ReleaseChange[] => {
    const now = present[kind];
    if (now === undefined)
      return [{ kind, what: 'gone', found: `${kind} is not declared any more: what stands in its shards cannot be read` }];
    if (now.version < then.version) return [{ kind, what: 'version', found: `version ${now.version} after version ${then.version}` }];
    const edited = then.schemas.findIndex((id, i) => now.schemas[i] !== id);
    if (edited >= 0) return [{ kind, what: 'tables', found: `the tables of version ${edited + 1} are not those that were released` }];
    // A source and a declared surface cannot be compared.
    const isChanged = now.version === then.version && now.foldIdOf === then.foldIdOf && now.foldId !== then.foldId;
    return isChanged ? [{ kind, what: 'fold', found: `version ${now.version} is folded by other code than was released` }] : [];
  });
}
