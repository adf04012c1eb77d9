// Whether every version of every op class that may stand in a chain still becomes a payload that the present schema takes.

import type { JsonValue } from '../kernel/op-body.ts';
import type { ShardDefinition } from '../shards/define.ts';
import { Database } from '../worker/engine/database.ts';
import { Folder, validate } from '../worker/engine/fold.ts';
import type { FixtureGroup } from './fold-fixture.ts';
import { sharedPool } from './memory.ts';

export interface UpcastCoverage {
  /** `class v1`: versions that can stand in a chain and of which no fixture is there. */
  readonly missing: readonly string[];
  /** Fixtures whose upcast throws, or makes what the present schema refuses, with the reason. */
  readonly refused: readonly string[];
}

/**
 * Holds fixtures of every release against the upcasts of this one. Both lists are empty when all is well.
 * @example
 * expect(await upcastCoverage(till, groups)).toEqual({ missing: [], refused: [] });
 */
export async function upcastCoverage(definition: ShardDefinition, groups: readonly FixtureGroup[]): Promise<UpcastCoverage> {
  const pool = await sharedPool();
  const db = new Database(pool.sqlite3, new pool.sqlite3.oo1.DB(':memory:', 'c'), 'upcasts');
  const folder = new Folder(definition, db);
  const seen = new Set<string>();
  const refused: string[] = [];
  try {
    for (const [name, payload, version] of groups.flatMap(({ ops }) => ops)) {
      const opClass = Object.hasOwn(definition.spec.ops, name) ? definition.spec.ops[name] : undefined;
      const at = version ?? opClass?.writes.version ?? 1;
      seen.add(`${name} v${at}`);
      try {
        const ready = folder.read({ class: name, version: at, payload: payload as JsonValue });
        if (ready.kind === 'app') validate(ready.opClass.schema, ready.payload, `${name} v${at}`);
      } catch (error) {
        refused.push(`${name} v${at}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  } finally {
    db.close();
  }
  const wanted = Object.entries(definition.spec.ops).flatMap(([name, { version }]) =>
    Array.from({ length: version }, (_, i) => `${name} v${i + 1}`),
  );
  return { missing: wanted.filter((each) => !seen.has(each)), refused };
}
