// What a relay must refuse, and how: pushes with bad bytes, wrong keys, wrong places, too much. Every refusal is typed, nothing of
// it is stored, and the next good push goes through.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, utf8 } from '../../kernel/bytes.ts';
import { portableSigner } from '../../kernel/ed25519.ts';
import { encodePush, pushBytesMax } from '../../kernel/push.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { encodePackedRun, type PackedRun, readPackedRun } from '../../kernel/run.ts';
import { epoch, publicKey, seq, shardId } from '../../kernel/units.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { Reader } from '../../kernel/wire.ts';
import { keysOf } from '../conformance/faulty-store.ts';
import { type Answer, errorOf, foundedShop, type Send, seededRandom, sendTo, type TestRun, TestWorkspace, testHost } from './fixtures.ts';

let shop: Awaited<ReturnType<typeof foundedShop>>;
let run: TestRun;
let objectsBefore: readonly string[];

beforeEach(async () => {
  shop = await foundedShop();
  await shop.shard.push(shop.send);
  run = await shop.shard.nextRun(3);
  objectsBefore = await keysOf(shop.host.store);
});

afterEach(async () => {
  expect(await keysOf(shop.host.store)).toEqual(objectsBefore);
  await shop.shard.push(shop.send, run);
  expect(shop.host.reported).toEqual([]);
});

const post = (body: Uint8Array): Promise<Answer> => shop.workspace.post(shop.send, shop.shard.pushPath, body);
const goodPush = () => encodePush(shop.shard.id, shop.shard.receipt, run.encoded);
const withRun = (change: (packed: PackedRun) => PackedRun) => {
  const packed = readPackedRun(new Reader(run.encoded, 'run'));
  return encodePush(shop.shard.id, shop.shard.receipt, encodePackedRun(change(packed)));
};

describe('bytes of a push', () => {
  it.each([
    ['nothing at all', () => new Uint8Array(0), 'truncated'],
    ['another format', () => utf8('PK\u0003\u0004 this is a zip'), 'badMagic'],
    ['another kind of ours', () => shop.shard.receipt ?? new Uint8Array(), 'wrongKind'],
    ['trailing bytes', () => concatBytes(goodPush(), Uint8Array.of(0)), 'trailingBytes'],
    ['a length beyond the body', () => goodPush().subarray(0, -1), 'truncated'],
    ['a receipt of another length', () => patched(goodPush(), 24 + 3, 0x10), 'badReceipt'],
    ['zero groups', () => withRun((packed) => ({ ...packed, groupCount: 0 })), 'outOfBounds'],
    ['more groups than there are', () => withRun((packed) => ({ ...packed, groupCount: 4 })), 'truncated'],
    ['fewer groups than there are', () => withRun((packed) => ({ ...packed, groupCount: 2 })), 'trailingBytes'],
    ['a wrong inflated length', () => withRun((packed) => ({ ...packed, recordsLength: packed.recordsLength + 1 })), 'badPacking'],
    [
      'bytes that do not inflate',
      () => withRun((packed) => ({ ...packed, packing: 'deflated', records: patchedAll(packed.records) })),
      'badDeflate',
    ],
  ])('%s: corrupt', async (_, body, reason) => {
    expect(errorOf(await post(body()))).toEqual({ status: 422, kind: 'corrupt', reason });
  });

  it('every prefix of a push is refused, typed', async () => {
    const whole = goodPush();
    for (let length = 0; length < whole.length; length += 7) {
      expect(errorOf(await post(whole.subarray(0, length)))).toMatchObject({ status: 422, kind: 'corrupt' });
    }
  });

  it('a push with one bit changed anywhere is refused, typed', async () => {
    const whole = goodPush();
    const random = seededRandom('bits');
    for (let n = 0; n < 150; n++) {
      const [a = 0, b = 0, bit = 0] = random.bytes(3);
      const at = ((a << 8) | b) % whole.length;
      const answer = await post(patched(whole, at, 1 << (bit % 8)));
      expect(answer.kind === 'error' && answer.status).not.toBe(500);
      expect(answer.kind).toBe('error');
    }
  });

  it.each([
    ['format', 5, 2],
    ['suite', 6, 2],
    ['flags', 7, 1],
    ['kind', 4, 0x7f],
  ])('a newer %s asks for an upgrade of the relay', async (_, at, value) => {
    const body = goodPush();
    body[at] = value;
    expect(errorOf(await post(body))).toEqual({ status: 422, kind: 'upgradeNeeded', reason: 'newerFormat' });
  });
});

