// Truncating an own shard's log behind a published checkpoint: what goes and what stays, how a late retry is answered, what stops it, and that state
// is the same from the checkpoint as from genesis. Stopped at every step in truncate-kill.test.ts.

import { beforeAll, describe, expect, test } from 'vitest';
import { type Bytes, bytesToHex, concatBytes } from '../../kernel/bytes.ts';
import { decodeCheckpoint } from '../../kernel/checkpoint.ts';
import { decodeGroupHeader } from '../../kernel/commit-group.ts';
import { truncateBytesMin } from '../../kernel/limits.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import { type GroupId, groupId, seq } from '../../kernel/units.ts';
import type { GroupPlace } from '../../worker/engine/chain-log.ts';
import type { Database } from '../../worker/engine/database.ts';
import { Folder } from '../../worker/engine/fold.ts';
import { imageDdl, stateHashOf } from '../../worker/engine/image.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { Meta } from '../../worker/engine/shard-file.ts';
import { type Backend, memoryPool, type StoragePool } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import { SimShop } from '../sim/sim-shop.ts';
import { bootSqlite } from '../sim/sim-sqlite.ts';
import { syncDeflate } from '../sim/sim-world.ts';

const source = (n: number, text = '') => ({ kind: 'ops', inputs: [line(`s${n}${text}`, `sku-${n % 7}`)] }) as const;
const count = (shard: OwnShard, table: string): number => Number(shard.store.db.value(`SELECT count(*) FROM ${table}`));
const stateOf = (db: Database): string => bytesToHex(stateHashOf(db, till));
const firstSeq = (shard: OwnShard): unknown => shard.store.db.value('SELECT min(first_seq) FROM foldlog_group');

