// Fences and cuts at the relay: who may, what a push meets, and when a cut is taken. Races: take-over-races.test.ts.

import { describe, expect, test } from 'vitest';
import type { Bytes } from '../../kernel/bytes.ts';
import type { Act } from '../../kernel/control/acts.ts';
import { fenceReservedMs } from '../../kernel/limits.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import { chainStart, epoch, hash, seq, slot } from '../../kernel/units.ts';
import type { ObjectStore } from '../../relay/object-store.ts';
import { keysOf } from '../conformance/faulty-store.ts';
import { errorOf, okBody, type TestShard } from './fixtures.ts';
import {
  appendAnswer,
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

describe('the way of a take-over', () => {
  test('fence, cut, new writer: the old one is fenced from the first on, and the whole store verifies', async () => {
    const { host, send, workspace, shard, heir, owner } = await shopOfTwo();
    await shard.push(send, await shard.nextRun(3));
    const tail = await shard.nextRun(2);
    const object = await fence(shard, send, owner);
    expect(object).toMatchObject({ slot: 2, fence: { closedEpoch: 1, newEpoch: 2, head: { seq: 3 } } });
    expect(errorOf(await shard.send(send, tail))).toEqual(fenced);
    const next = takenBy(shard, heir, object);
    const first = await next.nextRun();
    expect(errorOf(await next.send(send, first))).toMatchObject({ kind: 'misuse', reason: 'wrongEpoch' });
    await workspace.append(send, owner, [cutOf(object, heir)]);
    expect(errorOf(await shard.send(send, tail))).toEqual(fenced);
    expect(await next.push(send, first)).toMatchObject({ epoch: 2, slot: 3, head: { seq: 4 }, writer: heir.id });
    expect(await next.push(send)).toMatchObject({ epoch: 2, slot: 4, head: { seq: 5 } });
    expect(logLine(await verifiedStore(host.store), shard)).toContain('slots 4, groups 5, ops 5, void 0, erased 0, epoch 2');
    expect(host.reported).toEqual([]);
  });

  test('a shard without groups is taken over too, and an empty epoch after it', async () => {
    const { host, send, workspace, shard, heir, owner } = await shopOfTwo();
    const object = await fence(shard, send, owner);
    expect(object).toMatchObject({ slot: 1, fence: { head: chainStart } });
    await workspace.append(send, owner, [cutOf(object)]); // nobody writes it for now
    const again = await fence(shard, send, owner);
    await workspace.append(send, owner, [cutOf(again, heir)]);
    expect(await takenBy(shard, heir, again).push(send)).toMatchObject({ epoch: 3, slot: 3, head: { seq: 1 } });
    expect(logLine(await verifiedStore(host.store), shard)).toContain('slots 3, groups 1');
  });

  test('the writer takes over from itself: its new epoch goes on, the old one is fenced although the key is the same', async () => {
    const { host, send, workspace, till, shard } = await shopOfTwo();
    await shard.push(send);
    const copy = shard.clone();
    const object = await fence(shard, send, till);
    await workspace.append(send, till, [cutOf(object, till, { destination: shard.id })]);
    expect(errorOf(await copy.send(send, await copy.nextRun()))).toEqual(fenced);
    const next = takenBy(shard, till, object);
    // The last receipt of the old epoch is no capability any more, but evidence: what it names still stands.
    next.receipt = shard.receipt;
    expect(await next.push(send)).toMatchObject({ epoch: 2, slot: 3 });
    // A receipt of the new epoch does not carry a run of the old one either.
    copy.receipt = next.receipt;
    expect(errorOf(await copy.send(send, await copy.nextRun()))).toEqual(fenced);
    expect(logLine(await verifiedStore(host.store), shard)).toContain('slots 3, groups 2');
  });

  test('the same fence and the same cut sent again are answered with what stands', async () => {
    const { host, send, workspace, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const signed = await fenceOver(shard, owner, await endOf(shard.id, await shard.readLog(send)));
    const first = okBody(await sendFence(shard, send, owner, signed));
    const entry = await workspace.entry(owner, [cutOf(asFence(first), heir)]);
    const path = relayPaths.controlAppend(workspace.id);
    const held = okBody(await workspace.post(send, path, entry));
    await takenBy(shard, heir, asFence(first)).push(send);
    const other = otherOver(host.store, host);
    expect(okBody(await sendFence(shard, other, owner, signed))).toEqual(first);
    expect(okBody(await workspace.post(other, path, entry))).toEqual(held);
  });
});

describe('who may fence', () => {
  test('owner, admin and the shard’s writer; nobody else, and nobody in another’s name', async () => {
    const { send, workspace, till, shard, heir, owner } = await shopOfTwo();
    const admin = await workspace.join(send, 'office', 'admin');
    const reader = await workspace.join(send, 'screen', 'reader');
    const end = await endOf(shard.id, await shard.readLog(send));
    for (const device of [heir, reader]) {
      expect(errorOf(await sendFence(shard, send, device, await fenceOver(shard, device, end)))).toMatchObject({
        status: 403,
        reason: 'notAllowed',
      });
    }
    const byOwner = await fenceOver(shard, owner, end);
    for (const device of [till, admin]) {
      expect(errorOf(await sendFence(shard, send, device, byOwner))).toMatchObject({ status: 401, reason: 'wrongSignature' });
    }
    const stranger = await fenceOver(shard, owner, end);
    stranger[stranger.length - 1] = (stranger.at(-1) as number) ^ 1;
    expect(errorOf(await sendFence(shard, send, owner, stranger))).toMatchObject({ status: 401, reason: 'wrongSignature' });
    for (const device of [till, admin, owner]) await fence(shard, send, device);
    expect(await shard.readLog(send)).toHaveLength(3);
  });

  test('bytes that are no fence, of another shard, or signed over what is not there, are refused and nothing is put', async () => {
    const { host, send, workspace, till, shard, owner } = await shopOfTwo();
    const second = await workspace.addShard(send, till, 'till', 'till-9');
    await shard.push(send);
    const end = await endOf(shard.id, await shard.readLog(send));
    const before = await keysOf(host.store);
    const refused = async (bytes: Uint8Array) => errorOf(await sendFence(shard, send, owner, bytes as Bytes)).reason;
    expect(await refused(new Uint8Array(0))).toBe('truncated');
    expect(await refused((await shard.nextRun()).encoded.slice(0, 224))).toBe('badMagic');
    const good = await fenceOver(shard, owner, end);
    expect(await refused(good.subarray(0, -1))).toBe('truncated');
    expect(await refused(new Uint8Array([...good, 0]))).toBe('tooLarge');
    const ofSecond = await endOf(second.id, []);
    expect(await refused(await fenceOver(second, owner, ofSecond))).toBe('wrongShard');
    expect(await refused(await fenceOver(shard, owner, end, { claim: { closedEpoch: epoch(2), newEpoch: epoch(3) } }))).toBe('wrongFence');
    expect(await refused(await fenceOver(shard, owner, end, { claim: { head: { seq: seq(1), hash: hash(new Uint8Array(32)) } } }))).toBe(
      'wrongFence',
    );
    // An epoch left out would take from those who follow what they count with.
    expect(await refused(await fenceOver(shard, owner, end, { claim: { newEpoch: epoch(9) } }))).toBe('outOfBounds');
    expect(await refused(await fenceOver(shard, owner, end, { binding: { slot: slot(5) } }))).toBe('rolledBack');
    expect(await refused(await fenceOver(shard, owner, end, { binding: { prevObject: hash(new Uint8Array(32).fill(7)) } }))).toBe(
      'rolledBack',
    );
    expect(await refused(await fenceOver(shard, owner, end, { binding: { slot: slot(1) } }))).toBe('slotTaken');
    expect(await keysOf(host.store)).toEqual(before);
    await fence(shard, send, owner);
  });

  test('a fence without its cut is its author’s and the admins’; the writer waits ten minutes', async () => {
    const { host, send, workspace, till, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const object = await fence(shard, send, owner);
    const over = await fenceOver(shard, till, await endOf(shard.id, await shard.readLog(send)));
    const reserved = { status: 409, kind: 'unavailable', reason: 'fenceReserved' };
    expect(errorOf(await sendFence(shard, send, till, over))).toEqual(reserved);
    expect(errorOf(await appendAnswer(workspace, send, till, [cutOf(object, till)]))).toEqual(reserved);
    host.time.jump(fenceReservedMs - 1);
    expect(errorOf(await sendFence(shard, send, till, over))).toEqual(reserved);
    host.time.jump(1);
    // Another admin, the author again, or the writer now: the newest fence counts, and its cut covers both.
    okBody(await sendFence(shard, send, till, over));
    const newest = await fence(shard, send, owner);
    expect(newest.fence).toMatchObject({ closedEpoch: 3, newEpoch: 4, head: object.fence.head });
    await workspace.append(send, owner, [cutOf(newest, heir)]);
    expect(await takenBy(shard, heir, newest).push(send)).toMatchObject({ epoch: 4, slot: 5 });
    expect(logLine(await verifiedStore(host.store), shard)).toContain('slots 5, groups 2');
  });
});

describe('cuts', () => {
  test('a cut is taken only while its fence stands last, with that epoch and head', async () => {
    const { send, workspace, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const answer = async (act: Act) => errorOf(await appendAnswer(workspace, send, owner, [act]));
    const moved = { status: 409, kind: 'unavailable', reason: 'fenceMoved' };
    const object = await fence(shard, send, owner);
    expect(await answer(cutOf(object, heir, { fence: hash(new Uint8Array(32).fill(1)) }))).toEqual(moved);
    expect(await answer(cutOf(object, heir, { epoch: epoch(3) }))).toMatchObject({ kind: 'misuse', reason: 'wrongCut' });
    expect(await answer(cutOf(object, heir, { seq: seq(2) }))).toMatchObject({ kind: 'misuse', reason: 'wrongCut' });
    const newer = await fence(shard, send, owner);
    expect(await answer(cutOf(object, heir))).toEqual(moved);
    await workspace.append(send, owner, [cutOf(newer, heir)]);
    expect(await answer(cutOf(newer, heir))).toMatchObject({ kind: 'misuse', reason: 'epochFell' });
  });

  test('a cut without any fence is not taken', async () => {
    const { host, send, workspace, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const cut: Act = { act: 'cut', shard: shard.id, epoch: epoch(2), writer: heir.id, fence: hash(new Uint8Array(32)), ...headOf(shard) };
    const before = await keysOf(host.store);
    expect(errorOf(await appendAnswer(workspace, send, owner, [cut]))).toMatchObject({ reason: 'fenceMoved' });
    expect(await keysOf(host.store)).toEqual(before);
  });

  test('a cut that arrives after a second fence opens an epoch nobody can write; the newest fence’s cut settles it', async () => {
    const { host, send, workspace, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const object = await fence(shard, send, owner);
    // The second fence lands between the relay's look at the slots and its put of the control slot.
    const inner = host.store;
    let isDone = false;
    const racing: ObjectStore = {
      ...inner,
      async put(key, bytes, condition) {
        if (key.includes('/control/') && !isDone) {
          isDone = true;
          await fence(shard, send, owner);
        }
        return inner.put(key, bytes, condition);
      },
    };
    await workspace.append(otherOver(racing, host), owner, [cutOf(object, heir)]);
    const next = takenBy(shard, heir, object);
    expect(errorOf(await next.send(send, await next.nextRun()))).toEqual(fenced);
    const newest = asFence((await shard.readLog(send)).at(-1) as Bytes);
    const other = await workspace.join(send, 'till-3', 'writer');
    await workspace.append(send, owner, [cutOf(newest, other)]);
    expect(await takenBy(shard, other, newest).push(send)).toMatchObject({ epoch: 3, slot: 4 });
    expect(logLine(await verifiedStore(inner), shard)).toContain('slots 4, groups 2');
  });
});

describe('a revoked device', () => {
  test('one entry with the cut of its shard; then it is refused everywhere, at once', async () => {
    const { host, send, workspace, till, shard, heir, owner } = await shopOfTwo();
    const receipt = await shard.push(send);
    const tail = await shard.nextRun();
    const object = await fence(shard, send, owner);
    expect(errorOf(await appendAnswer(workspace, send, owner, [{ act: 'revoke', device: till.id }]))).toMatchObject({
      reason: 'cutMissing',
    });
    await workspace.append(send, owner, [{ act: 'revoke', device: till.id }, cutOf(object, heir)]);

    expect(errorOf(await shard.send(send, tail))).toEqual(fenced);
    const gone = { status: 401, kind: 'misuse', reason: 'revoked' };
    const ask = async (method: 'GET' | 'POST' | 'PUT', path: string) => errorOf(await workspace.signed(send, till, method, path));
    expect(await ask('GET', relayPaths.control(workspace.id, slot(0)))).toEqual(gone);
    expect(await ask('GET', relayPaths.log(workspace.id, shard.id, slot(0), 1_000))).toEqual(gone);
    expect(await ask('GET', relayPaths.newestCheckpoint(workspace.id, shard.id))).toEqual(gone);
    expect(await ask('POST', relayPaths.checkpoints(workspace.id, shard.id))).toEqual(gone);
    expect(await ask('PUT', relayPaths.chunk(workspace.id, shard.id, receipt.objectHash))).toEqual(gone);
    expect(await ask('POST', relayPaths.fence(workspace.id, shard.id))).toEqual(gone);
    const acts: Act[] = [{ act: 'shard', nonce: new Uint8Array(16).fill(3), kind: 'till', name: 'till-8', writer: till.id }];
    expect(errorOf(await appendAnswer(workspace, send, till, acts))).toMatchObject({ status: 401, reason: 'unknownDevice' });
    // What it signed before stays valid: readers go on over it.
    await takenBy(shard, heir, object).push(send);
    expect(logLine(await verifiedStore(host.store), shard)).toContain('slots 3, groups 2');
  });

  test('a shard it makes meanwhile keeps the revocation out until it is cut too', async () => {
    const { send, workspace, till, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const object = await fence(shard, send, owner);
    const acts: Act[] = [{ act: 'revoke', device: till.id }, cutOf(object, heir)];
    const signedBefore = await workspace.entry(owner, acts);
    const second = await workspace.addShard(send, till, 'till', 'till-9');
    const path = relayPaths.controlAppend(workspace.id);
    expect(errorOf(await workspace.post(send, path, signedBefore))).toMatchObject({ reason: 'staleHead' });
    expect(errorOf(await appendAnswer(workspace, send, owner, acts))).toMatchObject({ reason: 'cutMissing' });
    const both = await fence(second, send, owner);
    await workspace.append(send, owner, [...acts, cutOf(both)]);
    expect(errorOf(await second.send(send, await second.nextRun()))).toEqual(fenced);
  });

  test('an instance whose copy of the control log is seconds old writes nothing for it', async () => {
    const { host, send, workspace, till, shard, heir, owner } = await shopOfTwo();
    await shard.push(send);
    const slow = otherOver(host.store, host);
    await shard.readLog(slow, till); // its copy of the control log is warm
    const tail = await shard.nextRun();
    const object = await fence(shard, send, owner);
    await workspace.append(send, owner, [{ act: 'revoke', device: till.id }, cutOf(object, heir)]);
    expect(errorOf(await shard.send(slow, tail))).toEqual(fenced);
    const upload = relayPaths.chunk(workspace.id, shard.id, object.objectHash);
    expect(errorOf(await workspace.signed(slow, till, 'PUT', upload, new Uint8Array(3)))).toMatchObject({ reason: 'revoked' });
  });
});

test('a fence is asked for like every signed request: with a credential over this body', async () => {
  const { host, send, workspace, shard, owner } = await shopOfTwo();
  const signed = await fenceOver(shard, owner, await endOf(shard.id, []));
  const path = relayPaths.fence(workspace.id, shard.id);
  expect(errorOf(await workspace.post(send, path, signed))).toMatchObject({ status: 401, reason: 'badCredential' });
  const authorization = await signRequest(
    owner.signer,
    { workspace: workspace.id, method: 'POST', path, body: new Uint8Array(3) },
    host.time.now(),
  );
  const answer = await send(new Request(`http://relay${path}`, { method: 'POST', headers: { authorization }, body: signed }));
  expect(answer.status).toBe(401);
  expect((await send(new Request(`http://relay${path}`, { method: 'GET' }))).status).toBe(405);
  expect(await shard.readLog(send)).toEqual([]);
});

const headOf = (shard: TestShard) => ({ seq: shard.head.seq, head: shard.head.hash });
