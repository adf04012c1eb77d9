// Many replicas share one budget of page cache: forty of them, all read whole, take little more memory than the budget.

import { expect, test } from 'vitest';
import { replicaCachesKib } from '../../kernel/limits.ts';
import { groupId } from '../../kernel/units.ts';
import type { Database } from '../../worker/engine/database.ts';
import { line } from '../sim/shop.ts';
import { SimShop } from '../sim/sim-shop.ts';

const replicas = 40;
/** About 0.6 MB of rows each: forty caches of their own would hold 24 MB. */
const linesEach = 600;

test(`${replicas} replicas that were all read hold the shared budget of page cache, not one cache each`, async () => {
  let opened: Database[] = [];
  const collect = (db: Database): Database => {
    opened.push(db);
    return db;
  };
  const shop = new SimShop(17, {
    wrap: (pool) => {
      const [open, create] = [pool.open.bind(pool), pool.create.bind(pool)];
      return Object.assign(pool, {
        open: async (file: string) => collect(await open(file)),
        create: (file: string) => collect(create(file)),
      });
    },
  });
  await shop.found();
  const { owner, world } = shop;
  const random = world.random('many');
  for (let i = 0; i < replicas; i++) {
    const shard = owner.engine.shard(await owner.engine.openShard('till', `many-${i}`));
    const inputs = Array.from({ length: linesEach }, (_, n) => line(`${i}-${n}-${'x'.repeat(1_000)}`, 'sku'));
    await shard.save(groupId(random.bytes(16)), { kind: 'ops', inputs });
    await shop.committed(shard);
  }
  opened = []; // from here on the follower's
  const follower = await shop.join('follower');
  await world.run(
    'all are level',
    async () => (await follower.engine.status()).followed.filter(({ seq }) => seq === linesEach).length === replicas,
  );
  const reports = await follower.engine.audit(); // reads every page
  expect(reports.filter(({ verdict }) => verdict.kind === 'sound').length).toBeGreaterThanOrEqual(replicas);
  const open = opened.filter((db) => db.isOpen);
  expect(open.length).toBeGreaterThan(replicas);
  const bytes = open.reduce((sum, db) => sum + cacheOf(db), 0);
  expect(bytes).toBeGreaterThan(replicaCachesKib * 512);
  expect(bytes).toBeLessThan(1.25 * replicaCachesKib * 1024);
}, 120_000);

/** Bytes SQLite holds for the pages of one connection. */
function cacheOf({ sqlite3: { capi, wasm }, handle }: Database): number {
  const stack = wasm.pstack.pointer;
  try {
    const [now, highest] = [wasm.pstack.alloc(8), wasm.pstack.alloc(8)];
    capi.sqlite3_db_status(handle, capi.SQLITE_DBSTATUS_CACHE_USED, now, highest, 0);
    return wasm.peek32(now) as number;
  } finally {
    wasm.pstack.restore(stack);
  }
}
