// The fixtures of a format version that are kept apart from the worked example: one object of every kind as a file, what it says, and a relay's
// folder as the relay itself wrote it. scripts/make-fixtures.mjs writes them once; nothing writes them again.
import { type Bytes, bytesToHex, utf8 } from '../../kernel/bytes.ts';
import { decodeCheckpoint } from '../../kernel/checkpoint.ts';
import { decodeGroupHeader } from '../../kernel/commit-group.ts';
import { actsFromJson } from '../../kernel/control/acts.ts';
import { decodeControlEntry, decodeControlSlot } from '../../kernel/control/entry.ts';
import { decodeInvite } from '../../kernel/control/invite-link.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { decodeOps, type JsonValue, type Op, parseCanonicalJson } from '../../kernel/op-body.ts';
import { decodePush } from '../../kernel/push.ts';
import { decodeReceipt } from '../../kernel/receipt.ts';
import { decodeFrames, encodeFrames } from '../../kernel/relay-api.ts';
import { decodeCredential, isRequestBy } from '../../kernel/request-signature.ts';
import { readPackedRun, unpackRun } from '../../kernel/run.ts';
import { readSeal } from '../../kernel/seal.ts';
import { decodeSlotObject } from '../../kernel/segment.ts';
import { readSystemOp } from '../../kernel/system-ops.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { Reader } from '../../kernel/wire.ts';
import type { ObjectStore } from '../../relay/object-store.ts';
import { makeWorld, requestTime } from '../fuzz/relay-world.ts';
import { vector } from '../kernel/support/decoders.ts';
import { seededRandom } from '../relay/fixtures.ts';
import { till, workspace } from './cast.ts';

const where = 'fixture';
const text = (bytes: Bytes): string => new TextDecoder().decode(bytes);

/** How each file of `alone/` is read: with all that a reader of that version has. */
export const readers: Readonly<Record<string, (bytes: Bytes) => unknown>> = {
  'group-header': (bytes) => decodeGroupHeader(bytes, where),
  body: (bytes) => decodeOps(bytes, 1, where),
  'body-of-system-ops': (bytes) => decodeOps(bytes, 2, where).map((op: Op) => readSystemOp(op, where)),
  seal: (bytes) => readSeal(new Reader(bytes, where)),
  'run-raw': readRun,
  'run-deflated': readRun,
  'run-with-an-erased-group': readRun,
  segment: (bytes) => decodeSlotObject(bytes, where),
  fence: (bytes) => decodeSlotObject(bytes, where),
  receipt: (bytes) => decodeReceipt(bytes, where),
  push: decodePush,
  'control-entry': (bytes) => decodeControlEntry(bytes, where),
  'control-slot': (bytes) => decodeControlSlot(bytes, where),
  'acts-of-every-kind': (bytes) => actsFromJson(parseCanonicalJson(bytes, where), where),
  checkpoint: (bytes) => decodeCheckpoint(bytes, where),
  'chunk-deflated': (bytes) => webDeflate.inflate(bytes, 1 << 20, where),
  'signed-request': readRequest,
  'invite-link': (bytes) => decodeInvite(text(bytes)),
  'answer-frames': (bytes) => decodeFrames(bytes, where),
};

/** Kinds of `readers` that begin with a preamble. */
export const withPreamble = ['group-header', 'segment', 'fence', 'receipt', 'push', 'control-entry', 'control-slot', 'checkpoint'];

async function readRun(bytes: Bytes): Promise<unknown> {
  const reader = new Reader(bytes, where);
  const run = readPackedRun(reader);
  reader.end();
  return unpackRun(webDeflate, decodePush(vector('push')).shard, run, where);
}

