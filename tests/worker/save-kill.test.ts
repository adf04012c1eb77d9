// Stops the machine at every I/O step of the save path and looks at what the next start finds. On OPFS the pool VFS is SQLite-WASM's own and a
// step is a call to the disk; on IndexedDB the VFS is ours, and the steps are before, inside and after each transaction.

import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { decodeGroupHeader, groupHashOf, isBodyOf } from '../../kernel/commit-group.ts';
import { portableVerifier, publicKeyOf } from '../../kernel/ed25519.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { readSeal, verifySeal } from '../../kernel/seal.ts';
import { type GroupId, groupId, hash, seq } from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import type { Engine } from '../../worker/engine/engine.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import { type DeviceOptions, SimDevice } from '../sim/sim-device.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { SimWorld } from '../sim/sim-world.ts';

interface Ledger {
  readonly acknowledged: Map<string, readonly string[]>;
  readonly asked: Map<string, readonly string[]>;
}

/** Saves groups of several shapes until the machine stops; keeps a ledger that shares no code with the engine. */
async function sellUntilStopped(engine: Engine, ids: () => GroupId, ledger: Ledger): Promise<void> {
  const shard = engine.shard('till/till-1');
  for (let i = 0; i < 6; i++) {
    const calls = Array.from({ length: i % 3 === 2 ? 3 : 1 }, (_, n) => ({
      id: ids(),
      sales: [`s${ledger.asked.size + n}`],
      lines: i === 4 ? 60 : 2,
    }));
    await Promise.all(
      calls.map(async ({ id, sales, lines }) => {
        ledger.asked.set(bytesToHex(id), sales);
        const inputs = sales.flatMap((sale) => Array.from({ length: lines }, (_, sku) => line(sale, `sku-${sku}`)));
        await shard.save(id, { kind: 'ops', inputs });
        ledger.acknowledged.set(bytesToHex(id), sales);
      }),
    );
  }
}

/** Everything that must hold after any stop. */
async function requireSound(engine: Engine, ledger: Ledger, key: Uint8Array): Promise<void> {
  const { store } = engine.shard('till/till-1');
  expect(store.db.value('PRAGMA integrity_check')).toBe('ok');
  const rows = store.db.all<{
    id: Uint8Array;
    header: Uint8Array;
    hash: Uint8Array;
    salt: Uint8Array;
    body: Uint8Array;
    seal: Uint8Array | null;
  }>('SELECT id, header, hash, salt, body, seal FROM foldlog_group ORDER BY last_seq');
  const ids = rows.map(({ id }) => bytesToHex(id));
  for (const id of ledger.acknowledged.keys()) expect(ids).toContain(id);
  for (const id of ids) expect([...ledger.asked.keys()]).toContain(id);
  expect(new Set(ids).size).toBe(ids.length);
  let at = 0;
  let prev = '00'.repeat(32);
  let sealed = 0;
  for (const row of rows) {
    const header = decodeGroupHeader(row.header, 'stored');
    expect(header.firstSeq).toBe(at + 1);
    expect(bytesToHex(header.prev)).toBe(prev);
    expect(isBodyOf(header, row.salt, row.body)).toBe(true);
    prev = bytesToHex(groupHashOf(row.header));
    expect(bytesToHex(row.hash)).toBe(prev);
    at += header.opCount;
    if (row.seal === null) continue;
    const position = { shard: header.shard, epoch: header.epoch, head: { seq: seq(at), hash: hash(row.hash) } };
    await verifySeal(portableVerifier, publicKeyOf(key), position, readSeal(new Reader(row.seal, 'seal')), 'stored seal');
    sealed = at;
  }
  expect(sealed).toBe(at); // no group without a seal at or after it
  // Rows of a group are there whole or not at all.
  const sales = store.db.all<{ sale: string; n: number }>('SELECT sale, count(*) AS n FROM saleLine GROUP BY sale');
  expect(sales.reduce((sum, { n }) => sum + n, 0)).toBe(at);
  expect(Number(store.db.value('SELECT coalesce(sum(qty), 0) FROM total'))).toBe(at);
}

const isStop = (error: unknown): boolean => error !== undefined;

/** I/O steps from the start of selling to its end, without a stop. */
async function countCalls(seed: number, options: DeviceOptions): Promise<number> {
  const { device, ids } = await shopOn(seed, options);
  const before = device.medium.calls;
  await sellUntilStopped(device.engine, ids, { acknowledged: new Map(), asked: new Map() });
  const calls = device.medium.calls - before;
  device.stop('kill');
  return calls;
}

async function shopOn(
  seed: number,
  options: DeviceOptions,
): Promise<{ readonly device: SimDevice; readonly ids: () => GroupId; readonly key: Uint8Array }> {
  const world = new SimWorld(seed);
  const device = new SimDevice(world, 'till', [till], undefined, options);
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  await device.engine.openShard('till', 'till-1');
  const random = world.random('ids');
  return { device, ids: () => groupId(random.bytes(16)), key: new SimWorld(seed).random('till/key').bytes(32) };
}

/** How the run is broken on purpose, for the controls that show that these tests can fail. */
interface Broken {
  readonly liesAboutFlush?: boolean;
  readonly acknowledgesEarly?: boolean;
  readonly isRelaxed?: boolean;
}

