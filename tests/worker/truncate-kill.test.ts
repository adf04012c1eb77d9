// Stops the machine at the I/O steps of publishing and of truncating, on both backends, and looks at what the next start finds: a log that begins exactly
// behind its base and verifies, every acknowledged op in the state, every id answered, and both jobs going on to their end.

import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { type GroupId, groupId } from '../../kernel/units.ts';
import type { GroupPlace } from '../../worker/engine/chain-log.ts';
import { stateHashOf } from '../../worker/engine/image.ts';
import { requireSoundEnd, verifyGroups } from '../../worker/engine/log-check.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import type { StopMode } from '../sim/sim-disk.ts';
import { SimShop } from '../sim/sim-shop.ts';

interface Call {
  readonly id: GroupId;
  readonly place: GroupPlace;
  readonly sale: string;
  readonly lines: number;
}

/** Groups at or below the checkpoint. */
const covered = 20;

interface Stored {
  readonly shop: SimShop;
  readonly calls: readonly Call[];
  readonly state: string;
  /** Takes the medium back to how it was when everything was committed, and starts. */
  readonly restore: () => Promise<OwnShard>;
}

const source = ({ sale, lines }: Pick<Call, 'sale' | 'lines'>) =>
  ({ kind: 'ops', inputs: Array.from({ length: lines }, (_, n) => line(sale, `sku-${n}`)) }) as const;

/** A shop with a log of several shapes, all of it committed; published too when `isPublished`. Some groups came after the checkpoint, the last are nowhere else. */
async function storedShop(seed: number, backend: Backend, isPublished: boolean): Promise<Stored> {
  const shop = new SimShop(seed, { backend });
  const shard = await shop.found();
  const ids = shop.world.random('call ids');
  const calls: Call[] = [];
  const sell = async (groups: number): Promise<void> => {
    for (let n = 0; n < groups; n++) {
      const call = { id: groupId(ids.bytes(16)), sale: `s${calls.length}${n % 9 === 4 ? 'x'.repeat(20_000) : ''}`, lines: 1 + (n % 4) };
      calls.push({ ...call, place: await shard.save(call.id, source(call)) });
    }
  };
  await sell(covered);
  await shop.committed(shard);
  if (isPublished) await shop.world.finish('publish', shard.publish());
  await sell(2);
  await shop.committed(shard);
  shop.faults.requestLost = isPublished ? 1 : 0;
  await sell(isPublished ? 2 : 0);
  const state = bytesToHex(stateHashOf(shard.store.db, till));
  const { owner } = shop;
  owner.stop('kill');
  const [disk, pages, markers] = [owner.disk.image(), owner.pages.state, await owner.vault.markers()];
  const restore = async (): Promise<OwnShard> => {
    owner.stop('kill');
    if (backend === 'indexeddb') owner.pages.load(pages);
    else owner.disk.load(disk);
    owner.vault.load(markers);
    await owner.boot();
    return shop.reopen();
  };
  return { shop, calls, state, restore };
}

/** Everything that must hold after any stop. */
async function requireSound({ calls, state }: Stored, shard: OwnShard): Promise<void> {
  const { db, identity, file, log } = shard.store;
  expect(db.value('PRAGMA integrity_check')).toBe('ok');
  requireSoundEnd(db, identity, file);
  const base = log.base.head;
  expect(db.value('SELECT min(first_seq) FROM foldlog_group')).toBe(base.seq + 1);
  let place = { head: base, sealedSeq: base.seq as number, isEnd: false };
  while (!place.isEnd) place = verifyGroups(db, identity, place, 64, file);
  expect(place.head).toEqual(shard.store.head);
  expect(bytesToHex(stateHashOf(db, till))).toBe(state);
  for (const call of calls) expect(await shard.save(call.id, source(call))).toEqual(call.place);
  expect(shard.store.head.seq).toBe(calls.at(-1)?.place.lastSeq);
  expect(Number(db.value('SELECT count(*) FROM saleLine'))).toBe(calls.reduce((sum, { lines }) => sum + lines, 0));
}

const untilStopped = async (shop: SimShop): Promise<void> => {
  while (!shop.owner.medium.isStopped) await new Promise((resolve) => setImmediate(resolve));
};

/** I/O steps of a job that nothing stops. */
async function stepsOf({ shop, restore }: Stored, job: (shop: SimShop, shard: OwnShard) => Promise<unknown>): Promise<number> {
  const shard = await restore();
  const before = shop.owner.medium.calls;
  await job(shop, shard);
  return shop.owner.medium.calls - before;
}

/** Every step is stopped at, as long as there are no more than this; of more, evenly spread ones. */
const stopsMax = 50;

async function stopEverywhere(
  stored: Stored,
  job: (shop: SimShop, shard: OwnShard) => Promise<unknown>,
  after: (shard: OwnShard, call: number) => Promise<void>,
): Promise<number> {
  const { shop, restore } = stored;
  const { owner } = shop;
  const steps = await stepsOf(stored, job);
  const stride = Math.ceil(steps / stopsMax);
  for (let call = 1; call <= steps; call += stride) {
    const mode: StopMode = Math.floor(call / stride) % 2 === 0 ? 'kill' : 'power';
    const shard = await restore();
    owner.medium.stopAfter(call);
    await Promise.race([job(shop, shard).catch(() => undefined), untilStopped(shop)]);
    owner.stop(mode);
    await owner.boot();
    const again = await shop.reopen();
    expect(owner.pool.files().filter((file) => file.startsWith('/scratch-'))).toEqual([]);
    await requireSound(stored, again);
    await after(again, call);
  }
  owner.stop('kill');
  return steps;
}

