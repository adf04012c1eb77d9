// A shard definition: the tables, op classes and commands of one kind of shard. Shared by page, worker and tests; the same object
// gives the types of the API, the DDL of the database and the reducers of the fold. Checked whole when it is made.

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { utf8 } from '../kernel/bytes.ts';
import { taggedHash } from '../kernel/digest.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { migrationStatementsMax, schemaVersionMax } from '../kernel/limits.ts';
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

/** What is saved of a class: the version written, and the schema its payload must pass. */
export interface Written<W extends Schema = Schema> {
  readonly version: number;
  readonly schema: W;
}

export interface OpClass<S extends Schema = Schema, W extends Schema = Schema> {
  readonly schema: S;
  /** Newest version read; the upcasts lead up to it, and the reducer takes it. */
  readonly version: number;
  /** The newest version too, except for one release while readers learn it. */
  readonly writes: Written<W>;
  readonly upcast: Readonly<Record<number, Upcast>>;
  /** Pure: same rows, payload and place give the same rows, on every device and every year. A throw refuses the op before it is saved. */
  reduce(db: ReducerDb, payload: StandardSchemaV1.InferOutput<S>, at: OpPlace): void;
}

/** Brings a payload of one version up to the next. Pure; stored bytes never change. */
export type Upcast = (old: JsonValue) => JsonValue;

export interface OpOptions {
  /** 1 unless said otherwise. */
  readonly version?: number;
  /** From every older version to the one after it. */
  readonly upcast?: Readonly<Record<number, Upcast>>;
}

/** Declares an op class: the schema of its payload and the reducer that folds it into tables. */
export function op<S extends Schema>(
  schema: S,
  reduce: (db: ReducerDb, payload: StandardSchemaV1.InferOutput<S>, at: OpPlace) => void,
  options?: OpOptions,
): OpClass<S, S>;
/**
 * A class of which an older version is still the one saved: a new version ships readable one release before it is written, so that a device that
 * updates first does not stop the others. The app passes payloads of `writes`; take it away in the release after.
 */
export function op<S extends Schema, W extends Schema>(
  schema: S,
  reduce: (db: ReducerDb, payload: StandardSchemaV1.InferOutput<S>, at: OpPlace) => void,
  options: OpOptions & { readonly writes: Written<W> },
): OpClass<S, W>;
export function op<S extends Schema>(
  schema: S,
  reduce: (db: ReducerDb, payload: StandardSchemaV1.InferOutput<S>, at: OpPlace) => void,
  options: OpOptions & { readonly writes?: Written } = {},
): OpClass<S> {
  const version = options.version ?? 1;
  return { schema, reduce, version, writes: options.writes ?? { version, schema }, upcast: options.upcast ?? {} };
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
  /** Version of the tables; grows by one with each entry of `migrations`. */
  readonly version: number;
  /** The tables of version 1. Never changed once released: what came later is in `migrations`. */
  readonly tables: Readonly<Record<string, Table>>;
  /** SQL statements that lead from the version before to the one they stand under: `{ 2: ['ALTER TABLE …'] }`. Never changed once released. */
  readonly migrations?: Readonly<Record<number, readonly string[]>>;
  readonly ops: Readonly<Record<string, OpClass>>;
  readonly commands?: Readonly<Record<string, Command>>;
}

/** Put in by the build (`foldlog/vite`): which source a definition was made from, and whether people work with it. */
export interface FoldStamp {
  /** SHA-256 in hex over the definition's module and all it imports. */
  readonly source: string;
  /** In development a fold that changed under one version is refused; in production it is recorded. */
  readonly mode: 'development' | 'production';
}

export interface ShardDefinition<Spec extends ShardSpec = ShardSpec, Kind extends string = string> {
  /** Kind of shard: `till`, `catalogue`. Shards of one kind share tables, classes and reducers. */
  readonly kind: Kind;
  readonly spec: Spec;
  /** Statements that make the present tables out of nothing: version 1's tables, then all migrations. */
  readonly ddl: readonly string[];
  /** Says which code makes a state (decision 0004): whether two builds mean the same fold. */
  readonly foldId: Hash;
  /** What the id is a hash of. The declared surface does not show a reducer that changed. */
  readonly foldIdOf: 'source' | 'declared';
  readonly mode: FoldStamp['mode'];
}

/**
 * Declares one kind of shard. The third argument is put in by the build.
 * @throws {FoldlogError} `misuse`: a name, version, key, class or migration that cannot be, named with what was expected
 */