describe('bombs and sizes', () => {
  it('a run that claims to inflate more than deflate can is a bomb before it is inflated', async () => {
    const body = withRun((packed) => ({ ...packed, packing: 'deflated', recordsLength: 8 * 1024 * 1024, records: new Uint8Array(100) }));
    expect(errorOf(await post(body))).toEqual({ status: 413, kind: 'corrupt', reason: 'bomb' });
  });

  it('a run that inflates to more than it says is stopped at what it says', async () => {
    const zeros = await webDeflate.deflate(new Uint8Array(64 * 1024 * 1024));
    const body = withRun((packed) => ({ ...packed, packing: 'deflated', recordsLength: 8 * 1024 * 1024, records: zeros }));
    expect(errorOf(await post(body))).toEqual({ status: 413, kind: 'corrupt', reason: 'bomb' });
  });

  it('a body above the bound is refused while it streams, announced or not', async () => {
    const path = `http://relay${shop.shard.pushPath}`;
    const huge = new Uint8Array(pushBytesMax + 1);
    expect(errorOf(await post(huge))).toEqual({ status: 413, kind: 'misuse', reason: 'tooLarge' });
    const announced = new Request(path, { method: 'POST', body: goodPush(), headers: { 'content-length': String(pushBytesMax + 1) } });
    expect((await shop.send(announced)).status).toBe(413);

    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        controller.enqueue(new Uint8Array(1024 * 1024));
      },
    });
    const response = await shop.send(new Request(path, { method: 'POST', body: endless, duplex: 'half' } as RequestInit));
    expect(response.status).toBe(413);
    expect(pulled).toBeLessThan(40);
  });

  it('a run above what this deployment announces is refused by its inflated size', async () => {
    const small = testHost({ store: shop.host.store, time: shop.host.time, settings: { runBytesMax: 200 } });
    expect(errorOf(await shop.shard.send(sendTo(small), run))).toEqual({ status: 413, kind: 'misuse', reason: 'tooLarge' });
  });

  it('a run at the format bound is taken', async () => {
    const noise = seededRandom('noise');
    const big = await foundedShop({ seed: 'big' });
    const note = bytesToHex(noise.bytes(1_900_000)); // hex halves under deflate, so the push is about 2 MB
    await big.shard.push(big.send, await big.shard.nextRun(2, { note }));
    expect(await big.shard.readLog(big.send)).toHaveLength(1);
  });
});

describe('who may push', () => {
  it('a seal that does not verify', async () => {
    const body = withRun((packed) => ({ ...packed, seal: { ...packed.seal, signature: patched(packed.seal.signature, 40, 1) as never } }));
    expect(errorOf(await post(body))).toEqual({ status: 422, kind: 'corrupt', reason: 'wrongSeal' });
  });

  it('the right key over other groups', async () => {
    const clone = shop.shard.clone();
    const other = readPackedRun(new Reader((await clone.nextRun(1, { note: 'other' })).encoded, 'other'));
    const body = withRun((packed) => ({ ...packed, seal: other.seal }));
    expect(errorOf(await post(body))).toMatchObject({ kind: 'corrupt', reason: 'wrongSeal' });
  });

  it('a device nobody enrolled', async () => {
    const stranger = portableSigner(seededRandom('stranger').bytes(32));
    const sealed = await shop.shard.clone().nextRun(1, { signer: stranger });
    expect(errorOf(await shop.shard.send(shop.send, sealed))).toEqual({ status: 401, kind: 'misuse', reason: 'unknownDevice' });
  });

  it('an enrolled device that is not the writer, not even the owner', async () => {
    const sealed = await shop.shard.clone().nextRun(1, { signer: shop.workspace.owner.signer });
    expect(errorOf(await shop.shard.send(shop.send, sealed))).toEqual({ status: 403, kind: 'misuse', reason: 'wrongWriter' });
  });

  it('a later epoch than the control log opened', async () => {
    const sealed = await shop.shard.clone().nextRun(1, { epoch: epoch(2) });
    expect(errorOf(await shop.shard.send(shop.send, sealed))).toMatchObject({ status: 400, kind: 'misuse', reason: 'wrongEpoch' });
  });

  it('a run of this device for another shard', async () => {
    const second = await shop.workspace.addShard(shop.send, shop.till, 'till', 'till-2');
    objectsBefore = await keysOf(shop.host.store);
    const foreign = encodePush(second.id, undefined, run.encoded);
    expect(errorOf(await post(foreign))).toEqual({ status: 403, kind: 'misuse', reason: 'wrongShard' });
    // Sent to the shard it names, its groups are other groups there: the seal does not cover them.
    expect(errorOf(await shop.workspace.post(shop.send, second.pushPath, foreign))).toMatchObject({ kind: 'corrupt', reason: 'wrongSeal' });
  });
});

