// Makes the worked example: a small workspace with two shards, every object of it as stored, and each step of every derivation as
// a named vector. tests/vectors/format.json, tests/fixtures/format/1 and the hex blocks of docs/format.md all come from here.
import { type Bytes, bytesToHex, concatBytes, utf8 } from '../../kernel/bytes.ts';
import { type Chunk, signCheckpoint } from '../../kernel/checkpoint.ts';
import { type CommitGroup, encodeGroupHeader, headOf } from '../../kernel/commit-group.ts';
import { actsToJson } from '../../kernel/control/acts.ts';
import { decodeControlEntry, decodeControlSlot } from '../../kernel/control/entry.ts';
import { encodeInvite } from '../../kernel/control/invite-link.ts';
import { keyIdOf, objectHash, sha256, tagged } from '../../kernel/digest.ts';
import type { Op } from '../../kernel/op-body.ts';
import { encodePush } from '../../kernel/push.ts';
import { readStrandedBody, rebasedBody } from '../../kernel/rebased-body.ts';
import { decodeReceipt, makeReceipt } from '../../kernel/receipt.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import { readPackedRun } from '../../kernel/run.ts';
import { encodeSeal, makeSeal } from '../../kernel/seal.ts';
import { decodeSlotObject } from '../../kernel/segment.ts';
import { StateHasher } from '../../kernel/state-hash.ts';
import { attestMessage, type SystemOp, systemOp } from '../../kernel/system-ops.ts';
import { encodeTail } from '../../kernel/tail.ts';
import { type Epoch, epoch, type Hash, type Head, noHash, type ShardId, seq, slot } from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import { objectKeys } from '../../shards/object-keys.ts';
import {
  at,
  catalogueShard,
  controlLog,
  genesisEntry,
  invite,
  life,
  owner,
  relay,
  seeds,
  till,
  tillNonce,
  tillShard,
  workspace,
} from './cast.ts';
import { fixedDeflate, fixedDeflateOfLarge } from './fixed-deflate.ts';
import { cutBy, type LayoutName, layouts } from './layouts.ts';
import { erased, firstEpoch, ShardLog, type StoredSlot } from './shard-log.ts';

export interface FormatVector {
  readonly name: string;
  /** Bytes in hex, or, for what people copy (links, headers, JSON), the text. */
  readonly hex?: string;
  readonly text?: string;
  /** Names and lengths of the parts, in order, when the vector is a layout. */
  readonly fields?: readonly (readonly [field: string, length: number])[];
}

export interface WorkedExample {
  readonly vectors: readonly FormatVector[];
  /** Objects of a relay's store by key. */
  readonly objects: ReadonlyMap<string, Bytes>;
}

/** Only the bytes of the image come from outside: SQLite's own file format is not ours to write. */
export async function makeWorkedExample(image: Uint8Array): Promise<WorkedExample> {
  const book = new Book();
  const control = await controlLog();
  for (const [i, bytes] of control.entries()) {
    book.objects.set(objectKeys.controlSlot(workspace, slot(i + 1)), bytes);
  }
  const controlHead = objectHash(control.at(-1) as Bytes);

  const parts = { controlHead, deflate: fixedDeflateOfLarge };
  const tillLog = new ShardLog({ ...parts, shard: tillShard, writer: till });
  const groups = linkSales(tillLog);
  await tillLog.append(groups.slice(0, 1), at(20));
  await tillLog.append(groups.slice(1, 4), at(30));
  await tillLog.append([erased(groups[4] as CommitGroup), groups[5] as CommitGroup], at(40));
  tillLog.store(book.objects);
  const catalogue = new ShardLog({ ...parts, shard: catalogueShard, writer: owner });
  const price: Op = { class: 'price.set', version: 1, payload: { sku: 'tea', cents: 250 } };
  await catalogue.append([catalogue.link(0x48, [price], at(50))], at(50));
  await catalogue.fence(owner, at(60));
  catalogue.store(book.objects);

  const chunk = await storeChunk(book, image);
  const second = tillLog.slots[1] as StoredSlot;
  const statement = await signCheckpoint(till, {
    shard: tillShard,
    number: 1,
    prev: noHash,
    epoch: epoch(1),
    head: headOf(groups[3] as CommitGroup),
    slot: slot(2),
    slotObject: second.object.objectHash,
    slotTime: second.object.time,
    schemaVersion: 1,
    foldId: sha256(utf8('fold')),
    stateHash: stateOfImage().digest(),
    time: at(45),
    controlHead,
    chunks: [chunk],
  });
  book.objects.set(objectKeys.checkpoint({ workspace, incarnation: life, shard: tillShard }, 1), statement);

  writeDerivations(book, control);
  writeTakeOver(book, catalogue);
  await writeChain(book, groups, tillLog, catalogue, controlHead);
  await writeRequests(book, control.length, groups, tillLog);
  await writeRebase(book, groups, tillLog);
  book.layout('checkpoint', 'checkpoint', statement);
  book.hex('checkpoint-hash', objectHash(statement));
  book.hex('state-hash-input', recordedStateInput());
  book.hex('state-hash', stateOfImage().digest());
  return { vectors: book.vectors, objects: book.objects };
}