/** Method and path on one line, the header on the next: read, and verified with the till's key of the worked example. */
async function readRequest(bytes: Bytes): Promise<unknown> {
  const [, method = '', path = '', header = ''] = /^(\w+) (\S+)\nauthorization: (.*)\n$/.exec(text(bytes)) ?? [];
  const credential = decodeCredential(header);
  const request = { workspace, method, path, body: new Uint8Array(0) };
  return { ...credential, isValid: await isRequestBy(portableVerifier, till.publicKey, request, credential) };
}

/** A decoded value as JSON: bytes as hex. */
export function asJson(value: unknown): JsonValue {
  if (value instanceof Uint8Array) return bytesToHex(value);
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value !== 'object' || value === null) return value as JsonValue;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, asJson(field)]));
}

/** Files by their path below `tests/fixtures/format/1/`, beside the relay's folder. */
export async function makeFixtures(chunk: Bytes, thirdSegment: Bytes): Promise<ReadonlyMap<string, Bytes>> {
  const acts = ['acts-genesis', 'acts-relay', 'acts-invite', 'acts-device', 'acts-shard'].map(
    (name) => JSON.parse(text(vector(name))) as JsonValue[],
  );
  const alone: Record<string, Bytes> = {
    'body-of-system-ops': utf8(systemOpsBody),
    'run-with-an-erased-group': thirdSegment.slice(64, -96),
    'acts-of-every-kind': utf8(JSON.stringify(acts.flat())),
    'chunk-deflated': chunk,
    'signed-request': utf8(`GET ${text(vector('request-path'))}\nauthorization: ${text(vector('request-credential'))}\n`),
    'answer-frames': encodeFrames([vector('segment'), vector('fence')]),
  };
  const files = new Map<string, Bytes>();
  const expected: Record<string, JsonValue> = {};
  for (const [name, read] of Object.entries(readers)) {
    const bytes = alone[name] ?? vector(name);
    files.set(`alone/${name}`, bytes);
    expected[name] = asJson(await read(bytes));
  }
  files.set('alone.json', utf8(`${JSON.stringify(expected, null, 1)}\n`));
  return files;
}

/** One of each of the engine's own ops, written out: kernel/system-ops.ts may learn others, these stay. */
const systemOpsBody = `[["foldlog.schemaMoved",1,{"from":1,"to":2,"foldId":"${'A'.repeat(42)}E"}],["foldlog.rebased",1,{"from":{"shard":"${'B'.repeat(21)}A","epoch":1,"firstSeq":4,"lastSeq":6},"cut":3,"controlSlot":7,"born":{"shard":"${'B'.repeat(21)}A","epoch":1,"firstSeq":1,"lastSeq":3}}]]`;

export interface RelayFixture {
  /** Seeds of the relay's key and of the till that writes the shard, hex. */
  readonly relaySeed: string;
  readonly writerSeed: string;
  readonly workspace: string;
  readonly shard: string;
  readonly head: { readonly seq: number; readonly hash: string };
  readonly controlHead: string;
  readonly receipt: string;
  /** A moment after the last write. */
  readonly time: number;
  readonly statement: string;
  readonly chunk: string;
}

const relaySeedName = 'format 1';

/** A shop's life through the relay's own routes, into `store`: what stands there afterwards is the fixture. */
export async function makeRelayFolder(store: ObjectStore): Promise<RelayFixture> {
  const world = await makeWorld(store, relaySeedName);
  return {
    relaySeed: bytesToHex(seededRandom(`${relaySeedName} key`).bytes(32)),
    writerSeed: bytesToHex(seededRandom(`${relaySeedName} ${world.devices.till.name} key`).bytes(32)),
    workspace: bytesToHex(world.workspace.id),
    shard: bytesToHex(world.shard.id),
    head: { seq: world.shard.head.seq, hash: bytesToHex(world.shard.head.hash) },
    controlHead: bytesToHex(world.workspace.head),
    receipt: bytesToHex(world.receiptBytes ?? new Uint8Array(0)),
    time: requestTime,
    statement: bytesToHex(world.statement),
    chunk: bytesToHex(world.chunk),
  };
}
