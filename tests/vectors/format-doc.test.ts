// docs/format.md is a promise: its hex, tables, tags, limits and anchors are read here and compared with code and vectors.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Bytes, bytesToHex, concatBytes, hexToBytes, utf8 } from '../../kernel/bytes.ts';
import { decodeCheckpoint, signCheckpoint, verifyCheckpoint } from '../../kernel/checkpoint.ts';
import { bodyHashOf, decodeGroupHeader, encodeGroupHeader, groupHashOf } from '../../kernel/commit-group.ts';
import { type Act, actsFromJson, actsToJson } from '../../kernel/control/acts.ts';
import {
  decodeControlEntry,
  decodeControlSlot,
  makeControlSlot,
  signControlEntry,
  workspaceIdOfGenesis,
} from '../../kernel/control/entry.ts';
import { enrolMessage } from '../../kernel/control/fold.ts';
import { decodeInvite, encodeInvite } from '../../kernel/control/invite-link.ts';
import { keyIdOf, objectHash, sha256, shardIdOf, type Tag, tagged } from '../../kernel/digest.ts';
import { portableVerifier, publicKeyOf } from '../../kernel/ed25519.ts';
import { errorToPlain, isPlainError, plainToError } from '../../kernel/errors.ts';
import * as limits from '../../kernel/limits.ts';
import { decodeOps, encodeOps, parseCanonicalJson } from '../../kernel/op-body.ts';
import { decodePush, encodePush } from '../../kernel/push.ts';
import { leadingRebase, readStrandedBody, rebasedBody } from '../../kernel/rebased-body.ts';
import { decodeReceipt, encodeReceipt, verifyReceipt } from '../../kernel/receipt.ts';
import { decodeCredential, isRequestBy } from '../../kernel/request-signature.ts';
import { encodePackedRun, readPackedRun, unpackRun, verifyRun } from '../../kernel/run.ts';
import { encodeSeal, readSeal } from '../../kernel/seal.ts';
import { decodeSlotObject, isFenceBy, makeFence, makeSegment, verifySlotObject } from '../../kernel/segment.ts';
import { attestMessage, readSystemOp, systemOp } from '../../kernel/system-ops.ts';
import { decodeTail, encodeTail } from '../../kernel/tail.ts';
import { chainStart, hash, noHash, publicKey, type Signature, slot, timeMs } from '../../kernel/units.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { objectKind, Reader } from '../../kernel/wire.ts';
import { catalogueShard, fill, invite, owner, relay, seeds, till, tillNonce, tillShard, workspace } from './cast.ts';
import { readJson, root } from './fixtures.ts';
import { type Layout, layouts } from './layouts.ts';
import { blockContent, blockPattern } from './make-files.ts';
import type { FormatVector } from './make-format.ts';

const text = readFileSync(join(root, 'docs/format.md'), 'utf8');
const vectors = readJson<readonly FormatVector[]>('tests/vectors/format.json');
const blocks = [...text.matchAll(blockPattern)].map(([, kind = '', name = '', body = '']) => ({
  kind,
  name,
  content: blockContent(kind, body),
}));

/** Bytes of a block, as the document spells them. */
const shown = (name: string): Bytes => hexToBytes(shownText(name));
const shownText = (name: string): string => {
  const block = blocks.find((known) => known.name === name);
  if (block === undefined) throw new Error(`no block ${name}`);
  return block.content;
};

