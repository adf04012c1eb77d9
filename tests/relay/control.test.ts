// The control log at the relay: founding, appending, racing authors, what is refused, what a lost reply and a kill leave.

import { describe, expect, it } from 'vitest';
import { isSameBytes } from '../../kernel/bytes.ts';
import { type ControlSlot, decodeControlSlot } from '../../kernel/control/entry.ts';
import { enrolMessage, foldControl } from '../../kernel/control/fold.ts';
import { objectHash } from '../../kernel/digest.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { controlCacheMsMax, controlEntryBytesMax } from '../../kernel/limits.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { incarnation, slot, timeMs } from '../../kernel/units.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { copyStore, faultAt, faultyStore, keysOf, killedStore } from '../conformance/faulty-store.ts';
import { errorOf, foundedShop, okBody, sendTo, TestDevice, TestTime, TestWorkspace, testHost } from './fixtures.ts';

const decodeAll = (objects: readonly Uint8Array[]): ControlSlot[] => objects.map((bytes, i) => decodeControlSlot(bytes, `slot ${i + 1}`));

async function newWorkspace(seed = 'new') {
  const host = testHost({ seed });
  return { host, send: sendTo(host), workspace: await TestWorkspace.make(seed, host.time) };
}

describe('founding', () => {
  it('genesis, relay, invite, device and shard fold alike for a device that reads them', async () => {
    const { send, workspace, till, shard } = await foundedShop();
    const objects = await workspace.controlAfter(send, till);
    const state = await foldControl(portableVerifier, workspace.id, undefined, decodeAll(objects));
    expect(state).toMatchObject({ slot: 5, head: workspace.head });
    expect([...(state?.devices.values() ?? [])].map(({ name, role }) => [name, role])).toEqual([
      ['Office', 'owner'],
      ['till-1', 'writer'],
    ]);
    expect([...(state?.shards.values() ?? [])]).toMatchObject([{ id: shard.id, writer: till.id, epoch: 1 }]);
  });

  it('before genesis a signed read finds no workspace', async () => {
    const { send, workspace } = await newWorkspace();
    const answer = await workspace.signed(send, workspace.owner, 'GET', relayPaths.control(workspace.id, slot(0)));
    expect(errorOf(answer)).toEqual({ status: 404, kind: 'unavailable', reason: 'unknownWorkspace' });
  });

  it('genesis under the name of another workspace is refused', async () => {
    const { send, workspace } = await newWorkspace();
    const other = await TestWorkspace.make('other', new TestTime());
    const answer = await workspace.post(send, relayPaths.controlAppend(other.id), workspace.genesis);
    expect(errorOf(answer)).toEqual({ status: 403, kind: 'misuse', reason: 'wrongWorkspace' });
  });

  it('another relay cannot be declared here, since only its own key could sign the slot', async () => {
    const { host, send, workspace } = await newWorkspace();
    await workspace.post(send, relayPaths.controlAppend(workspace.id), workspace.genesis);
    workspace.head = objectHash((await workspace.controlAfter(send, workspace.owner))[0] ?? new Uint8Array());
    const { signer } = testHost({ seed: 'stranger' });
    const entry = await workspace.entry(workspace.owner, [{ act: 'relay', key: signer.publicKey, incarnation: workspace.incarnation }]);
    const answer = await workspace.post(send, relayPaths.controlAppend(workspace.id), entry);
    expect(errorOf(answer)).toEqual({ status: 421, kind: 'misuse', reason: 'otherRelay' });
    await workspace.append(send, workspace.owner, [{ act: 'relay', key: host.signer.publicKey, incarnation: workspace.incarnation }]);
    expect(await workspace.controlAfter(send, workspace.owner)).toHaveLength(2);
  });

  it('after a rotation the old key serves no more, and the new one knows the old receipts', async () => {
    const { host, send, workspace, shard } = await foundedShop();
    await shard.push(send);
    const next = testHost({ seed: 'next relay', store: host.store, time: host.time });
    await workspace.append(send, workspace.owner, [{ act: 'relay', key: next.signer.publicKey, incarnation: workspace.incarnation }]);
    const run = await shard.nextRun();
    expect(errorOf(await shard.send(send, run))).toMatchObject({ status: 421, reason: 'otherRelay' });
    expect(await shard.push(sendTo(next), run)).toMatchObject({ slot: 2 });
    // Without a receipt the head is a slot of the new key; below it, one of the old.
    shard.receipt = undefined;
    expect(await shard.push(sendTo(next))).toMatchObject({ slot: 3 });
  });

  it('a new incarnation begins an empty log for every shard', async () => {
    const { host, send, workspace, shard } = await foundedShop();
    await shard.push(send);
    const key = host.signer.publicKey;
    await workspace.append(send, workspace.owner, [{ act: 'relay', key, incarnation: incarnation(new Uint8Array(16).fill(7)) }]);
    host.time.pass(controlCacheMsMax + 1);
    expect(errorOf(await shard.send(send, await shard.nextRun()))).toMatchObject({ reason: 'brokenLink' });
    expect(await shard.readLog(send)).toEqual([]);
  });
});

