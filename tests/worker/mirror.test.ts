// Files mirrored in memory over a page store: what is particular to them. What they share with every pool: tests/conformance/storage-pool-suite.ts.

import { describe, expect, test } from 'vitest';
import { utf8 } from '../../kernel/bytes.ts';
import { groupId } from '../../kernel/units.ts';
import type { Database } from '../../worker/engine/database.ts';
import { PageSums, xxh32 } from '../../worker/engine/mirror/page-sum.ts';
import { pageBytes } from '../../worker/engine/mirror/stored.ts';
import { setExclusive, setPragmas } from '../../worker/engine/shard-file.ts';
import type { StoragePool } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import { SimPageStore } from '../sim/sim-page-store.ts';
import { bootMirrorPool } from '../sim/sim-sqlite.ts';
import { SimWorld } from '../sim/sim-world.ts';

const file = '/a.db';
const world = new SimWorld(1);
const newPages = (): SimPageStore => new SimPageStore(world.stream('pages'));
const boot = (pages: SimPageStore, bytesMax?: number): Promise<StoragePool> => bootMirrorPool(pages, world.scheduler, bytesMax);

function made(pool: StoragePool, name = file): Database {
  const db = pool.create(name);
  setExclusive(db, pool);
  setPragmas(db, pool);
  db.exec('CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT NOT NULL) STRICT');
  return db;
}
const add = (db: Database, from: number, count: number, letter = 'x'): void =>
  db.transaction(() => {
    for (let k = from; k < from + count; k++) db.run('INSERT OR REPLACE INTO t VALUES (?, ?)', [k, letter.repeat(4_000)]);
  });
const keys = (db: Database): unknown => db.value('SELECT count(*) FROM t');

/** A store with one file of some pages, flushed, its worker gone. */
async function filled(): Promise<SimPageStore> {
  const pages = newPages();
  const pool = await boot(pages);
  add(made(pool), 0, 20);
  await pool.flush(file);
  pages.restart('kill');
  return pages;
}

describe('page sums', () => {
  test('xxHash32 gives the published sums', () => {
    // The buffer and sums of the sanity checks that come with the reference implementation.
    const buffer = new Uint8Array(222);
    let state = 2654435761n;
    for (let i = 0; i < buffer.length; i++) {
      buffer[i] = Number(state >> 56n);
      state = BigInt.asUintN(64, state * 11400714785074694797n);
    }
    const sums = [0, 1, 14, 222].map((length) => [xxh32(buffer.subarray(0, length)), xxh32(buffer.subarray(0, length), 2654435761)]);
    expect(sums).toEqual([
      [0x02cc5d05, 0x36b78ae7],
      [0xcf65b03e, 0xb4545aa4],
      [0x1208e7e2, 0x6af1d1fe],
      [0x5bd11dbd, 0x58803c5f],
    ]);
    expect(xxh32(utf8('abc'))).toBe(0x32d153ff);
  });

  test('the sum over all pages follows what is set and cut, whatever the order', () => {
    const [sums, again] = [new PageSums(), new PageSums()];
    for (const page of [0, 1, 2, 3]) sums.set(page, 1000 + page);
    sums.set(1, 77);
    sums.cut(3);
    for (const [page, sum] of [
      [2, 1002],
      [0, 1000],
      [1, 77],
    ] as const)
      again.set(page, sum);
    expect(sums.total).toBe(again.total);
    again.set(2, 1003);
    expect(sums.total).not.toBe(again.total);
  });
});

