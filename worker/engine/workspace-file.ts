// The workspace's own database file: replica of the control log, acts not yet committed, and which shards this device holds.
// SQL only. Decision 0006.

import { type Bytes, utf8 } from '../../kernel/bytes.ts';
import { type Act, actsFromJson, actsToJson } from '../../kernel/control/acts.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { parseCanonicalJson } from '../../kernel/op-body.ts';
import { type ShardId, type Slot, shardId, slot, type WorkspaceId, workspaceId } from '../../kernel/units.ts';
import type { Database } from './database.ts';
import { requireSoundPages } from './log-check.ts';
import { Meta, putOnDisk, requireSchemaTexts, setExclusive, setPragmas } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';

export const workspaceFileName = '/workspace.db';
const applicationId = 0x464f4c57; // FOLW

const ddl = [
  'CREATE TABLE foldlog_meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID',
  'CREATE TABLE foldlog_control (slot INTEGER PRIMARY KEY, object BLOB NOT NULL) STRICT',
  'CREATE TABLE foldlog_act (id INTEGER PRIMARY KEY, acts TEXT NOT NULL, entry BLOB, refused TEXT) STRICT',
  `CREATE TABLE foldlog_shard (id BLOB PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, hold TEXT NOT NULL) STRICT, WITHOUT ROWID`,
  'CREATE TABLE foldlog_rule (pattern TEXT PRIMARY KEY) STRICT, WITHOUT ROWID',
];

/** Acts waiting to become a control entry. `entry` is there when the bytes are fixed already: only genesis, whose digest is the workspace id. */
export interface PendingActs {
  readonly id: number;
  readonly acts: readonly Act[];
  readonly entry: Bytes | undefined;
  /** Why the log refused them, if it did; kept for the person who asked. */
  readonly refused: string | undefined;
}

export interface HeldShard {
  readonly id: ShardId;
  readonly kind: string;
  readonly name: string;
  /** `lost`: this device's own, whose file is gone; followed like another's. */
  readonly hold: 'own' | 'replica' | 'lost';
}

export class WorkspaceFile {
  readonly db: Database;
  readonly #pool: StoragePool;
  readonly #meta: Meta;

  private constructor(pool: StoragePool, db: Database) {
    this.#pool = pool;
    this.db = db;
    this.#meta = new Meta(db);
  }

  /**
   * `isMarked`: it was ready once, so that an empty one is a loss.
   * @throws {FoldlogError} `corrupt` `missingFile`, `foreignFile`, `damagedPages`, `damagedSchema`, `damagedFile`, with nothing changed
   */
  static async open(pool: StoragePool, isMarked: boolean): Promise<WorkspaceFile> {
    const db = pool.has(workspaceFileName) ? await pool.open(workspaceFileName) : pool.create(workspaceFileName);
    try {
      setExclusive(db, pool);
      const isEmpty = db.value('SELECT count(*) FROM sqlite_schema') === 0;
      if (isEmpty && isMarked) throw emptied();
      if (isEmpty) db.exec('PRAGMA page_size=8192; PRAGMA auto_vacuum=incremental');
      else requireSound(db);
      setPragmas(db, pool);
      putOnDisk(db, pool);
      // New, or empty after a kill during its creation: nothing was ever answered from it.
      if (isEmpty) fill(db);
      return new WorkspaceFile(pool, db);
    } catch (error) {
      const failure = db.openingFailure(error, workspaceFileName);
      db.abandon();
      throw failure;
    }
  }

  /**
   * Resolves when every change until now is durable; undefined when it is. Awaited before something outside relies on a change. A failure takes
   * nothing back here: the change goes with the next flush, and who must not keep it undoes it.
   */
  flush(): Promise<void> | undefined {
    return this.#pool.flush(workspaceFileName);
  }

  get workspace(): WorkspaceId | undefined {
    const value = this.#meta.bytes('workspace');
    return value === undefined ? undefined : workspaceId(value);
  }

  /** Relay key from the invite link, until the control log says it itself. */
  get expectedRelayKey(): Uint8Array<ArrayBuffer> | undefined {
    return this.#meta.bytes('expectedRelayKey');
  }