describe('appending', () => {
  it('a stale head is refused by name, and signed again it goes in', async () => {
    const { send, workspace, till } = await foundedShop();
    const old = workspace.head;
    await workspace.addShard(send, till, 'till', 'till-2');
    const act = { act: 'shard', nonce: till.random.bytes(16), kind: 'till', name: 'till-3', writer: till.id } as const;
    const stale = await workspace.post(send, relayPaths.controlAppend(workspace.id), await workspace.entry(till, [act], old));
    expect(errorOf(stale)).toEqual({ status: 409, kind: 'unavailable', reason: 'staleHead' });
    await workspace.append(send, till, [act]);
  });

  it('the identical entry again is answered with the slot that holds it, however long ago', async () => {
    const { send, workspace, till } = await foundedShop();
    const path = relayPaths.controlAppend(workspace.id);
    const act = { act: 'shard', nonce: till.random.bytes(16), kind: 'till', name: 'till-2', writer: till.id } as const;
    const entry = await workspace.entry(till, [act]);
    const first = okBody(await workspace.post(send, path, entry));
    workspace.head = objectHash(first);
    await workspace.addShard(send, till, 'till', 'till-3');
    expect(okBody(await workspace.post(send, path, entry))).toEqual(first);
    expect(decodeControlSlot(okBody(await workspace.post(send, path, workspace.genesis)), 'genesis').slot).toBe(1);
    expect(await workspace.controlAfter(send, till)).toHaveLength(7);
  });

  it('of eight authors over one head exactly one gets the slot', async () => {
    const store = memoryStore();
    const { host, send, workspace, till } = await foundedShop({ store });
    const other = sendTo(testHost({ store, time: host.time }));
    const entries = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        workspace.entry(till, [{ act: 'shard', nonce: till.random.bytes(16), kind: 'till', name: `race ${i}`, writer: till.id }]),
      ),
    );
    const answers = await Promise.all(
      entries.map((entry, i) => workspace.post(i % 2 === 0 ? send : other, relayPaths.controlAppend(workspace.id), entry)),
    );
    expect(answers.filter(({ kind }) => kind === 'ok')).toHaveLength(1);
    for (const answer of answers) if (answer.kind === 'error') expect(answer.error.reason).toBe('staleHead');
    await foldControl(portableVerifier, workspace.id, undefined, decodeAll(await workspace.controlAfter(send, till)));
  });

  it('an entry sent to two instances at once is one slot, and both answer with it', async () => {
    const store = memoryStore();
    const { host, send, workspace, till } = await foundedShop({ store });
    const other = sendTo(testHost({ store, time: host.time }));
    const act = { act: 'shard', nonce: till.random.bytes(16), kind: 'till', name: 'till-2', writer: till.id } as const;
    const entry = await workspace.entry(till, [act]);
    const answers = await Promise.all(
      [send, other, send, other].map((to) => workspace.post(to, relayPaths.controlAppend(workspace.id), entry)),
    );
    for (const answer of answers) expect(okBody(answer)).toEqual(okBody(answers[0] as (typeof answers)[number]));
    expect(await workspace.controlAfter(send, till)).toHaveLength(6);
  });

  it.each(['refused', 'replyLost', 'appliedLate'] as const)('a put that is %s is settled within the same request', async (fault) => {
    const store = faultyStore(memoryStore(), faultAt('put', '/control/0000000000000005', fault));
    const { send, workspace, till } = await foundedShop({ store });
    await store.landLate();
    expect(await workspace.controlAfter(send, till)).toHaveLength(5);
    expect(store.violations).toEqual([]);
  });

  it('killed at any store call, the same entry ends in one slot', async () => {
    for (const isApplied of [false, true]) {
      for (let call = 1, wasKilled = true; wasKilled; call++) {
        const { host, send, workspace, till } = await foundedShop();
        const act = { act: 'shard', nonce: till.random.bytes(16), kind: 'till', name: 'till-2', writer: till.id } as const;
        const entry = await workspace.entry(till, [act]);
        const store = killedStore(host.store, { call, isApplied });
        await workspace.post(sendTo(testHost({ store, time: host.time })), relayPaths.controlAppend(workspace.id), entry);
        wasKilled = store.calls >= call;
        const fresh = sendTo(testHost({ store: host.store, time: host.time }));
        workspace.head = objectHash(okBody(await workspace.post(fresh, relayPaths.controlAppend(workspace.id), entry)));
        expect(await workspace.controlAfter(send, till)).toHaveLength(6);
      }
    }
  });

  it('slot time never falls when the clock does', async () => {
    const { host, send, workspace, till } = await foundedShop();
    host.time.jump(-86_400_000);
    await workspace.addShard(send, till, 'till', 'till-2');
    const times = decodeAll(await workspace.controlAfter(send, till)).map(({ time }) => time);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });
});

