// Reading a shard's log, and the signed requests that guard reads and uploads.

import { describe, expect, it } from 'vitest';
import { textFromUtf8 } from '../../kernel/bytes.ts';
import { requestSkewMsMax } from '../../kernel/limits.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import { slot, timeMs } from '../../kernel/units.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { objectKeys } from '../../shards/object-keys.ts';
import { copyStore, faultyStore } from '../conformance/faulty-store.ts';
import { errorOf, foundedShop, okBody, readAnswer, sendTo, TestDevice, TestWorkspace, testHost, verifiedLog } from './fixtures.ts';

async function shopWithLog(slots: number) {
  const shop = await foundedShop();
  for (let n = 0; n < slots; n++) await shop.shard.push(shop.send);
  return shop;
}

describe('reading a log', () => {
  it('gives the slots after the one named; nothing after the last', async () => {
    const { host, send, shard } = await shopWithLog(12);
    const all = await shard.readLog(send);
    expect(await verifiedLog(host.signer.publicKey, shard, all)).toHaveLength(12);
    expect(await shard.readLog(send, shard.writer, slot(7))).toEqual(all.slice(7));
    expect(await shard.readLog(send, shard.writer, slot(12))).toEqual([]);
  });

  it("gives one slot at least, then as many as fit in the bytes asked for and in the relay's own bound", async () => {
    const { host, send, shard } = await shopWithLog(6);
    const all = await shard.readLog(send);
    const framed = (all[0]?.length ?? 0) + 4;
    expect(await shard.readLog(send, shard.writer, slot(0), 0)).toHaveLength(1);
    expect(await shard.readLog(send, shard.writer, slot(0), 3 * framed + 3)).toHaveLength(3);
    expect(await shard.readLog(send, shard.writer, slot(0), 3 * framed - 1)).toHaveLength(2);
    const small = sendTo(testHost({ store: host.store, time: host.time, settings: { answerBytesMax: framed } }));
    expect(await shard.readLog(small, shard.writer, slot(0), 1_000_000)).toHaveLength(1);
  });

  it('says how long the log is, and zeros before its first slot', async () => {
    const { send, shard, workspace } = await foundedShop();
    const lengthNow = async () => {
      const path = relayPaths.logHead(workspace.id, shard.id);
      return JSON.parse(textFromUtf8(okBody(await workspace.signed(send, shard.writer, 'GET', path)), 'length'));
    };
    expect(await lengthNow()).toEqual({ slot: 0, seq: 0, bytes: 0 });
    for (let n = 0; n < 5; n++) await shard.push(send);
    const objects = await shard.readLog(send);
    const bytes = objects.reduce((sum, object) => sum + object.length, 0);
    expect(await lengthNow()).toEqual({ slot: 5, seq: shard.head.seq, bytes });
  });

  it('a poll that finds nothing new is two store reads', async () => {
    const store = faultyStore(memoryStore(), () => 'none');
    const { send, shard } = await foundedShop({ store });
    await shard.push(send);
    await shard.readLog(send, shard.writer, slot(1));
    const before = store.calls.length;
    expect(await shard.readLog(send, shard.writer, slot(1))).toEqual([]);
    expect(
      store.calls
        .slice(before)
        .map(({ method }) => method)
        .sort(),
    ).toEqual(['get', 'head']);
  });

  it('a reader beyond the end of a rolled-back log is told so instead of shown nothing', async () => {
    const { host, send, shard } = await shopWithLog(2);
    const old = memoryStore();
    await copyStore(host.store, old);
    await shard.push(send);
    await shard.push(send);
    const later = sendTo(testHost({ store: old, time: host.time }));
    const path = relayPaths.log(shard.workspace.id, shard.id, slot(4), 1_000);
    const answer = await shard.workspace.signed(later, shard.writer, 'GET', path);
    expect(errorOf(answer)).toEqual({ status: 503, kind: 'unavailable', reason: 'rolledBack' });
  });

  it('gives stored bytes as they are, damaged or not: readers verify', async () => {
    const { host, send, shard } = await shopWithLog(2);
    const key = objectKeys.logSlot(shard.place, slot(2));
    await host.store.delete(key);
    await host.store.put(key, Uint8Array.of(1, 2, 3), { kind: 'absent' });
    expect((await shard.readLog(send))[1]).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('a follower of any role reads, and only its own workspace', async () => {
    const { host, send, workspace, shard } = await shopWithLog(1);
    const reader = await workspace.join(send, 'reader', 'reader');
    expect(await shard.readLog(send, reader)).toHaveLength(1);

    const other = await TestWorkspace.make('other', host.time);
    await other.found(send, host.signer.publicKey);
    const path = relayPaths.log(workspace.id, shard.id, slot(0), 1_000);
    expect(errorOf(await workspace.signed(send, other.owner, 'GET', path))).toMatchObject({ status: 401, reason: 'unknownDevice' });
    // Signed for its own workspace, sent to the other's path: the signature covers the workspace.
    expect(errorOf(await other.signed(send, reader, 'GET', path))).toMatchObject({ status: 401, reason: 'wrongCredential' });
  });

  it.each(['after=-1', 'after=1e3', 'after=9999999999999999', 'after=', 'bytes=x'])('the query %s is refused', async (query) => {
    const { send, workspace, shard } = await shopWithLog(1);
    const path = `${relayPaths.log(workspace.id, shard.id, slot(0), 1).split('?')[0]}?${query}`;
    expect(errorOf(await workspace.signed(send, shard.writer, 'GET', path))).toMatchObject({
      status: 400,
      kind: 'misuse',
      reason: 'badQuery',
    });
  });
});

describe('signed requests', () => {
  async function ask(change: {
    method?: string;
    path?: string;
    header?: string;
    time?: number;
    sentPath?: string;
    body?: Uint8Array<ArrayBuffer>;
  }) {
    const { host, send, workspace, shard } = await shopWithLog(1);
    const path = change.path ?? relayPaths.log(workspace.id, shard.id, slot(0), 1_000);
    const signed = { workspace: workspace.id, method: change.method ?? 'GET', path, body: change.body ?? new Uint8Array(0) };
    const authorization = change.header ?? (await signRequest(shard.writer.signer, signed, timeMs(host.time.now() + (change.time ?? 0))));
    return readAnswer(await send(new Request(`http://relay${change.sentPath ?? path}`, { headers: { authorization } })));
  }

  it('is taken inside the window and refused outside, either way', async () => {
    expect((await ask({ time: requestSkewMsMax })).kind).toBe('ok');
    expect((await ask({ time: -requestSkewMsMax })).kind).toBe('ok');
    for (const time of [requestSkewMsMax + 1, -requestSkewMsMax - 1]) {
      expect(errorOf(await ask({ time }))).toEqual({ status: 401, kind: 'misuse', reason: 'clockSkew' });
    }
  });

  it.each([
    ['another method', { method: 'POST' }],
    ['another body', { body: Uint8Array.of(1) }],
  ])('a signature over %s is refused', async (_, change) => {
    expect(errorOf(await ask(change))).toEqual({ status: 401, kind: 'misuse', reason: 'wrongCredential' });
  });

  it('a signature over another query is refused', async () => {
    const { host, send, workspace, shard } = await shopWithLog(1);
    const signed = {
      workspace: workspace.id,
      method: 'GET',
      path: relayPaths.log(workspace.id, shard.id, slot(0), 1),
      body: new Uint8Array(0),
    };
    const authorization = await signRequest(shard.writer.signer, signed, host.time.now());
    const path = relayPaths.log(workspace.id, shard.id, slot(1), 1);
    const answer = await readAnswer(await send(new Request(`http://relay${path}`, { headers: { authorization } })));
    expect(errorOf(answer)).toMatchObject({ status: 401, reason: 'wrongCredential' });
  });

  it.each([
    '',
    'Bearer abc',
    'Foldlog-1 a.b.c',
    `Foldlog-1 ${'A'.repeat(22)}.99999999999999999.${'A'.repeat(86)}`,
    `Foldlog-1 ${'A'.repeat(22)}.1.${'A'.repeat(85)}`,
  ])('the header %j is no credential', async (header) => {
    expect(errorOf(await ask({ header }))).toEqual({ status: 401, kind: 'misuse', reason: 'badCredential' });
  });

  it('a signature that is malformed for the strict rule is refused, not thrown', async () => {
    const { host, send, workspace, shard } = await shopWithLog(1);
    const path = relayPaths.log(workspace.id, shard.id, slot(0), 1_000);
    const good = await signRequest(
      shard.writer.signer,
      { workspace: workspace.id, method: 'GET', path, body: new Uint8Array(0) },
      host.time.now(),
    );
    const header = `${good.slice(0, -44)}${'_'.repeat(43)}w`; // S far above the group order
    const answer = await readAnswer(await send(new Request(`http://relay${path}`, { headers: { authorization: header } })));
    expect(errorOf(answer)).toMatchObject({ status: 401 });
  });

  it('the body is not read for somebody unknown', async () => {
    const { host, send, workspace, shard } = await shopWithLog(1);
    const stranger = new TestDevice('stranger', 'stranger');
    const path = relayPaths.checkpoints(workspace.id, shard.id);
    const authorization = await signRequest(
      stranger.signer,
      { workspace: workspace.id, method: 'POST', path, body: new Uint8Array(0) },
      host.time.now(),
    );
    const body = new Uint8Array(1_000);
    const request = new Request(`http://relay${path}`, { method: 'POST', headers: { authorization }, body });
    expect(errorOf(await readAnswer(await send(request)))).toMatchObject({ status: 401, reason: 'unknownDevice' });
    expect(request.bodyUsed).toBe(true); // read away, not kept
  });

  it('below a base path the signature still covers the path below it', async () => {
    const { host, workspace, shard, send } = await shopWithLog(1);
    const mounted = testHost({ store: host.store, time: host.time, settings: { basePath: '/relay' } });
    const path = relayPaths.log(workspace.id, shard.id, slot(0), 1_000);
    const signed = { workspace: workspace.id, method: 'GET', path, body: new Uint8Array(0) };
    const authorization = await signRequest(shard.writer.signer, signed, host.time.now());
    const answer = await readAnswer(await sendTo(mounted)(new Request(`http://relay/relay${path}`, { headers: { authorization } })));
    expect(okBody(answer).length).toBeGreaterThan(0);
    expect((await sendTo(mounted)(new Request(`http://relay${path}`, { headers: { authorization } }))).status).toBe(404);
    expect(await shard.readLog(send)).toHaveLength(1);
  });
});
