// The relay as deployed to Workers: the bundle in workerd, R2 persisted on disk, real HTTP in between.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Miniflare } from 'miniflare';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { base64urlToBytes, bytesToBase64url } from '../../kernel/bytes.ts';
import { signCheckpoint } from '../../kernel/checkpoint.ts';
import { sha256 } from '../../kernel/digest.ts';
import { portableSigner } from '../../kernel/ed25519.ts';
import { encodePush, pushBytesMax } from '../../kernel/push.ts';
import { decodeReceipt } from '../../kernel/receipt.ts';
import { type RelayInfo, relayPaths } from '../../kernel/relay-api.ts';
import { encodePackedRun, readPackedRun } from '../../kernel/run.ts';
import { epoch, noHash, publicKey, slot } from '../../kernel/units.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { webClock } from '../../kernel/web/web-host.ts';
import { Reader } from '../../kernel/wire.ts';
import { bundleWorker } from '../../scripts/worker-bundle.mjs';
import { objectKeys } from '../../shards/object-keys.ts';
import { errorOf, okBody, type Send, seededRandom, sendHttp, type TestShard, TestWorkspace, verifiedLog } from '../relay/fixtures.ts';
import { asFence, cutOf, endOf, fence, fenceOver, sendFence, takenBy } from '../relay/take-over.ts';

const seed = seededRandom('workerd relay').bytes(32);
const signer = portableSigner(seed);

let bundleFolder: string;
let script: string;
let folder: string;
let worker: Miniflare;
let send: Send;

async function startWorker(bindings: Record<string, string> = {}): Promise<void> {
  worker = new Miniflare({
    host: '127.0.0.1',
    port: 0,
    modules: true,
    modulesRoot: bundleFolder,
    scriptPath: script,
    compatibilityDate: '2026-04-01',
    r2Buckets: { LOG: 'log' },
    r2Persist: folder,
    bindings: { RELAY_SEED: bytesToBase64url(seed), ...bindings },
  });
  send = sendHttp((await worker.ready).origin);
}

async function restartWorker(bindings: Record<string, string> = {}): Promise<void> {
  await worker.dispose();
  await startWorker(bindings);
}