describe('what the fold refuses never takes a slot', () => {
  it.each([
    ['a reader that adds a shard', 403, 'notAllowed'],
    ['an author nobody enrolled', 401, 'unknownDevice'],
    ['a name that is taken', 409, 'nameTaken'],
    ['a second genesis', 409, 'secondGenesis'],
    ['an invite above its author', 403, 'notAllowed'],
    ['an invite for longer than a week', 400, 'inviteTooLong'],
    ['a device with a wrong proof', 403, 'wrongProof'],
    ['a device whose invite is used up', 403, 'inviteSpent'],
    ['a device whose invite has expired', 403, 'inviteExpired'],
    ['a changed signature', 401, 'wrongSignature'],
  ])('%s: %d %s', async (what, status, reason) => {
    const { host, send, workspace, till } = await foundedShop();
    const reader = await workspace.join(send, 'reader', 'reader');
    const stranger = new TestDevice('stranger', 'stranger');
    const newcomer = new TestDevice('newcomer', 'newcomer');
    const invite = new TestDevice('invite', 'open');
    const expiresAt = timeMs(host.time.now() + 60_000);
    await workspace.append(send, workspace.owner, [{ act: 'invite', key: invite.signer.publicKey, role: 'writer', expiresAt, uses: 1 }]);
    const proof = await invite.signer.sign(enrolMessage(workspace.id, newcomer.signer.publicKey));
    const enrol = { act: 'device', key: newcomer.signer.publicKey, name: 'newcomer', invite: invite.id, proof } as const;
    const shardAct = (name: string, by: TestDevice) =>
      ({ act: 'shard', nonce: by.random.bytes(16), kind: 'till', name, writer: till.id }) as const;
    const inviteAct = (days: number) =>
      ({
        act: 'invite',
        key: stranger.signer.publicKey,
        role: 'admin',
        expiresAt: timeMs(host.time.now() + days * 86_400_000),
        uses: 1,
      }) as const;
    const key = till.signer.publicKey;
    const nonce = new Uint8Array(16);
    const genesisAct = { act: 'genesis', name: 'x', owner: key, device: 'x', recovery: key, nonce, time: host.time.now() } as const;

    const entries: Record<string, () => Promise<Uint8Array>> = {
      'a reader that adds a shard': () => workspace.entry(reader, [shardAct('x', reader)]),
      'an author nobody enrolled': () => workspace.entry(stranger, [shardAct('x', stranger)]),
      'a name that is taken': () => workspace.entry(till, [shardAct('till-1', till)]),
      'a second genesis': () => workspace.entry(workspace.owner, [genesisAct]),
      'an invite above its author': () => workspace.entry(till, [inviteAct(1)]),
      'an invite for longer than a week': () => workspace.entry(workspace.owner, [inviteAct(8)]),
      'a device with a wrong proof': () => workspace.entry(newcomer, [{ ...enrol, proof: flipped(enrol.proof) as typeof proof }]),
      'a device whose invite is used up': async () => {
        await workspace.append(send, newcomer, [enrol]);
        const second = new TestDevice('second', 'second');
        const again = await invite.signer.sign(enrolMessage(workspace.id, second.signer.publicKey));
        return workspace.entry(second, [{ ...enrol, key: second.signer.publicKey, proof: again }]);
      },
      'a device whose invite has expired': async () => {
        host.time.pass(60_001);
        return workspace.entry(newcomer, [enrol]);
      },
      'a changed signature': async () => flipped(await workspace.entry(till, [shardAct('x', till)])),
    };
    const entry = await (entries[what] as () => Promise<Uint8Array>)();
    const before = await keysOf(host.store);
    expect(errorOf(await workspace.post(send, relayPaths.controlAppend(workspace.id), entry))).toEqual({ status, kind: 'misuse', reason });
    expect(await keysOf(host.store)).toEqual(before);
  });

  it('an entry of a newer version asks for an upgrade; a cut or oversized one is refused', async () => {
    const { send, workspace, till } = await foundedShop();
    const path = relayPaths.controlAppend(workspace.id);
    const entry = await workspace.entry(till, [{ act: 'shard', nonce: new Uint8Array(16), kind: 'till', name: 'x', writer: till.id }]);
    const newer = entry.slice();
    newer[5] = 2;
    expect(errorOf(await workspace.post(send, path, newer))).toEqual({ status: 422, kind: 'upgradeNeeded', reason: 'newerFormat' });
    expect(errorOf(await workspace.post(send, path, entry.subarray(0, -1)))).toEqual({ status: 422, kind: 'corrupt', reason: 'truncated' });
    expect(errorOf(await workspace.post(send, path, new Uint8Array(controlEntryBytesMax + 1)))).toMatchObject({
      status: 413,
      reason: 'tooLarge',
    });
  });
});

