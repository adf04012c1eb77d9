// The push under a failing store and several instances: lost replies, late writes, kills at every store call, races.
// What must come out each time: every run exactly once in a log that verifies, and a receipt for whoever asks again.

import { describe, expect, it } from 'vitest';
import { type Bytes, isSameBytes } from '../../kernel/bytes.ts';
import { decodeReceipt } from '../../kernel/receipt.ts';
import { ifAbsent, type ObjectStore } from '../../relay/object-store.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { faultAt, faultyStore, killedStore, seededFaults } from '../conformance/faulty-store.ts';
import {
  errorOf,
  foundedShop,
  okBody,
  type Send,
  seededRandom,
  sendTo,
  type TestHost,
  type TestRun,
  type TestShard,
  testHost,
  verifiedLog,
} from './fixtures.ts';

/** Sends the same run until there is a receipt for it, as a device does. */
async function pushUntilCommitted(shard: TestShard, run: TestRun, sends: readonly Send[], roundsMax = 60): Promise<number> {
  for (let round = 0; round < roundsMax; round++) {
    const answer = await shard.send(sends[round % sends.length] as Send, run);
    if (answer.kind === 'ok') {
      const receipt = decodeReceipt(answer.body, 'receipt');
      expect(receipt.head.seq).toBeGreaterThanOrEqual(run.head.seq);
      shard.receipt = answer.body;
      return round;
    }
    expect(['unavailable', 'unknown']).toContain(answer.error.kind);
    expect(answer.error.reason).not.toBe('rolledBack');
  }
  throw new Error(`not committed in ${roundsMax} rounds`);
}

async function expectExactlyOnce(host: TestHost, shard: TestShard, runs: readonly TestRun[]): Promise<void> {
  const objects = await shard.readLog(sendTo(host), shard.writer, undefined, 100_000_000);
  const found = await verifiedLog(host.signer.publicKey, shard, objects);
  expect(found.map((run) => run.head)).toEqual(runs.map((run) => run.head));
}

describe('unknown outcomes', () => {
  it.each(['refused', 'replyLost', 'appliedLate'] as const)('a put that is %s once is settled within the same push', async (fault) => {
    const store = faultyStore(memoryStore(), faultAt('put', '/log/', fault));
    const { host, send, shard } = await foundedShop({ store });
    const run = await shard.nextRun();
    await shard.push(send, run);
    await store.landLate();
    await expectExactlyOnce(host, shard, [run]);
    expect(store.violations).toEqual([]);
  });

  it.each(['refused', 'replyLost', 'appliedLate'] as const)(
    'a store whose puts are %s for long ends typed, and the same push later ends well',
    async (fault) => {
      let isDown = false;
      const inner = memoryStore();
      const store = faultyStore(inner, ({ method, key }) => (isDown && method === 'put' && key.includes('/log/') ? fault : 'none'));
      const { host, send, shard } = await foundedShop({ store });
      const runs = [await shard.nextRun(), await shard.nextRun()];
      await shard.push(send, runs[0]);
      isDown = true;
      const started = host.time.ticks();
      // With the reply lost, the second put finds the first: the slot is settled by reading, and there is a receipt after all.
      const answer = await shard.send(send, runs[1] as TestRun);
      expect(host.time.ticks() - started).toBeLessThan(25_000);
      if (fault !== 'replyLost') expect(errorOf(answer)).toEqual({ status: 504, kind: 'unknown', reason: 'storeUnknown' });
      isDown = false;
      await store.landLate();
      expect(await pushUntilCommitted(shard, runs[1] as TestRun, [send])).toBe(0);
      await expectExactlyOnce(host, shard, runs);
      expect(store.violations).toEqual([]);
    },
  );

  it('a late put cannot replace what another instance put there meanwhile', async () => {
    const inner = memoryStore();
    const slow = faultyStore(inner, ({ method, key }) => (method === 'put' && key.includes('/log/') ? 'appliedLate' : 'none'));
    const { host, send, shard } = await foundedShop({ store: inner });
    const stuck = testHost({ store: slow, time: host.time });
    const runs = [await shard.nextRun(), await shard.nextRun()];
    expect(errorOf(await shard.send(sendTo(stuck), runs[0] as TestRun))).toMatchObject({ kind: 'unknown' });
    for (const run of runs) await shard.push(send, run);
    const landed = await slow.landLate();
    expect(new Set(landed.map(({ kind }) => kind))).toEqual(new Set(['lost']));
    await expectExactlyOnce(host, shard, runs);
    expect(slow.violations).toEqual([]);
  });

  it('a store that hangs ends typed at its deadline', async () => {
    const inner = memoryStore();
    let isHanging = false;
    const store: ObjectStore = { ...inner, put: (...put) => (isHanging ? new Promise(() => undefined) : inner.put(...put)) };
    const { host, send, shard } = await foundedShop({ store });
    await shard.push(send);
    isHanging = true;
    const answer = shard.send(send, await shard.nextRun());
    let isAnswered = false;
    void answer.finally(() => {
      isAnswered = true;
    });
    while (!isAnswered) {
      await host.time.yield();
      host.time.pass(1_000);
      host.time.expireDeadlines();
    }
    expect(errorOf(await answer)).toMatchObject({ status: 504, kind: 'unknown' });
  });

  it('a store that cannot be read is unavailable, and nothing is acknowledged', async () => {
    const inner = memoryStore();
    const { host, send, shard } = await foundedShop({ store: inner });
    await shard.push(send);
    const blind = testHost({ store: faultyStore(inner, ({ method }) => (method === 'put' ? 'none' : 'refused')), time: host.time });
    const run = await shard.nextRun();
    expect(errorOf(await shard.send(sendTo(blind), run))).toMatchObject({ status: 503, kind: 'unavailable', reason: 'storeUnavailable' });
  });
});

