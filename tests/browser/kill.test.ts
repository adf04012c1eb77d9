// Kills a real browser, all its processes at once, while it saves; what was acknowledged must be there when it starts again, in one whole chain,
// with the tables that chain folds to. Part of the load rewrites more pages in place than the page cache holds, so that uncommitted pages reach
// the files (or, over IndexedDB, the pages in memory) before COMMIT does.
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { decodeGroupHeader, groupHashOf, isBodyOf, lastSeqOf } from '../../kernel/commit-group.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import { readSeal, verifySeal } from '../../kernel/seal.ts';
import { hash, publicKey } from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import { Device, type Site, serveLab } from './harness.ts';

const kills = 10;
const seed = 20261121;

/** A store and the fault its worker starts with, which decides the backend: faults.ts. */
interface Place {
  readonly store: string;
  readonly fault: string;
}

interface Acknowledged {
  readonly group: string;
  readonly lastSeq: number;
}

let site: Site;
let device: Device;

beforeAll(async () => {
  site = await serveLab();
  device = await Device.make();
});

afterAll(async () => {
  await device?.remove();
  await site?.close();
});

test.each<readonly [string, Place]>([
  ['opfs-pool', { store: 'kill-opfs', fault: '' }],
  ['indexeddb', { store: 'kill-idb', fault: 'opfs-refuses' }],
])(`every acknowledged save survives SIGKILL of the browser, at ${kills} moments, %s: seed ${seed}`, async (backend, place) => {
  const random = mulberry32(seed);
  const acknowledged: Acknowledged[] = [];
  const perLife: number[] = [];
  let rewrites = 0;
  for (let life = 0; life <= kills; life++) {
    const page = await device.page(site.origin);
    if (life === 0) await prepare(page, place);
    else rewrites = await requireSound(page, place, backend, acknowledged);
    if (life === kills) break;
    const before = acknowledged.length;
    await page.exposeFunction('acknowledge', (entry: Acknowledged) => acknowledged.push(entry));
    page.evaluate(load, { life, place }).catch(() => undefined); // ends with the browser
    await expect.poll(() => acknowledged.length, { timeout: 20_000 }).toBeGreaterThan(before + 5);
    await new Promise((resolve) => setTimeout(resolve, Math.floor(random() * 700)));
    await device.kill();
    perLife.push(acknowledged.length - before);
  }
  expect(Math.min(...perLife)).toBeGreaterThan(5);
  expect(rewrites).toBeGreaterThan(kills);
});

async function prepare(page: Page, place: Place): Promise<void> {
  await page.evaluate(async ({ store, fault }) => {
    const { ws, shop } = await lab.shop(store, { fault });
    await shop.save('stock.fill', {});
    await ws.close();
  }, place);
}

/** Saves of every size, some alone and some together, until the browser dies. */
async function load({ life, place }: { readonly life: number; readonly place: Place }): Promise<void> {
  const { acknowledge } = globalThis as unknown as { acknowledge(entry: Acknowledged): Promise<void> };
  const ws = await lab.open(place);
  const shop = await ws.open('till', 'till-1');
  const line = (sale: string, sku = 'A') => ['sale.line', { sale, sku, qty: 1, cents: 100 }] as const;
  for (let n = 0; ; n++) {
    const sale = `L${life}-${n}`;
    const saves = [shop.save(...line(sale))];
    if (n % 3 === 0) saves.push(shop.saveAll(Array.from({ length: 20 }, (_, i) => line(`${sale}-all`, `sku-${i}`))));
    if (n % 4 === 1) saves.push(shop.save('stock.count', { round: life * 1_000_000 + n }));
    await Promise.all(saves.map(async (save) => void acknowledge((await save).ref)));
  }
}

/** Everything that must hold after any kill, judged here from the bytes. Answers how often all of `stock` was rewritten. */
async function requireSound(page: Page, place: Place, backend: string, acknowledged: readonly Acknowledged[]): Promise<number> {
  const found = await page.evaluate(readAll, place);
  expect(found.backend).toBe(backend);
  expect(found.integrity).toBe('ok');
  const key = publicKey(hexToBytes(found.key));
  const places = new Map<string, number>();
  let head = { seq: 0, hash: '00'.repeat(32) };
  let sealed = 0;
  const lines = new Set<string>();
  let round = 0;
  let rewrites = 0;
  for (const row of found.groups) {
    const header = decodeGroupHeader(hexToBytes(row.header), 'stored');
    const body = hexToBytes(row.body);
    expect(header.firstSeq).toBe(head.seq + 1);
    expect(bytesToHex(header.prev)).toBe(head.hash);
    expect(isBodyOf(header, hexToBytes(row.salt), body)).toBe(true);
    const groupHash = groupHashOf(hexToBytes(row.header));
    head = { seq: lastSeqOf(header), hash: bytesToHex(groupHash) };
    places.set(bytesToHex(header.id), head.seq);
    for (const { class: name, payload } of decodeOps(body, header.opCount, 'stored')) {
      const values = payload as { readonly sale: string; readonly sku: string; readonly round: number };
      if (name === 'sale.line') lines.add(`${values.sale} ${values.sku}`);
      if (name !== 'stock.count') continue;
      round = values.round;
      rewrites++;
    }
    if (row.seal === '') continue;
    sealed = head.seq;
    if (row !== found.groups.at(-1)) continue; // one signature covers the chain up to it
    const position = { shard: header.shard, epoch: header.epoch, head: { seq: lastSeqOf(header), hash: hash(groupHash) } };
    await verifySeal(portableVerifier, key, position, readSeal(new Reader(hexToBytes(row.seal), 'seal')), 'stored seal');
  }
  expect(sealed).toBe(head.seq);
  for (const { group, lastSeq } of acknowledged) expect(places.get(group)).toBe(lastSeq);
  expect(new Set(found.lines)).toEqual(lines);
  expect(found.stock).toEqual([{ rows: 3_000, rounds: 1, round, notes: 1 }]);
  return rewrites;
}

/** The whole store as it is on this device, through the page's own API. */
async function readAll(place: Place) {
  const ws = await lab.open(place);
  const { backend } = await ws.status();
  const shop = await ws.open('till', 'till-1');
  const [groups, lines, stock, integrity] = await shop.read([
    lab.sql<{ header: string; salt: string; body: string; seal: string }>`SELECT lower(hex(header)) AS header, lower(hex(salt)) AS salt,
      lower(hex(body)) AS body, lower(hex(seal)) AS seal FROM foldlog_group ORDER BY last_seq`,
    lab.sql<{ line: string }>`SELECT sale || ' ' || sku AS line FROM saleLine`,
    lab.sql<object>`SELECT count(*) AS rows, count(DISTINCT round) AS rounds, max(round) AS round, count(DISTINCT note) AS notes FROM stock`,
    lab.sql<{ integrity_check: string }>`PRAGMA integrity_check`,
  ]);
  await ws.close();
  const db = await new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open(`foldlog/${place.store}`);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const stored = await new Promise<{ readonly pair: CryptoKeyPair }>((resolve, reject) => {
    const request = db.transaction('key').objectStore('key').get('device');
    request.onsuccess = () => resolve(request.result as { readonly pair: CryptoKeyPair });
    request.onerror = () => reject(request.error);
  });
  db.close();
  const raw = new Uint8Array(await crypto.subtle.exportKey('raw', stored.pair.publicKey));
  const key = Array.from(raw, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { groups, lines: lines.map(({ line }) => line), stock, integrity: integrity[0]?.integrity_check, key, backend };
}

function mulberry32(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