/** A shop whose owner saved, published and has everything committed. */
async function published(seed: number, backend: Backend, groups: number): Promise<{ readonly shop: SimShop; readonly shard: OwnShard }> {
  const shop = new SimShop(seed, { backend });
  const shard = await shop.found();
  await shop.sell(shard, groups);
  await shop.committed(shard);
  await shop.world.finish('publish', shard.publish());
  return { shop, shard };
}

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('what receipt and checkpoint cover goes; state, head and what came later stay, over a restart too', async () => {
    const { shop, shard } = await published(200, backend, 100);
    const checkpoint = shard.store.head;
    await shop.sell(shard, 5);
    await shop.committed(shard);
    shop.faults.requestLost = 1;
    await shop.sell(shard, 3); // saved, at no relay yet
    const before = { head: shard.store.head, state: stateOf(shard.store.db), pending: (await shard.status()).pending };
    const run = await shop.world.finish('truncate', shard.truncate());
    expect(run).toMatchObject({ fromSeq: 0, toSeq: checkpoint.seq });
    expect(run.logBytes).toBeGreaterThan(100 * 300);
    expect(shard.store.log.base.head).toEqual(checkpoint);
    expect(firstSeq(shard)).toBe(checkpoint.seq + 1);
    expect([count(shard, 'foldlog_group'), count(shard, 'foldlog_past')]).toEqual([8, 100]);
    expect({ head: shard.store.head, state: stateOf(shard.store.db), pending: (await shard.status()).pending }).toEqual(before);
    expect((await shard.status()).upkeep).toMatchObject({
      baseSeq: checkpoint.seq,
      freeBytes: 0,
      checkpoint: { number: 1, seq: checkpoint.seq },
    });
    shop.owner.stop('kill');
    shop.faults.requestLost = 0;
    await shop.owner.boot();
    const again = await shop.reopen();
    expect({ head: again.store.head, state: stateOf(again.store.db) }).toEqual({ head: before.head, state: before.state });
    await shop.sell(again, 2);
    await shop.committed(again);
    expect((await shop.owner.engine.audit())[0]?.verdict).toEqual({ kind: 'sound', covers: 'log' });
    const follower = await shop.join('till 2');
    await shop.level(follower, again);
    expect(await shop.followed(follower)).toMatchObject({ bootstrap: { path: 'checkpoint', groupsFolded: 10 } });
  }, 60_000);

  test('pages of what went are given back', async () => {
    const shop = new SimShop(201, { backend });
    const shard = await shop.found();
    for (let n = 0; n < 12; n++) await shard.save(idOf(n), source(n, 'x'.repeat(200_000)));
    await shop.committed(shard);
    await shop.world.finish('publish', shard.publish());
    const size = async () => (await shard.status()).upkeep?.fileBytes ?? 0;
    const before = await size();
    const stored = storedBytes(shop, shard);
    const { freedBytes } = await shop.world.finish('truncate', shard.truncate());
    expect(freedBytes).toBeGreaterThan(11 * 200_000);
    expect(await size()).toBe(before - freedBytes);
    expect(stored - storedBytes(shop, shard)).toBeGreaterThanOrEqual(freedBytes);
    expect(shard.store.db.value('PRAGMA integrity_check')).toBe('ok');
  });

  test('without a checkpoint, and beyond it, nothing goes; the newest group stays whatever covers it', async () => {
    const shop = new SimShop(202, { backend });
    const shard = await shop.found();
    await shop.sell(shard, 4);
    await shop.committed(shard);
    expect(await shop.world.finish('truncate', shard.truncate())).toMatchObject({ fromSeq: 0, toSeq: 0, logBytes: 0 });
    await shop.world.finish('publish', shard.publish());
    expect(await shop.world.finish('truncate', shard.truncate())).toMatchObject({ fromSeq: 0, toSeq: 6 });
    expect([count(shard, 'foldlog_group'), shard.store.head.seq]).toEqual([1, 8]);
    expect(await shop.world.finish('truncate', shard.truncate())).toMatchObject({ fromSeq: 6, toSeq: 6 });
  });

  test('a late retry of a truncated group is answered with its place, over a restart too, and not saved again', async () => {
    const shop = new SimShop(203, { backend });
    const shard = await shop.found();
    const places = [];
    for (let n = 0; n < 150; n++) places.push({ n, place: await shard.save(idOf(n), source(n)) });
    await shop.committed(shard);
    await shop.world.finish('publish', shard.publish());
    await shop.world.finish('truncate', shard.truncate());
    expect(count(shard, 'foldlog_group')).toBe(1);
    for (const { n, place } of places) expect(await shard.save(idOf(n), source(n))).toEqual(place);
    shop.owner.stop('kill');
    await shop.owner.boot();
    const again = await shop.reopen();
    for (const { n, place } of places) expect(await again.save(idOf(n), source(n))).toEqual(place);
    expect(again.store.head.seq).toBe(150);
    again.store.db.run('DELETE FROM foldlog_id WHERE last_seq = 7');
    expect((await shop.owner.engine.audit())[0]?.verdict).toMatchObject({ kind: 'damaged', part: 'ids' });
    expect(await again.save(idOf(6), source(6))).toEqual(places[6]?.place);
  }, 60_000);

  test('a log that does not verify is not truncated, and not saved upon', async () => {
    const { shop, shard } = await published(204, backend, 30);
    await shop.sell(shard, 30);
    // Far above what may go: what stays must be worth staying.
    shard.store.db.run('UPDATE foldlog_group SET salt = zeroblob(16) WHERE last_seq = 100');
    await expect(shop.world.finish('truncate', shard.truncate())).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedLog' });
    expect([firstSeq(shard), shard.store.log.base.head.seq, count(shard, 'foldlog_past')]).toEqual([1, 0, 0]);
    await expect(shop.sell(shard)).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedLog' });
    expect((await shard.status()).upkeep?.lastError).toMatchObject({ reason: 'damagedLog' });
  });

  test('a checkpoint that names another group than stands there lets nothing go', async () => {
    const { shop, shard } = await published(205, backend, 5);
    await shop.sell(shard, 1);
    new Meta(shard.store.db).set('checkpointHash', new Uint8Array(32).fill(9));
    await expect(shop.world.finish('truncate', shard.truncate())).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedLog' });
    expect(count(shard, 'foldlog_group')).toBe(6);
  });

  test('a log that does not begin behind its base is refused on open', async () => {
    const { shop, shard } = await published(206, backend, 80);
    shard.store.db.run('DELETE FROM foldlog_group WHERE last_seq <= 4');
    await shard.store.flush();
    shop.owner.stop('kill');
    await shop.owner.boot();
    await expect(shop.reopen()).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedLog' });
  });

  test('state that an audit found damaged is filled anew from the checkpoint and the groups behind it', async () => {
    const { shop, shard } = await published(207, backend, 20);
    await shop.sell(shard, 4);
    await shop.committed(shard);
    await shop.world.finish('truncate', shard.truncate());
    const right = stateOf(shard.store.db);
    const { db, file } = shard.store;
    db.exec('PRAGMA writable_schema=ON');
    db.run(`UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'saleLine') WHERE name = 'total'`);
    db.exec('PRAGMA writable_schema=RESET');
    const away = { ...shop.faults };
    shop.faults.requestLost = 1;
    const found = { kind: 'damaged', part: 'state' };
    expect((await shop.world.finish('audit', shop.owner.engine.audit()))[0]?.verdict).toMatchObject(found);
    expect(shard.store.file).toBe(file); // without the relay nothing to fold on
    // Nothing is signed over it, and nothing of it goes.
    await expect(shard.publish()).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedPages' });
    await expect(shard.truncate()).rejects.toMatchObject({ kind: 'corrupt', reason: 'damagedPages' });
    Object.assign(shop.faults, away);
    expect((await shop.world.finish('audit', shop.owner.engine.audit()))[0]?.verdict).toMatchObject(found);
    expect(shard.store.file).not.toBe(file);
    expect(stateOf(shard.store.db)).toBe(right);
    expect((await shop.world.finish('audit', shop.owner.engine.audit()))[0]?.verdict).toEqual({ kind: 'sound', covers: 'log' });
    await shop.sell(shard, 1);
    await shop.committed(shard);
    shop.owner.stop('kill');
    await shop.owner.boot();
    expect((await shop.reopen()).store.head).toEqual(shard.store.head);
  });

  test.each([1, 2, 3, 4, 5, 6])(
    'fold(checkpoint + residual) is fold(genesis) after random saves, publishes, truncates and stops: seed %i',
    async (seed) => {
      const shop = new SimShop(2_100 + seed, { backend });
      let shard = await shop.found();
      const chance = shop.world.stream('property');
      const genesis = new Map<number, StoredGroup>();
      const done = { published: 0, truncated: 0 };
      const copyLog = (): void => {
        for (const group of storedGroups(shard)) genesis.set(group.last_seq, group);
      };
      for (let step = 0; step < 25; step++) {
        const roll = chance();
        if (roll < 0.5 || shard.store.head.seq === 0) await shop.sell(shard, 1 + Math.floor(chance() * 12), 1 + Math.floor(chance() * 3));
        else if (roll < 0.6) await shop.committed(shard);
        else if (roll < 0.75) {
          const publishing = shard.publish();
          await shop.sell(shard, Math.floor(chance() * 4)); // lands while the copy is made
          await shop.world.finish('publish', publishing).then(
            () => done.published++,
            () => undefined, // a save may have been committed past the head
          );
        } else if (roll < 0.9) {
          copyLog();
          const { fromSeq, toSeq } = await shop.world.finish('truncate', shard.truncate());
          if (toSeq > fromSeq) done.truncated++;
        } else {
          copyLog();
          shop.owner.stop('kill');
          await shop.owner.boot();
          shard = await shop.reopen();
        }
      }
      await shop.committed(shard);
      await shop.world.finish('publish', shard.publish());
      await shop.sell(shard, 3);
      copyLog();
      await shop.world.finish('truncate', shard.truncate());
      const all = [...genesis.values()].sort((a, b) => a.last_seq - b.last_seq);
      expect(all.at(-1)?.last_seq).toBe(shard.store.head.seq);
      expect(all.reduce((ops, group) => ops + group.last_seq - group.first_seq + 1, 0)).toBe(shard.store.head.seq);
      const wanted = stateOf(shard.store.db);
      expect(stateOf(foldInto(emptyShop(), all))).toBe(wanted);
      const { head, db } = await checkpointOf(shop);
      const residual = storedGroups(shard).filter(({ last_seq }) => last_seq > head.seq);
      expect(residual.length).toBe(3);
      expect(shard.store.log.base.head).toEqual(head);
      expect(stateOf(foldInto(db, residual))).toBe(wanted);
      expect(done.published).toBeGreaterThan(0);
    },
  );

  test('upkeep publishes and truncates by itself once the log has grown, and what was due is due no more', async () => {
    const shop = new SimShop(208, { backend });
    const shard = await shop.found();
    const bytes = 900_000;
    const enough = Math.ceil(truncateBytesMin / bytes);
    for (let n = 0; n < enough; n++) await shard.save(idOf(n), source(n, 'x'.repeat(bytes)));
    await shop.world.run('it was truncated', async () => {
      const { upkeep } = await shard.status();
      return upkeep?.job === 'idle' && (upkeep?.baseSeq ?? 0) > 0 && upkeep.freeBytes === 0;
    });
    const { upkeep } = await shard.status();
    expect(upkeep).toMatchObject({ lastError: undefined, retryAtMs: undefined, isLarge: false });
    expect(upkeep?.logBytes).toBeLessThan(truncateBytesMin / 4);
    expect(upkeep?.loggedBytes).toBeGreaterThan(truncateBytesMin);
    expect(upkeep?.uploadedBytes).toBeGreaterThan(0);
    const checkpoints = (await shop.keys('/checkpoint/')).length;
    await shop.sell(shard, 20);
    await shop.committed(shard);
    expect((await shop.keys('/checkpoint/')).length).toBe(checkpoints);
  }, 120_000);
});

