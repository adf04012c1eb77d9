// Every route of the relay under arbitrary and mutated requests, most of them rightly signed: what is signed reaches the rules behind the
// signature. Promises: an answer below 500, a typed error where it refuses, nothing stored by what was refused, and bounded work.
import type { Random } from '../../bench/crash/random.ts';
import { type Bytes, bytesToHex, concatBytes, utf8 } from '../../kernel/bytes.ts';
import { decodeCheckpoint, signCheckpoint } from '../../kernel/checkpoint.ts';
import { type Act, actsToJson } from '../../kernel/control/acts.ts';
import { keyIdOf, sha256, tagged } from '../../kernel/digest.ts';
import { isPlainError } from '../../kernel/errors.ts';
import { encodePush } from '../../kernel/push.ts';
import { encodeReceipt } from '../../kernel/receipt.ts';
import { relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import { encodePackedRun } from '../../kernel/run.ts';
import { chainStart, epoch, hash, slot, timeMs } from '../../kernel/units.ts';
import { Writer } from '../../kernel/wire.ts';
import type { TestDevice, TestShard } from '../relay/fixtures.ts';
import { mutatedJson } from './json-mutations.ts';
import { inRange, madeReceipt, madeRun } from './made-values.ts';
import { anyBytes, anyText, isOneIn, looseText, mutatedBytes, mutatedText, oneOf } from './mutations.ts';
import { makeWorld, relayOver, requestTime, slotsMade, type World } from './relay-world.ts';
import { Breach, type Target } from './targets.ts';

export interface RelayRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Bytes;
}

/** Store calls one request may cost over this history, each of whose slots may be looked at. */
const storeCallsMax = 40;
const answerBytesMax = 64 * 1024;
const errorBytesMax = 2_048;

const routes: readonly ((random: Random, world: World) => Promise<RelayRequest>)[] = [
  pushRequest,
  pushRequest,
  controlRequest,
  statementRequest,
  chunkRequest,
  readRequest,
];

/** @param over how a relay is had over a history; another one in the test of this target */
export async function relayTarget(over: typeof relayOver = relayOver): Promise<Target<unknown>> {
  const world = await makeWorld();
  let host: Awaited<ReturnType<typeof relayOver>> | undefined;
  const target: Target<RelayRequest> = {
    name: 'relay',
    covers: [],
    weight: 1.2,
    describe: ({ method, path, headers, body }) => `${method} ${path} ${JSON.stringify(headers)} body ${bytesToHex(body)}`,
    async input(random) {
      for (;;) {
        const request = bent(random, await oneOf(random, routes)(random, world));
        if (requestOf(request) !== undefined) return request;
      }
    },
    async judge(input) {
      host ??= await over(world.objects);
      const { relay, calls, reported } = host;
      Object.assign(calls, { reads: 0, puts: 0, changes: 0 });
      const response = await relay.fetch(requestOf(input) as Request);
      const body = new Uint8Array(await response.arrayBuffer());
      const { reads, puts, changes } = calls;
      // What was written changes what later requests meet: each begins on the same history.
      if (changes > 0) host = undefined;
      if (response.status >= 500 && !isRightly503(input, response.status, body))
        throw new Breach(`status ${response.status}: ${looseText(body).slice(0, 500)}`);
      if (reported.length > 0) throw new Breach(`a failure that no rule foresaw: ${String(reported[0])}`);
      if (reads + puts > storeCallsMax) throw new Breach(`${reads + puts} store calls for one request`);
      if (body.length > answerBytesMax) throw new Breach(`an answer of ${body.length} bytes`);
      if (response.status < 400) return `${response.status}`;
      if (changes > 0) throw new Breach(`refused with ${response.status}, and ${changes} objects were written or deleted`);
      return `${response.status} ${input.method === 'HEAD' ? '' : reasonIn(body)}`;
    },
  };
  return target as Target<unknown>;
}

/** A reader that says it has reached a slot beyond the log's end must not take this relay for a quiet one (docs/relay-api.md#log). */
function isRightly503({ path }: RelayRequest, status: number, body: Uint8Array): boolean {
  const after = Number(new URLSearchParams(urlOf(path).search).get('after') ?? 0);
  return status === 503 && urlOf(path).pathname.endsWith('/log') && after > slotsMade && reasonIn(body) === 'unavailable rolledBack';
}

function reasonIn(body: Uint8Array): string {
  if (body.length > errorBytesMax) throw new Breach(`an error of ${body.length} bytes`);
  let error: unknown;
  try {
    error = JSON.parse(looseText(body));
  } catch {
    throw new Breach(`an error that is not JSON: ${looseText(body).slice(0, 200)}`);
  }
  if (!isPlainError(error)) throw new Breach(`an error without its fields: ${looseText(body).slice(0, 500)}`);
  return `${error.kind} ${error.reason}`;
}