export function defineShard<const Kind extends string, const Spec extends ShardSpec>(
  kind: Kind,
  spec: Spec,
  stamp?: FoldStamp,
): ShardDefinition<Spec, Kind> {
  const where = `shard definition ${kind}`;
  requireIdentifier(kind, where);
  if (!Number.isInteger(spec.version) || spec.version < 1 || spec.version > schemaVersionMax) {
    throw FoldlogError.misuse({
      where,
      reason: 'badVersion',
      found: String(spec.version),
      expected: `an integer from 1 to ${schemaVersionMax}`,
    });
  }
  for (const [name, opClass] of Object.entries(spec.ops)) requireOpClass(name, opClass, where);
  requireMigrations(spec, where);
  const tables = tablesDdl(spec);
  const migrations = Array.from({ length: spec.version - 1 }, (_, i) => migrationTo(spec, i + 2));
  const surface = {
    kind,
    version: spec.version,
    ddl: tables,
    migrations,
    ops: Object.keys(spec.ops)
      .sort()
      .map((name) => [name, spec.ops[name]?.version ?? 1]),
  };
  const made = { kind, spec, ddl: [...tables, ...migrations.flat()] };
  if (stamp === undefined) {
    return { ...made, foldId: taggedHash('fold', utf8(JSON.stringify(surface))), foldIdOf: 'declared', mode: 'production' };
  }
  requireStamp(stamp, where);
  const foldId = taggedHash('fold-source', utf8(JSON.stringify({ ...surface, source: stamp.source })));
  return { ...made, foldId, foldIdOf: 'source', mode: stamp.mode };
}

/** The statements that make version 1's tables, in name order. */
export const tablesDdl = (spec: ShardSpec): readonly string[] =>
  Object.keys(spec.tables)
    .sort()
    .flatMap((name) => tableDdl(name, spec.tables[name] as Table));

/** The statements that lead to `version` from the one before it. */
export const migrationTo = (spec: ShardSpec, version: number): readonly string[] => spec.migrations?.[version] ?? [];

function requireMigrations({ version, migrations = {} }: ShardSpec, where: string): void {
  const bad = (found: string, expected: string) => FoldlogError.misuse({ where, reason: 'badMigration', found, expected });
  const expected =
    version === 1 ? 'none: the tables of version 1 are those declared' : `one list of statements for each of 2 to ${version}`;
  const stray = Object.keys(migrations).find((key) => !/^[1-9]\d*$/.test(key) || Number(key) < 2 || Number(key) > version);
  if (stray !== undefined) throw bad(`a migration to version ${stray.slice(0, 16)}`, expected);
  for (let to = 2; to <= version; to++) {
    const statements: unknown = Object.hasOwn(migrations, to) ? migrations[to] : undefined;
    if (!Array.isArray(statements)) throw bad(`no list of statements for version ${to}`, expected);
    if (statements.length > migrationStatementsMax) {
      throw bad(`${statements.length} statements for version ${to}`, `at most ${migrationStatementsMax}`);
    }
    const empty = statements.findIndex((statement) => typeof statement !== 'string' || statement.trim() === '');
    if (empty >= 0) throw bad(`version ${to}, statement ${empty + 1}: no SQL`, 'text of one statement');
  }
}

function requireStamp(stamp: FoldStamp, where: string): void {
  if (/^[0-9a-f]{64}$/.test(stamp.source) && (stamp.mode === 'development' || stamp.mode === 'production')) return;
  throw FoldlogError.misuse({
    where,
    reason: 'badStamp',
    found: 'a third argument that is not the build’s',
    expected: 'none: the plugin foldlog/vite puts it in',
  });
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
    if (!Object.hasOwn(opClass.upcast, version)) throw bad(`no upcast from version ${version}`, 'one from every older version');
  }
  const stray = Object.keys(opClass.upcast).find((from) => !(Number(from) >= 1 && Number(from) < opClass.version));
  if (stray !== undefined) throw bad(`an upcast from version ${stray.slice(0, 16)}`, `upcasts from versions below ${opClass.version}`);
  const { version } = opClass.writes;
  if (!Number.isInteger(version) || version < 1 || version > opClass.version) {
    throw bad(`version ${version} is written`, `1 to ${opClass.version}, which is the newest that can be read`);
  }
}

/** Class names and payload types of a definition, for the typed API. */
export type OpNames<D extends ShardDefinition> = keyof D['spec']['ops'] & string;
/** What `save` takes: of the version that is written. */
export type OpPayload<D extends ShardDefinition, Name extends OpNames<D>> = StandardSchemaV1.InferInput<
  D['spec']['ops'][Name]['writes']['schema']
>;
export type CommandNames<D extends ShardDefinition> = keyof NonNullable<D['spec']['commands']> & string;
export type CommandInput<D extends ShardDefinition, Name extends CommandNames<D>> =
  NonNullable<D['spec']['commands']>[Name] extends Command<infer S> ? StandardSchemaV1.InferInput<S> : never;
