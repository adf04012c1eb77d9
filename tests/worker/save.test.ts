import { beforeEach, describe, expect, test } from 'vitest';
import { FoldlogError } from '../../kernel/errors.ts';
import { type GroupId, groupId } from '../../kernel/units.ts';
import { sql } from '../../shards/index.ts';
import type { LivePatch } from '../../worker/engine/live.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import { SimWorld } from '../sim/sim-world.ts';

let device: SimDevice;
let shard: OwnShard;
let newId: () => GroupId;

beforeEach(async () => {
  const world = new SimWorld(1);
  device = new SimDevice(world, 'till', [till], undefined);
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  shard = device.engine.shard(await device.engine.openShard('till', 'till-1'));
  const random = world.random('ids');
  newId = () => groupId(random.bytes(16));
});

const save = (...inputs: readonly (readonly [string, unknown])[]) => shard.save(newId(), { kind: 'ops', inputs });
const count = (table: string): number => Number(shard.store.db.value(`SELECT count(*) FROM ${table}`));

describe('save', () => {
  test('concurrent saves share a flush: one seal for what waited together', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, i) => save(line(`s${i}`, 'sku'))));
    expect(count('foldlog_group')).toBe(50);
    expect(Number(shard.store.db.value('SELECT count(*) FROM foldlog_group WHERE seal IS NOT NULL'))).toBeLessThan(5);
  });

  test('the same id again gives the same place and saves nothing twice', async () => {
    const id = newId();
    const source = { kind: 'ops', inputs: [line('s', 'sku')] } as const;
    const [first, second] = await Promise.all([shard.save(id, source), shard.save(id, source)]);
    expect(second).toEqual(first);
    expect(await shard.save(id, source)).toEqual(first);
    expect(count('saleLine')).toBe(1);
  });

  test('a call that throws in its reducer is rejected alone; the others of its flush are saved', async () => {
    const results = await Promise.allSettled([
      save(line('a', 'x')),
      save(line('b', 'x'), ['bad.throws', { why: 'no' }]),
      save(line('c', 'x')),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(shard.store.db.all('SELECT sale FROM saleLine ORDER BY sale')).toEqual([{ sale: 'a' }, { sale: 'c' }]);
    expect(shard.store.head.seq).toBe(2);
  });

  test('a command decides on the state of its turn: of two equal baskets one is sold', async () => {
    const basket = { sale: 's1', lines: [{ sku: 'x', qty: 2 }] };
    const run = () => shard.save(newId(), { kind: 'command', name: 'sell', input: basket });
    const results = await Promise.allSettled([run(), run()]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { reason: 'soldAlready' } });
  });

  test('a reader that waits behind an open transaction never sees its rows', async () => {
    const saving = save(line('s', 'sku'));
    const [rows] = await shard.read([sql<{ n: number }>`SELECT count(*) AS n FROM saleLine`]);
    await saving;
    expect(rows).toEqual([{ n: 1 }]); // after the save, never in the middle of it
  });

  test.each<readonly [string, readonly [string, unknown], string]>([
    ['unknown class', ['sale.gone', {}], 'unknownClass'],
    ["the engine's own class", ['foldlog.headsSeen', {}], 'unknownClass'],
    ['payload that fails its schema', ['sale.line', { sale: 1 }], 'badPayload'],
    ['payload with a prototype key', ['sale.line', JSON.parse('{"__proto__":{},"sale":"a","sku":"b","qty":1,"cents":1}')], 'ok'],
    ['integer beyond 2^53-1', ['sale.line', { sale: 's', sku: 'x', qty: 2 ** 60, cents: 1 }], 'badPayload'],
    ['lone surrogate', ['sale.line', { sale: '\ud800', sku: 'x', qty: 1, cents: 1 }], 'badPayload'],
    ['reducer that throws', ['bad.throws', { why: 'no' }], 'reducerFailed'],
    ['reducer that reads the clock', ['bad.clock', {}], 'impureReducer'],
    ['reducer that uses random() in SQL', ['bad.random', {}], 'impureReducer'],
    ['reducer that uses the clock in SQL', ['bad.sqlClock', {}], 'impureReducer'],
    ['reducer that changes the schema', ['bad.ddl', {}], 'impureReducer'],
    ["reducer that touches the engine's tables", ['bad.log', {}], 'impureReducer'],
  ])('%s is refused typed and changes nothing', async (_, input, reason) => {
    await save(line('before', 'sku'));
    if (reason === 'ok') {
      await save(input); // the schema's output does not carry the key
      return;
    }
    const error: unknown = await save(line('with', 'sku'), input).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(FoldlogError);
    expect(error).toMatchObject({ kind: 'misuse', reason, retry: 'never' });
    expect([count('saleLine'), count('foldlog_group'), shard.store.head.seq]).toEqual([1, 1, 1]);
    await save(line('after', 'sku'));
    expect(shard.store.head.seq).toBe(2);
  });

  test.each([
    ['no ops', 0, 'groupTooLarge'],
    ['more ops than a group may hold', 10_000, 'groupTooLarge'],
  ])('%s: refused before anything is touched', async (_, ops, reason) => {
    const inputs = Array.from({ length: ops }, (_, i) => line('s', `sku-${i}`));
    await expect(save(...inputs)).rejects.toMatchObject({ kind: 'misuse', reason });
    expect(count('foldlog_group')).toBe(0);
  });

  test('a body over its bound is refused', async () => {
    await expect(save(line('x'.repeat(5 * 1024 * 1024), 'sku'))).rejects.toMatchObject({ kind: 'misuse', reason: 'groupTooLarge' });
  });
});

