// Checkpoint statements and chunks at the relay: what is taken, what is refused, and what repeats and kills leave.

import { beforeEach, describe, expect, it } from 'vitest';
import { type CheckpointFacts, decodeCheckpoint, signCheckpoint } from '../../kernel/checkpoint.ts';
import { objectHash, sha256 } from '../../kernel/digest.ts';
import type { Receipt } from '../../kernel/receipt.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { epoch, type Hash, noHash, seq, slot, timeMs } from '../../kernel/units.ts';
import { chunkStoredBytesMax } from '../../relay/checkpoints.ts';
import { faultyStore, keysOf, killedStore } from '../conformance/faulty-store.ts';
import { type Answer, errorOf, foundedShop, okBody, type Send, seededRandom, sendTo, type TestDevice, testHost } from './fixtures.ts';

let shop: Awaited<ReturnType<typeof foundedShop>>;
let receipt: Receipt;
const chunks = [seededRandom('chunk 1').bytes(5_000), seededRandom('chunk 2').bytes(70_000)];

beforeEach(async () => {
  shop = await foundedShop();
  await shop.shard.push(shop.send);
  receipt = await shop.shard.push(shop.send, await shop.shard.nextRun(3));
});

const putChunk = (bytes: Uint8Array, name: Hash = sha256(bytes), device: TestDevice = shop.till, send: Send = shop.send): Promise<Answer> =>
  shop.workspace.signed(send, device, 'PUT', relayPaths.chunk(shop.workspace.id, shop.shard.id, name), bytes);

const getChunk = (name: Hash, device: TestDevice = shop.till): Promise<Answer> =>
  shop.workspace.signed(shop.send, device, 'GET', relayPaths.chunk(shop.workspace.id, shop.shard.id, name));

const facts = (change: Partial<CheckpointFacts> = {}): CheckpointFacts => ({
  shard: shop.shard.id,
  number: 1,
  prev: noHash,
  epoch: epoch(1),
  head: receipt.head,
  slot: receipt.slot,
  slotObject: receipt.objectHash,
  slotTime: receipt.time,
  schemaVersion: 1,
  foldId: sha256(Uint8Array.of(1)),
  stateHash: sha256(Uint8Array.of(2)),
  time: shop.host.time.now(),
  controlHead: shop.workspace.head,
  chunks: chunks.map((bytes) => ({ hash: sha256(bytes), storedLength: bytes.length, rawLength: bytes.length })),
  ...change,
});

const putStatement = (bytes: Uint8Array, device: TestDevice = shop.till, send: Send = shop.send): Promise<Answer> =>
  shop.workspace.signed(send, device, 'POST', relayPaths.checkpoints(shop.workspace.id, shop.shard.id), bytes);

const newest = async (device: TestDevice = shop.till): Promise<Answer> =>
  shop.workspace.signed(shop.send, device, 'GET', relayPaths.newestCheckpoint(shop.workspace.id, shop.shard.id));

const publish = async (change: Partial<CheckpointFacts> = {}): Promise<Uint8Array> => {
  for (const bytes of chunks) okBody(await putChunk(bytes));
  const statement = await signCheckpoint(shop.till.signer, facts(change));
  okBody(await putStatement(statement));
  return statement;
};

describe('chunks', () => {
  it('come back by their hash, to any enrolled device', async () => {
    const reader = await shop.workspace.join(shop.send, 'reader', 'reader');
    for (const bytes of chunks) {
      expect(await putChunk(bytes)).toMatchObject({ kind: 'ok', status: 204 });
      expect(okBody(await getChunk(sha256(bytes), reader))).toEqual(bytes);
    }
  });

  it('put again change nothing', async () => {
    const bytes = chunks[0] as Uint8Array;
    await putChunk(bytes);
    const before = await keysOf(shop.host.store);
    expect(await putChunk(bytes)).toMatchObject({ kind: 'ok' });
    expect(await keysOf(shop.host.store)).toEqual(before);
  });

  it('are refused under another name, too large, or from a reader', async () => {
    const bytes = chunks[0] as Uint8Array;
    expect(errorOf(await putChunk(bytes, sha256(Uint8Array.of(9))))).toEqual({ status: 422, kind: 'corrupt', reason: 'wrongHash' });
    expect(errorOf(await putChunk(new Uint8Array(chunkStoredBytesMax + 1)))).toMatchObject({ status: 413, reason: 'tooLarge' });
    const reader = await shop.workspace.join(shop.send, 'reader', 'reader');
    expect(errorOf(await putChunk(bytes, sha256(bytes), reader))).toEqual({ status: 403, kind: 'misuse', reason: 'notAllowed' });
    const second = await shop.workspace.join(shop.send, 'till-2', 'writer');
    expect(errorOf(await putChunk(bytes, sha256(bytes), second))).toMatchObject({ status: 403, reason: 'notAllowed' });
    expect((await keysOf(shop.host.store)).filter((key) => key.includes('/chunk/'))).toEqual([]);
  });

  it('that are not there are a 404', async () => {
    expect(errorOf(await getChunk(noHash))).toEqual({ status: 404, kind: 'unavailable', reason: 'unknownChunk' });
  });
});