describe('a relay killed at any store call', () => {
  const situations: readonly (readonly [string, (shard: TestShard, send: Send) => Promise<Bytes | undefined>])[] = [
    ['first push of a shard', async () => undefined],
    [
      'push with a receipt',
      async (shard, send) => {
        await shard.push(send);
        return shard.receipt;
      },
    ],
    [
      'push without its receipt',
      async (shard, send) => {
        for (let n = 0; n < 3; n++) await shard.push(send);
        return undefined;
      },
    ],
  ];

  it.each(situations)('%s: the same push to a fresh instance ends with a receipt, in one segment', async (_, prepare) => {
    for (const isApplied of [false, true]) {
      let call = 1;
      for (let wasKilled = true; wasKilled; call++) {
        const shop = await foundedShop();
        const receipt = await prepare(shop.shard, shop.send);
        const before = (await shop.shard.readLog(shop.send)).length;
        const run = await shop.shard.nextRun(2);

        const store = killedStore(shop.host.store, { call, isApplied });
        const dying = testHost({ store, time: shop.host.time });
        const first = await shop.shard.send(sendTo(dying), run, receipt);
        wasKilled = store.calls >= call;

        const fresh = testHost({ store: shop.host.store, time: shop.host.time, seed: 'relay' });
        const again = decodeReceipt(okBody(await shop.shard.send(sendTo(fresh), run, receipt)), 'receipt');
        expect(again.head).toEqual(run.head);
        if (first.kind === 'ok') expect(isSameBytes(decodeReceipt(first.body, 'first').objectHash, again.objectHash)).toBe(true);
        const runs = await verifiedLog(fresh.signer.publicKey, shop.shard, await shop.shard.readLog(sendTo(fresh)));
        expect(runs.length).toBe(before + 1);
        expect(runs.at(-1)?.head).toEqual(run.head);
      }
      expect(call).toBeGreaterThan(4); // control reads, put, head at the least
    }
  });
});

