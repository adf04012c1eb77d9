// What a device accepts as a checkpoint image, and what it reads across shards.

import { beforeAll, describe, expect, test } from 'vitest';
import { groupId } from '../../kernel/units.ts';
import { defineShard, int, sql, table, text } from '../../shards/index.ts';
import type { Database } from '../../worker/engine/database.ts';
import { imageDdl, requireImage } from '../../worker/engine/image.ts';
import type { StoragePool } from '../../worker/engine/storage-pool.ts';
import { memoryPool } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import { SimShop } from '../sim/sim-shop.ts';
import { bootSqlite } from '../sim/sim-sqlite.ts';
import { SimWorld } from '../sim/sim-world.ts';

let pool: StoragePool;
beforeAll(async () => {
  pool = memoryPool(await bootSqlite());
});

let files = 0;

/** A database made by hand, as a malicious writer of checkpoints would. */
async function craft(make: (db: Database) => void): Promise<Database> {
  const source = `/crafted-${files++}.db`;
  const db = pool.create(source);
  for (const statement of imageDdl(till)) db.exec(statement);
  make(db);
  const image = await pool.exportImage(source);
  db.close();
  const copy = `/copy-${files++}.db`;
  await pool.importImage(copy, image);
  return pool.open(copy);
}

describe('checkpoint image', () => {
  test('the declared tables with sound pages are accepted', async () => {
    const db = await craft((image) => image.run('INSERT INTO total VALUES (?, ?, ?)', ['x', 1, 2]));
    expect(() => requireImage(db, till, 'image')).not.toThrow();
    db.close();
  });

  test.each<readonly [string, string]>([
    ['a trigger', 'CREATE TRIGGER t AFTER INSERT ON total BEGIN DELETE FROM saleLine; END'],
    ['a view', 'CREATE VIEW v AS SELECT * FROM total'],
    ['another table', 'CREATE TABLE extra (x TEXT) STRICT'],
    ['a missing table', 'DROP TABLE saleLine'],
    [
      'a table of the same name and other columns',
      'DROP TABLE saleLine; CREATE TABLE "saleLine" ("sale" TEXT PRIMARY KEY) STRICT, WITHOUT ROWID',
    ],
    ['an index that is not declared', 'CREATE INDEX i ON total (qty)'],
    ['tables of the engine’s own', 'CREATE TABLE foldlog_meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID'],
  ])('%s is refused', async (_, statement) => {
    const db = await craft((image) => image.exec(statement));
    expect(() => requireImage(db, till, 'image')).toThrowError(expect.objectContaining({ kind: 'corrupt', reason: 'badImage' }));
    db.close();
  });

  test('a swapped root page is found by quick_check', async () => {
    const db = await craft((image) => {
      image.run('INSERT INTO total VALUES (?, ?, ?)', ['x', 1, 2]);
      image.exec('PRAGMA writable_schema=ON');
      image.exec(`UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'saleLine') WHERE name = 'total'`);
    });
    expect(() => requireImage(db, till, 'image')).toThrowError(expect.objectContaining({ kind: 'corrupt', reason: 'badImage' }));
    db.close();
  });

  test('bytes that are no database are refused by the pool', async () => {
    await expect(
      pool
        .importImage('/noise.db', new Uint8Array(8192).fill(7))
        .then(async () => requireImage(await pool.open('/noise.db'), till, 'image')),
    ).rejects.toThrow();
  });

  test('a checkpoint of another fold stops the follower with upgradeNeeded, and nothing is loaded', async () => {
    const shop = new SimShop(61);
    const shard = await shop.found();
    await shop.sell(shard, 3);
    await shop.world.finish('publish', shard.publish());
    const link = await shop.world.finish('invite', shop.owner.engine.invite({}));
    const newer = defineShard('till', {
      ...till.spec,
      tables: { ...till.spec.tables, extra: table({ a: text(), n: int() }, { key: ['a'] }) },
    });
    const follower = new SimDevice(shop.world, 'newer', [newer], shop.http('newer'));
    await follower.boot();
    await shop.world.finish('join', follower.engine.join(link, 'newer'));
    await follower.engine.follow('till/*');
    await shop.world.run('it is told', async () => (await follower.engine.status()).troubles.length > 0);
    const { troubles, followed } = await follower.engine.status();
    expect(troubles.join()).toMatch(/fold/);
    expect(followed).toEqual([]);
  });
});

describe('reading across shards', () => {
  test('nine shards answer as one; a tenth is refused typed', async () => {
    const world = new SimWorld(62);
    const device = new SimDevice(world, 'office', [till], undefined);
    await device.boot();
    await device.engine.create({ workspace: 'acme', device: 'Office' });
    const ids = world.random('ids');
    for (let i = 1; i <= 10; i++) {
      const shard = device.engine.shard(await device.engine.openShard('till', `${i === 10 ? 'x' : 'till'}-${i}`));
      await shard.save(groupId(ids.bytes(16)), { kind: 'ops', inputs: [line(`s${i}`, 'mug', i)] });
    }
    const query = sql<{ qty: number; shards: number }>`SELECT sum(qty) AS qty, count(DISTINCT shardName) AS shards FROM total`;
    expect(await device.engine.readAcross('till/till-*', [query])).toEqual([[{ qty: 45, shards: 9 }]]);
    await expect(device.engine.readAcross('till/*', [query])).rejects.toMatchObject({ kind: 'misuse', reason: 'tooManyShards' });
    // The look is as new as the last commit, and writers go on afterwards.
    const first = device.engine.shard('till/till-1');
    await first.save(groupId(ids.bytes(16)), { kind: 'ops', inputs: [line('again', 'mug', 5)] });
    expect(await device.engine.readAcross('till/till-*', [query])).toEqual([[{ qty: 50, shards: 9 }]]);
    await expect(device.engine.readAcross('till/till-1', [sql`DELETE FROM total`])).rejects.toMatchObject({ kind: 'misuse' });
  });
});