test('places of truncated groups are kept up to the bound; a call older than that is saved as new', async () => {
  const shop = new SimShop(209);
  const shard = await shop.found();
  const places: GroupPlace[] = [];
  for (let n = 0; n < 60; n++) places.push(await shard.save(idOf(n), source(n)));
  shard.store.db.transaction(() => shard.store.log.truncate(seq(50), 10, () => false));
  await shard.store.mutex.own('save', () => shard.store.reopen());
  expect([count(shard, 'foldlog_past'), count(shard, 'foldlog_group'), count(shard, 'foldlog_id')]).toEqual([10, 10, 10]);
  for (let n = 40; n < 60; n++) expect(await shard.find(idOf(n))).toEqual(places[n]);
  for (let n = 0; n < 40; n++) expect(await shard.find(idOf(n))).toBeUndefined();
});

test('a file of the layout before truncating is opened and brought up', async () => {
  const { shop, shard } = await published(210, 'opfs-pool', 5);
  shard.store.db.exec('DROP TABLE foldlog_outbox; DROP TABLE foldlog_past; PRAGMA user_version=1');
  shop.owner.stop('kill');
  await shop.owner.boot();
  const again = await shop.reopen();
  await shop.sell(again, 2);
  expect(await shop.world.finish('truncate', again.truncate())).toMatchObject({ toSeq: 10 });
  expect(again.store.db.value('PRAGMA user_version')).toBe(2);
});

