// The next generation of a shard's file, filled from a checkpoint: what repairs a damaged state when the log here does not begin at genesis. And files of the
// layout before the outbox, which are brought up when they are opened.

import { describe, expect, test } from 'vitest';
import type { Database } from '../../worker/engine/database.ts';
import { setExclusive, setPragmas } from '../../worker/engine/shard-file.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { spoil } from '../sim/damage.ts';
import { SimCounter, stateOf } from '../sim/sim-counter.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { bootMirrorPool, bootPool } from '../sim/sim-sqlite.ts';

/** Changes a stored file of the counter by hand, and starts it again. */
async function edit(counter: SimCounter, file: string, change: (db: Database) => void): Promise<void> {
  const { device, shop } = counter;
  device.stop('kill');
  const isMirror = device.medium === device.pages;
  const pool = isMirror ? await bootMirrorPool(device.pages, shop.world.scheduler) : await bootPool(device.disk);
  const db = await pool.open(file);
  setExclusive(db, pool);
  setPragmas(db, pool);
  change(db);
  await pool.flush(file);
  db.close();
  await pool.close();
  device.stop('kill');
}

/** A log that begins behind its checkpoint, as a truncated one does, with two sales committed above it and two that are only saved. */
async function truncated(backend: Backend): Promise<SimCounter> {
  const counter = await SimCounter.open(121, { backend }, { sales: 4 });
  const { shop } = counter;
  const shard = await counter.shard();
  const { head } = await shop.world.finish('publish', shard.publish());
  await counter.sell(shard, 2);
  await shop.committed(shard);
  counter.offline();
  await counter.sell(shard, 2);
  await edit(counter, shard.store.file, (db) =>
    db.transaction(() => {
      db.run('DELETE FROM foldlog_group WHERE last_seq <= ?', [head.seq]);
      db.run(`INSERT INTO foldlog_meta (name, value) VALUES ('baseSeq', ?), ('baseHash', ?)`, [head.seq, head.hash]);
    }),
  );
  await counter.device.boot();
  return counter;
}

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('a damaged state over a log that begins at a checkpoint is filled anew from it; offline it stays a finding, and is tried again', async () => {
    const counter = await truncated(backend);
    const { shop, device } = counter;
    const shard = await counter.shard();
    const right = stateOf(shard);
    spoil(shard.store.db);
    await shard.store.flush();
    const offline = await shop.world.finish('audit', device.engine.audit());
    expect(offline[0]?.verdict).toMatchObject({ kind: 'damaged', part: 'state' });
    expect(shard.store.file).toMatch(/-1\.db$/);
    counter.online();
    await shop.world.finish('audit', device.engine.audit());
    expect(shard.store.file).toMatch(/-2\.db$/);
    expect(stateOf(shard)).toBe(right);
    expect((await shop.world.finish('audit', device.engine.audit()))[0]?.verdict).toEqual({ kind: 'sound', covers: 'log' });
    await counter.sell(shard);
    await shop.committed(shard);
    expect(shard.store.head.seq).toBe(18);
  });

  test('a tail over a log that begins at a checkpoint: restored from the checkpoint below the cut, in its own file again after a restart', async () => {
    const counter = await truncated(backend);
    const { shop, device } = counter;
    const shard = await counter.shard();
    const fenced = await counter.fence(shard);
    await counter.cut(fenced, { writer: shop.owner, destination: shard.store.identity.id });
    counter.online();
    await shop.world.run('restored', async () => (await shard.status()).fence.kind === 'handedOver');
    expect(shard.store.head.seq).toBe(12);
    expect((await shard.status()).stranded).toMatchObject({ waiting: 2 });
    expect(await shard.read([{ text: 'SELECT sum(qty) AS qty FROM total', params: [] }])).toEqual([[{ qty: 12 }]]);
    device.stop('kill');
    await device.boot();
    expect((await (await counter.shard()).status()).stranded).toMatchObject({ waiting: 2 });
  });

  test('without relay and without genesis nothing is made up: the tail is in the outbox, saves are held, and the state is restored once the relay answers', async () => {
    const counter = await truncated(backend);
    const { shop } = counter;
    const shard = await counter.shard();
    await counter.cut(await counter.fence(shard), {});
    counter.loses(/checkpoints|chunks/);
    counter.online();
    await shop.world.run('stranded', async () => (await shard.status()).fence.kind === 'stranded');
    await expect(counter.sell(shard)).rejects.toMatchObject({ kind: 'fenced', retry: 'later' });
    counter.loses(undefined);
    counter.online();
    await shop.world.run('restored', async () => (await shard.status()).fence.kind === 'handedOver');
    expect(shard.store.head.seq).toBe(12);
  });

  test('a file of layout 1 is brought up when it is opened, stopped at any step of it: kill and power cut', async () => {
    const counter = await SimCounter.open(122, { backend });
    const { device } = counter;
    const { file } = (await counter.shard()).store;
    counter.offline();
    await edit(counter, file, (db) =>
      db.transaction(() => {
        db.exec('DROP TABLE foldlog_outbox; DROP TABLE foldlog_past; PRAGMA user_version=1');
      }),
    );
    const image = { disk: device.disk.image(), pages: device.pages.state };
    const open = async (): Promise<Database> => {
      await device.boot();
      return (await counter.shard()).store.db;
    };
    const before = device.medium.calls;
    await open();
    const calls = device.medium.calls - before;
    device.stop('kill');
    for (let call = 1; call <= calls + 1; call += 3) {
      const mode: StopMode = call % 2 === 0 ? 'kill' : 'power';
      device.disk.load(image.disk);
      device.pages.load(image.pages);
      device.medium.stopAfter(call);
      await Promise.race([open().catch(() => undefined), untilStopped(counter)]);
      device.stop(mode);
      const db = await open();
      expect(db.value('PRAGMA user_version')).toBe(2);
      expect(db.value('SELECT count(*) FROM foldlog_outbox')).toBe(0);
      expect(db.value('SELECT count(*) FROM foldlog_group')).toBe(3);
      device.stop('kill');
    }
    expect(calls).toBeGreaterThan(5);
  }, 120_000);
});

async function untilStopped({ device }: SimCounter): Promise<void> {
  while (!device.medium.isStopped) await new Promise((resolve) => setImmediate(resolve));
}

test('a newer layout, and one there never was, are refused typed and left alone', async () => {
  for (const [layout, refusal] of [
    [0, { kind: 'corrupt', reason: 'foreignFile' }],
    [3, { kind: 'upgradeNeeded', reason: 'newerLayout' }],
  ] as const) {
    const counter = await SimCounter.open(123);
    const { file } = (await counter.shard()).store;
    await edit(counter, file, (db) => db.exec(`PRAGMA user_version=${layout}`));
    await counter.device.boot();
    await expect(counter.shard()).rejects.toMatchObject(refusal);
  }
});