/** Undefined where the host's own Request does not take it. */
function requestOf({ method, path, headers, body }: RelayRequest): Request | undefined {
  try {
    const bodyPart = ['GET', 'HEAD'].includes(method) ? {} : { body };
    return new Request(`http://relay${path}`, { method, headers, ...bodyPart });
  } catch {
    return undefined;
  }
}

const plain = (method: string, path: string, body: Bytes): RelayRequest => ({ method, path, headers: {}, body });

async function signed(
  world: World,
  device: TestDevice,
  method: string,
  path: string,
  body: Bytes = new Uint8Array(0),
): Promise<RelayRequest> {
  const { pathname, search } = urlOf(path);
  const authorization = await signRequest(
    device.signer,
    { workspace: world.workspace.id, method, path: pathname + search, body },
    requestTime,
  );
  return { method, path, headers: { authorization }, body };
}

function urlOf(path: string): { readonly pathname: string; readonly search: string } {
  try {
    return new URL(`http://relay${path}`);
  } catch {
    return { pathname: path, search: '' };
  }
}

const anyDevice = (random: Random, { devices }: World): TestDevice =>
  isOneIn(random, 3) ? oneOf(random, Object.values(devices)) : devices.till;

/** The whole request bent a little, after it was signed: most requests stay as they are. */
function bent(random: Random, request: RelayRequest): RelayRequest {
  switch (random.between(0, 15)) {
    case 0:
      return { ...request, method: oneOf(random, ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'PROPFIND']) };
    case 1:
      return { ...request, path: `/${mutatedText(random, request.path.slice(1), [relayPaths.relay, request.path])}` };
    case 2: {
      const authorization = printable(mutatedText(random, request.headers.authorization ?? '', ['Foldlog-1 A.1.B', 'Bearer x']));
      return { ...request, headers: { ...request.headers, authorization } };
    }
    case 3: {
      const name = oneOf(random, [
        'content-type',
        'content-length',
        'content-encoding',
        'origin',
        'host',
        'x-forwarded-for',
        'range',
        'expect',
      ]);
      return {
        ...request,
        headers: { ...request.headers, [name]: printable(isOneIn(random, 2) ? anyText(random) : String(random.between(-1, 99_999_999))) },
      };
    }
    default:
      return request;
  }
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '.');

async function pushRequest(random: Random, world: World): Promise<RelayRequest> {
  const { shard } = world;
  const run = await pushedRun(random, world);
  const receipt = oneOf(random, [
    world.receiptBytes,
    world.receiptBytes,
    world.firstReceipt,
    undefined,
    encodeReceipt(madeReceipt(random)),
  ]);
  const whole = encodePush(isOneIn(random, 10) ? (hashOf(random).slice(0, 16) as TestShard['id']) : shard.id, receipt, run);
  const path = isOneIn(random, 12) ? relayPaths.push(world.workspace.id, hashOf(random).slice(0, 16) as TestShard['id']) : shard.pushPath;
  if (isOneIn(random, 15)) return plain('POST', path, anyBytes(random, random.magnitude(2_000) - 1));
  return plain('POST', path, isOneIn(random, 2) ? whole : mutatedBytes(random, whole, [whole, world.statement, run]));
}

/** A run that is well made and well sealed, and often one that this log cannot take. */
async function pushedRun(random: Random, world: World): Promise<Bytes> {
  const { shard, devices } = world;
  const copy = shard.clone();
  const head = shard.head;
  const elsewhere = { seq: head.seq, hash: hashOf(random) };
  const after = oneOf(random, [
    head,
    head,
    head,
    world.facts.head,
    elsewhere,
    chainStart,
    { ...head, seq: (head.seq + random.magnitude(9)) as typeof head.seq },
  ]);
  if (isOneIn(random, 10)) return encodePackedRun(madeRun(random));
  const run = await copy.nextRun(random.magnitude(60), {
    after,
    note: 'n'.repeat(isOneIn(random, 8) ? random.magnitude(3_000) : 3),
    ...(isOneIn(random, 5) ? { signer: oneOf(random, Object.values(devices)).signer } : {}),
    ...(isOneIn(random, 8) ? { epoch: epoch(inRange(random, 1, 3)) } : {}),
  });
  return isOneIn(random, 4) ? mutatedBytes(random, run.encoded, [run.encoded]) : run.encoded;
}

const hashOf = (random: Random) => hash(anyBytes(random, 32));

