// The push, end to end over the core in process: each row of decision 0008's table, and what a receipt is worth.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../kernel/bytes.ts';
import { objectHash } from '../../kernel/digest.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { receiptCapabilityMsMax } from '../../kernel/limits.ts';
import { decodeReceipt, makeReceipt, verifyReceipt } from '../../kernel/receipt.ts';
import { decodeSlotObject, makeFence, makeSegment, signFence } from '../../kernel/segment.ts';
import { epoch, noHash, slot, timeMs } from '../../kernel/units.ts';
import { ifAbsent } from '../../relay/object-store.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { objectKeys } from '../../shards/object-keys.ts';
import { copyStore, faultyStore, keysOf } from '../conformance/faulty-store.ts';
import { errorOf, foundedShop, okBody, sendTo, testHost, verifiedLog } from './fixtures.ts';

describe('push', () => {
  it('a run is committed and its receipt names the object in the slot', async () => {
    const { host, send, shard } = await foundedShop();
    const receipt = await shard.push(send, await shard.nextRun(3));
    await verifyReceipt(portableVerifier, host.signer.publicKey, receipt, 'receipt');
    const [object] = await shard.readLog(send);
    expect(receipt).toMatchObject({
      slot: 1,
      head: shard.head,
      objectHash: objectHash(object ?? new Uint8Array()),
      shardBytes: object?.length,
      writer: shard.writer.id,
      controlSlot: 5,
    });

    const second = await shard.push(send);
    const objects = await shard.readLog(send);
    expect(second).toMatchObject({ slot: 2, shardBytes: objects.reduce((sum, bytes) => sum + bytes.length, 0) });
    expect(await verifiedLog(host.signer.publicKey, shard, objects)).toHaveLength(2);
    expect(host.reported).toEqual([]);
  });

  it('the normal path is one put and one HEAD', async () => {
    const { host, send, shard } = await foundedShop({ store: faultyStore(memoryStore(), () => 'none') });
    await shard.push(send);
    const { calls } = host.store as ReturnType<typeof faultyStore>;
    const before = calls.length;
    await shard.push(send);
    const made = calls.slice(before).map(({ method, key }) => `${method} ${key.slice(-16)}`);
    expect(made.sort()).toEqual(['head 0000000000000001', 'put 0000000000000002']);
  });

  it('the run in a segment is byte for byte what the device sent', async () => {
    const { send, shard } = await foundedShop();
    const run = await shard.nextRun(200);
    await shard.push(send, run);
    const [object = new Uint8Array()] = await shard.readLog(send);
    expect(Buffer.from(object).includes(Buffer.from(run.encoded))).toBe(true);
  });

  it('a repeated push is answered with the current receipt, with the old receipt or none', async () => {
    const { send, shard } = await foundedShop();
    const run = await shard.nextRun();
    const first = await shard.push(send, run);
    const firstReceipt = shard.receipt;
    const current = await shard.push(send, await shard.nextRun(5));
    for (const receipt of [undefined, firstReceipt, shard.receipt]) {
      const again = decodeReceipt(okBody(await shard.send(send, run, receipt)), 'receipt');
      expect(again).toEqual(current);
    }
    expect(first.slot).toBe(1);
    expect(await shard.readLog(send)).toHaveLength(2);
  });

  it('a run that begins in the log and reaches beyond it gets the receipt for what is committed', async () => {
    const { send, shard } = await foundedShop();
    const copy = shard.clone();
    const long = await copy.nextRun(1);
    const longer = await copy.nextRun(1);
    await shard.push(send, long);
    const both = await shard.nextRun(2, { after: long.after }); // other groups: a fork, not an overlap
    expect(errorOf(await shard.send(send, both))).toMatchObject({ status: 409, kind: 'fenced', reason: 'fork' });

    const joined = await copy.joinRuns(long, longer);
    const receipt = decodeReceipt(okBody(await copy.send(send, joined)), 'receipt');
    expect(receipt.head).toEqual(long.head);
    copy.receipt = shard.receipt;
    expect((await copy.push(send, longer)).head).toEqual(longer.head);
  });

  it('lost to a fence: fenced', async () => {
    const { host, send, workspace, shard } = await foundedShop();
    const receipt = await shard.push(send);
    const claim = { closedEpoch: epoch(1), newEpoch: epoch(2), head: shard.head, controlHead: noHash };
    const binding = { shard: shard.id, slot: slot(2), prevObject: receipt.objectHash };
    const fence = await makeFence(
      host.signer,
      { ...binding, time: receipt.time, bytesBefore: receipt.shardBytes },
      await signFence(workspace.owner.signer, binding, claim),
    );
    await host.store.put(objectKeys.logSlot(shard.place, slot(2)), fence, ifAbsent);
    const run = await shard.nextRun();
    expect(errorOf(await shard.send(send, run))).toEqual({ status: 409, kind: 'fenced', reason: 'fenced' });
    expect(errorOf(await shard.send(send, run, undefined))).toEqual({ status: 409, kind: 'fenced', reason: 'fenced' });
  });

  it('lost to another group of a cloned key: fork, and the first stays', async () => {
    const { host, send, shard } = await foundedShop();
    await shard.push(send);
    const clone = shard.clone();
    const first = await shard.nextRun();
    const second = await clone.nextRun(1, { note: 'from the clone' });
    await shard.push(send, first);
    expect(errorOf(await clone.send(send, second))).toEqual({ status: 409, kind: 'fenced', reason: 'fork' });
    const further = await clone.nextRun();
    expect(errorOf(await clone.send(send, further))).toMatchObject({ kind: 'fenced', reason: 'fork' });
    const runs = await verifiedLog(host.signer.publicKey, shard, await shard.readLog(send));
    expect(runs.map((run) => run.head)).toEqual([expect.anything(), first.head]);
  });

  it('a run after a head that the log has not reached is a broken link', async () => {
    const { send, shard } = await foundedShop();
    await shard.push(send);
    await shard.nextRun(); // saved, never sent
    const later = await shard.nextRun();
    expect(errorOf(await shard.send(send, later))).toEqual({ status: 409, kind: 'corrupt', reason: 'brokenLink' });
    expect(errorOf(await shard.send(send, later, undefined))).toMatchObject({ reason: 'brokenLink' });
    expect(await shard.readLog(send)).toHaveLength(1);
  });

  it('without a receipt the head is found by probing, at any length of log', async () => {
    const { host, send, shard } = await foundedShop();
    for (let n = 1; n <= 18; n++) {
      await shard.push(send);
      const run = await shard.nextRun();
      const receipt = decodeReceipt(okBody(await shard.send(send, run, undefined)), 'receipt');
      expect(receipt.slot).toBe(2 * n);
      shard.receipt = okBody(await shard.send(send, run, undefined));
    }
    expect(await verifiedLog(host.signer.publicKey, shard, await shard.readLog(send))).toHaveLength(36);
  });

  it('every old run of a long log is found again by its seq', async () => {
    const { send, shard } = await foundedShop();
    const runs = [];
    for (let n = 1; n <= 12; n++) {
      const run = await shard.nextRun(1 + (n % 4));
      runs.push(run);
      await shard.push(send, run);
    }
    for (const run of runs) expect(okBody(await shard.send(send, run))).toEqual(shard.receipt);
  });

  it('commit time never falls, whatever the clock of the instance does', async () => {
    const { host, send, shard } = await foundedShop();
    const first = await shard.push(send);
    host.time.jump(-86_400_000);
    const second = await shard.push(send);
    expect(second.time).toBe(first.time);
    shard.receipt = undefined;
    expect((await shard.push(send)).time).toBe(first.time);
    host.time.jump(2 * 86_400_000);
    expect((await shard.push(send)).time).toBeGreaterThan(first.time);
    await verifiedLog(host.signer.publicKey, shard, await shard.readLog(send));
  });
});

