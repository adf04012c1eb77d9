// How the tables of a stored file stand to the code that opened it, and bringing them up. The file says which version, texts and fold it has;
// nothing is believed of it that its own words do not hold. What a move leaves in the chain is in move-schema.ts; decision 0004.

import { isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { type Hash, hash, noHash, type Seq } from '../../kernel/units.ts';
import { migrationTo, type ShardDefinition } from '../../shards/define.ts';
import type { Database } from './database.ts';
import { isHostFailure } from './fold.ts';
import { Meta } from './meta.ts';
import { requireSchemaTexts, schemaIdOf, schemaOf, storedTexts } from './schema.ts';

export type SchemaStanding =
  | { readonly kind: 'present'; readonly version: number }
  /** Migrations of this code lead from there to the present. `said`: the version that the chain spoke of last. */
  | { readonly kind: 'behind'; readonly version: number; readonly said: number; readonly foldId: Hash }
  /** The present tables, filled by other code. */
  | { readonly kind: 'otherFold'; readonly version: number; readonly said: number; readonly foldId: Hash }
  /** The present tables and fold, of which the chain does not say so: the op that did stranded, or its writer was another. */
  | Unsaid
  /** Of a newer app: this code can read nothing of its tables. */
  | { readonly kind: 'ahead'; readonly version: number };

export interface Unsaid {
  readonly kind: 'unsaid';
  readonly version: number;
  readonly said: number;
  /** Code that made what lies below, as far as it is known. */
  readonly foldId: Hash;
}

/**
 * Reads it from a file that is ours. `ownTexts`: of the engine's own tables. Changes nothing.
 * @throws {FoldlogError} `corrupt` `damagedSchema`: not the texts the file was made with · `misuse` `tablesChanged`: they were, and this code declares
 * others under the same version
 */
export function standingOf(db: Database, file: string, definition: ShardDefinition, ownTexts: readonly string[]): SchemaStanding {
  const meta = new Meta(db);
  const version = meta.number('schemaVersion') ?? 0;
  if (!Number.isInteger(version) || version < 1) throw damagedVersion(file, version);
  const texts = storedTexts(db);
  const madeWith = meta.bytes('schemaId');
  const isAhead = version > definition.spec.version;
  const isWhole = madeWith === undefined || isSameBytes(schemaIdOf(texts), madeWith);
  // The stored texts themselves when the file vouches for them; else those declared, which are the only witness left.
  requireSchemaTexts(db, file, [...(isWhole && madeWith !== undefined ? texts : declaredTexts(db, definition, version)), ...ownTexts]);
  if (isAhead) return { kind: 'ahead', version };
  if (!isSameBytes(schemaIdOf(texts), schemaOf(db.sqlite3, definition, version).id)) throw tablesChanged(file, definition, version);
  const storedFold = meta.bytes('foldId');
  const foldId = storedFold === undefined ? noHash : hash(storedFold);
  const said = meta.number('unsaidFrom') ?? version;
  if (version < definition.spec.version) return { kind: 'behind', version, said, foldId };
  if (!isSameBytes(foldId, definition.foldId)) return { kind: 'otherFold', version, said, foldId };
  return unsaidOf(meta, definition) ?? { kind: 'present', version };
}

/** What the chain still has to say of tables that are the present ones; undefined when it did. */
export function unsaidOf(meta: Meta, definition: ShardDefinition): Unsaid | undefined {
  const said = meta.number('unsaidFrom');
  const foldId = meta.bytes('movedFrom') ?? meta.bytes('writerFold');
  if (said === undefined) return undefined;
  return { kind: 'unsaid', version: definition.spec.version, said, foldId: foldId === undefined ? noHash : hash(foldId) };
}

/** The chain, or a checkpoint of it, speaks of a version and a fold. Whoever writes on with another code says so before all else (move-schema.ts). */
export function noteSaid(meta: Meta, definition: ShardDefinition, said: { readonly version: number; readonly foldId: Hash }): void {
  if (isSameBytes(said.foldId, definition.foldId)) meta.delete('unsaidFrom');
  else meta.set('unsaidFrom', said.version);
}

export const noteUnsaid = (meta: Meta, from: number): void => meta.set('unsaidFrom', from);

/** In the transaction that says it. */
export const forgetUnsaid = (meta: Meta): void => meta.delete('unsaidFrom');

const declaredTexts = (db: Database, definition: ShardDefinition, version: number): readonly string[] =>
  version <= definition.spec.version ? schemaOf(db.sqlite3, definition, version).texts : [];

/** What the file says of its tables from now on. Inside the transaction that made them so. */
export function setSchema(db: Database, definition: ShardDefinition): void {
  const meta = new Meta(db);
  meta.set('schemaVersion', definition.spec.version);
  meta.set('foldId', definition.foldId);
  meta.set('schemaId', schemaOf(db.sqlite3, definition).id);
}

/**
 * Brings the app's tables from `version` to the present, inside the caller's transaction, which rolls back what this throws.
 * @throws {FoldlogError} `misuse` `migrationFailed`, naming version and statement
 */
export function migrateTables(db: Database, definition: ShardDefinition, version: number): void {
  schemaOf(db.sqlite3, definition); // every statement went through the guard, on tables of the same texts
  db.finalizeStatements(); // prepared against the tables as they were
  for (let to = version + 1; to <= definition.spec.version; to++) {
    for (const [i, statement] of migrationTo(definition.spec, to).entries()) {
      try {
        db.exec(statement);
      } catch (cause) {
        if (isHostFailure(cause)) throw cause;
        throw migrationFailed(`${definition.kind}, version ${to}, statement ${i + 1}`, cause);
      }
    }
  }
  db.finalizeStatements();
}

/**
 * The same for tables of which nothing here goes into a chain: a replica's, or an own shard's that this device may not sign any more. One transaction;
 * the cursor stays where it is. `atSeq`: where the tables stand.
 */
export function migrateInPlace(db: Database, definition: ShardDefinition, standing: SchemaStanding, atSeq: Seq): void {
  if (standing.kind !== 'behind' && standing.kind !== 'otherFold') return;
  db.transaction(() => {
    if (standing.kind === 'behind') migrateTables(db, definition, standing.version);
    setSchema(db, definition);
    noteMove(db, atSeq, standing.foldId);
    noteUnsaid(new Meta(db), standing.said);
  });
}

/**
 * Remembers that the tables below `atSeq` are not the work of the present code: who folds the chain again may get others. What was found out about
 * the tables as they were counts no more.
 */
export function noteMove(db: Database, atSeq: Seq, from: Hash): void {
  const meta = new Meta(db);
  meta.set('movedSeq', atSeq);
  meta.set('movedFrom', from);
  db.run(`DELETE FROM foldlog_meta WHERE name IN ('auditSeq', 'auditHash', 'canary', 'checkSeq', 'checkHash')`);
}

/** @throws {FoldlogError} `upgradeNeeded` `newerSchema` */
export function requireReadable(found: { readonly version: number }, where: string, definition: ShardDefinition): void {
  if (found.version <= definition.spec.version) return;
  throw new FoldlogError('upgradeNeeded', {
    where,
    reason: 'newerSchema',
    found: `schema version ${found.version} of ${definition.kind}`,
    expected: `version ${definition.spec.version} or older`,
    todo: 'update the app; the file stays as it is, and what was saved is still sent',
  });
}

const damagedVersion = (file: string, version: number): FoldlogError =>
  FoldlogError.corrupt({ where: file, reason: 'damagedSchema', found: `schema version ${version}`, expected: 'a version from 1' });

const tablesChanged = (file: string, definition: ShardDefinition, version: number): FoldlogError =>
  FoldlogError.misuse({
    where: `${file}, ${definition.kind}`,
    reason: 'tablesChanged',
    found: `other tables under version ${version} than this app declares`,
    expected: `tables and migrations up to version ${version} as they were released`,
    todo: 'put them back as they were, and lead on with a migration to a new version; nothing was changed',
  });

const migrationFailed = (where: string, cause: unknown): FoldlogError =>
  FoldlogError.misuse({
    where,
    reason: 'migrationFailed',
    found: cause instanceof Error ? cause.message : String(cause),
    expected: 'a statement that every stored row lets through',
    todo: 'correct the migration in a new release; nothing was changed, and the older app still opens the file',
    cause,
  });