describe('several instances over one store', () => {
  it('the same run sent to both at once is one segment, and both answer with it', async () => {
    const store = memoryStore();
    const { host, send, shard } = await foundedShop({ store });
    const other = sendTo(testHost({ store, time: host.time }));
    const runs: TestRun[] = [];
    for (let n = 0; n < 10; n++) {
      const run = await shard.nextRun();
      runs.push(run);
      const answers = await Promise.all([send, other, send, other].map((to) => shard.send(to, run)));
      const receipts = answers.map((answer) => decodeReceipt(okBody(answer), 'receipt'));
      for (const receipt of receipts) expect(receipt).toEqual(receipts[0]);
      shard.receipt = okBody(answers[0] as (typeof answers)[number]);
    }
    await expectExactlyOnce(host, shard, runs);
  });

  it('two copies of one device that push different runs at once: one is committed, the other forks', async () => {
    for (let seed = 0; seed < 8; seed++) {
      const store = memoryStore();
      const { host, send, shard } = await foundedShop({ store, seed: `clones ${seed}` });
      const other = sendTo(testHost({ store, time: host.time, seed: `clones ${seed}` }));
      if (seed % 2 === 0) await shard.push(send);
      const clone = shard.clone();
      const runs = [await shard.nextRun(1, { note: 'here' }), await clone.nextRun(1, { note: 'there' })] as const;
      const answers = await Promise.all([shard.send(send, runs[0]), clone.send(other, runs[1])]);
      const won = answers.findIndex((answer) => answer.kind === 'ok');
      const lost = answers[1 - won];
      if (lost === undefined) throw new Error('no answer');
      expect(errorOf(lost)).toEqual({ status: 409, kind: 'fenced', reason: 'fork' });
      const log = await verifiedLog(host.signer.publicKey, shard, await shard.readLog(send));
      expect(log.at(-1)?.head).toEqual(runs[won as 0 | 1].head);
    }
  });

  it('sixteen pushes of one shard at once, in any order, end with one chain', async () => {
    const store = memoryStore();
    const { host, send, shard } = await foundedShop({ store });
    const sends = [send, sendTo(testHost({ store, time: host.time })), sendTo(testHost({ store, time: host.time }))];
    const runs: TestRun[] = [];
    for (let n = 0; n < 16; n++) runs.push(await shard.nextRun());
    const answers = await Promise.all([...runs].reverse().map((run, i) => shard.send(sends[i % 3] as Send, run)));
    for (const answer of answers) if (answer.kind === 'error') expect(answer.error.reason).toBe('brokenLink');
    for (const run of runs) await pushUntilCommitted(shard, run, sends);
    await expectExactlyOnce(host, shard, runs);
  });
});

describe('seeded faults', () => {
  it.each(Array.from({ length: 24 }, (_, seed) => seed))('seed %d: every run is committed once, on a log that verifies', async (seed) => {
    const inner = memoryStore();
    const { host, shard } = await foundedShop({ store: inner, seed: `faults ${seed}` });
    const random = seededRandom(`faults ${seed}`);
    const stores = [1, 2].map(() => faultyStore(inner, seededFaults(random, 5 + (seed % 5) * 10)));
    const sends = stores.map((store) => sendTo(testHost({ store, time: host.time, seed: `faults ${seed}` })));
    const runs: TestRun[] = [];
    for (let n = 0; n < 8; n++) {
      const run = await shard.nextRun(1 + (n % 3));
      runs.push(run);
      const [forgets = 0] = random.bytes(1);
      if (forgets < 32) shard.receipt = undefined; // a restored device
      await pushUntilCommitted(shard, run, sends);
      for (const store of stores) if ((random.bytes(1)[0] ?? 0) < 128) await store.landLate();
    }
    for (const store of stores) await store.landLate();
    await expectExactlyOnce(host, shard, runs);
    expect(stores.flatMap((store) => store.violations)).toEqual([]);
  });

  it('negative control: the watch catches a store that ignores create-only', async () => {
    const inner = memoryStore();
    const lying: ObjectStore = {
      ...inner,
      async put(key, bytes) {
        await inner.delete(key);
        return inner.put(key, bytes, ifAbsent);
      },
    };
    const store = faultyStore(lying, () => 'none');
    for (const byte of [1, 1, 2]) await store.put('w/log/1', Uint8Array.of(byte), ifAbsent);
    expect(store.violations).toHaveLength(1);
  });
});