describe('worked hex', () => {
  test('every vector is shown once, and every block is a vector', () => {
    expect(blocks.map(({ name }) => name).sort()).toEqual(vectors.map(({ name }) => name).sort());
  });

  test.each(blocks)('$name says what the vector says', ({ name, content }) => {
    const vector = vectors.find((known) => known.name === name);
    expect(content).toBe(vector?.hex ?? vector?.text);
  });

  test('ids come out of their messages', () => {
    expect(bytesToHex(shown('tag-body'))).toBe(bytesToHex(utf8('foldlog/v1/body\0')));
    expect(shown('owner-public-key')).toEqual(publicKeyOf(fill(1, 32)));
    expect(shown('key-id')).toEqual(sha256(shown('key-id-message')).slice(0, 16));
    expect(shown('key-id')).toEqual(keyIdOf(publicKey(shown('owner-public-key'))));
    expect(shown('shard-id')).toEqual(sha256(shown('shard-id-message')).slice(0, 16));
    expect(shown('shard-id')).toEqual(shardIdOf(workspace, tillNonce));
    expect(shown('workspace-id')).toEqual(sha256(concatBytes(tagged('workspace'), shown('control-entry').slice(0, -64))));
  });

  test('body, header and group hash follow from one another', () => {
    const body = utf8(shownText('body'));
    expect(encodeOps(decodeOps(body, 1, 'body'), 'body')).toEqual(body);
    expect(shown('body-hash')).toEqual(bodyHashOf(fill(0x51, 16), body));
    const header = decodeGroupHeader(shown('group-header'), 'header');
    expect(header).toMatchObject({ firstSeq: 1, opCount: 1, epoch: 1, bodyLength: body.length, prev: noHash });
    expect(header.bodyHash).toEqual(shown('body-hash'));
    expect(encodeGroupHeader(header)).toEqual(shown('group-header'));
    expect(groupHashOf(shown('group-header'))).toEqual(shown('group-hash'));
  });

  test('the seal signs its message, and runs unpack under it', async () => {
    const seal = readSeal(new Reader(shown('seal'), 'seal'));
    expect(encodeSeal(seal)).toEqual(shown('seal'));
    expect(await portableVerifier.verify(till.publicKey, shown('seal-message'), seal.signature)).toBe(true);
    const raw = readPackedRun(new Reader(shown('run-raw'), 'run'));
    const packed = readPackedRun(new Reader(shown('run-deflated'), 'run'));
    expect([encodePackedRun(raw), encodePackedRun(packed)]).toEqual([shown('run-raw'), shown('run-deflated')]);
    expect(await webDeflate.inflate(packed.records, packed.recordsLength, 'run')).toEqual(shown('records-inflated'));
    expect([raw.packing, packed.packing]).toEqual(['raw', 'deflated']);
    expect(raw.records).toEqual(shown('record-whole'));
    expect(bytesToHex(shown('record-whole'))).toContain(bytesToHex(utf8(shownText('body'))));
    expect([shown('record-whole')[0], shown('record-erased')[0]]).toEqual([1, 2]);
    const first = await unpackRun(webDeflate, tillShard, raw, 'run');
    await verifyRun(portableVerifier, { head: chainStart, writer: till.publicKey }, first, 'run');
    const second = await unpackRun(webDeflate, tillShard, packed, 'run');
    await verifyRun(portableVerifier, { head: first.head, writer: till.publicKey }, second, 'run');
    expect(first.head.hash).toEqual(shown('group-hash'));
    expect(second.groups).toHaveLength(3);
  });

  test('segment and fence decode, verify and are made again', async () => {
    const segment = decodeSlotObject(shown('segment'), 'segment');
    const expected = { shard: tillShard, slot: slot(1), prevObject: noHash, relay: relay.publicKey, timeMin: timeMs(0) };
    await verifySlotObject(portableVerifier, expected, segment, 'segment');
    expect(segment.signedDigest).toEqual(shown('segment-digest'));
    expect(objectHash(shown('segment'))).toEqual(shown('segment-hash'));
    if (segment.kind !== 'segment') throw new Error('no segment');
    expect(await makeSegment(relay, segment, encodePackedRun(segment.run))).toEqual(shown('segment'));
    const fence = decodeSlotObject(shown('fence'), 'fence');
    if (fence.kind !== 'fence') throw new Error('no fence');
    expect(await isFenceBy(portableVerifier, owner.publicKey, fence, fence.fence)).toBe(true);
    expect(await makeFence(relay, fence, fence.fence)).toEqual(shown('fence'));
  });

  test('push and receipt decode, verify and are encoded again', async () => {
    const receipt = decodeReceipt(shown('receipt'), 'receipt');
    await verifyReceipt(portableVerifier, relay.publicKey, receipt, 'receipt');
    expect(encodeReceipt(receipt)).toEqual(shown('receipt'));
    const push = decodePush(shown('push'));
    expect(encodePush(push.shard, shown('receipt'), push.encodedRun)).toEqual(shown('push'));
    const run = await unpackRun(webDeflate, tillShard, push.run, 'run');
    await verifyRun(portableVerifier, { head: receipt.head, writer: till.publicKey }, run, 'run');
  });

  test('system ops read and are written again; the attest and the body that carries it hold; the tail proves its group', async () => {
    for (const name of ['op-schema-moved', 'op-rebased', 'op-rebased-again']) {
      const [op] = decodeOps(utf8(`[${shownText(name)}]`), 1, name);
      if (op === undefined) throw new Error('no op');
      expect(JSON.stringify(Object.values(systemOp(readSystemOp(op, name))))).toBe(shownText(name));
    }
    const body = utf8(shownText('body-rebased'));
    const made = leadingRebase(decodeOps(body, 2, 'body'), 'body');
    if (made?.attest === undefined) throw new Error('no attest');
    expect(attestMessage({ destination: catalogueShard, from: made.from, group: made.attest.group })).toEqual(shown('attest-message'));
    expect(await portableVerifier.verify(owner.publicKey, shown('attest-message'), made.attest.signature)).toBe(true);
    const tail = decodeTail(shown('tail'), 'tail');
    expect(encodeTail(tail)).toEqual(shown('tail'));
    const run = await unpackRun(webDeflate, tail.shard, tail.run, 'tail');
    await verifyRun(portableVerifier, { head: run.after, writer: till.publicKey }, run, 'tail');
    const [group] = run.groups;
    if (group === undefined || group.content.kind === 'erased') throw new Error('no group');
    expect(group.hash).toEqual(made.attest.group);
    const stranded = readStrandedBody(group.content.body, group.header.opCount, 'tail');
    expect(rebasedBody(group.content.body, stranded, made, 'tail').body).toEqual(body);
  });

  test('control objects decode and are made again', async () => {
    const entry = decodeControlEntry(shown('control-entry'), 'entry');
    expect(workspaceIdOfGenesis(entry)).toEqual(workspace);
    expect(await signControlEntry(owner, entry, entry.acts)).toEqual(shown('control-entry'));
    const object = decodeControlSlot(shown('control-slot'), 'slot');
    expect(object.signedDigest).toEqual(shown('control-slot-digest'));
    expect(object.objectHash).toEqual(shown('control-head'));
    expect(await makeControlSlot(relay, object, shown('control-entry'))).toEqual(shown('control-slot'));
    expect(shown('enrol-message')).toEqual(enrolMessage(workspace, till.publicKey));
  });

  test.each(['genesis', 'relay', 'invite', 'device', 'shard', 'cut', 'revoke'])('the act %s reads and is written again', (name) => {
    const written = shownText(`acts-${name}`);
    const acts = actsFromJson(parseCanonicalJson(utf8(written), 'acts'), 'acts');
    expect(acts.map(({ act }) => act)).toEqual([name]);
    expect(JSON.stringify(actsToJson(acts))).toBe(written);
    const turned = Object.fromEntries(Object.entries(acts[0] as Act).reverse()) as unknown as Act;
    expect(JSON.stringify(actsToJson([turned]))).toBe(written);
  });

  test('invite link and signed request are read', async () => {
    const link = decodeInvite(shownText('invite-link'));
    expect(publicKeyOf(link.seed)).toEqual(shown('invite-public-key'));
    expect(shown('invite-public-key')).toEqual(invite.publicKey);
    expect(shownText('invite-link')).toContain(`#${encodeInvite({ workspace, relayKey: relay.publicKey, seed: seeds.invite })}`);
    const credential = decodeCredential(shownText('request-credential'));
    const request = { workspace, method: 'GET', path: shownText('request-path'), body: new Uint8Array(0) };
    expect(await isRequestBy(portableVerifier, till.publicKey, request, credential)).toBe(true);
    const signed = credential.signature as Signature;
    expect(await portableVerifier.verify(till.publicKey, shown('request-message'), signed)).toBe(true);
  });

  test('checkpoint and state hash hold', async () => {
    const statement = decodeCheckpoint(shown('checkpoint'), 'checkpoint');
    await verifyCheckpoint(portableVerifier, till.publicKey, statement, 'checkpoint');
    expect(await signCheckpoint(till, statement)).toEqual(shown('checkpoint'));
    expect(statement.objectHash).toEqual(shown('checkpoint-hash'));
    expect(sha256(shown('state-hash-input'))).toEqual(shown('state-hash'));
    expect(statement.stateHash).toEqual(hash(shown('state-hash')));
  });
});