class Book {
  readonly vectors: FormatVector[] = [];
  readonly objects = new Map<string, Bytes>();

  hex(name: string, bytes: Uint8Array): void {
    this.vectors.push({ name, hex: bytesToHex(bytes) });
  }

  text(name: string, text: string): void {
    this.vectors.push({ name, text });
  }

  parts(name: string, ...parts: readonly (readonly [field: string, part: Uint8Array])[]): void {
    const hex = bytesToHex(concatBytes(...parts.map(([, part]) => part)));
    this.vectors.push({ name, hex, fields: parts.map(([field, part]) => [field, part.length]) });
  }

  layout(name: string, layout: LayoutName, bytes: Uint8Array, sizes: Readonly<Record<string, number>> = {}): void {
    this.parts(name, ...cutBy(layouts[layout], bytes, sizes));
  }
}

const sale = (number: number, qty: number): Op => ({
  class: 'sale.completed',
  version: 1,
  payload: { sale: `s-${number}`, lines: [{ sku: 'tea', qty, cents: 250 * qty }] },
});

/** Seven groups of the till; the fifth will be erased, the sixth has a name of the caller's own. */
function linkSales(log: ShardLog): readonly CommitGroup[] {
  const bodies: readonly (readonly Op[])[] = [
    [sale(1, 1)],
    [sale(2, 2), sale(3, 1)],
    [sale(4, 1)],
    [sale(5, 3)],
    [sale(6, 1)],
    [{ ...sale(7, 1), id: 'till-1/7' }],
    [sale(8, 2)],
  ];
  return bodies.map((ops, i) => log.link(0x41 + i, ops, at(10 + i)));
}

async function storeChunk(book: Book, image: Uint8Array): Promise<Chunk> {
  const stored = await fixedDeflate.deflate(image);
  const hash = sha256(stored);
  book.objects.set(objectKeys.chunk({ workspace, incarnation: life, shard: tillShard }, hash), stored);
  return { hash, storedLength: stored.length, rawLength: image.length };
}

function writeDerivations(book: Book, control: readonly Bytes[]): void {
  const genesis = decodeControlEntry(genesisEntry, 'genesis');
  book.hex('tag-body', tagged('body'));
  book.hex('owner-public-key', owner.publicKey);
  book.parts('key-id-message', ['tag', tagged('key')], ['suite', Uint8Array.of(1)], ['public key', owner.publicKey]);
  book.hex('key-id', keyIdOf(owner.publicKey));
  book.text('acts-genesis', JSON.stringify(actsToJson(genesis.acts)));
  book.layout('control-entry', 'control-entry', genesisEntry);
  book.hex('workspace-id', workspace);
  book.parts('shard-id-message', ['tag', tagged('shard')], ['workspace id', workspace], ['nonce', tillNonce]);
  book.hex('shard-id', tillShard);
  const slotBytes = control[0] as Bytes;
  book.layout('control-slot', 'control-slot', slotBytes);
  book.hex('control-slot-digest', decodeControlSlot(slotBytes, 'slot 1').signedDigest);
  book.hex('control-head', objectHash(slotBytes));
  control.forEach((bytes, i) => {
    const { entry } = decodeControlSlot(bytes, `slot ${i + 1}`);
    if (i > 0 && i < 5) book.text(`acts-${entry.acts[0]?.act}`, JSON.stringify(actsToJson(entry.acts)));
  });
  book.parts('enrol-message', ['tag', tagged('enrol')], ['workspace id', workspace], ['device public key', till.publicKey]);
}

/** What would follow the example's fence: the cut that gives the catalogue to the till; and a revocation, whose cuts stand beside it. */
function writeTakeOver(book: Book, catalogue: ShardLog): void {
  const { object } = catalogue.slots[1] as StoredSlot;
  if (object.kind !== 'fence') throw new Error('no fence');
  const { newEpoch, head } = object.fence;
  const writer = keyIdOf(till.publicKey);
  const opened = { shard: catalogueShard, epoch: newEpoch, fence: object.objectHash, seq: head.seq, head: head.hash };
  book.text('acts-cut', JSON.stringify(actsToJson([{ act: 'cut', ...opened, writer, destination: catalogueShard }])));
  book.text('acts-revoke', JSON.stringify(actsToJson([{ act: 'revoke', device: writer }])));
}

