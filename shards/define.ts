// A shard definition: the tables, op classes and commands of one kind of shard. Shared by page, worker and tests; the same object
// gives the types of the API, the DDL of the database and the reducers of the fold. Checked whole when it is made.

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { utf8 } from '../kernel/bytes.ts';
import { taggedHash } from '../kernel/digest.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { isClassName, type JsonValue, systemClassPrefix } from '../kernel/op-body.ts';
import type { Hash, Seq, TimeMs } from '../kernel/units.ts';
import type { Sql, SqlValue } from './sql.ts';
import { requireIdentifier, type Table, tableDdl } from './table.ts';

/** Where an op stands while it is folded. Never the clock of this device. */
export interface OpPlace {
  readonly seq: Seq;
  /** Writer's wall time of the group, ms. */
  readonly time: TimeMs;
}

/** What a reducer may do: run statements on this shard's tables. Values are bound, never spliced. */
export interface ReducerDb {
  run(statement: string, params?: readonly SqlValue[]): void;
  /** First row or undefined. */
  get<Row = Record<string, SqlValue>>(statement: string, params?: readonly SqlValue[]): Row | undefined;
  all<Row = Record<string, SqlValue>>(statement: string, params?: readonly SqlValue[]): readonly Row[];
}

/** What a command may do before it decides: read the shard's committed state. */
export type CommandRead = <Row>(query: Sql<Row>) => readonly Row[];

type Schema = StandardSchemaV1;

export interface OpClass<S extends Schema = Schema> {
  readonly schema: S;
  /** Version written; the upcasts lead up to it. */
  readonly version: number;
  readonly upcast: Readonly<Record<number, (old: JsonValue) => JsonValue>>;
  /** Pure: same rows, payload and place give the same rows, on every device and every year. A throw refuses the op before it is saved. */
  reduce(db: ReducerDb, payload: StandardSchemaV1.InferOutput<S>, at: OpPlace): void;
}

/** Declares an op class: the schema of its payload and the reducer that folds it into tables. */
export function op<S extends Schema>(
  schema: S,
  reduce: (db: ReducerDb, payload: StandardSchemaV1.InferOutput<S>, at: OpPlace) => void,
  options: { readonly version?: number; readonly upcast?: Readonly<Record<number, (old: JsonValue) => JsonValue>> } = {},
): OpClass<S> {
  return { schema, reduce, version: options.version ?? 1, upcast: options.upcast ?? {} };
}

export interface Command<S extends Schema = Schema> {
  readonly schema: S;
  decide(read: CommandRead, input: StandardSchemaV1.InferOutput<S>): readonly OpInput[];
}

/** An op as an app hands it over: class, payload, and its own id if it wants one. */
export type OpInput = readonly [className: string, payload: unknown, id?: string];

/** Declares a command: reads the state and says which ops to save, atomically, inside the writer. */
export function command<S extends Schema>(
  schema: S,
  decide: (read: CommandRead, input: StandardSchemaV1.InferOutput<S>) => readonly OpInput[],
): Command<S> {
  return { schema, decide };
}

export interface ShardSpec {
  readonly version: number;
  readonly tables: Readonly<Record<string, Table>>;
  readonly ops: Readonly<Record<string, OpClass>>;
  readonly commands?: Readonly<Record<string, Command>>;
}

export interface ShardDefinition<Spec extends ShardSpec = ShardSpec, Kind extends string = string> {
  /** Kind of shard: `till`, `catalogue`. Shards of one kind share tables, classes and reducers. */
  readonly kind: Kind;
  readonly spec: Spec;
  readonly ddl: readonly string[];
  /** Hash of the declared surface (decision 0004): says whether two builds mean the same fold. */
  readonly foldId: Hash;
}

/**
 * Declares one kind of shard.
 * @throws {FoldlogError} `misuse`: a name, version, key or class that cannot be, named with what was expected
 */
export function defineShard<const Kind extends string, const Spec extends ShardSpec>(kind: Kind, spec: Spec): ShardDefinition<Spec, Kind> {
  const where = `shard definition ${kind}`;
  requireIdentifier(kind, where);
  if (!Number.isInteger(spec.version) || spec.version < 1) {
    throw FoldlogError.misuse({ where, reason: 'badVersion', found: String(spec.version), expected: 'an integer from 1' });
  }
  for (const [name, opClass] of Object.entries(spec.ops)) requireOpClass(name, opClass, where);
  const ddl = Object.keys(spec.tables)
    .sort()
    .flatMap((name) => tableDdl(name, spec.tables[name] as Table));
  const surface = {
    kind,
    version: spec.version,
    ddl,
    ops: Object.keys(spec.ops)
      .sort()
      .map((name) => [name, spec.ops[name]?.version ?? 1]),
  };
  return { kind, spec, ddl, foldId: taggedHash('fold', utf8(JSON.stringify(surface))) };
}

function requireOpClass(name: string, opClass: OpClass, where: string): void {
  const bad = (found: string, expected: string) =>
    FoldlogError.misuse({ where: `${where}, op ${name.slice(0, 64)}`, reason: 'badOpClass', found, expected });
  if (!isClassName(name)) throw bad('a bad class name', 'dotted letters, digits, - and _, beginning with a letter');
  if (name.startsWith(systemClassPrefix)) throw bad(`a class of the engine's own`, `a name that does not begin with ${systemClassPrefix}`);
  if (!Number.isInteger(opClass.version) || opClass.version < 1 || opClass.version > 0xffff) {
    throw bad(`version ${opClass.version}`, '1 to 65535');
  }
  for (let version = 1; version < opClass.version; version++) {
    if (opClass.upcast[version] === undefined) throw bad(`no upcast from version ${version}`, 'one from every older version');
  }
}

/** Class names and payload types of a definition, for the typed API. */
export type OpNames<D extends ShardDefinition> = keyof D['spec']['ops'] & string;
export type OpPayload<D extends ShardDefinition, Name extends OpNames<D>> = StandardSchemaV1.InferInput<D['spec']['ops'][Name]['schema']>;
export type CommandNames<D extends ShardDefinition> = keyof NonNullable<D['spec']['commands']> & string;
export type CommandInput<D extends ShardDefinition, Name extends CommandNames<D>> =
  NonNullable<D['spec']['commands']>[Name] extends Command<infer S> ? StandardSchemaV1.InferInput<S> : never;