describe('damage in the store', () => {
  type Page = { file: string; page: number; bytes: Uint8Array; sum: number };
  const flip = (at: number) => (page: Page) => {
    const bytes = page.bytes.slice();
    bytes[at] = (bytes[at] as number) ^ 1;
    return { ...page, bytes };
  };
  const pageDamages: readonly (readonly [string, number, (page: Page) => unknown])[] = [
    ['a flipped bit in the file header', 0, flip(3)],
    ['a flipped bit in a page header', 1, flip(0)],
    ['a flipped bit in the middle', 4, flip(4_000)],
    ['a flipped bit in the last byte', 7, flip(pageBytes - 1)],
    ['a flipped bit in the sum', 2, (page) => ({ ...page, sum: page.sum ^ 1 })],
    ['a page that says it is another', 2, (page) => ({ ...page, page: 3 })],
    ['a page of another file', 2, (page) => ({ ...page, file: '/b.db' })],
    ['a short page', 2, (page) => ({ ...page, bytes: page.bytes.slice(1) })],
    ['bytes that are none', 2, (page) => ({ ...page, bytes: 'SQLite format 3' })],
    ['nothing in its place', 2, () => null],
  ];

  test.each(pageDamages)('%s is told, naming file and page; nothing is served or changed', async (_, at, damage) => {
    const pages = await filled();
    pages.edit((state) => {
      const stored = state.pages.get(file) as Map<number, unknown>;
      stored.set(at, damage(stored.get(at) as Page));
    });
    const pool = await boot(pages);
    const before = pages.state;
    await expect(pool.open(file)).rejects.toMatchObject({
      kind: 'corrupt',
      reason: 'damagedPage',
      where: expect.stringMatching(/^\/a\.db, page \d+$/),
    });
    expect(pool.has(file)).toBe(true);
    expect(pages.state).toBe(before);
  });

  test('a missing page is told: in the middle, at the end, and one too many', async () => {
    for (const change of [
      (stored: Map<number, unknown>) => stored.delete(4),
      (stored: Map<number, unknown>) => stored.delete(stored.size - 1),
      (stored: Map<number, unknown>) => stored.set(stored.size, { ...(stored.get(0) as Page), page: stored.size }),
    ]) {
      const pages = await filled();
      pages.edit((state) => change(state.pages.get(file) as Map<number, unknown>));
      await expect((await boot(pages)).open(file)).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedPage' });
    }
  });

  test('an older, sound page in its own place is told', async () => {
    const pages = await filled();
    let older: unknown;
    pages.edit((state) => {
      older = state.pages.get(file)?.get(5);
    });
    const pool = await boot(pages);
    const db = await pool.open(file);
    setExclusive(db, pool);
    add(db, 0, 20, 'y');
    await pool.flush(file);
    pages.restart('kill');
    pages.edit((state) => state.pages.get(file)?.set(5, older));
    await expect((await boot(pages)).open(file)).rejects.toMatchObject({
      kind: 'corrupt',
      reason: 'damagedRecord',
      found: expect.stringContaining('different moments'),
    });
  });

  test.each(['pageBytes', 'pages', 'generation', 'pagesSum', 'check'])('a file record with another %s is told', async (field) => {
    const pages = await filled();
    pages.edit((state) => {
      const record = state.files.get(file) as Record<string, number>;
      state.files.set(file, { ...record, [field]: (record[field] as number) ^ 1 });
    });
    await expect((await boot(pages)).open(file)).rejects.toMatchObject({ kind: 'corrupt', where: file });
  });

  test.each(['epoch', 'batch', 'check'])('an owner record with another %s is told, and nothing is taken over', async (field) => {
    const pages = await filled();
    pages.edit((state) => {
      const record = state.owner as Record<string, number>;
      state.owner = { ...record, [field]: (record[field] as number) ^ 1 };
    });
    const before = pages.state;
    await expect(boot(pages)).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedRecord' });
    expect(pages.state).toBe(before);
  });

  test('of a shard is never answered by an empty one', async () => {
    const device = new SimDevice(new SimWorld(3), 'till', [till], undefined, { backend: 'indexeddb' });
    await device.boot();
    await device.engine.create({ workspace: 'acme', device: 'Till 1' });
    await device.engine.openShard('till', 'till-1');
    device.stop('kill');
    device.pages.edit((state) => {
      const [name, stored] = [...state.pages].find(([each]) => each.startsWith('/s-')) as [string, Map<number, Page>];
      stored.set(1, flip(100)(stored.get(1) as Page) as Page);
      state.pages.set(name, stored);
    });
    await device.boot();
    await expect(device.engine.openShard('till', 'till-1')).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedPage' });
  });
});

describe('one owner', () => {
  test('the pool that came first is refused from then on, and nothing of it lands', async () => {
    const pages = newPages();
    const first = await boot(pages);
    const db = made(first);
    add(db, 0, 5);
    await first.flush(file);
    const second = await boot(pages);
    const before = pages.state;
    add(db, 5, 5);
    await expect(first.flush(file)).rejects.toMatchObject({ kind: 'locked', reason: 'ownerReplaced' });
    db.close();
    await expect(first.revert(file)).rejects.toMatchObject({ kind: 'locked', reason: 'ownerReplaced' });
    expect(pages.state).toBe(before);
    expect(keys(await second.open(file))).toBe(5);
  });

  test('saves of a replaced owner reject as locked, once and again', async () => {
    const device = new SimDevice(new SimWorld(4), 'till', [till], undefined, { backend: 'indexeddb' });
    await device.boot();
    await device.engine.create({ workspace: 'acme', device: 'Till 1' });
    const shard = device.engine.shard(await device.engine.openShard('till', 'till-1'));
    await bootMirrorPool(device.pages, world.scheduler);
    const before = device.pages.state;
    for (let i = 0; i < 3; i++) {
      const saving = shard.save(groupId(new Uint8Array(16).fill(i + 1)), { kind: 'ops', inputs: [line(`s${i}`, 'sku')] });
      await expect(saving).rejects.toMatchObject({ kind: 'locked', reason: 'ownerReplaced' });
    }
    expect(device.pages.state).toBe(before);
  });
});