describe('reading', () => {
  test('a live query tells all rows once, then only what changed', async () => {
    const patches: LivePatch[] = [];
    await save(line('a', 'x'), line('a', 'y'));
    shard.live({ query: sql`SELECT sku, qty FROM total ORDER BY sku`, key: ['sku'] }, (patch) => patches.push(patch), fail);
    await until(() => patches.length === 1);
    await save(line('b', 'y'));
    await until(() => patches.length === 2);
    await save(line('c', 'z'));
    await until(() => patches.length === 3);
    expect(patches).toEqual([
      {
        changed: [
          ['x', { sku: 'x', qty: 1 }],
          ['y', { sku: 'y', qty: 1 }],
        ],
        order: ['x', 'y'],
      },
      { changed: [['y', { sku: 'y', qty: 2 }]] },
      { changed: [['z', { sku: 'z', qty: 1 }]], order: ['x', 'y', 'z'] },
    ]);
  });

  test.each([
    ['a statement that writes', sql`DELETE FROM total`, 'queryWrites'],
    ['SQL that does not parse', sql`SELEC 1`, 'badQuery'],
    ['a table that is not there', sql`SELECT * FROM nothing`, 'badQuery'],
    ['a query without end', sql`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n`, 'queryTooLong'],
  ])('%s is refused typed', async (_, query, reason) => {
    await expect(shard.read([query])).rejects.toMatchObject({ kind: 'misuse', reason });
  });
});

describe('opening', () => {
  test('a shard whose file is gone is told, never opened empty', async () => {
    await save(line('s', 'sku'));
    const file = shard.store.file;
    await device.engine.close();
    const markers = await device.vault.markers();
    expect(markers.has(file)).toBe(true);
    for (const path of device.disk.paths()) if (path.includes('.opaque')) device.disk.remove(path);
    device.stop('kill');
    await expect(device.boot()).rejects.toMatchObject({ kind: 'corrupt', reason: 'missingFile' });
  });

  test.each([
    ['a database of another program', 'PRAGMA application_id=7', 'foreignFile', 'corrupt'],
    ['a newer layout', 'PRAGMA user_version=99', 'newerLayout', 'upgradeNeeded'],
    ['a newer schema', `UPDATE foldlog_meta SET value = 9 WHERE name = 'schemaVersion'`, 'newerSchema', 'upgradeNeeded'],
    ["another shard's file", `UPDATE foldlog_meta SET value = zeroblob(16) WHERE name = 'shard'`, 'wrongShard', 'corrupt'],
  ])('%s is refused typed and left as it is', async (_, tamper, reason, kind) => {
    await save(line('s', 'sku'));
    shard.store.db.exec(tamper);
    device.stop('kill');
    await device.boot();
    await expect(device.engine.openShard('till', 'till-1')).rejects.toMatchObject({ kind, reason });
  });

  test('kind and name that cannot be are refused', async () => {
    await expect(device.engine.openShard('bakery', 'x')).rejects.toMatchObject({ kind: 'misuse', reason: 'unknownKind' });
    await expect(device.engine.create({ workspace: 'other', device: 'x' })).rejects.toMatchObject({ reason: 'alreadyMember' });
  });
});

function fail(error: FoldlogError): void {
  throw error;
}

async function until(isDone: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000 && !isDone(); i++) await new Promise<void>((resolve) => setImmediate(resolve));
  expect(isDone()).toBe(true);
}
