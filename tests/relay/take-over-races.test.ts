// Every race and kill of decision 0003 at the relay. After each the whole store verifies, and nothing that had a receipt lies above the cut.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { decodeReceipt } from '../../kernel/receipt.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import type { ObjectStore } from '../../relay/object-store.ts';
import { openFolderStore } from '../../relay/stores/folder.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { s3Store } from '../../relay/stores/s3.ts';
import { faultAt, faultyStore, keysOf, killedStore } from '../conformance/faulty-store.ts';
import { s3Double } from '../conformance/s3-double.ts';
import { errorOf, foundedShop, okBody, seededRandom } from './fixtures.ts';
import {
  asFence,
  cutOf,
  endOf,
  fence,
  fenced,
  fenceOver,
  logLine,
  otherOver,
  sendFence,
  shopOfTwo,
  takenBy,
  verifiedStore,
} from './take-over.ts';

describe('races', () => {
  const stores: readonly (readonly [
    string,
    () => Promise<{ store: ObjectStore; others: readonly ObjectStore[]; close: () => Promise<void> }>,
  ])[] = [
    [
      'memory',
      async () => {
        const store = memoryStore();
        return { store, others: [store], close: async () => undefined };
      },
    ],
    [
      'a folder, opened twice',
      async () => {
        const folder = await mkdtemp(join(tmpdir(), 'foldlog-fence-'));
        const store = await openFolderStore(folder);
        return { store, others: [await openFolderStore(folder)], close: () => rm(folder, { recursive: true, force: true }) };
      },
    ],
    [
      'S3',
      async () => {
        const bucket = { bucketUrl: 'http://s3.test/bucket', region: 'eu-test-1', accessKeyId: 'test', secretAccessKey: 'secret' };
        const fetch = s3Double({ etagForm: 'quoted' });
        return { store: s3Store({ fetch }, bucket), others: [s3Store({ fetch }, bucket)], close: async () => undefined };
      },
    ],
  ];

  describe.each(stores)('over %s', (_, open) => {
    test.each(['the run', 'the fence'] as const)(
      'old writer against fence, %s lands first: the other knows, and a receipt lies below the cut',
      async (first) => {
        const { store, others, close } = await open();
        const { host, send, workspace, shard, heir, owner } = await shopOfTwo({ store });
        await shard.push(send);
        const run = await shard.nextRun();
        const signed = await fenceOver(shard, owner, await endOf(shard.id, await shard.readLog(send)));
        // Both have read that the slot is free; one of them is slow to put.
        let openGate = (): void => undefined;
        const gate = new Promise<void>((resolve) => {
          openGate = resolve;
        });
        const slow = otherOver(heldPuts(others[0] as ObjectStore, gate), host);
        const byPush = first === 'the run' ? send : slow;
        const byFence = first === 'the run' ? slow : send;
        const pushed = shard.send(byPush, run);
        const put = sendFence(shard, byFence, owner, signed);
        await (first === 'the run' ? pushed : put);
        openGate();
        let object = await put;
        if (first === 'the run') {
          okBody(await pushed);
          expect(errorOf(object)).toEqual({ status: 409, kind: 'unavailable', reason: 'slotTaken' });
          object = await sendFence(shard, send, owner, await fenceOver(shard, owner, await endOf(shard.id, await shard.readLog(send))));
        } else {
          expect(errorOf(await pushed)).toEqual(fenced);
        }
        const standing = asFence(okBody(object));
        expect(standing.fence.head).toEqual(first === 'the run' ? run.head : run.after);
        await workspace.append(send, owner, [cutOf(standing, heir)]);
        await takenBy(shard, heir, standing).push(send);
        expect(logLine(await verifiedStore(store), shard)).toContain('epoch 2');
        await close();
      },
    );

    test('two fences at once: one stands, the other author signs again over it', async () => {
      const { store, others, close } = await open();
      const { host, send, workspace, till, shard, owner } = await shopOfTwo({ store });
      const there = otherOver(others[0] as ObjectStore, host);
      await shard.push(send);
      const end = await endOf(shard.id, await shard.readLog(send));
      const [mine, its] = await Promise.all([fenceOver(shard, owner, end), fenceOver(shard, till, end)]);
      const answers = await Promise.all([sendFence(shard, send, owner, mine), sendFence(shard, there, till, its)]);
      const lost = answers.filter(({ kind }) => kind === 'error').map(errorOf);
      expect(lost).toEqual([{ status: 409, kind: 'unavailable', reason: 'slotTaken' }]);
      const last = await fence(shard, send, owner); // an admin may at once, over either
      await workspace.append(send, owner, [cutOf(last)]);
      expect(last).toMatchObject({ slot: 3, fence: { closedEpoch: 2, newEpoch: 3 } });
      await close();
    });
  });

  it.each(['refused', 'replyLost', 'appliedLate'] as const)('a put of the fence that is %s once is settled', async (fault) => {
    const { host, workspace, shard, heir, owner, send } = await shopOfTwo();
    await shard.push(send);
    const store = faultyStore(host.store, faultAt('put', '/log/', fault));
    const object = await fence(shard, otherOver(store, host), owner);
    await store.landLate();
    await workspace.append(send, owner, [cutOf(object, heir)]);
    await takenBy(shard, heir, object).push(send);
    expect(logLine(await verifiedStore(host.store), shard)).toContain('slots 3, groups 2');
    expect(store.violations).toEqual([]);
  });

  test('a run in flight from an instance that died lands before the fence or not at all', async () => {
    const { host, send, shard, owner } = await shopOfTwo();
    const dying = faultyStore(host.store, ({ method, key }) => (method === 'put' && key.includes('/log/') ? 'appliedLate' : 'none'));
    await shard.push(send);
    const run = await shard.nextRun();
    expect(errorOf(await shard.send(otherOver(dying, host), run))).toMatchObject({ kind: 'unknown' });
    const object = await fence(shard, send, owner);
    expect(new Set((await dying.landLate()).map(({ kind }) => kind))).toEqual(new Set(['lost']));
    expect(errorOf(await shard.send(send, run))).toEqual(fenced);
    expect((await endOf(shard.id, await shard.readLog(send))).head).toEqual(object.fence.head);

    // The other way round: it lands first, and the fence has to be signed over it.
    const second = await foundedShop({ seed: 'second' });
    const late = faultyStore(second.host.store, ({ method, key }) => (method === 'put' && key.includes('/log/') ? 'appliedLate' : 'none'));
    const early = await second.shard.nextRun();
    await second.shard.send(otherOver(late, second.host, 'second'), early);
    const signed = await fenceOver(second.shard, second.workspace.owner, await endOf(second.shard.id, []));
    await late.landLate();
    expect(errorOf(await sendFence(second.shard, second.send, second.workspace.owner, signed))).toMatchObject({ reason: 'slotTaken' });
    expect((await fence(second.shard, second.send, second.workspace.owner)).fence.head).toEqual(early.head);
  });

  test('a fence in flight that lands after its author gave up closes the epoch, and an admin goes on from it', async () => {
    const { host, send, workspace, till, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const dying = faultyStore(host.store, ({ method, key }) => (method === 'put' && key.includes('/log/') ? 'appliedLate' : 'none'));
    const signed = await fenceOver(shard, till, await endOf(shard.id, await shard.readLog(send)));
    expect(errorOf(await sendFence(shard, otherOver(dying, host), till, signed))).toMatchObject({ kind: 'unknown' });
    await dying.landLate();
    expect(errorOf(await shard.send(send, await shard.nextRun()))).toEqual(fenced);
    const object = await fence(shard, send, owner);
    await workspace.append(send, owner, [cutOf(object, heir)]);
    expect(await takenBy(shard, heir, object).push(send)).toMatchObject({ epoch: 3, slot: 4 });
  });

  test('killed at any store call of fence and cut, the same two requests to a fresh instance finish it, once', async () => {
    let kills = 0;
    for (const step of ['fence', 'cut'] as const) {
      for (const isApplied of [false, true]) {
        for (let call = 1, wasKilled = true; wasKilled; call++, kills++) {
          const { host, send, workspace, shard, heir, owner } = await shopOfTwo();
          await shard.push(send);
          const signed = await fenceOver(shard, owner, await endOf(shard.id, await shard.readLog(send)));
          const store = killedStore(host.store, { call, isApplied });
          const dying = otherOver(store, host);
          const fresh = otherOver(host.store, host);
          if (step === 'fence') await sendFence(shard, dying, owner, signed);
          const object = asFence(okBody(await sendFence(shard, fresh, owner, signed)));
          const entry = await workspace.entry(owner, [cutOf(object, heir)]);
          const path = relayPaths.controlAppend(workspace.id);
          if (step === 'cut') await workspace.post(dying, path, entry);
          okBody(await workspace.post(fresh, path, entry));
          wasKilled = store.calls >= call;
          expect(
            decodeReceipt(okBody(await takenBy(shard, heir, object).send(fresh, await takenBy(shard, heir, object).nextRun())), 'r').slot,
          ).toBe(3);
          expect(logLine(await verifiedStore(host.store), shard)).toContain('slots 3, groups 2');
        }
      }
    }
    expect(kills).toBeGreaterThan(24);
  }, 120_000);

  test('a store that lost the fence takes nothing of the epoch after it', async () => {
    const { host, send, workspace, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const object = await fence(shard, send, owner);
    await workspace.append(send, owner, [cutOf(object, heir)]);
    const key = (await keysOf(host.store)).find((name) => name.endsWith('/log/0000000000000002')) as string;
    await host.store.delete(key);
    const next = takenBy(shard, heir, object);
    expect(errorOf(await next.send(send, await next.nextRun()))).toEqual({ status: 503, kind: 'unavailable', reason: 'rolledBack' });
    expect(errorOf(await shard.send(send, await shard.nextRun()))).toEqual(fenced);
  });

  it.each(Array.from({ length: 16 }, (_, seed) => seed))(
    'seed %d: writers, fences and cuts over a failing store end in one chain',
    async (seed) => {
      const { host, send, workspace, shard, owner } = await shopOfTwo({ seed: `chaos ${seed}` });
      const random = seededRandom(`chaos ${seed}`);
      const flaky = faultyStore(host.store, ({ method }) => {
        const [dice = 0, which = 0] = random.bytes(2);
        if (dice > 40) return 'none';
        return method === 'put' ? ((['refused', 'replyLost', 'appliedLate'] as const)[which % 3] ?? 'refused') : 'refused';
      });
      const there = otherOver(flaky, host, `chaos ${seed}`);
      const committed = new Map<number, string>();
      let writing = shard;
      for (let round = 0; round < 3; round++) {
        const run = await writing.nextRun(2);
        const signed = await fenceOver(shard, owner, await endOf(shard.id, await shard.readLog(send, owner)));
        const [pushed] = await Promise.all([writing.send(there, run), sendFence(shard, there, owner, signed)]);
        if (pushed.kind === 'ok') for (const { hash: found, header } of run.groups) committed.set(header.firstSeq, bytesToHex(found));
        if ((random.bytes(1)[0] ?? 0) < 128) await flaky.landLate();
        const object = await fence(shard, send, owner);
        const heir = await workspace.join(send, `heir ${round}`, 'writer');
        await workspace.append(send, owner, [cutOf(object, heir)]);
        const next = takenBy(shard, heir, object);
        expect(errorOf(await writing.send(send, await writing.nextRun()))).toMatchObject({ kind: 'fenced' });
        writing = next;
      }
      const last = await writing.nextRun();
      await writing.push(send, last);
      await flaky.landLate();
      expect(logLine(await verifiedStore(host.store), shard)).toContain(`head ${last.head.seq} `);
      // Whatever had a receipt is in the log, in its place.
      const head = [...committed.keys()].sort((a, b) => a - b);
      expect(head.every((at) => at <= last.head.seq)).toBe(true);
      expect(flaky.violations).toEqual([]);
    },
  );
});

/** A store that takes no slot of a log before `gate` opens. */
const heldPuts = (inner: ObjectStore, gate: Promise<void>): ObjectStore => ({
  async put(key, bytes, condition) {
    if (key.includes('/log/')) await gate;
    return inner.put(key, bytes, condition);
  },
  get: (key) => inner.get(key),
  head: (key) => inner.head(key),
  delete: (key) => inner.delete(key),
  list: (prefix, after, limit) => inner.list(prefix, after, limit),
});