describe('receipt', () => {
  it('one that is too old for a capability still finds the head', async () => {
    const { host, send, shard } = await foundedShop();
    await shard.push(send);
    host.time.pass(receiptCapabilityMsMax + 1);
    expect((await shard.push(send)).slot).toBe(2);
  });

  it.each(['stands', 'was collected meanwhile'])(
    'one that grows too old during the put is judged again by reading: the last slot %s',
    async (what) => {
      const { host, send, shard } = await foundedShop();
      const inner = host.store;
      await shard.push(send);
      host.time.pass(receiptCapabilityMsMax - 1_000);
      const slow = testHost({
        time: host.time,
        store: {
          ...inner,
          async put(key, bytes, condition) {
            await host.time.yield(); // after the HEAD of slot 1
            host.time.pass(2_000);
            if (what !== 'stands') await inner.delete(objectKeys.logSlot(shard.place, slot(1)));
            return inner.put(key, bytes, condition);
          },
        },
      });
      const run = await shard.nextRun();
      const answer = await shard.send(sendTo(slow), run);
      if (what === 'stands') expect(decodeReceipt(okBody(answer), 'receipt').slot).toBe(2);
      else expect(errorOf(answer)).toMatchObject({ kind: 'unavailable', reason: 'rolledBack' });
    },
  );

  it.each(['wiped', 'rolled back'])('a store that was %s never swallows what it acknowledged', async (how) => {
    const { host, send, shard } = await foundedShop();
    const old = memoryStore();
    await shard.push(send);
    if (how === 'rolled back') await copyStore(host.store, old);
    else await copyStore(host.store, old, `w/${Buffer.from(shard.workspace.id).toString('hex')}/control`);
    await shard.push(send);
    await shard.push(send);

    const later = testHost({ store: old, time: host.time });
    const run = await shard.nextRun();
    for (let attempt = 0; attempt < 3; attempt++) {
      const answer = await shard.send(sendTo(later), run);
      expect(errorOf(answer)).toEqual({ status: 503, kind: 'unavailable', reason: 'rolledBack' });
    }
    host.time.pass(receiptCapabilityMsMax + 1);
    expect(errorOf(await shard.send(sendTo(later), run))).toMatchObject({ reason: 'rolledBack' });
  });

  it('another object in the slot of a receipt is rolled back too, and the next slot is not acknowledged', async () => {
    const { host, send, shard } = await foundedShop();
    const old = memoryStore();
    await copyStore(host.store, old);
    const clone = shard.clone();
    await shard.push(send);
    const other = testHost({ store: old, time: host.time });
    await clone.push(sendTo(other), await clone.nextRun(1, { note: 'other' }));
    expect(errorOf(await shard.send(sendTo(other), await shard.nextRun()))).toMatchObject({ reason: 'rolledBack' });
  });

  it('what a refused push left above the gap is not built on', async () => {
    const { host, send, shard } = await foundedShop();
    const clone = shard.clone();
    const old = memoryStore();
    await copyStore(host.store, old);
    for (let n = 0; n < 2; n++) await shard.push(send);
    const later = sendTo(testHost({ store: old, time: host.time }));
    // Slot 3 is written on the rolled-back store, with nothing in 1 and 2.
    expect(errorOf(await shard.send(later, await shard.nextRun()))).toMatchObject({ reason: 'rolledBack' });
    expect((await keysOf(old)).filter((key) => key.includes('/log/'))).toHaveLength(1);
    // A device without receipts fills 1 and 2 and meets it.
    await clone.push(later);
    await clone.push(later);
    expect(errorOf(await clone.send(later, await clone.nextRun()))).toMatchObject({ reason: 'rolledBack' });
    expect(errorOf(await clone.send(later, await clone.nextRun(), undefined))).toMatchObject({ reason: 'rolledBack' });
  });

  it('of an earlier incarnation counts for nothing', async () => {
    const { host, send, workspace, shard } = await foundedShop();
    const facts = { ...shard.place, epoch: epoch(1), writer: shard.writer.id, controlSlot: slot(5), slot: slot(9), head: shard.head };
    const other = workspace.incarnation.map((byte) => byte ^ 1) as typeof workspace.incarnation;
    shard.receipt = await makeReceipt(host.signer, {
      ...facts,
      head: { ...shard.head, seq: (await shard.clone().nextRun()).head.seq },
      incarnation: other,
      objectHash: noHash,
      shardBytes: 1,
      time: host.time.now(),
    });
    expect((await shard.push(send)).slot).toBe(1);
  });

  it('of another device is evidence, not a capability: the log is read before the next slot is put', async () => {
    const store = faultyStore(memoryStore(), () => 'none');
    const { host, send, workspace, shard } = await foundedShop({ store });
    const receipt = await shard.push(send);
    shard.receipt = await makeReceipt(host.signer, { ...receipt, writer: workspace.owner.id });
    const before = store.calls.length;
    expect((await shard.push(send)).slot).toBe(2);
    const methods = store.calls.slice(before).map(({ method }) => method);
    expect(methods.indexOf('get')).toBeGreaterThan(-1);
    expect(methods.indexOf('get')).toBeLessThan(methods.indexOf('put'));
    shard.receipt = await makeReceipt(host.signer, { ...receipt, writer: workspace.owner.id, slot: slot(7) });
    expect(errorOf(await shard.send(send, await shard.nextRun()))).toMatchObject({ reason: 'rolledBack' });
  });

  it('under a key the workspace never declared, changed, of another shard or workspace is refused', async () => {
    const { host, send, workspace, shard } = await foundedShop();
    const receipt = await shard.push(send);
    const run = await shard.nextRun();
    const { signer: stranger } = testHost({ seed: 'another relay' });
    expect(errorOf(await shard.send(send, run, await makeReceipt(stranger, receipt)))).toEqual({
      status: 422,
      kind: 'corrupt',
      reason: 'wrongReceipt',
    });
    const changed = (shard.receipt ?? new Uint8Array()).slice();
    changed[150] = (changed[150] ?? 0) ^ 1;
    expect(errorOf(await shard.send(send, run, changed))).toMatchObject({ kind: 'corrupt', reason: 'wrongReceipt' });

    const second = await workspace.addShard(send, shard.writer, 'till', 'till-2');
    const otherShard = await makeReceipt(host.signer, { ...receipt, shard: second.id });
    expect(errorOf(await shard.send(send, run, otherShard))).toEqual({ status: 403, kind: 'misuse', reason: 'wrongShard' });
    const otherWorkspace = await makeReceipt(host.signer, { ...receipt, workspace: receipt.workspace.map((b) => b ^ 1) as never });
    expect(errorOf(await shard.send(send, run, otherWorkspace))).toMatchObject({ status: 403, reason: 'wrongWorkspace' });
  });
});