describe('the copy an instance keeps', () => {
  it('is used for pushes, and read again before it refuses anybody', async () => {
    const store = faultyStore(memoryStore(), () => 'none');
    const { host, send, workspace, till, shard } = await foundedShop({ store });
    await shard.push(send);
    const controlCalls = () => store.calls.filter(({ key }) => key.includes('/control/')).length;
    const before = controlCalls();
    await shard.push(send);
    expect(controlCalls()).toBe(before);
    // Declared through another instance a moment ago: this one learns it on the first push.
    const other = sendTo(testHost({ store, time: host.time }));
    const second = await workspace.addShard(other, till, 'till', 'till-2');
    await second.push(send);
    host.time.pass(controlCacheMsMax + 1);
    const later = controlCalls();
    await shard.push(send);
    expect(controlCalls()).toBeGreaterThan(later);
  });

  it('is dropped when the store no longer holds what it rests on', async () => {
    const { host, send, workspace, shard } = await foundedShop();
    await shard.push(send);
    for (const key of await keysOf(host.store)) await host.store.delete(key);
    host.time.pass(controlCacheMsMax + 1);
    expect(errorOf(await shard.send(send, await shard.nextRun()))).toMatchObject({ status: 404, reason: 'unknownWorkspace' });
    expect(errorOf(await workspace.signed(send, workspace.owner, 'GET', relayPaths.control(workspace.id, slot(0))))).toMatchObject({
      status: 404,
    });
  });

  it('follows a rolled-back control log instead of mixing two', async () => {
    const { host, send, workspace, till } = await foundedShop();
    const old = memoryStore();
    await copyStore(host.store, old);
    await workspace.addShard(send, till, 'till', 'till-2');
    for (const key of await keysOf(host.store)) await host.store.delete(key);
    await copyStore(old, host.store);
    expect(await workspace.controlAfter(send, till)).toHaveLength(5);
  });
});