describe('a flush', () => {
  test('shares a transaction with all that was committed meanwhile, and none waits for ever', async () => {
    const pages = newPages();
    const pool = await boot(pages);
    const db = made(pool);
    await pool.flush(file);
    const before = pages.calls;
    const flushed: number[] = [];
    const rounds = Array.from({ length: 20 }, async (_, k) => {
      for (let i = 0; i < k % 4; i++) await Promise.resolve();
      add(db, k, 1);
      await pool.flush(file);
      flushed.push(k);
    });
    await Promise.all(rounds);
    expect(flushed.length).toBe(20);
    expect((pages.calls - before) / 3).toBeLessThan(5);
    expect(pool.flush(file)).toBeUndefined();
  });

  test('whose answer was lost is settled by its number: landed or not, exactly once', async () => {
    for (const step of [1, 2, 3]) {
      const pages = newPages();
      const pool = await boot(pages);
      const db = made(pool);
      await pool.flush(file);
      add(db, 0, 3);
      pages.failAfter(step, 1, 'cut');
      await pool.flush(file);
      const before = pages.calls;
      add(db, 3, 1);
      await pool.flush(file);
      expect(pages.calls - before).toBe(3);
      pages.restart('kill');
      expect(keys(await (await boot(pages)).open(file))).toBe(4);
    }
  });

  test('that never gets an answer is unknown; reverting says what stands, and later batches are not taken for it', async () => {
    for (const step of [1, 3]) {
      const pages = newPages();
      const pool = await boot(pages);
      const db = made(pool);
      await pool.flush(file);
      add(db, 0, 3);
      pages.failAfter(step, step === 1 ? 4 : 3, 'cut'); // both attempts, and nothing after
      await expect(pool.flush(file)).rejects.toMatchObject({ kind: 'unknown', reason: 'flushUnanswered' });
      db.close();
      await pool.revert(file);
      const again = await pool.open(file);
      setExclusive(again, pool);
      const stands = step === 3 ? 3 : 0;
      expect(keys(again)).toBe(stands);
      add(again, 10, 2, 'y');
      await pool.flush(file);
      pages.restart('kill');
      const last = await (await boot(pages)).open(file);
      expect(keys(last)).toBe(stands + 2);
      expect(last.value('PRAGMA integrity_check')).toBe('ok');
    }
  });

  test('that fails keeps its pages for the next; one that nobody waits for goes by itself', async () => {
    const own = new SimWorld(2);
    const pages = newPages();
    const pool = await bootMirrorPool(pages, own.scheduler);
    const db = made(pool);
    await pool.flush(file);
    add(db, 0, 3);
    pages.failAfter(1);
    await expect(pool.flush(file)).rejects.toMatchObject({ kind: 'storageFull' });
    const before = pages.calls;
    add(db, 3, 3, 'y');
    await own.run('tried again by itself', () => pages.calls >= before + 3);
    const after = pages.calls;
    add(db, 6, 3, 'z');
    await own.run('flushed by itself', () => pages.calls >= after + 3);
    pages.restart('kill');
    expect(keys(await (await boot(pages)).open(file))).toBe(9);
  });

  test('is done for what nobody waited for when the pool closes', async () => {
    const pages = newPages();
    const pool = await boot(pages);
    const db = made(pool);
    add(db, 0, 3);
    db.close();
    await pool.close();
    expect(keys(await (await boot(pages)).open(file))).toBe(3);
  });

  test('takes no scratch file to the store', async () => {
    const pages = newPages();
    const pool = await boot(pages);
    add(made(pool, '/scratch-1.db'), 0, 3);
    expect(pool.flush('/scratch-1.db')).toBeUndefined();
    await pool.close();
    expect((await boot(pages)).files()).toEqual([]);
  });
});