async function writeChain(
  book: Book,
  groups: readonly CommitGroup[],
  log: ShardLog,
  catalogue: ShardLog,
  controlHead: Hash,
): Promise<void> {
  const [first] = groups;
  if (first === undefined || first.content.kind === 'erased') throw new Error('no first group');
  book.text('body', new TextDecoder().decode(first.content.body));
  book.hex('body-hash', first.header.bodyHash);
  book.layout('group-header', 'group-header', encodeGroupHeader(first.header));
  book.hex('group-hash', first.hash);
  const position = { shard: tillShard, epoch: firstEpoch, head: headOf(first) };
  const seal = await makeSeal(till, position, { controlHead, headsSeen: noHash });
  const message = tagged('seal', sealFields(seal, position));
  const tagBytes = tagged('seal');
  book.parts('seal-message', ['tag', tagBytes], ...cutBy(layouts['seal-message'], message.subarray(tagBytes.length)));
  book.layout('seal', 'seal', encodeSeal(seal));

  const [one, two, three] = log.slots.map(({ bytes }) => bytes);
  if (one === undefined || two === undefined || three === undefined) throw new Error('no slots');
  const [raw, packed] = [runIn(one), runIn(two)];
  const records = raw.subarray(60, raw.length - 144);
  book.layout('run-raw', 'run', raw);
  book.layout('record-whole', 'record-whole', records);
  book.layout('run-deflated', 'run', packed);
  const inflated = await fixedDeflate.inflate(packed.subarray(60, packed.length - 144), 1024, 'worked example');
  book.hex('records-inflated', inflated);
  const third = runIn(three);
  const thirdRecords = await recordsOf(third);
  book.layout('record-erased', 'record-erased', thirdRecords.subarray(0, 66));
  book.layout('segment', 'segment', one, { run: raw.length });
  book.hex('segment-digest', decodeSlotObject(one, 'slot 1').signedDigest);
  book.hex('segment-hash', objectHash(one));
  book.layout('fence', 'fence', (catalogue.slots[1] as StoredSlot).bytes);
}

async function writeRequests(book: Book, controlSlots: number, groups: readonly CommitGroup[], log: ShardLog): Promise<void> {
  const third = log.slots[2] as StoredSlot;
  const receipt = await makeReceipt(relay, {
    workspace,
    incarnation: life,
    shard: tillShard,
    epoch: firstEpoch,
    writer: keyIdOf(till.publicKey),
    controlSlot: slot(controlSlots),
    slot: third.object.slot,
    head: log.head,
    objectHash: third.object.objectHash,
    shardBytes: log.bytes,
    time: third.object.time,
  });
  decodeReceipt(receipt, 'worked example');
  book.layout('receipt', 'receipt', receipt);
  const run = await log.run([groups[6] as CommitGroup]);
  book.layout('push', 'push', encodePush(tillShard, receipt, run), { receipt: receipt.length });

  const path = relayPaths.log(workspace, tillShard, slot(2), 65_536);
  const time = at(100);
  const request = { workspace, method: 'GET', path, body: new Uint8Array(0) };
  const line = utf8(`GET\n${path}\n${time}\n`);
  book.text('request-path', path);
  book.parts(
    'request-message',
    ['tag', tagged('request')],
    ['workspace id', workspace],
    ['method, path, time', line],
    ['SHA-256 of the body', sha256(request.body)],
  );
  book.text('request-credential', await signRequest(till, request, time));
  book.text('invite-link', `https://shop.example/join#${encodeInvite({ workspace, relayKey: relay.publicKey, seed: seeds.invite })}`);
  book.hex('invite-public-key', invite.publicKey);
}