const truncate = (shop: SimShop, shard: OwnShard) => shop.world.finish('truncate', shard.truncate());
const publish = (shop: SimShop, shard: OwnShard) => shop.world.finish('publish', shard.publish());

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('truncating, stopped at every step: the log begins behind its base, nothing is lost, and the job is done by the next try', async () => {
    const stored = await storedShop(400, backend, true);
    const bases = new Set<number>();
    const steps = await stopEverywhere(stored, truncate, async (shard) => {
      bases.add(shard.store.log.base.head.seq);
      await truncate(stored.shop, shard);
      expect(shard.store.log.base.head.seq).toBe(stored.calls[covered - 1]?.place.lastSeq);
      expect((await shard.status()).upkeep?.freeBytes).toBe(0);
      await requireSound(stored, shard);
    });
    expect(steps).toBeGreaterThan(backend === 'indexeddb' ? 3 : 60);
    expect(bases.size).toBeGreaterThan(1); // stopped before and after the log went
  }, 240_000);

  test('publishing, stopped all along its steps: nothing is lost, no scratch file stays, and the next try stands', async () => {
    const stored = await storedShop(401, backend, false);
    let noted = 0;
    const steps = await stopEverywhere(stored, publish, async (shard) => {
      if ((await shard.status()).checkpointSeq > 0) noted++;
      const { head } = await publish(stored.shop, shard);
      expect(head).toEqual(shard.store.head);
      expect((await shard.status()).upkeep?.checkpoint?.seq).toBe(head.seq);
    });
    expect(steps).toBeGreaterThanOrEqual(backend === 'indexeddb' ? 3 : 30);
    expect(noted).toBeGreaterThan(0);
    expect(noted).toBeLessThan(steps);
  }, 240_000);

  test('publishing, killed at every request to the relay, before it and behind it: the next try stands, on a chain of statements', async () => {
    const stored = await storedShop(403, backend, false);
    const { shop, restore } = stored;
    const real = shop.relay.fetch.bind(shop.relay);
    const seen = new Set<string>();
    let isWhole = false;
    for (let n = 1; !isWhole; n++) {
      for (const when of ['before', 'behind'] as const) {
        const shard = await restore();
        await shop.world.run('online', async () => (await shop.owner.engine.status()).link.kind === 'online');
        let asked = 0;
        let isCut = false;
        shop.relay.fetch = async (request) => {
          if (isCut) return new Promise(() => undefined);
          const { pathname } = new URL(request.url);
          if (/control/.test(pathname) || ++asked < n) return real(request);
          isCut = true;
          seen.add(`${request.method} ${pathname.split('/').at(-2)}`);
          if (when === 'behind') await real(request);
          return new Promise(() => undefined);
        };
        const publishing = shard.publish();
        isWhole = await Promise.race([publishing.then(() => true), shop.world.run('cut', () => isCut).then(() => false)]);
        publishing.catch(() => undefined);
        shop.owner.stop('kill');
        shop.relay.fetch = real;
        await shop.owner.boot();
        const again = await shop.reopen();
        await requireSound(stored, again);
        // What is noted stands: a number without its statement would let groups go that nobody else has.
        const { number = 0 } = (await again.status()).upkeep?.checkpoint ?? {};
        expect((await shop.keys('/checkpoint/')).length).toBeGreaterThanOrEqual(number);
        await publish(shop, again);
        expect((await again.status()).upkeep?.checkpoint?.seq).toBe(again.store.head.seq);
      }
    }
    expect(seen.size).toBeGreaterThan(2);
    const statements = [...(await shop.keys('/checkpoint/'))].sort();
    expect(statements.length).toBeGreaterThan(4);
    shop.owner.stop('kill');
  }, 120_000);

  test('a step that fails once ends both jobs typed or not at all, and the next try goes on', async () => {
    const stored = await storedShop(402, backend, true);
    const { shop, restore } = stored;
    const steps = await stepsOf(stored, truncate);
    const kinds = new Set<string>();
    for (let call = 1; call <= steps; call += backend === 'indexeddb' ? 1 : 3) {
      const shard = await restore();
      shop.owner.medium.failAfter(call);
      await truncate(shop, shard).catch((error: { readonly kind: string }) => kinds.add(error.kind));
      shop.owner.medium.failAfter(Number.MAX_SAFE_INTEGER);
      await requireSound(stored, shard);
      await truncate(shop, shard);
      await requireSound(stored, shard);
      shop.owner.stop('power');
      await shop.owner.boot();
      await requireSound(stored, await shop.reopen());
    }
    expect([...kinds]).toEqual(['storageFull']);
  }, 240_000);
});

test('the sweep finds a base that moves in another transaction than the rows (null control)', async () => {
  const stored = await storedShop(400, 'opfs-pool', true);
  // The same slice in two transactions: rows first.
  const broken = async (_: SimShop, shard: OwnShard): Promise<void> => {
    const { db, log } = shard.store;
    const to = log.endBefore(stored.calls[10]?.place.lastSeq as never) as number;
    db.transaction(() => db.run('DELETE FROM foldlog_group WHERE last_seq <= ?', [to]));
    db.transaction(() => db.run(`UPDATE foldlog_meta SET value = ? WHERE name = 'baseSeq'`, [to]));
  };
  await expect(stopEverywhere(stored, broken, async () => undefined)).rejects.toThrow();
  stored.shop.owner.stop('kill');
});
