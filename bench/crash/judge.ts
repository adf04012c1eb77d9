// Judges one store: after each kill what the reopened store answers, and at its end the bytes of its file, each against the journal and against a
// fold of its own. Shares the kernel's decoders with the engine and nothing else.
import { bytesToHex } from '../../kernel/bytes.ts';
import { StateHasher } from '../../kernel/state-hash.ts';
import { stateHashOf } from '../../worker/engine/image.ts';
import { openImage } from '../replay/node-sqlite.ts';
import type { SqliteJournal } from './builds.ts';
import { Chain, type Fault } from './chain.ts';
import type { Expected } from './expected.ts';
import { ledger } from './ledger.ts';
import { type TableName, type Tables, tableNames } from './model.ts';
import type { Acknowledged, Found, FoundGroup, Rows } from './page/page.ts';

export class Judge {
  readonly #expected: Expected;
  readonly #acknowledged = new Map<string, Acknowledged>();
  readonly #lost = new Set<string>();
  readonly #faults: Fault[] = [];
  /** Followed further after each kill. */
  readonly #chain: Chain;
  #deviceKey = '';

  constructor(expected: Expected) {
    this.#expected = expected;
    this.#chain = new Chain(expected);
  }

  get faults(): readonly Fault[] {
    return this.#faults;
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  get lost(): number {
    return this.#lost.size;
  }

  /** What was followed and found sound; reading goes on from here. */
  get verifiedSeq(): number {
    return this.#chain.headSeq;
  }

  isAcknowledged(group: string): boolean {
    return this.#acknowledged.has(group);
  }

  /** A save asked again must get the place it has. */
  acknowledge(acknowledged: Acknowledged): void {
    const known = this.#acknowledged.get(acknowledged.group);
    if (known === undefined) this.#acknowledged.set(acknowledged.group, acknowledged);
    else if (known.lastSeq !== acknowledged.lastSeq) {
      const what = `group ${known.group} was acknowledged at seq ${known.lastSeq}, then at ${acknowledged.lastSeq}`;
      this.#faults.push({ kind: 'doubled', what });
    }
  }

  /** The store does not open, or does not answer: nothing that was acknowledged can be had. */
  unreachable(why: string): void {
    for (const group of this.#acknowledged.keys()) this.#lost.add(group);
    this.#faults.push({ kind: this.#acknowledged.size === 0 ? 'torn' : 'lost', what: `the store cannot be read: ${why}` });
  }

  /** The answers of a reopened store, from the seq on that was verified before. */
  async store(found: Found): Promise<void> {
    this.#deviceKey = found.deviceKey;
    for (const what of found.integrity) this.#torn(`integrity_check: ${what}`);
    this.#faults.push(...(await this.#chain.follow(found.groups, found.deviceKey)));
    if (found.groupCount !== this.#chain.groupCount) {
      this.#torn(`${found.groupCount} groups in the log, ${this.#chain.groupCount} on its chain`);
    }
    this.#requirePlaces(this.#chain);
    this.#compare(this.#chain.model.summary(), found);
  }

  /** The file of a closed store, whole and from the beginning, and the names of the files beside it. */
  async file(bytes: Uint8Array, files: readonly string[], journal: SqliteJournal): Promise<void> {
    const known = journal === 'wal' ? /^\/(?:workspace|s-[0-9a-f]+-1)\.db$/ : /^\/(?:workspace|s-[0-9a-f]+-1)\.db(?:-journal)?$/;
    const stray = files.filter((file) => !known.test(file));
    if (stray.length > 0) this.#torn(`files nobody needs: ${stray.join(', ')}`);
    const db = await openImage(bytes, 'exported ledger');
    try {
      const integrity = db.value('PRAGMA integrity_check');
      if (integrity !== 'ok') this.#torn(`integrity_check of the file: ${String(integrity)}`);
      const chain = new Chain(this.#expected);
      const groups = db.all<{ [Name in keyof FoundGroup]: string }>(
        `SELECT lower(hex(header)) AS header, lower(hex(salt)) AS salt, lower(hex(body)) AS body, coalesce(lower(hex(seal)), '') AS seal
         FROM foldlog_group ORDER BY last_seq`,
      );
      this.#faults.push(...(await chain.follow(groups, this.#deviceKey)));
      this.#requirePlaces(chain);
      const rows = (text: string): Rows => [...db.rows(text)] as unknown as Rows;
      const whole = chain.model.whole();
      this.#compare(whole, {
        line: rows('SELECT sale, sku, qty, cents FROM line ORDER BY sale, sku'),
        letter: rows('SELECT id, body FROM letter ORDER BY id'),
        stock: rows('SELECT item, round, note FROM stock ORDER BY item'),
      });
      const [engine, own] = [bytesToHex(stateHashOf(db, ledger)), stateHashOfModel(whole)];
      if (engine !== own) this.#torn(`state hash ${engine}, ${own} computed from the chain`);
    } finally {
      db.close();
    }
  }

  #requirePlaces(chain: Chain): void {
    for (const { group, lastSeq } of this.#acknowledged.values()) {
      const found = chain.places.get(group)?.lastSeq;
      if (found !== lastSeq) this.#lose(group, `acknowledged at seq ${lastSeq}: ${found === undefined ? 'gone' : `at ${found}`}`);
    }
  }

  #compare(expected: Tables, found: Readonly<Record<TableName, Rows>>): void {
    for (const table of tableNames) {
      const rows = new Set(found[table].map((row) => JSON.stringify(row)));
      const missing = expected[table].filter(({ values }) => !rows.delete(JSON.stringify(values)));
      if (missing.length + rows.size === 0) continue;
      const [gone, strange] = [missing[0], [...rows][0]];
      const words = `${missing.length} rows gone, ${rows.size} strange: ${shortened(strange)} found, ${shortened(gone && JSON.stringify(gone.values))} expected`;
      this.#torn(`table ${table} is not the fold of its chain: ${words}`);
      for (const { group } of missing) if (this.isAcknowledged(group)) this.#lose(group, `rows of it are gone from ${table}`);
    }
  }

  #lose(group: string, what: string): void {
    if (this.#lost.has(group)) return;
    this.#lost.add(group);
    this.#faults.push({ kind: 'lost', what: `group ${group}, ${what}` });
  }

  #torn(what: string): void {
    this.#faults.push({ kind: 'torn', what });
  }
}

/** Notes and letters are long. */
const shortened = (text = 'nothing'): string =>
  text.length <= 120 ? text : `${text.slice(0, 60)}…${text.length} letters…${text.slice(-40)}`;

/** As the ledger declares them, which has no migrations, and the engine's one; in name order. */
const hashedTables = [
  ...Object.entries(ledger.spec.tables).map(([name, table]) => ({
    name,
    columns: Object.keys(table.columns),
    isReal: Object.values(table.columns).map(({ type }) => type === 'REAL'),
  })),
  { name: 'foldlog_origin', columns: ['shard', 'epoch', 'first_seq', 'last_seq'], isReal: [false, false, false, false] },
].sort((a, b) => (a.name < b.name ? -1 : 1));

function stateHashOfModel(whole: Tables): string {
  const hasher = new StateHasher();
  for (const { name, columns, isReal } of hashedTables) {
    hasher.table(name, columns);
    for (const { values } of whole[name as TableName] ?? []) hasher.row(values, isReal);
  }
  return bytesToHex(hasher.digest());
}