/** The seventh group, had the till been fenced behind its sixth: the ops that go with saving it again in the catalogue, and its way there by hand. */
async function writeRebase(book: Book, groups: readonly CommitGroup[], log: ShardLog): Promise<void> {
  const group = groups[6] as CommitGroup;
  const from = { shard: tillShard, epoch: firstEpoch, firstSeq: group.header.firstSeq, lastSeq: group.header.firstSeq };
  const cut = log.head.seq;
  const controlSlot = slot(9);
  const place = { destination: catalogueShard, from, group: group.hash };
  const message = attestMessage(place);
  const tagBytes = tagged('attest');
  book.parts('attest-message', ['tag', tagBytes], ...cutBy(layouts['attest-message'], message.subarray(tagBytes.length)));
  const attest = { key: keyIdOf(owner.publicKey), group: group.hash, signature: await owner.sign(message) };
  const born = { ...from, shard: catalogueShard, firstSeq: seq(3), lastSeq: seq(3) };
  const opText = (made: SystemOp): string => {
    const op = systemOp(made);
    return JSON.stringify([op.class, op.version, op.payload]);
  };
  book.text('op-schema-moved', opText({ kind: 'schemaMoved', from: 1, to: 2, foldId: sha256(utf8('fold')) }));
  book.text('op-rebased', opText({ kind: 'rebased', from, cut, controlSlot, born: undefined, attest: undefined }));
  book.text('op-rebased-again', opText({ kind: 'rebased', from: { ...from, lastSeq: seq(9) }, cut, controlSlot, born, attest }));
  if (group.content.kind === 'erased') throw new Error('no seventh group');
  const made = { kind: 'rebased', from, cut, controlSlot, born: undefined, attest } as const;
  const stranded = readStrandedBody(group.content.body, group.header.opCount, 'seventh group');
  book.text('body-rebased', new TextDecoder().decode(rebasedBody(group.content.body, stranded, made, 'seventh group').body));
  const run = readPackedRun(new Reader(await log.run([group]), 'seventh group'));
  book.layout('tail', 'tail', encodeTail({ shard: tillShard, cut, controlSlot, run }));
}

function sealFields(
  seal: { readonly key: Uint8Array; readonly controlHead: Hash; readonly headsSeen: Hash },
  position: { readonly shard: ShardId; readonly epoch: Epoch; readonly head: Head },
): Bytes {
  const numbers = new DataView(new ArrayBuffer(12));
  numbers.setUint32(0, position.epoch);
  numbers.setBigUint64(4, BigInt(position.head.seq));
  return concatBytes(
    Uint8Array.of(0x46, 0x4f, 0x4c, 0x44, 2, 1, 1, 0),
    seal.key,
    seal.controlHead,
    seal.headsSeen,
    position.shard,
    new Uint8Array(numbers.buffer),
    position.head.hash,
  );
}

/** The run inside a segment: what is left between the binding (64 bytes) and the relay's part (96). */
const runIn = (segment: Uint8Array): Uint8Array => segment.subarray(64, segment.length - 96);

async function recordsOf(run: Uint8Array): Promise<Uint8Array> {
  const stored = run.subarray(60, run.length - 144);
  return run[48] === 1 ? fixedDeflate.inflate(stored, 8192, 'worked example') : stored;
}

const lineColumns = ['sale', 'sku', 'qty', 'cents', 'weight', 'photo'];
const lineRows = [
  ['s-1', 'tea', 1, 250, null, null],
  ['s-2', 'Käse', -1, -399, 1, new Uint8Array(0)],
  ['s-2', 'tea', 2, 500, 0.25, Uint8Array.of(0xff, 0x00)],
] as const;

/** What stands in tests/fixtures/format/1/image.db. */
function stateOfImage(): StateHasher {
  const hasher = new StateHasher();
  hasher.table('foldlog_origin', ['shard', 'epoch', 'first_seq', 'last_seq']);
  hasher.table('saleLine', lineColumns);
  for (const row of lineRows) hasher.row(row, [false, false, false, false, true, false]);
  return hasher;
}

/** The same, written out by hand in the form of docs/format.md#state-hash. */
function recordedStateInput(): Bytes {
  const head = (kind: string, length: number): Bytes => {
    const bytes = new DataView(new ArrayBuffer(5));
    bytes.setUint8(0, kind.charCodeAt(0));
    bytes.setUint32(1, length);
    return new Uint8Array(bytes.buffer);
  };
  const text = (value: string): Bytes => concatBytes(head('X', utf8(value).length), utf8(value));
  const integer = (value: number): Bytes => {
    const bytes = new DataView(new ArrayBuffer(9));
    bytes.setUint8(0, 0x49);
    bytes.setBigInt64(1, BigInt(value));
    return new Uint8Array(bytes.buffer);
  };
  const real = (value: number): Bytes => {
    const bytes = new DataView(new ArrayBuffer(9));
    bytes.setUint8(0, 0x46);
    bytes.setFloat64(1, value);
    return new Uint8Array(bytes.buffer);
  };
  const table = (name: string, columns: readonly string[]): readonly Bytes[] => [head('T', 0), text(name), ...columns.map(text)];
  const rows = lineRows.flatMap((row) => [
    head('R', row.length),
    ...row.map((value, i) => {
      if (value === null) return head('N', 0);
      if (typeof value === 'string') return text(value);
      if (typeof value === 'number') return i === 4 ? real(value) : integer(value);
      return concatBytes(head('B', value.length), value);
    }),
  ]);
  return concatBytes(
    utf8('foldlog/v1/state\0'),
    ...table('foldlog_origin', ['shard', 'epoch', 'first_seq', 'last_seq']),
    ...table('saleLine', lineColumns),
    ...rows,
  );
}
