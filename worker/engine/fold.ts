// Folds ops into tables with the app's reducers, under guard: an authorizer denies clock, randomness, DDL, PRAGMA and other files in SQL,
// and the JavaScript clock and random generator are shut while reducers run. So state is a function of the chain alone.

import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { GroupHeader } from '../../kernel/commit-group.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { JsonValue, Op } from '../../kernel/op-body.ts';
import { decodeOps, systemClassPrefix } from '../../kernel/op-body.ts';
import type { SqlValue } from '../../kernel/state-hash.ts';
import { isSystemOp, readSystemOp, type SystemOp } from '../../kernel/system-ops.ts';
import { type Seq, seq, type TimeMs } from '../../kernel/units.ts';
import type { OpClass, OpInput, OpPlace, ReducerDb, ShardDefinition } from '../../shards/define.ts';
import type { Database } from './database.ts';
import { withoutAmbient } from './fold-guard.ts';
import { isImpure } from './pure-sql.ts';
import { schemaOf } from './schema.ts';
import { foldSystemOp, rebaseFault } from './system-fold.ts';

/** An op that is ready to fold: `op` as it stands or will stand in a chain; of an app's, also the payload at the class's present version. */
export type ReadyOp =
  | { readonly kind: 'app'; readonly op: Op; readonly opClass: OpClass; readonly payload: JsonValue }
  | { readonly kind: 'system'; readonly op: Op; readonly system: SystemOp };

/** What became of a stored group. */
export type FoldedGroup = { readonly kind: 'folded'; readonly ops: readonly ReadyOp[] } | { readonly kind: 'void' };

export class Folder {
  readonly #definition: ShardDefinition;
  readonly #db: Database;
  readonly #guarded: ReducerDb;
  readonly #vetted = new Set<string>();