describe('the cap', () => {
  const bytesMax = 64 * pageBytes;

  test('refuses growth typed, with both numbers; what was there stays, and deleting makes room', async () => {
    const pages = newPages();
    const pool = await boot(pages, bytesMax);
    const [db, other] = [made(pool), made(pool, '/b.db')];
    add(db, 0, 30);
    add(other, 0, 30, 'o');
    let refusal: unknown;
    let rows = 30;
    while (refusal === undefined && rows < 1_000) {
      try {
        add(db, rows, 10);
        rows += 10;
      } catch (error) {
        refusal = db.failure(error, 'insert');
      }
    }
    expect(refusal).toMatchObject({
      kind: 'storageFull',
      reason: 'indexedDbCap',
      found: expect.stringMatching(/^\d+ bytes/),
      expected: expect.stringContaining(String(bytesMax)),
    });
    expect([keys(db), keys(other)]).toEqual([rows, 30]);
    await pool.flush(file);
    db.run('DELETE FROM t WHERE k < 20');
    add(db, 1_000, 15, 'n');
    await Promise.all([pool.flush(file), pool.flush('/b.db')]);
    expect(db.value('PRAGMA integrity_check')).toBe('ok');
    pages.restart('kill');
    expect(keys(await (await boot(pages, bytesMax)).open(file))).toBe(rows - 5);
  });

  test('counts files that were not read yet, frees what is removed, and never keeps a store from opening', async () => {
    const pages = newPages();
    const roomy = await boot(pages);
    for (const name of [file, '/b.db']) add(made(roomy, name), 0, 60);
    await roomy.flush(file);
    pages.restart('kill');
    const pool = await boot(pages, 32 * pageBytes);
    const db = await pool.open(file);
    setExclusive(db, pool);
    expect(() => add(db, 60, 10)).toThrow();
    expect(() => made(pool, '/c.db')).toThrow();
    pool.remove('/c.db');
    pool.remove('/b.db');
    expect(() => add(db, 60, 10)).toThrow();
    db.run('DELETE FROM t WHERE k > 5');
    db.exec('VACUUM');
    add(db, 60, 10);
    await pool.flush(file);
    expect(keys(db)).toBe(16);
  });

  test('keeps a shard that does not fit from being made, typed, and nothing of it stays', async () => {
    const device = new SimDevice(new SimWorld(6), 'till', [till], undefined, { backend: 'indexeddb', bytesMax: 24 * pageBytes });
    await device.boot();
    await device.engine.create({ workspace: 'acme', device: 'Till 1' });
    let failure: unknown;
    for (let n = 0; n < 5 && failure === undefined; n++) {
      failure = await device.engine.openShard('till', `till-${n}`).then(
        () => undefined,
        (error: unknown) => error,
      );
    }
    expect(failure).toMatchObject({ kind: 'storageFull', reason: 'indexedDbCap' });
    const own = (await device.engine.status()).own.length;
    device.stop('kill');
    await device.boot();
    const files = [...device.pages.fileNames()].filter((name) => name.startsWith('/s-'));
    expect(files.length).toBe(own);
  });

  test('reaches a save as storageFull, and the shard goes on', async () => {
    const device = new SimDevice(new SimWorld(5), 'till', [till], undefined, { backend: 'indexeddb', bytesMax: 40 * pageBytes });
    await device.boot();
    await device.engine.create({ workspace: 'acme', device: 'Till 1' });
    const shard = device.engine.shard(await device.engine.openShard('till', 'till-1'));
    const save = (n: number, lines: number) =>
      shard.save(groupId(new Uint8Array(16).fill(n)), {
        kind: 'ops',
        inputs: Array.from({ length: lines }, (_, i) => line(`s${n}`, `sku-${i}`)),
      });
    await save(1, 5);
    await expect(save(2, 5_000)).rejects.toMatchObject({ kind: 'storageFull', reason: 'indexedDbCap' });
    await save(3, 5);
    device.stop('kill');
    await device.boot();
    await device.engine.openShard('till', 'till-1');
    expect(device.engine.shard('till/till-1').store.db.value('SELECT count(*) FROM saleLine')).toBe(10);
  });
});

describe('a connection', () => {
  test('cannot look at a file while a transaction is open on it', async () => {
    const pool = await boot(newPages());
    const db = made(pool);
    db.exec('BEGIN IMMEDIATE');
    expect(() => pool.attachImmutable(file)).toThrowError(expect.objectContaining({ kind: 'misuse', reason: 'transactionOpen' }));
    db.exec('PRAGMA cache_size=8');
    for (let k = 0; k < 100; k++) db.run('INSERT INTO t VALUES (?, ?)', [k, 'x'.repeat(4_000)]);
    db.exec('ROLLBACK');
    const look = new pool.sqlite3.oo1.DB({ filename: pool.attachImmutable(file), flags: 'r' });
    expect(look.selectValue('SELECT count(*) FROM t')).toBe(0);
    look.close();
  });

  test('is the only one that writes', async () => {
    const pool = await boot(newPages());
    made(pool);
    await expect(pool.open(file)).rejects.toThrow(/SQLITE_BUSY|SQLITE_CANTOPEN/);
  });

  test('without the settings of its pool cannot write', async () => {
    const pool = await boot(newPages());
    const db = pool.create(file);
    expect(() => db.exec('CREATE TABLE t (k)')).toThrow(/CANTOPEN/);
  });
});