beforeAll(async () => {
  bundleFolder = await mkdtemp(join(tmpdir(), 'foldlog-bundle-'));
  script = await bundleWorker(join(bundleFolder, 'relay.mjs'));
});
afterAll(() => rm(bundleFolder, { recursive: true, force: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldlog-r2-'));
  await startWorker();
});
afterEach(async () => {
  await worker.dispose();
  await rm(folder, { recursive: true, force: true });
});

async function foundedShop(): Promise<TestShard> {
  const workspace = await TestWorkspace.make('workerd', webClock);
  await workspace.found(send, signer.publicKey);
  const till = await workspace.join(send, 'till-1', 'writer');
  return workspace.addShard(send, till, 'till', 'till-1');
}

describe('relay in workerd over R2', () => {
  it('passes its own contract probe and gives its key', async () => {
    const response = await send(new Request(`http://relay${relayPaths.relay}`));
    const info = (await response.json()) as RelayInfo;
    expect(response.status).toBe(200);
    expect(publicKey(base64urlToBytes(info.key))).toEqual(signer.publicKey);
  });

  it('a pushed run is there after a restart, its receipt still carries the next push, and each run stands once', async () => {
    const shard = await foundedShop();
    const runs = [await shard.nextRun(500), await shard.nextRun(), await shard.nextRun(3)];
    await shard.push(send, runs[0]);
    await restartWorker();
    expect((await shard.push(send, runs[1])).slot).toBe(2);
    await restartWorker();
    // The receipt of the second is lost on the way: the same push again.
    expect(decodeReceipt(okBody(await shard.send(send, runs[1] as { encoded: Uint8Array<ArrayBuffer> })), 'receipt').slot).toBe(2);
    await shard.push(send, runs[2]);
    const log = await verifiedLog(signer.publicKey, shard, await shard.readLog(send));
    expect(log.map((run) => run.head)).toEqual(runs.map((run) => run.head));
  });

  it('the same run sent eight times at once is one segment', async () => {
    const shard = await foundedShop();
    await shard.push(send);
    const run = await shard.nextRun(10);
    const answers = await Promise.all(Array.from({ length: 8 }, () => shard.send(send, run)));
    expect(new Set(answers.map((answer) => bytesToBase64url(okBody(answer)))).size).toBe(1);
    expect(await shard.readLog(send)).toHaveLength(2);
  });

  it('two copies of a device racing for one slot: one commits, the other is told of the fork', async () => {
    const shard = await foundedShop();
    const clone = shard.clone();
    const [here, there] = [await shard.nextRun(1, { note: 'here' }), await clone.nextRun(1, { note: 'there' })];
    const answers = await Promise.all([shard.send(send, here), clone.send(send, there)]);
    const lost = answers.find(({ kind }) => kind === 'error');
    expect(answers.filter(({ kind }) => kind === 'ok')).toHaveLength(1);
    expect(lost && errorOf(lost)).toEqual({ status: 409, kind: 'fenced', reason: 'fork' });
  });

  it('a take-over races the old writer for one slot: fence, cut, new writer, over restarts', async () => {
    const shard = await foundedShop();
    const { workspace } = shard;
    const heir = await workspace.join(send, 'till-2', 'writer');
    await shard.push(send);
    const [run, end] = [await shard.nextRun(), await endOf(shard.id, await shard.readLog(send))];
    const signed = await fenceOver(shard, workspace.owner, end);
    const [pushed, put] = await Promise.all([shard.send(send, run), sendFence(shard, send, workspace.owner, signed)]);
    expect([pushed, put].filter(({ kind }) => kind === 'ok')).toHaveLength(1);
    const lost = [pushed, put].find(({ kind }) => kind === 'error');
    expect(['fenced', 'slotTaken']).toContain(lost && errorOf(lost).reason);
    const object = put.kind === 'ok' ? asFence(put.body) : await fence(shard, send, workspace.owner);
    expect(object.fence.head).toEqual(pushed.kind === 'ok' ? run.head : run.after);
    await restartWorker();
    // The same fence again is the same slot; no old run passes it.
    if (put.kind === 'ok') expect(okBody(await sendFence(shard, send, workspace.owner, signed))).toEqual(put.body);
    expect(errorOf(await shard.send(send, await shard.nextRun()))).toEqual({ status: 409, kind: 'fenced', reason: 'fenced' });
    await workspace.append(send, workspace.owner, [{ act: 'revoke', device: shard.writer.id }, cutOf(object, heir)]);
    await restartWorker();
    const next = takenBy(shard, heir, object);
    expect(await next.push(send)).toMatchObject({ epoch: 2, slot: object.slot + 1 });
    expect(
      errorOf(await workspace.signed(send, shard.writer, 'GET', relayPaths.log(workspace.id, shard.id, slot(0), 1_000))),
    ).toMatchObject({ status: 401, reason: 'revoked' });
  });

  it('a bucket that lost a slot never takes the next', async () => {
    const shard = await foundedShop();
    await shard.push(send);
    const receipt = await shard.push(send);
    const bucket = await worker.getR2Bucket('LOG');
    await bucket.delete(objectKeys.logSlot(shard.place, receipt.slot));
    const run = await shard.nextRun();
    expect(errorOf(await shard.send(send, run))).toEqual({ status: 503, kind: 'unavailable', reason: 'rolledBack' });
    await restartWorker();
    expect(errorOf(await shard.send(send, run))).toMatchObject({ reason: 'rolledBack' });
  });

  it('R2 keeps the digest of each slot as its own checksum', async () => {
    const shard = await foundedShop();
    const receipt = await shard.push(send);
    const head = await (await worker.getR2Bucket('LOG')).head(objectKeys.logSlot(shard.place, receipt.slot));
    expect(new Uint8Array(head?.checksums.sha256 ?? new ArrayBuffer(0))).toEqual(receipt.objectHash);
  });

  it('checkpoint chunks and statements come back', async () => {
    const shard = await foundedShop();
    const { workspace, writer } = shard;
    const receipt = await shard.push(send);
    const chunk = seededRandom('chunk').bytes(200_000);
    const chunkPath = relayPaths.chunk(workspace.id, shard.id, sha256(chunk));
    okBody(await workspace.signed(send, writer, 'PUT', chunkPath, chunk));
    const statement = await signCheckpoint(writer.signer, {
      ...{ shard: shard.id, number: 1, prev: noHash, epoch: epoch(1), head: receipt.head, slot: receipt.slot },
      ...{ slotObject: receipt.objectHash, slotTime: receipt.time, schemaVersion: 1, foldId: noHash, stateHash: noHash },
      ...{ time: webClock.now(), controlHead: workspace.head },
      chunks: [{ hash: sha256(chunk), storedLength: chunk.length, rawLength: chunk.length }],
    });
    okBody(await workspace.signed(send, writer, 'POST', relayPaths.checkpoints(workspace.id, shard.id), statement));
    await restartWorker();
    const newest = await workspace.signed(send, writer, 'GET', relayPaths.newestCheckpoint(workspace.id, shard.id));
    expect(okBody(newest)).toEqual(statement);
    expect(okBody(await workspace.signed(send, writer, 'GET', chunkPath))).toEqual(chunk);
  });

  it('bad pushes in a row are answered typed, and the connection stays good', async () => {
    const shard = await foundedShop();
    const run = await shard.nextRun();
    const zeros = await webDeflate.deflate(new Uint8Array(32 * 1024 * 1024));
    const packed = readPackedRun(new Reader(run.encoded, 'run'));
    const bomb = encodePush(
      shard.id,
      undefined,
      encodePackedRun({ ...packed, packing: 'deflated', recordsLength: 8_000_000, records: zeros }),
    );
    const post = (body: Uint8Array, path = shard.pushPath) => shard.workspace.post(send, path, body);
    for (let n = 0; n < 3; n++) {
      expect(errorOf(await post(bomb))).toMatchObject({ status: 413, reason: 'bomb' });
      expect(errorOf(await post(new Uint8Array(pushBytesMax + 1)))).toMatchObject({ status: 413, reason: 'tooLarge' });
      expect(errorOf(await post(new Uint8Array(300_000), '/v1/nowhere'))).toMatchObject({ status: 404 });
      expect(errorOf(await post(new Uint8Array(10)))).toMatchObject({ status: 422, reason: 'badMagic' });
    }
    expect((await shard.push(send, run)).slot).toBe(1);
  });

  it('origins and the size of a run are settings of the deployment', async () => {
    const shard = await foundedShop();
    await restartWorker({ ORIGINS: 'https://shop.example https://other.example', RUN_BYTES_MAX: '262144' });
    const response = await send(new Request(`http://relay${relayPaths.relay}`, { headers: { origin: 'https://other.example' } }));
    expect(await response.json()).toMatchObject({ runBytesMax: 262_144 });
    const big = await shard.nextRun(1, { note: 'x'.repeat(300_000) });
    expect(errorOf(await shard.send(send, big))).toMatchObject({ status: 413, reason: 'tooLarge' });
    expect(await shard.readLog(send, shard.writer, slot(0))).toEqual([]);
  });
});