  constructor(definition: ShardDefinition, db: Database) {
    this.#definition = definition;
    this.#db = db;
    this.#guarded = {
      run: (text, params) => {
        this.#vet(text);
        db.run(text, params);
      },
      get: <R>(text: string, params?: readonly SqlValue[]) => {
        this.#vet(text);
        return db.get<R>(text, params);
      },
      all: <R>(text: string, params?: readonly SqlValue[]) => {
        this.#vet(text);
        return db.all<R>(text, params);
      },
    };
  }

  /**
   * Checks what an app wants to save: class declared, payload accepted by the schema of the version that is written. Kept is the schema's output.
   * @throws {FoldlogError} `misuse` `unknownClass`, `badPayload`, `upcastFailed`
   */
  prepare(input: OpInput): ReadyOp {
    const [name, payload, id] = input;
    const opClass = this.#classOf(name);
    const { version, schema } = opClass.writes;
    const written = validate(schema, payload, `op ${name}`) as JsonValue;
    const op = { class: name, version, payload: written };
    return { kind: 'app', op: id === undefined ? op : { ...op, id }, opClass, payload: upcast(opClass, op) };
  }

  /**
   * Reads an op that stands in a chain: known class, not newer, older payloads brought up. The op itself stays as it is.
   * @throws {FoldlogError} `upgradeNeeded` `unknownClass`, `newerClass` · `misuse` `upcastFailed`
   */
  read(op: Op): ReadyOp {
    if (isSystemOp(op)) return { kind: 'system', op, system: readSystemOp(op, `ops of ${this.#definition.kind}`) };
    const opClass = Object.hasOwn(this.#definition.spec.ops, op.class) ? this.#definition.spec.ops[op.class] : undefined;
    const where = `op class ${op.class} of ${this.#definition.kind}`;
    if (opClass === undefined) {
      throw new FoldlogError('upgradeNeeded', {
        where,
        reason: 'unknownClass',
        found: 'a class this app does not declare',
        expected: this.#known(),
      });
    }
    if (op.version > opClass.version) {
      throw new FoldlogError('upgradeNeeded', {
        where,
        reason: 'newerClass',
        found: `version ${op.version}`,
        expected: `version ${opClass.version} or older`,
      });
    }
    return { kind: 'app', op, opClass, payload: upcast(opClass, op) };
  }

  /**
   * Folds a group that stands in a verified chain, inside the caller's transaction. One that breaks the rule of bodies, or of ops that are saved again, is
   * void: it keeps its seqs and changes nothing, for every reader alike (decisions 0001 and 0003).
   * @throws {FoldlogError} `upgradeNeeded`: of a newer app · `misuse`: a reducer threw
   */
  foldGroup({ opCount, firstSeq, time }: GroupHeader, body: Uint8Array, where: string): FoldedGroup {
    let ops: readonly ReadyOp[];
    try {
      ops = decodeOps(body, opCount, where).map((op) => this.read(op));
    } catch (error) {
      if (error instanceof FoldlogError && (error.reason === 'badBody' || error.reason === 'badSystemOp')) return { kind: 'void' };
      throw error;
    }
    if (this.#faultOf(ops) !== undefined) return { kind: 'void' };
    this.#run(ops, firstSeq, time);
    return { kind: 'folded', ops };
  }

  /**
   * Runs the reducers of one group, in order, inside the caller's transaction.
   * @throws {FoldlogError} `misuse` `reducerFailed`, `impureReducer`; `badRebase`, `originBelowCut`, `originTaken`, with which it would be void: the caller
   * rolls back
   */
  fold(ops: readonly ReadyOp[], firstSeq: Seq, time: TimeMs): void {
    const fault = this.#faultOf(ops);
    if (fault !== undefined) throw fault;
    this.#run(ops, firstSeq, time);
  }

  #faultOf(ops: readonly ReadyOp[]): FoldlogError | undefined {
    if (!ops.some(({ kind }) => kind === 'system')) return undefined;
    return rebaseFault(
      this.#db,
      ops.map((ready) => (ready.kind === 'system' ? ready.system : undefined)),
    );
  }

  #run(ops: readonly ReadyOp[], firstSeq: Seq, time: TimeMs): void {
    withoutAmbient(() => {
      let at = firstSeq;
      for (const ready of ops) {
        if (ready.kind === 'system') foldSystemOp(this.#db, this.#definition, ready.system);
        else this.#reduce(ready, { seq: at, time });
        at = seq(at + 1);
      }
    });
  }

  #reduce({ op, opClass, payload }: Extract<ReadyOp, { kind: 'app' }>, at: OpPlace): void {
    try {
      opClass.reduce(this.#guarded, payload, at);
    } catch (cause) {
      if (isHostFailure(cause)) throw cause;
      throw asReducerFailure(cause, `reducer of ${op.class}, seq ${at.seq}`);
    }
  }

  #classOf(name: string): OpClass {
    const opClass = Object.hasOwn(this.#definition.spec.ops, name) ? this.#definition.spec.ops[name] : undefined;
    if (opClass !== undefined) return opClass;
    throw FoldlogError.misuse({
      where: `save to ${this.#definition.kind}`,
      reason: 'unknownClass',
      found: name.startsWith(systemClassPrefix) ? `the engine's own class ${name}` : `the class ${JSON.stringify(name.slice(0, 64))}`,
      expected: this.#known(),
    });
  }

  #known(): string {
    return `one of ${Object.keys(this.#definition.spec.ops).join(', ')}`;
  }

  /** Prepares a reducer's statement once with the authorizer on; later runs use the prepared one. */
  #vet(text: string): void {
    if (this.#vetted.has(text)) return;
    const { capi } = this.#db.sqlite3;
    const allowed = new Set<number>([
      capi.SQLITE_SELECT,
      capi.SQLITE_READ,
      capi.SQLITE_INSERT,
      capi.SQLITE_UPDATE,
      capi.SQLITE_DELETE,
      capi.SQLITE_RECURSIVE,
    ]);
    let denied = '';
    const ownTables = new Set(schemaOf(this.#db.sqlite3, this.#definition).tables.map(({ name }) => name));
    capi.sqlite3_set_authorizer(
      this.#db.handle,
      (_: number, action: number, a: string | 0, b: string | 0) => {
        const isOwnTable = typeof a === 'string' && ownTables.has(a);
        const isAllowed =
          action === capi.SQLITE_FUNCTION
            ? !isImpure(String(b))
            : allowed.has(action) && (action === capi.SQLITE_SELECT || action === capi.SQLITE_RECURSIVE || isOwnTable);
        if (isAllowed) return capi.SQLITE_OK;
        denied ||= action === capi.SQLITE_FUNCTION ? `the function ${String(b)}` : `action ${action} on ${String(a)}`;
        return capi.SQLITE_DENY;
      },
      0,
    );
    try {
      this.#db.handle.prepare(text).finalize();
    } catch (cause) {
      if (denied === '') throw cause;
      throw FoldlogError.misuse({
        where: 'reducer',
        reason: 'impureReducer',
        found: denied,
        expected: "reads and writes of the shard's own tables with pure functions",
        todo: 'put the time or the random value into the payload when the op is made',
        cause,
      });
    } finally {
      capi.sqlite3_set_authorizer(this.#db.handle, 0 as never, 0);
    }
    this.#vetted.add(text);
  }
}

/** The payload at the class's present version. Under the same guard as a reducer, for what it makes is folded. */
function upcast(opClass: OpClass, op: Op): JsonValue {
  let { payload } = op;
  if (op.version === opClass.version) return payload;
  return withoutAmbient(() => {
    for (let version = op.version; version < opClass.version; version++) {
      const up = opClass.upcast[version];
      try {
        if (up !== undefined) payload = up(payload);
      } catch (cause) {
        if (cause instanceof FoldlogError && cause.reason === 'impureReducer') throw cause;
        throw FoldlogError.misuse({
          where: `upcast of ${op.class} from version ${version}`,
          reason: 'upcastFailed',
          found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
          expected: 'an upcast of every payload that was ever saved',
          todo: 'correct the upcast; the op stays as it is',
          cause,
        });
      }
    }
    return payload;
  });
}

/** @throws {FoldlogError} `misuse` `badPayload` with the schema's own words and path */
export function validate(schema: StandardSchemaV1, value: unknown, where: string): unknown {
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) {
    throw FoldlogError.misuse({
      where,
      reason: 'asyncSchema',
      found: 'a schema that validates asynchronously',
      expected: 'a synchronous one',
    });
  }
  if (result.issues === undefined) return result.value;
  const [issue] = result.issues;
  const path = (issue?.path ?? []).map((part) => (typeof part === 'object' ? String(part.key) : String(part))).join('.');
  throw FoldlogError.misuse({
    where: path === '' ? where : `${where}, ${path}`,
    reason: 'badPayload',
    found: issue?.message ?? 'a payload its schema refuses',
    expected: 'a payload its schema accepts',
  });
}

/** Out of memory, room or sound pages: not the app's doing, and the transaction may be gone already. */
export function isHostFailure(cause: unknown): boolean {
  const code = (cause as { resultCode?: unknown } | undefined)?.resultCode;
  return typeof code === 'number' && [7, 10, 11, 13, 26].includes(code & 0xff);
}

function asReducerFailure(cause: unknown, where: string): FoldlogError {
  if (cause instanceof FoldlogError) {
    return cause.reason === 'impureReducer' ? new FoldlogError('misuse', { ...cause, where, cause }) : cause;
  }
  return FoldlogError.misuse({
    where,
    reason: 'reducerFailed',
    found: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
    expected: 'a reducer that folds every payload its schema accepts',
    todo: 'correct the payload or the reducer; nothing was saved',
    cause,
  });
}