describe('tables', () => {
  const rows = (after: string): readonly (readonly string[])[] => {
    const start = text.indexOf(after);
    const table = /^\|[\s\S]*?\n(?!\|)/m.exec(text.slice(start + after.length))?.[0] ?? '';
    const lines = table.trim().split('\n').slice(2);
    return lines.map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  };
  const documented = Object.entries(layouts).filter(([name]) => name !== 'preamble');

  test.each([...documented, ['preamble', layouts.preamble] as const])(
    '%s has the fields, sizes and offsets of the code',
    (name, layout) => {
      const marker = name === 'preamble' ? '## Preamble' : `<!-- table: ${name} -->`;
      expect(text).toContain(marker);
      let fixed = 0;
      let varies = false;
      const expected = (layout as Layout).map(([field, size]) => {
        const row = [varies ? `${fixed} + ` : String(fixed), field];
        if (typeof size === 'number') fixed += size;
        else varies = true;
        return [...row, typeof size === 'number' ? String(size) : size === 'run' ? 'r' : size];
      });
      const found = rows(marker).map(([offset = '', size, field]) => [offset.replace(/\+ .*$/, '+ '), field, size]);
      expect(found).toEqual(expected);
    },
  );

  test('kinds are those of the code', () => {
    const names: Readonly<Record<string, string>> = {
      'group header': 'group',
      'seal message': 'seal',
      'control entry': 'controlEntry',
      'control slot': 'controlSlot',
      'checkpoint statement': 'checkpoint',
    };
    const found = rows('| 7 | 1 | flags | 0 |\n').map(([code, name = '']) => [names[name] ?? name, Number(code)]);
    expect(Object.fromEntries(found)).toEqual(objectKind);
  });

  test('tags are those of the code, and none is the beginning of another tagged message', () => {
    const source = readFileSync(join(root, 'kernel/digest.ts'), 'utf8');
    const known = [...(/const tagNames = \[([\s\S]*?)\]/.exec(source)?.[1] ?? '').matchAll(/'([a-z-]+)'/g)].map(([, name]) => name ?? '');
    const reserved = ['invite', 'branch'];
    const listed = rows('## Tags').map(([name = '']) => name.replaceAll('`', ''));
    expect([...listed, ...known.filter((name) => reserved.includes(name))].sort()).toEqual([...known].sort());
    const tags = known.map((name) => bytesToHex(tagged(name as Tag)));
    for (const tag of tags) expect(tags.filter((other) => other.startsWith(tag))).toEqual([tag]);
  });

  test('limits are those of the code', () => {
    const table = Object.fromEntries(rows('## Limits').map(([what = '', most = '']) => [what, most.replaceAll(',', '')]));
    const numbers = (what: string): readonly number[] => [...(table[what] ?? '').matchAll(/\d+/g)].map(([digits]) => Number(digits));
    expect(numbers('ops in a group')).toEqual([limits.groupOpsMax]);
    expect(numbers('body of a group')).toEqual([limits.groupBodyBytesMax]);
    expect(numbers('nesting of a payload')).toEqual([limits.payloadDepthMax]);
    expect(numbers('class name; name in an act')).toEqual([limits.nameLengthMax, limits.nameLengthMax, 16]);
    expect(numbers('records of a run, inflated')).toEqual([limits.runBytesMax]);
    expect(numbers('groups in a run')).toEqual([limits.runGroupsMax]);
    expect(numbers('inflated ÷ stored bytes')).toEqual([limits.inflateRatioMax]);
    expect(numbers('control entry')).toEqual([limits.controlEntryBytesMax, limits.controlActsMax]);
    expect(numbers('invite')).toEqual([limits.inviteLifeMsMax / 86_400_000, limits.inviteUsesMax, limits.invitesOpenMax]);
    expect(numbers('chunk')).toEqual([limits.chunkBytes, 2 * limits.chunkBytes]);
    expect(numbers('chunks in a statement')).toEqual([limits.chunksMax]);
  });
});

