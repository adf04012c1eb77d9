// The bytes of every released format version are read by the code of today, with the same result; a relay goes on with a folder of that time.
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type Bytes, hexToBytes } from '../../kernel/bytes.ts';
import { linkGroup } from '../../kernel/commit-group.ts';
import { portableSigner, portableVerifier } from '../../kernel/ed25519.ts';
import { encodeOps } from '../../kernel/op-body.ts';
import { encodePush } from '../../kernel/push.ts';
import { decodeReceipt, verifyReceipt } from '../../kernel/receipt.ts';
import { decodeFrames, relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import { encodePackedRun, packRun } from '../../kernel/run.ts';
import { makeSeal } from '../../kernel/seal.ts';
import { epoch, groupId, hash, noHash, seq, shardId, slot, timeMs, workspaceId } from '../../kernel/units.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { formatVersion } from '../../kernel/wire.ts';
import { createRelay } from '../../relay/core.ts';
import { openFolderStore } from '../../relay/stores/folder.ts';
import { kindOf } from '../kernel/support/decoders.ts';
import { seededRandom, startOfTests, TestTime } from '../relay/fixtures.ts';
import { fill } from './cast.ts';
import { readBytes, readJson, readObjects, root } from './fixtures.ts';
import { asJson, type RelayFixture, readers, withPreamble } from './make-fixtures.ts';
import { readFolder } from './read-folder.ts';

const folder = 'tests/fixtures/format';

describe('format versions', () => {
  test('every version up to the one that is written has its folder, and no other', () => {
    const folders = readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const versions = Array.from({ length: formatVersion }, (_, i) => String(i + 1));
    expect(folders.map(({ name }) => name).sort()).toEqual(versions);
  });

  test.each(withPreamble)('a %s of a version that this code does not read is refused by name', async (name) => {
    const bytes = readBytes(`${folder}/1/alone/${name}`);
    const read = readers[name] as (bytes: Bytes) => unknown;
    const withFormat = (version: number): Bytes => Uint8Array.from(bytes, (byte, at) => (at === 5 ? version : byte));
    expect(await kindOf(() => read(withFormat(formatVersion)))).toBe('value');
    for (const later of [formatVersion + 1, 0xff]) expect(await kindOf(() => read(withFormat(later)))).toBe('upgradeNeeded newerFormat');
    expect(await kindOf(() => read(withFormat(0)))).toBe('corrupt badPreamble');
  });
});

describe('objects of format 1, alone', () => {
  const expected = readJson<Readonly<Record<string, unknown>>>(`${folder}/1/alone.json`);

  test('every file has a reader and every reader a file', () => {
    const names = Object.keys(readers).sort();
    expect(readdirSync(join(root, folder, '1/alone')).sort()).toEqual(names);
    expect(Object.keys(expected).sort()).toEqual(names);
  });

  test.each(Object.keys(readers))('%s says what it always said', async (name) => {
    const read = readers[name] as (bytes: Bytes) => unknown;
    expect(asJson(await read(readBytes(`${folder}/1/alone/${name}`)))).toEqual(expected[name]);
  });
});

describe("a relay's folder of format 1", () => {
  const facts = readJson<RelayFixture>(`${folder}/1/relay.json`);
  const workspace = workspaceId(hexToBytes(facts.workspace));
  const shard = shardId(hexToBytes(facts.shard));
  const writer = portableSigner(hexToBytes(facts.writerSeed));
  const relayKey = portableSigner(hexToBytes(facts.relaySeed));
  const copies: string[] = [];
  afterAll(() => {
    for (const copy of copies) rmSync(copy, { recursive: true, force: true });
  });

  test('verifies as a whole', async () => {
    const lines = await readFolder(portableVerifier, readObjects(`${folder}/1/relay`));
    expect(lines).toHaveLength(3);
    expect(lines[0]).toContain('control slots 9,');
    expect(lines[1]).toContain('slots 3, groups 44, ops 44, void 0, erased 0, epoch 1');
  });

  /** A relay of today over a copy of the folder. */
  async function relayOfToday() {
    const copy = mkdtempSync(join(tmpdir(), 'foldlog-format-'));
    copies.push(copy);
    cpSync(join(root, folder, '1/relay'), copy, { recursive: true });
    const time = new TestTime();
    time.pass(facts.time - startOfTests);
    const ports = { store: await openFolderStore(copy), signer: relayKey, verifier: portableVerifier, clock: time, scheduler: time };
    const relay = createRelay({ ...ports, random: seededRandom('today'), deflate: webDeflate });
    return async (method: string, path: string, body: Bytes = new Uint8Array(0)): Promise<Bytes> => {
      const authorization = await signRequest(writer, { workspace, method, path, body }, timeMs(facts.time));
      const init = method === 'GET' ? {} : { body };
      const response = await relay.fetch(new Request(`http://relay${path}`, { method, headers: { authorization }, ...init }));
      expect(response.status, `${method} ${path}`).toBe(200);
      return new Uint8Array(await response.arrayBuffer());
    };
  }

  test('is served as it stands', async () => {
    const ask = await relayOfToday();
    const log = decodeFrames(await ask('GET', relayPaths.log(workspace, shard, slot(0), 1_000_000)), 'log');
    const stored = readObjects(`${folder}/1/relay`);
    expect(log).toEqual([...stored].filter(([key]) => key.includes('/log/')).map(([, bytes]) => bytes));
    expect(await ask('GET', relayPaths.newestCheckpoint(workspace, shard))).toEqual(hexToBytes(facts.statement));
    const control = decodeFrames(await ask('GET', relayPaths.control(workspace, slot(0))), 'control');
    expect(control).toEqual([...stored].filter(([key]) => key.includes('/control/')).map(([, bytes]) => bytes));
    const name =
      [...stored.keys()]
        .find((key) => key.includes('/chunk/'))
        ?.split('/')
        .at(-1) ?? '';
    expect(await ask('GET', relayPaths.chunk(workspace, shard, hash(hexToBytes(name))))).toEqual(hexToBytes(facts.chunk));
  });

  test('takes the next run of a device that holds the last receipt', async () => {
    const ask = await relayOfToday();
    const after = { seq: seq(facts.head.seq), hash: hash(hexToBytes(facts.head.hash)) };
    const body = encodeOps([{ class: 'sale.completed', version: 1, payload: { note: 'today' } }], 'test');
    const parts = {
      shard,
      epoch: epoch(1),
      after,
      opCount: 1,
      time: timeMs(facts.time),
      id: groupId(fill(1, 16)),
      salt: fill(2, 16),
      body,
    };
    const group = linkGroup(parts);
    const head = { seq: seq(after.seq + 1), hash: group.hash };
    const believed = { controlHead: hash(hexToBytes(facts.controlHead)), headsSeen: noHash };
    const seal = await makeSeal(writer, { shard, epoch: epoch(1), head }, believed);
    const run = encodePackedRun(await packRun(webDeflate, after, [group], seal));
    const answer = await ask('POST', relayPaths.push(workspace, shard), encodePush(shard, hexToBytes(facts.receipt), run));
    const receipt = decodeReceipt(answer, 'receipt');
    await verifyReceipt(portableVerifier, relayKey.publicKey, receipt, 'receipt');
    expect(receipt).toMatchObject({ slot: 4, head });
  });
});
