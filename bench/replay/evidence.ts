// Judges what a replay left behind: totals, lines, journal and chain, each against the CSV or against one another. Reads the evidence folder as a
// stranger would; nothing here talks to a device or a relay.
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import type { Database } from '../../worker/engine/database.ts';
import { stateHashOf } from '../../worker/engine/image.ts';
import type { Invoice, RetailLine } from './invoices.ts';
import type { Acknowledged } from './journal.ts';
import { openImage } from './node-sqlite.ts';
import { allInvoices, dayTotals, productTotals, retail } from './retail.ts';
import { type TotalRow, totalsDifferences, totalsFromCsv } from './totals.ts';
import { opsOf, type VerifiedShard, verifyRelayFolder } from './verify-relay.ts';

export interface Evidence {
  readonly csv: string;
  readonly invoices: readonly Invoice[];
  readonly evidence: string;
  readonly mainShard: string;
  readonly loneShard: string;
  readonly relayFolder: string;
  readonly databases: { readonly a: string; readonly b: string };
  /** What SQL answered on the two devices while they ran. */
  readonly totals: { readonly a: TotalRows; readonly b: TotalRows };
  readonly journal: readonly Acknowledged[];
}

interface TotalRows {
  readonly products: readonly TotalRow[];
  readonly days: readonly TotalRow[];
}

export interface Check {
  readonly check: string;
  /** `ok`, or what was found instead. */
  readonly found: string;
}

export interface Verdict {
  readonly checks: readonly Check[];
  readonly totalsMatch: boolean;
  readonly chainVerified: boolean;
  /** Slot objects of the main shard; 0 when the chain did not verify. */
  readonly slotBytes: number;
  readonly slots: number;
  readonly loneSaleBytes: number;
}

/** The second verifier has a hundred signatures a second; the largest replay tried has a few hundred. */
const pythonMsMax = 120_000;

export async function judge(kept: Evidence, onCheck: (name: string) => void): Promise<Verdict> {
  const totals: Check[] = [];
  const chain: Check[] = [];
  const check = async (into: Check[], name: string, work: () => Promise<readonly string[]> | readonly string[]): Promise<void> => {
    onCheck(name);
    const found = await Promise.resolve()
      .then(work)
      .catch((error: unknown) => [error instanceof Error ? error.message : String(error)]);
    into.push({ check: name, found: found.length === 0 ? 'ok' : wordsOf(found) });
  };

  const expected = totalsFromCsv(kept.csv);
  const compare = ({ products, days }: TotalRows) => [
    ...totalsDifferences(expected.products, products),
    ...totalsDifferences(expected.days, days),
  ];
  await check(totals, 'totals by SQL on device a', () => compare(kept.totals.a));
  await check(totals, 'totals by SQL on device b', () => compare(kept.totals.b));

  const a = await openImage(await readFile(kept.databases.a), 'device-a.db');
  const b = await openImage(await readFile(kept.databases.b), 'device-b.db');
  try {
    for (const db of [a, b]) {
      await check(totals, `totals in ${db.name}`, () => compare(totalsOf(db)));
      await check(totals, `every cell of the CSV in ${db.name}`, () => rowDifferences(kept.invoices, db.all(everyLine)));
    }
    await check(chain, 'both devices hold the same state', () => {
      const [ofA, ofB] = [stateHashOf(a, retail), stateHashOf(b, retail)];
      return isSameBytes(ofA, ofB) ? [] : [`state hash ${bytesToHex(ofA)} on a, ${bytesToHex(ofB)} on b`];
    });
  } finally {
    a.close();
    b.close();
  }

  let shards: readonly VerifiedShard[] = [];
  await check(chain, 'every object of the relay, by the kernel', async () => {
    shards = await verifyRelayFolder(kept.relayFolder);
    return [];
  });
  const main = shards.find(({ name }) => name === kept.mainShard);
  const lone = shards.find(({ name }) => name === kept.loneShard);
  await check(chain, 'the chain holds every line of the CSV, in order', () => chainDifferences(kept.invoices, main));
  await check(chain, 'the chain holds every acknowledged group, in order', () =>
    journalDifferences(kept.journal, kept.invoices.length, main),
  );
  await check(chain, "the checkpoint's image has the state hash of its statement", () => imageFaults(main));
  onCheck('the second verifier');
  const second = await verifyByPython(kept);
  if (second !== undefined) await check(chain, 'every object of the relay, by a verifier written from the format alone', () => second);
  return {
    checks: [...totals, ...chain],
    totalsMatch: totals.every(({ found }) => found === 'ok'),
    chainVerified: chain.every(({ found }) => found === 'ok'),
    slotBytes: main?.slotBytes ?? 0,
    slots: main?.slots ?? 0,
    loneSaleBytes: lone?.slotBytes ?? 0,
  };
}