describe('a log that somebody else wrote to', () => {
  it.each([
    ['bytes of another program', async () => utf8('%PDF-1.7 not a segment'), 'badMagic'],
    [
      'a segment of another shard',
      async ({ host, shard, workspace, send }: Awaited<ReturnType<typeof foundedShop>>) => {
        const second = await workspace.addShard(send, shard.writer, 'till', 'till-2');
        const place = { shard: second.id, slot: slot(2), prevObject: noHash, time: timeMs(0), bytesBefore: 0 };
        return makeSegment(host.signer, place, (await second.nextRun()).encoded);
      },
      'wrongSlot',
    ],
    [
      'a segment the relay did not sign',
      async ({ shard, send }: Awaited<ReturnType<typeof foundedShop>>) => {
        const [first = new Uint8Array()] = await shard.readLog(send);
        const place = { shard: shard.id, slot: slot(2), prevObject: objectHash(first), time: timeMs(0), bytesBefore: 0 };
        return makeSegment(testHost({ seed: 'stranger' }).signer, place, (await shard.clone().nextRun()).encoded);
      },
      'wrongRelaySignature',
    ],
  ])('%s in the next slot is corrupt, and nothing is built on it', async (_, make, reason) => {
    const shop = await foundedShop();
    const { host, send, shard } = shop;
    await shard.push(send);
    const foreign = await make(shop);
    await host.store.put(objectKeys.logSlot(shard.place, slot(2)), foreign, ifAbsent);
    const answer = await shard.send(send, await shard.nextRun());
    expect(errorOf(answer)).toEqual({ status: 422, kind: 'corrupt', reason });
    expect(decodeSlotObject((await shard.readLog(send))[0] ?? new Uint8Array(), 'first').slot).toBe(1);
  });
});