describe('reading', () => {
  it('gives slots after the one named, in pages that fit, in order', async () => {
    const { host, send, workspace, till } = await foundedShop();
    for (let n = 2; n <= 12; n++) await workspace.addShard(send, till, 'till', `till-${n}`);
    const all = await workspace.controlAfter(send, till);
    expect(all).toHaveLength(16);
    expect(await workspace.controlAfter(send, till, slot(16))).toEqual([]);
    expect(await workspace.controlAfter(send, till, slot(99))).toEqual([]);
    expect(await workspace.controlAfter(send, till, slot(14))).toEqual(all.slice(14));

    const small = sendTo(testHost({ store: host.store, time: host.time, settings: { answerBytesMax: 900 } }));
    const paged: Uint8Array[] = [];
    for (let pages = 0; pages < 20; pages++) {
      const page = await workspace.controlAfter(small, till, slot(paged.length));
      if (page.length === 0) break;
      expect(page.length).toBeLessThan(16);
      paged.push(...page);
    }
    expect(paged.every((bytes, i) => isSameBytes(bytes, all[i] ?? new Uint8Array()))).toBe(true);
    expect(paged).toHaveLength(16);
  });

  it('is open to the key of an open invite, and to nothing else of it', async () => {
    const { host, send, workspace, shard } = await foundedShop();
    const invite = new TestDevice('guest', 'invite');
    const expiresAt = timeMs(host.time.now() + 60_000);
    await workspace.append(send, workspace.owner, [{ act: 'invite', key: invite.signer.publicKey, role: 'reader', expiresAt, uses: 1 }]);
    expect(await workspace.controlAfter(send, invite)).toHaveLength(6);
    const log = await workspace.signed(send, invite, 'GET', relayPaths.log(workspace.id, shard.id, slot(0), 1_000));
    expect(errorOf(log)).toMatchObject({ status: 401, reason: 'unknownDevice' });
    host.time.pass(60_001);
    const late = await workspace.signed(send, invite, 'GET', relayPaths.control(workspace.id, slot(0)));
    expect(errorOf(late)).toMatchObject({ status: 403, reason: 'inviteExpired' });
  });

  it('tells the key of a spent invite that it is spent', async () => {
    const { host, send, workspace } = await foundedShop();
    const invite = new TestDevice('guest', 'invite');
    const expiresAt = timeMs(host.time.now() + 60_000);
    await workspace.append(send, workspace.owner, [{ act: 'invite', key: invite.signer.publicKey, role: 'reader', expiresAt, uses: 1 }]);
    const joined = new TestDevice('joined', 'joined');
    const proof = await invite.signer.sign(enrolMessage(workspace.id, joined.signer.publicKey));
    await workspace.append(send, joined, [{ act: 'device', key: joined.signer.publicKey, name: 'joined', invite: invite.id, proof }]);
    const late = await workspace.signed(send, invite, 'GET', relayPaths.control(workspace.id, slot(0)));
    expect(errorOf(late)).toMatchObject({ status: 403, reason: 'inviteSpent' });
  });
});

function flipped(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes);
  copy[copy.length - 5] = (copy.at(-5) ?? 0) ^ 1;
  return copy;
}