let memory: StoragePool;
beforeAll(async () => {
  memory = memoryPool(await bootSqlite());
});

let files = 0;

interface StoredGroup {
  readonly last_seq: number;
  readonly first_seq: number;
  readonly header: Uint8Array;
  readonly body: Uint8Array;
}

const storedGroups = (shard: OwnShard): readonly StoredGroup[] =>
  shard.store.db.all<StoredGroup>('SELECT last_seq, first_seq, header, body FROM foldlog_group ORDER BY last_seq');

function emptyShop(): Database {
  const db = memory.create(`/fold-${files++}.db`);
  for (const statement of imageDdl(till)) db.exec(statement);
  return db;
}

function foldInto(db: Database, groups: readonly StoredGroup[]): Database {
  const folder = new Folder(till, db);
  for (const group of groups) {
    const header = decodeGroupHeader(group.header, 'group');
    const ops = decodeOps(group.body, header.opCount, 'group').map((op) => folder.read(op));
    folder.fold(ops, header.firstSeq, header.time);
  }
  return db;
}

/** The newest checkpoint, put together from the objects as they lie in the store. */
async function checkpointOf(shop: SimShop) {
  const objectAt = async (key: string): Promise<Bytes> => {
    const found = await shop.store.get(key);
    if (found.kind !== 'found') throw new Error(`no object ${key}`);
    return found.bytes;
  };
  const statements = [...(await shop.keys('/checkpoint/'))].sort();
  const { head, chunks } = decodeCheckpoint(await objectAt(statements.at(-1) ?? ''), 'statement');
  const parts: Bytes[] = [];
  for (const { hash, rawLength } of chunks) {
    const [key = ''] = await shop.keys(`/chunk/${bytesToHex(hash)}`);
    parts.push(await syncDeflate.inflate(await objectAt(key), rawLength, 'chunk'));
  }
  const file = `/checkpoint-${files++}.db`;
  await memory.importImage(file, concatBytes(...parts));
  return { head, db: await memory.open(file) };
}

function idOf(n: number): GroupId {
  const bytes = new Uint8Array(16).fill(7);
  new DataView(bytes.buffer).setUint32(4, Math.imul(n + 1, 0x9e3779b1));
  return groupId(bytes);
}

/** What the medium holds. */
function storedBytes(shop: SimShop, shard: OwnShard): number {
  const { owner } = shop;
  if (owner.medium === owner.pages) return owner.pages.pageCount(shard.store.file) * 8192;
  return owner.disk.paths().reduce((sum, path) => sum + owner.disk.sizeOf(path), 0);
}