describe('where a push goes', () => {
  it('a workspace the relay never saw', async () => {
    const other = await TestWorkspace.make('elsewhere', shop.host.time);
    const answer = await shop.workspace.post(shop.send, relayPaths.push(other.id, shop.shard.id), goodPush());
    expect(errorOf(answer)).toEqual({ status: 404, kind: 'unavailable', reason: 'unknownWorkspace' });
  });

  it('the shard of one workspace under the name of another', async () => {
    const other = await TestWorkspace.make('elsewhere', shop.host.time);
    await other.found(shop.send, shop.host.signer.publicKey);
    objectsBefore = await keysOf(shop.host.store);
    const answer = await shop.workspace.post(shop.send, relayPaths.push(other.id, shop.shard.id), goodPush());
    expect(errorOf(answer)).toEqual({ status: 404, kind: 'unavailable', reason: 'unknownShard' });
  });

  it('a shard the control log does not know', async () => {
    const id = shardId(new Uint8Array(16).fill(9));
    const answer = await shop.workspace.post(shop.send, relayPaths.push(shop.workspace.id, id), encodePush(id, undefined, run.encoded));
    expect(errorOf(answer)).toMatchObject({ status: 404, reason: 'unknownShard' });
  });

  it('a workspace that has named no relay, or another one', async () => {
    const young = await TestWorkspace.make('young', shop.host.time);
    await young.post(shop.send, relayPaths.controlAppend(young.id), young.genesis);
    objectsBefore = await keysOf(shop.host.store);
    const answer = await young.post(shop.send, relayPaths.push(young.id, shop.shard.id), goodPush());
    expect(errorOf(answer)).toEqual({ status: 409, kind: 'unavailable', reason: 'noRelay' });

    const otherRelay: Send = sendTo(testHost({ seed: 'other relay', store: shop.host.store, time: shop.host.time }));
    expect(errorOf(await shop.shard.send(otherRelay, run))).toEqual({ status: 421, kind: 'misuse', reason: 'otherRelay' });
  });

  it.each(['zz', '../../etc/passwd', 'AB'.repeat(16), 'ab'.repeat(15), 'ab'.repeat(17), '%2e%2e', 'é', ':'])(
    'a shard id %j in the path',
    async (id) => {
      const workspace = bytesToHex(shop.workspace.id);
      const answer = await shop.workspace.post(shop.send, `/v1/workspaces/${workspace}/shards/${encodeURIComponent(id)}/push`, goodPush());
      expect(errorOf(answer)).toMatchObject({ status: 400, kind: 'misuse', reason: 'badPath' });
    },
  );
});

describe('what a refusal says', () => {
  it('where, found, expected and what to do; no payload and no stack', async () => {
    const answer = await post(concatBytes(goodPush(), utf8('secret payload')));
    if (answer.kind !== 'error') throw new Error('accepted');
    expect(answer.error).toMatchObject({
      where: expect.any(String),
      found: expect.any(String),
      expected: expect.any(String),
      retry: 'never',
    });
    expect(answer.error.todo).not.toBe('');
    expect(JSON.stringify(answer.error)).not.toMatch(/secret|\.ts:|at \w+ \(/);
  });

  it('unsafe numbers and keys are the same error for every instance', () => {
    expect(() => publicKey(new Uint8Array(31))).toThrow('32 bytes');
    expect(() => seq(2 ** 53)).toThrow('an integer');
  });
});

function patched<T extends Uint8Array>(bytes: T, at: number, mask: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}

const patchedAll = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes).map((byte) => byte ^ 0x55);