describe('docs/errors.md', () => {
  const errors = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  const pattern = /(?:reason: |corrupt\(|bad\(|refused\()'([a-zA-Z0-9]+)'/g;

  const kinds = ['misuse', 'unavailable', 'unknown', 'fenced', 'locked', 'storageFull', 'reloadNeeded', 'upgradeNeeded', 'corrupt'];
  const usedIn = (...folders: readonly string[]) =>
    sources()
      .filter((path) => folders.some((folder) => path.startsWith(folder)))
      .flatMap((path) => [...readFileSync(join(root, path), 'utf8').matchAll(pattern)].map(([, reason]) => reason));
  const listedUnder = (heading: string) => {
    const at = errors.indexOf(`## ${heading}\n`);
    const next = errors.indexOf('\n## ', at + 1);
    const reasons = errors.slice(at, next < 0 ? undefined : next);
    return [...reasons.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`([a-zA-Z0-9]+)`/g)].map(([, reason]) => reason),
    );
  };

  test('every reason of the kernel is there, and no other', () => {
    expect([...new Set(listedUnder('Reasons of the kernel'))].sort()).toEqual([...new Set(usedIn('kernel/'))].sort());
  });

  test('every reason of engine and browser side is there, and each that is there is used', () => {
    const listed = new Set(listedUnder('Reasons of engine and browser side'));
    expect(usedIn('worker/').filter((reason) => !listed.has(reason))).toEqual([]);
    const text = sources()
      .filter((path) => path.startsWith('worker/') || path.startsWith('kernel/'))
      .map((path) => readFileSync(join(root, path), 'utf8'))
      .join();
    expect([...listed].filter((reason) => !text.includes(`'${reason}'`) && !kinds.includes(reason as string))).toEqual([]);
  });

  test('the plain form shown there is one', () => {
    const plain: unknown = JSON.parse(/```json\n([\s\S]*?)```/.exec(errors)?.[1] ?? '');
    if (!isPlainError(plain)) throw new Error('no plain error');
    expect(errorToPlain(plainToError(plain))).toEqual(plain);
  });
});

describe('anchors', () => {
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} -]/gu, '')
      .replaceAll(' ', '-');
  const anchors = (path: string): readonly string[] =>
    [...readFileSync(join(root, path), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading]) => slug(heading ?? ''));

  test('every place of docs/format.md and docs/errors.md that code and documents name exists', () => {
    const known = { 'docs/format.md': anchors('docs/format.md'), 'docs/errors.md': anchors('docs/errors.md') };
    const missing: string[] = [];
    for (const path of sources()) {
      const source = readFileSync(join(root, path), 'utf8');
      for (const [cited, file, anchor] of source.matchAll(/(docs\/(?:format|errors)\.md)#([a-z0-9-]+)/g)) {
        if (!known[file as keyof typeof known].includes(anchor ?? '')) missing.push(`${path}: ${cited}`);
      }
    }
    for (const [path, own] of Object.entries(known)) {
      const source = readFileSync(join(root, path), 'utf8');
      for (const [, anchor = ''] of source.matchAll(/\]\(#([a-z0-9-]+)\)/g)) if (!own.includes(anchor)) missing.push(`${path}: #${anchor}`);
    }
    expect(missing).toEqual([]);
  });
});

function sources(): readonly string[] {
  return ['kernel', 'shards', 'relay', 'worker', 'docs', 'tests/vectors', 'tests/kernel'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(ts|md|py)$/.test(entry.name) && !/\.test\.ts$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length)),
  );
}