function totalsOf(db: Database): TotalRows {
  const [products, days] = [productTotals(allInvoices), dayTotals(allInvoices)];
  return { products: db.all(products.text, products.params), days: db.all(days.text, days.params) };
}

const everyLine = 'SELECT invoice, line, code, text, qty, at, price, buyer, country FROM line ORDER BY invoice, line';

function rowDifferences(invoices: readonly Invoice[], rows: readonly Record<string, unknown>[]): readonly string[] {
  const wanted = new Set(invoices.flatMap(({ lines }) => lines.map(lineToText)));
  const found = new Set(rows.map(({ buyer, ...row }) => lineToText((buyer === null ? row : { ...row, buyer }) as unknown as RetailLine)));
  const missing = [...wanted].filter((line) => !found.has(line)).map((line) => `missing ${line}`);
  const strange = [...found].filter((line) => !wanted.has(line)).map((line) => `not in the CSV: ${line}`);
  return rows.length === wanted.size ? [...missing, ...strange] : [`${rows.length} rows, ${wanted.size} expected`, ...missing, ...strange];
}

const lineToText = ({ invoice, line, code, text, qty, at, price, buyer, country }: RetailLine): string =>
  JSON.stringify([invoice, line, code, text, qty, at, price, buyer ?? null, country]);

function chainDifferences(invoices: readonly Invoice[], shard: VerifiedShard | undefined): readonly string[] {
  const wanted = invoices.map(({ lines }) => lines.map((line) => `retail.line ${lineToText(line)}`).join(' '));
  const found = (shard?.groups ?? []).map((group) =>
    opsOf(group, `group at seq ${group.header.firstSeq}`)
      .map((op) => `${op.class} ${lineToText(op.payload as unknown as RetailLine)}`)
      .join(' '),
  );
  return listDifferences(wanted, found);
}

function journalDifferences(journal: readonly Acknowledged[], groups: number, shard: VerifiedShard | undefined): readonly string[] {
  const acknowledged = journal.map(({ group, ops }) => `group ${group} of ${ops} ops`);
  const found = (shard?.groups ?? []).map(({ header }) => `group ${bytesToHex(header.id)} of ${header.opCount} ops`);
  return [
    ...(journal.length === groups ? [] : [`${journal.length} groups in the journal, ${groups} saved`]),
    ...listDifferences(acknowledged, found),
  ];
}

function listDifferences(wanted: readonly string[], found: readonly string[]): readonly string[] {
  const differences = wanted.flatMap((item, i) =>
    item === found[i] ? [] : [`at ${i + 1}: found ${found[i] ?? 'nothing'}, expected ${item}`],
  );
  return found.length === wanted.length ? differences : [`${found.length} found, ${wanted.length} expected`, ...differences];
}

async function imageFaults(shard: VerifiedShard | undefined): Promise<readonly string[]> {
  const faults: string[] = [];
  if (shard === undefined || shard.checkpoints.length === 0) faults.push('no checkpoint');
  for (const { checkpoint, image } of shard?.checkpoints ?? []) {
    const db = await openImage(image, `checkpoint ${checkpoint.number}`);
    try {
      const found = stateHashOf(db, retail);
      if (!isSameBytes(found, checkpoint.stateHash))
        faults.push(`${bytesToHex(found)} found, ${bytesToHex(checkpoint.stateHash)} expected`);
    } finally {
      db.close();
    }
  }
  return faults;
}

/** What it complains of; undefined where there is no Python: the first verifier has spoken. Its output is kept beside the evidence. */
function verifyByPython({ relayFolder, evidence }: Evidence): Promise<readonly string[] | undefined> {
  const script = fileURLToPath(new URL('../../tests/vectors/verify_folder.py', import.meta.url));
  return new Promise((resolve) => {
    const child = spawn('python3', [script, relayFolder], { stdio: ['ignore', 'pipe', 'pipe'], timeout: pythonMsMax });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (output += part));
    child.once('error', (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? resolve(undefined) : resolve([error.message])));
    child.once('close', async (code) => {
      await writeFile(join(evidence, 'verify-folder.txt'), output);
      resolve(code === 0 ? [] : [`ended with ${code}: ${output.trim().split('\n').at(-1) ?? ''}`]);
    });
  });
}

/** The first few of them: one is enough to look for the cause. */
const wordsOf = (found: readonly string[]): string =>
  [...found.slice(0, 3), ...(found.length > 3 ? [`and ${found.length - 3} more`] : [])].join(' · ').slice(0, 600);
