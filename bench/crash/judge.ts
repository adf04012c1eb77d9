// Judges one store: after each kill what the reopened store answers, and at its end the bytes of its file, each against the journal and against a
// fold of its own. Shares the kernel's decoders with the engine and nothing else.
import { bytesToHex } from '../../kernel/bytes.ts';
import { StateHasher } from '../../kernel/state-hash.ts';
import { imageTables, stateHashOf } from '../../worker/engine/image.ts';
import { openImage } from '../replay/node-sqlite.ts';
import type { SqliteJournal } from './builds.ts';
import { Chain, type Fault } from './chain.ts';
import type { Expected } from './expected.ts';
import { ledger } from './ledger.ts';
import type { Model } from './model.ts';
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
    if (!['ok', ''].includes(found.integrity)) this.#torn(`integrity_check: ${found.integrity}`);
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
      if (found === lastSeq || this.#lost.has(group)) continue;
      this.#lost.add(group);
      this.#faults.push({
        kind: 'lost',
        what: `group ${group}, acknowledged at seq ${lastSeq}: ${found === undefined ? 'gone' : `at ${found}`}`,
      });
    }
  }

  #compare(expected: Readonly<Record<TableName, Rows>>, found: Readonly<Record<TableName, Rows>>): void {
    for (const table of tableNames) {
      const difference = firstDifference(expected[table], found[table]);
      if (difference !== undefined) this.#torn(`table ${table} is not the fold of its chain: ${difference}`);
    }
  }

  #torn(what: string): void {
    this.#faults.push({ kind: 'torn', what });
  }
}

const tableNames = ['line', 'letter', 'stock'] as const;
type TableName = (typeof tableNames)[number];

function firstDifference(expected: Rows, found: Rows): string | undefined {
  const length = Math.max(expected.length, found.length);
  for (let i = 0; i < length; i++) {
    const [wanted, row] = [JSON.stringify(expected[i]), JSON.stringify(found[i])];
    if (wanted !== row)
      return `row ${i + 1} of ${found.length} is ${shortened(row)}, ${shortened(wanted)} expected (of ${expected.length})`;
  }
  return undefined;
}

/** Notes and letters are long. */
const shortened = (text = 'missing'): string =>
  text.length <= 120 ? text : `${text.slice(0, 60)}…${text.length} letters…${text.slice(-40)}`;

function stateHashOfModel(whole: ReturnType<Model['whole']>): string {
  const hasher = new StateHasher();
  for (const { name, columns, isReal } of imageTables(ledger)) {
    hasher.table(name, columns);
    for (const row of whole[name as TableName] ?? []) hasher.row(row, isReal);
  }
  return bytesToHex(hasher.digest());
}