async function stopAt(call: number, mode: StopMode, seed: number, options: DeviceOptions, broken: Broken = {}): Promise<void> {
  const { device, ids, key } = await shopOn(seed, options);
  device.disk.liesAboutFlush = broken.liesAboutFlush ?? false;
  device.pages.isRelaxed = broken.isRelaxed ?? false;
  const ledger: Ledger = { acknowledged: new Map(), asked: new Map() };
  device.medium.stopAfter(call);
  // A dead process answers nobody: whatever the calls end in, only what was acknowledged before counts.
  const selling = sellUntilStopped(device.engine, ids, ledger).catch(isStop);
  await Promise.race([selling, untilStopped(device)]);
  const frozen: Ledger = {
    acknowledged: new Map(broken.acknowledgesEarly ? ledger.asked : ledger.acknowledged),
    asked: new Map(ledger.asked),
  };
  device.stop(mode);
  await device.boot();
  await device.engine.openShard('till', 'till-1');
  await requireSound(device.engine, frozen, key);
  // The same calls again by id: saved once, whatever the stop left.
  const shard = device.engine.shard('till/till-1');
  for (const [id, sales] of frozen.asked) {
    const lines = Number(shard.store.db.value('SELECT count(*) FROM saleLine WHERE sale = ?', [sales[0] ?? ''])) || 2;
    const inputs = sales.flatMap((sale) => Array.from({ length: lines }, (_, sku) => line(sale, `sku-${sku}`)));
    await shard.save(groupId(Uint8Array.from(Buffer.from(id, 'hex'))), { kind: 'ops', inputs });
  }
  await requireSound(device.engine, { acknowledged: frozen.asked, asked: frozen.asked }, key);
  device.stop('kill');
}

async function untilStopped(device: SimDevice): Promise<void> {
  while (!device.medium.isStopped) await new Promise((resolve) => setImmediate(resolve));
}

const opfs: DeviceOptions = { backend: 'opfs-pool' };
const mirror: DeviceOptions = { backend: 'indexeddb' };
/** A pool that says "durable" of what is only on its way. */
const early: DeviceOptions = {
  ...mirror,
  wrap: (pool) => {
    const flush = pool.flush.bind(pool);
    const begin = (file: string): undefined => void flush(file)?.catch(() => undefined);
    return Object.assign(pool, { flush: begin });
  },
};

describe.each<readonly [Backend, DeviceOptions, number]>([
  ['opfs-pool', opfs, 40],
  ['indexeddb', mirror, 15],
])('save path on %s', (_, options, callsMin) => {
  test('every acknowledged group survives a stop at any I/O step, whole and once: kill and power cut', async () => {
    const calls = await countCalls(11, options);
    expect(calls).toBeGreaterThan(callsMin);
    for (let call = 1; call <= calls; call++) {
      await stopAt(call, call % 2 === 0 ? 'kill' : 'power', 11, options);
    }
  }, 240_000);

  test('a step that fails once ends in saved or a typed error that kept nothing, and the next save works', async () => {
    const { device, ids, key } = await shopOn(12, options);
    const shard = device.engine.shard('till/till-1');
    const ledger: Ledger = { acknowledged: new Map(), asked: new Map() };
    const kinds = new Set<string>();
    for (let call = 1; call <= 24; call++) {
      const [id, next] = [ids(), ids()];
      device.medium.failAfter(call);
      try {
        await shard.save(id, { kind: 'ops', inputs: [line(`f${call}`, 'sku-1')] });
        ledger.acknowledged.set(bytesToHex(id), []);
      } catch (error) {
        expect(error).toBeInstanceOf(FoldlogError);
        kinds.add((error as FoldlogError).kind);
        expect(await shard.find(id)).toBeUndefined();
      }
      device.medium.failAfter(Number.MAX_SAFE_INTEGER);
      ledger.asked.set(bytesToHex(id), []);
      ledger.asked.set(bytesToHex(next), []);
      await shard.save(next, { kind: 'ops', inputs: [line(`g${call}`, 'sku-2')] });
      ledger.acknowledged.set(bytesToHex(next), []);
    }
    await requireSound(device.engine, ledger, key);
    expect([...kinds]).toEqual(['storageFull']);
  });

  test('a signer that fails rejects its calls and stores nothing unsealed', async () => {
    const { device, ids } = await shopOn(13, options);
    const shard = device.engine.shard('till/till-1');
    const signer = await device.vault.signer();
    const sign = signer?.sign;
    Object.assign(signer ?? {}, { sign: async () => Promise.reject(new Error('the key is gone')) });
    const id = ids();
    await expect(shard.save(id, { kind: 'ops', inputs: [line('s', 'sku')] })).rejects.toMatchObject({ kind: 'unavailable', retry: 'same' });
    expect(await shard.find(id)).toBeUndefined();
    Object.assign(signer ?? {}, { sign });
    expect((await shard.save(id, { kind: 'ops', inputs: [line('s', 'sku')] })).lastSeq).toBe(1);
  });
});

describe('the sweep', () => {
  test.each<readonly [string, DeviceOptions, StopMode, Broken]>([
    ['a disk that lies about its flush', opfs, 'power', { liesAboutFlush: true }],
    ['an acknowledgement before COMMIT', opfs, 'kill', { acknowledgesEarly: true }],
    ['an acknowledgement before the flush', early, 'kill', {}],
    ['relaxed transactions taken for strict ones', mirror, 'power', { isRelaxed: true }],
  ])('finds %s as loss (null control)', async (_, options, mode, broken) => {
    const calls = await countCalls(11, options);
    let found = 0;
    for (let call = 2; call <= calls && found === 0; call += options.backend === 'indexeddb' ? 1 : 3) {
      await stopAt(call, mode, 11, options, broken).catch(() => {
        found++;
      });
    }
    expect(found).toBe(1);
  });
});