  setWorkspace(workspace: WorkspaceId, expectedRelayKey?: Uint8Array): void {
    this.#change(() => {
      this.#meta.set('workspace', workspace);
      if (expectedRelayKey !== undefined) this.#meta.set('expectedRelayKey', expectedRelayKey);
    });
  }

  /** Only for a device that never became a member: nothing but the copied control log is lost. */
  forgetWorkspace(): void {
    this.db.transaction(() => {
      this.db.run(`DELETE FROM foldlog_meta WHERE name IN ('workspace', 'expectedRelayKey')`);
      this.db.run('DELETE FROM foldlog_control');
      this.db.run('DELETE FROM foldlog_act');
    });
  }

  controlSlots(): readonly Bytes[] {
    return this.db.all<{ object: Bytes }>('SELECT object FROM foldlog_control ORDER BY slot').map((row) => row.object);
  }

  putControlSlot(at: Slot, object: Bytes): void {
    this.db.run('INSERT INTO foldlog_control (slot, object) VALUES (?, ?)', [at, object]);
  }

  controlHeadSlot(): Slot {
    return slot(Number(this.db.value('SELECT coalesce(max(slot), 0) FROM foldlog_control')));
  }

  pendingActs(): readonly PendingActs[] {
    return this.db
      .all<{ id: number; acts: string; entry: Bytes | null; refused: string | null }>(
        'SELECT id, acts, entry, refused FROM foldlog_act ORDER BY id',
      )
      .map((row) => ({
        id: row.id,
        acts: actsFromJson(parseCanonicalJson(utf8(row.acts), 'stored acts'), 'stored acts'),
        entry: row.entry ?? undefined,
        refused: row.refused ?? undefined,
      }));
  }

  queueActs(acts: readonly Act[], entry?: Bytes): void {
    this.#change(() =>
      this.db.run('INSERT INTO foldlog_act (acts, entry) VALUES (?, ?)', [JSON.stringify(actsToJson(acts)), entry ?? null]),
    );
  }

  dropActs(id: number): void {
    this.#change(() => this.db.run('DELETE FROM foldlog_act WHERE id = ?', [id]));
  }

  refuseActs(id: number, reason: string): void {
    this.#change(() => this.db.run('UPDATE foldlog_act SET refused = ? WHERE id = ?', [reason, id]));
  }

  shards(): readonly HeldShard[] {
    return this.db
      .all<{ id: Uint8Array; kind: string; name: string; hold: HeldShard['hold'] }>(
        'SELECT id, kind, name, hold FROM foldlog_shard ORDER BY kind, name',
      )
      .map((row) => ({ id: shardId(row.id), kind: row.kind, name: row.name, hold: row.hold }));
  }

  holdShard(shard: HeldShard): void {
    const { id, kind, name, hold } = shard;
    this.#change(() =>
      this.db.run('INSERT OR IGNORE INTO foldlog_shard (id, kind, name, hold) VALUES (?, ?, ?, ?)', [id, kind, name, hold]),
    );
  }

  /** A shard whose file is gone, listed before or not. */
  loseShard(shard: Omit<HeldShard, 'hold'>): void {
    this.#change(() => {
      this.holdShard({ ...shard, hold: 'lost' });
      this.db.run(`UPDATE foldlog_shard SET hold = 'lost' WHERE id = ?`, [shard.id]);
    });
  }

  /** A shard that is this device's own from now on. */
  ownShard(shard: Omit<HeldShard, 'hold'>): void {
    this.holdShard({ ...shard, hold: 'own' });
    this.db.run(`UPDATE foldlog_shard SET hold = 'own' WHERE id = ?`, [shard.id]);
  }

  /** Small texts by name, of those that begin alike. */
  notes(begin: string): readonly { readonly name: string; readonly text: string }[] {
    return this.db
      .all<{ name: string; value: string }>('SELECT name, value FROM foldlog_meta WHERE substr(name, 1, ?) = ? ORDER BY name', [
        begin.length,
        begin,
      ])
      .map(({ name, value }) => ({ name, text: value }));
  }

  putNote(name: string, text: string): void {
    this.#meta.set(name, text);
  }

  dropNote(name: string): void {
    this.db.run('DELETE FROM foldlog_meta WHERE name = ?', [name]);
  }

  rules(): readonly string[] {
    return this.db.all<{ pattern: string }>('SELECT pattern FROM foldlog_rule ORDER BY pattern').map((row) => row.pattern);
  }

  addRule(pattern: string): void {
    this.#change(() => this.db.run('INSERT OR IGNORE INTO foldlog_rule (pattern) VALUES (?)', [pattern]));
  }

  /** Whole by itself, or part of the caller's transaction; either way a failure of the disk is typed before anybody outside sees it. */
  #change(work: () => void): void {
    if (this.db.isInTransaction) work();
    else this.db.transaction(work);
  }

  close(): void {
    this.db.close();
  }
}

/** Small enough to be read whole at every start. */
function requireSound(db: Database): void {
  requireSoundPages(db, workspaceFileName);
  db.requireWritable();
  const found = db.value('PRAGMA application_id');
  if (found !== applicationId) {
    throw FoldlogError.corrupt({
      where: workspaceFileName,
      reason: 'foreignFile',
      found: `application id ${String(found)}`,
      expected: 'a Foldlog workspace',
    });
  }
  requireSchemaTexts(db, workspaceFileName, ddl);
}

const emptied = (): FoldlogError =>
  FoldlogError.corrupt({
    where: workspaceFileName,
    reason: 'missingFile',
    found: 'an empty file',
    expected: 'the database that was there',
    todo: 'nothing was created in its place; start a new store and follow what was committed',
  });

function fill(db: Database): void {
  db.transaction(() => {
    for (const statement of ddl) db.exec(statement);
    db.exec(`PRAGMA application_id=${applicationId}`);
  });
}