describe('statements', () => {
  it('none yet is 204; then the newest comes back as it was', async () => {
    expect(await newest()).toMatchObject({ kind: 'ok', status: 204, body: new Uint8Array(0) });
    const first = await publish();
    expect(okBody(await newest())).toEqual(first);
    const second = await publish({ number: 2, prev: objectHash(first) });
    const reader = await shop.workspace.join(shop.send, 'reader', 'reader');
    expect(okBody(await newest(reader))).toEqual(second);
    expect(decodeCheckpoint(second, 'second').number).toBe(2);
  });

  it('the same statement again changes nothing, also after newer ones', async () => {
    const first = await publish();
    await publish({ number: 2, prev: objectHash(first) });
    const before = await keysOf(shop.host.store);
    expect(await putStatement(first)).toMatchObject({ kind: 'ok', status: 204 });
    expect(await keysOf(shop.host.store)).toEqual(before);
  });

  it('the newest up to a seq is found: at heads, between them, and none below the first', async () => {
    const upTo = async (at: number): Promise<Answer> =>
      shop.workspace.signed(shop.send, shop.till, 'GET', relayPaths.newestCheckpoint(shop.workspace.id, shop.shard.id, seq(at)));
    let prev: Hash = noHash;
    const statements: Uint8Array[] = [];
    const heads: number[] = [];
    for (let number = 1; number <= 6; number++) {
      statements.push(await publish({ number, prev }));
      heads.push(receipt.head.seq);
      prev = objectHash(statements.at(-1) as Uint8Array);
      receipt = await shop.shard.push(shop.send, await shop.shard.nextRun(2));
    }
    expect(await upTo((heads[0] as number) - 1)).toMatchObject({ kind: 'ok', status: 204 });
    for (const [i, head] of heads.entries()) {
      expect(okBody(await upTo(head))).toEqual(statements[i]);
      expect(okBody(await upTo(head + 1))).toEqual(statements[i]);
    }
    expect(okBody(await upTo(2 ** 40))).toEqual(statements.at(-1));
  });

  it('the newest is found at any number', async () => {
    let prev: Hash = noHash;
    for (let number = 1; number <= 9; number++) {
      const statement = await publish({ number, prev });
      prev = objectHash(statement);
      expect(okBody(await newest())).toEqual(statement);
    }
  });

  it('an admin may publish for the writer, another writer may not', async () => {
    for (const bytes of chunks) await putChunk(bytes);
    const { owner } = shop.workspace;
    const second = await shop.workspace.join(shop.send, 'till-2', 'writer');
    const foreign = await signCheckpoint(second.signer, facts());
    expect(errorOf(await putStatement(foreign))).toEqual({ status: 403, kind: 'misuse', reason: 'notAllowed' });
    okBody(await putStatement(await signCheckpoint(owner.signer, facts()), owner));
  });

  const refusals: readonly (readonly [string, number, string, string, () => Partial<CheckpointFacts>])[] = [
    ['a number that skips one', 409, 'unavailable', 'staleCheckpoint', () => ({ number: 2, prev: sha256(Uint8Array.of(1)) })],
    ['a first with a previous one', 409, 'unavailable', 'staleCheckpoint', () => ({ prev: sha256(Uint8Array.of(1)) })],
    ['a head that is no group of the slot', 422, 'corrupt', 'headNotInLog', () => ({ head: { ...receipt.head, hash: noHash } })],
    ['a slot with another object', 422, 'corrupt', 'headNotInLog', () => ({ slotObject: noHash })],
    ['a slot that is not there', 422, 'corrupt', 'headNotInLog', () => ({ slot: slot(9) })],
    ['a slot time that is not its own', 422, 'corrupt', 'headNotInLog', () => ({ slotTime: timeMs(receipt.time + 1) })],
    ['a later epoch', 403, 'misuse', 'notAllowed', () => ({ epoch: epoch(2) })],
    ['another shard', 403, 'misuse', 'wrongShard', () => ({ shard: shop.shard.id.map((byte) => byte ^ 1) as never })],
    [
      'a chunk that is not there',
      422,
      'corrupt',
      'missingChunk',
      () => ({ chunks: [...facts().chunks, { hash: noHash, storedLength: 1, rawLength: 1 }] }),
    ],
    [
      'a chunk of another length',
      422,
      'corrupt',
      'missingChunk',
      () => ({ chunks: facts().chunks.map((chunk) => ({ ...chunk, storedLength: chunk.storedLength + 1 })) }),
    ],
  ];
  it.each(refusals)('%s is refused: %d %s %s', async (_, status, kind, reason, change) => {
    for (const bytes of chunks) await putChunk(bytes);
    const answer = await putStatement(await signCheckpoint(shop.till.signer, facts(change())));
    expect(errorOf(answer)).toEqual({ status, kind, reason });
    expect(await newest()).toMatchObject({ status: 204 });
  });

  it('a changed bit, trailing bytes and another statement in a taken number are refused', async () => {
    const statement = await publish();
    const changed = statement.slice();
    changed[60] = (changed[60] ?? 0) ^ 1;
    expect(errorOf(await putStatement(changed))).toMatchObject({ status: 422, kind: 'corrupt' });
    const longer = new Uint8Array([...statement, 0]);
    expect(errorOf(await putStatement(longer))).toMatchObject({ status: 422, reason: 'trailingBytes' });
    const other = await signCheckpoint(shop.till.signer, facts({ stateHash: noHash }));
    expect(errorOf(await putStatement(other))).toEqual({ status: 409, kind: 'unavailable', reason: 'staleCheckpoint' });
    expect(okBody(await newest())).toEqual(statement);
  });

  it('a head that goes back below the last statement is refused', async () => {
    const first = await publish();
    const [slotOne = new Uint8Array()] = await shop.shard.readLog(shop.send);
    const run = { number: 2, prev: objectHash(first), slot: slot(1), slotObject: objectHash(slotOne) };
    const answer = await putStatement(
      await signCheckpoint(shop.till.signer, facts({ ...run, head: { ...receipt.head, seq: 1 as never } })),
    );
    expect(errorOf(answer)).toMatchObject({ reason: 'staleCheckpoint' });
  });

  it('two racing for one number: one stands, the other is told', async () => {
    for (const bytes of chunks) await putChunk(bytes);
    const other = sendTo(testHost({ store: shop.host.store, time: shop.host.time }));
    const statements = await Promise.all(
      [1, 2].map((byte) => signCheckpoint(shop.till.signer, facts({ stateHash: sha256(Uint8Array.of(byte)) }))),
    );
    const answers = await Promise.all(statements.map((statement, i) => putStatement(statement, shop.till, i === 0 ? shop.send : other)));
    expect(answers.map(({ kind }) => kind).sort()).toEqual(['error', 'ok']);
    const won = answers.findIndex(({ kind }) => kind === 'ok');
    expect(errorOf(answers[1 - won] as Answer)).toMatchObject({ reason: 'staleCheckpoint' });
    expect(okBody(await newest())).toEqual(statements[won]);
  });

  it('killed at any store call, the same statement again ends in its place', async () => {
    for (const bytes of chunks) await putChunk(bytes);
    let number = 1;
    let prev: Hash = noHash;
    for (const isApplied of [false, true]) {
      for (let call = 1, wasKilled = true; wasKilled; call++) {
        const statement = await signCheckpoint(shop.till.signer, facts({ number, prev }));
        const store = killedStore(shop.host.store, { call, isApplied });
        await putStatement(statement, shop.till, sendTo(testHost({ store, time: shop.host.time })));
        wasKilled = store.calls >= call;
        okBody(await putStatement(statement));
        expect(okBody(await newest())).toEqual(statement);
        number += 1;
        prev = objectHash(statement);
      }
    }
  });

  it('a store that does not answer is unavailable or unknown, never a wrong answer', async () => {
    for (const bytes of chunks) await putChunk(bytes);
    const statement = await signCheckpoint(shop.till.signer, facts());
    const down = faultyStore(shop.host.store, ({ key }) => (key.includes('/chunk/') ? 'refused' : 'none'));
    const send = sendTo(testHost({ store: down, time: shop.host.time }));
    expect(errorOf(await putStatement(statement, shop.till, send))).toMatchObject({ status: 503, kind: 'unavailable' });
    expect(errorOf(await putChunk(chunks[0] as Uint8Array, undefined, shop.till, send))).toMatchObject({ status: 504, kind: 'unknown' });
    okBody(await putStatement(statement));
  });
});