/** An entry with damaged acts, rightly signed over them; or the bytes of a whole one damaged. */
async function controlRequest(random: Random, world: World): Promise<RelayRequest> {
  const { workspace, devices } = world;
  const { till, owner, stranger } = devices;
  const nonce = anyBytes(random, 16);
  const acts: readonly Act[] = [
    oneOf<Act>(random, [
      { act: 'invite', key: stranger.signer.publicKey, role: 'writer', expiresAt: timeMs(requestTime + 3_600_000), uses: 1 },
      { act: 'shard', nonce, kind: 'till', name: `till-${random.between(1, 9)}`, writer: till.id },
      { act: 'relay', key: stranger.signer.publicKey, incarnation: workspace.incarnation },
      { act: 'device', key: owner.signer.publicKey, name: 'x', invite: owner.id, proof: await owner.signer.sign(nonce) },
    ]),
  ];
  const json = actsToJson(acts);
  const text = isOneIn(random, 2) ? JSON.stringify(json) : JSON.stringify(mutatedJson(random, json));
  const body = utf8(isOneIn(random, 5) ? mutatedText(random, text, [text]) : text);
  const author = isOneIn(random, 3) ? oneOf(random, Object.values(devices)) : owner;
  const prev = isOneIn(random, 6) ? hashOf(random) : workspace.head;
  const unsigned = new Writer(8 + 32 + 32 + 16 + 4 + body.length)
    .preamble('controlEntry')
    .bytes(isOneIn(random, 10) ? hashOf(random) : workspace.id)
    .bytes(prev)
    .bytes(keyIdOf(author.signer.publicKey))
    .u32(body.length)
    .bytes(body)
    .done();
  const entry = concatBytes(unsigned, await author.signer.sign(tagged('control', unsigned)));
  const sent = isOneIn(random, 3) ? mutatedBytes(random, oneOf(random, [entry, workspace.genesis]), [entry, workspace.genesis]) : entry;
  return plain('POST', relayPaths.controlAppend(workspace.id), sent);
}

async function statementRequest(random: Random, world: World): Promise<RelayRequest> {
  const { workspace, shard, facts, statement } = world;
  const device = anyDevice(random, world);
  const path = relayPaths.checkpoints(workspace.id, shard.id);
  if (isOneIn(random, 3)) return signed(world, device, 'POST', path, mutatedBytes(random, statement, [statement]));
  const change = oneOf(random, [
    { number: inRange(random, 1, 3) },
    { number: 2, prev: decodeCheckpoint(statement, 'fuzz').objectHash },
    { number: 2, prev: hashOf(random) },
    { epoch: epoch(inRange(random, 1, 3)) },
    { head: { seq: facts.head.seq, hash: hashOf(random) } },
    { slot: slot(inRange(random, 1, 2 ** 53 - 1)) },
    { slotObject: hashOf(random) },
    { slotTime: timeMs(inRange(random, 0, 2 ** 53 - 1)) },
    { controlHead: hashOf(random) },
    { chunks: [{ hash: hashOf(random), storedLength: 1, rawLength: 1 }] },
    { chunks: facts.chunks.map((chunk) => ({ ...chunk, storedLength: chunk.storedLength + 1 })) },
  ]);
  const next = { ...facts, number: 2, prev: decodeCheckpoint(statement, 'fuzz').objectHash };
  return signed(world, device, 'POST', path, await signCheckpoint(device.signer, { ...(isOneIn(random, 2) ? next : facts), ...change }));
}

async function chunkRequest(random: Random, world: World): Promise<RelayRequest> {
  const { workspace, shard, chunk } = world;
  const bytes = isOneIn(random, 2) ? chunk : mutatedBytes(random, chunk, [chunk]);
  const name = isOneIn(random, 3) ? hashOf(random) : sha256(bytes);
  return signed(world, anyDevice(random, world), 'PUT', relayPaths.chunk(workspace.id, shard.id, name), bytes);
}

async function readRequest(random: Random, world: World): Promise<RelayRequest> {
  const { workspace, shard, chunk } = world;
  const after = slot(oneOf(random, [0, 1, slotsMade, slotsMade + 1, 1_000, 2 ** 53 - 1]));
  const path = oneOf(random, [
    relayPaths.relay,
    relayPaths.control(workspace.id, after),
    relayPaths.log(workspace.id, shard.id, after, random.magnitude(2 ** 40)),
    relayPaths.newestCheckpoint(workspace.id, shard.id),
    relayPaths.chunk(workspace.id, shard.id, isOneIn(random, 3) ? hashOf(random) : sha256(chunk)),
  ]);
  // Damaged before it is signed: the path's own rules are reached.
  const asked = isOneIn(random, 2) ? path : `/${printable(mutatedText(random, path.slice(1), [path, relayPaths.relay]))}`;
  return signed(world, anyDevice(random, world), 'GET', asked);
}
