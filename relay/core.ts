// The relay: one function from Request to Response over a few ports, the same in Workers and Node. Routes only; what each does is
// in the files beside. Every route, its answers and errors: docs/relay-api.md. Nothing is kept between requests but caches.

import { type Context, Hono } from 'hono';
import { type Bytes, bytesToBase64url } from '../kernel/bytes.ts';
import { checkpointBytesMax } from '../kernel/checkpoint.ts';
import { deviceOf } from '../kernel/control/fold.ts';
import { errorToPlain, FoldlogError, type PlainError } from '../kernel/errors.ts';
import { controlEntryBytesMax, runBytesMax } from '../kernel/limits.ts';
import type { Clock, Deflate, Random, Scheduler, Signer, Verifier } from '../kernel/ports.ts';
import { chunkFromPath, encodeFrames, type RelayInfo, shardFromPath, workspaceFromPath } from '../kernel/relay-api.ts';
import { signedFenceBytes } from '../kernel/segment.ts';
import { type KeyId, type ShardId, type Slot, seq, slot, type WorkspaceId } from '../kernel/units.ts';
import { formatVersion, suite } from '../kernel/wire.ts';
import { boundedStore } from './bounded-store.ts';
import { ByteBudget } from './byte-budget.ts';
import { chunkStoredBytesMax, newestStatement, newestStatementUpTo, putChunk, putStatement, readChunk } from './checkpoints.ts';
import { type CommitPorts, commitPush } from './commit.ts';
import { ControlLogs, type ControlView } from './control.ts';
import { keyFor, type Purpose, placeOf, readCredential, requireShard, requireSignature, unknownDevice } from './entitlement.ts';
import { putFence } from './fences.ts';
import { discardBody, readBody } from './http-body.ts';
import { readLength, readLog } from './log-reads.ts';
import type { ObjectStore } from './object-store.ts';
import { probeStore } from './probe.ts';
import { statusOf } from './refusals.ts';

export interface RelayPorts {
  readonly store: ObjectStore;
  /** The relay's key: what the control log declares and every slot object and receipt is signed with. */
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly deflate: Deflate;
  /** Told of every failure that no rule foresaw; the asker learns only that it happened. */
  readonly report?: (failure: unknown) => void;
}

export interface RelaySettings {
  /** Path the relay is mounted under, e.g. `/relay`; default none. Signatures cover the path below it. */
  readonly basePath?: string;
  /** Origins whose pages may call this relay across origins, e.g. `https://shop.example`; default none, same origin only. */
  readonly origins?: readonly string[];
  /** The largest run taken, inflated; default the format's bound. 256 KiB suits a free Workers plan. */
  readonly runBytesMax?: number;
  /** Object bytes in one answer to a log read, beyond the first object; default 4 MiB. */
  readonly answerBytesMax?: number;
  /** One call to the store counts as unknown after this; default 10 s. */
  readonly storeCallMsMax?: number;
}

export interface Relay {
  /** Answers one request. Never rejects: what goes wrong is a typed error as JSON. */
  fetch(request: Request): Promise<Response>;
  /**
   * Probes the store's contract, once. `GET /v1/relay` waits for it, so no device ever learns the key of a relay on a bad store.
   * @throws {FoldlogError} `misuse` `storeContract` · `unavailable`: the store does not answer, ask again
   */
  ready(): Promise<void>;
}

/** Pushes inflated at once, and waiting for that: a Worker has 128 MB, a push at most 8 MiB inflated and copied once. */
const inflatedBytesMax = 24 * 1024 * 1024;
const pushesWaitingMax = 64;
/** Receipt, preamble and lengths around a run. */
const pushFrameBytesMax = 1024;
const preflightSecondsMax = 7_200;

/** @throws {FoldlogError} `misuse` `badSetting` */
export function createRelay(ports: RelayPorts, settings: RelaySettings = {}): Relay {
  return new RelayCore(ports, settings);
}

class RelayCore implements Relay {
  readonly #ports: CommitPorts;
  readonly #report: (failure: unknown) => void;
  readonly #origins: ReadonlySet<string>;
  readonly #basePath: string;
  readonly #runBytesMax: number;
  readonly #answerBytesMax: number;
  readonly #control: ControlLogs;
  readonly #budget = new ByteBudget({ bytesMax: inflatedBytesMax, waitingMax: pushesWaitingMax });
  readonly #app: Hono;
  #isProbed = false;
  #brokenContract: FoldlogError | undefined;

  constructor(ports: RelayPorts, settings: RelaySettings) {
    const storeCallMsMax = positive('storeCallMsMax', settings.storeCallMsMax ?? 10_000);
    this.#ports = { ...ports, store: boundedStore(ports.store, ports.scheduler, storeCallMsMax) };
    this.#report = ports.report ?? (() => undefined);
    this.#origins = new Set(settings.origins ?? []);
    this.#basePath = (settings.basePath ?? '').replace(/\/+$/, '');
    this.#runBytesMax = Math.min(positive('runBytesMax', settings.runBytesMax ?? runBytesMax), runBytesMax);
    this.#answerBytesMax = positive('answerBytesMax', settings.answerBytesMax ?? 4 * 1024 * 1024);
    this.#control = new ControlLogs(this.#ports);
    this.#app = this.#routes();
  }

  async fetch(request: Request): Promise<Response> {
    const response = await this.#answer(request);
    await discardBody(request);
    for (const [name, value] of this.#sharedHeaders(request)) response.headers.set(name, value);
    return response;
  }

  /** What is shared between requests is the result, never a promise: in Workers a request that is cut off takes its promises along. */
  async ready(): Promise<void> {
    if (this.#isProbed) return;
    try {
      await probeStore(this.#ports);
      this.#isProbed = true;
    } catch (failure) {
      if (failure instanceof FoldlogError && failure.reason === 'storeContract') this.#brokenContract = failure;
      throw failure;
    }
  }

  async #answer(request: Request): Promise<Response> {
    if (this.#brokenContract !== undefined) return this.#refuse(this.#brokenContract);
    if (request.method === 'OPTIONS') return new Response(null, { status: 204 });
    try {
      return await this.#app.fetch(request);
    } catch (failure) {
      return this.#refuse(failure);
    }
  }

  #routes(): Hono {
    const workspace = '/v1/workspaces/:workspace';
    const shard = `${workspace}/shards/:shard`;
    const app = new Hono().basePath(this.#basePath);
    app.get('/v1/relay', () => this.#info());
    app.get(`${workspace}/control`, (c) => this.#readControl(c));
    app.post(`${workspace}/control`, (c) => this.#appendControl(c));
    app.post(`${shard}/push`, (c) => this.#push(c));
    app.post(`${shard}/fence`, (c) => this.#fence(c));
    app.get(`${shard}/log`, (c) => this.#readLog(c));
    app.get(`${shard}/head`, (c) => this.#readLength(c));
    app.post(`${shard}/checkpoints`, (c) => this.#putStatement(c));
    app.get(`${shard}/checkpoints/newest`, (c) => this.#newestStatement(c));
    app.put(`${shard}/chunks/:chunk`, (c) => this.#putChunk(c));
    app.get(`${shard}/chunks/:chunk`, (c) => this.#readChunk(c));
    for (const [path, methods] of [
      ['/v1/relay', 'GET'],
      [`${workspace}/control`, 'GET, POST'],
      [`${shard}/push`, 'POST'],
      [`${shard}/fence`, 'POST'],
      [`${shard}/log`, 'GET'],
      [`${shard}/head`, 'GET'],
      [`${shard}/checkpoints`, 'POST'],
      [`${shard}/checkpoints/newest`, 'GET'],
      [`${shard}/chunks/:chunk`, 'GET, PUT'],
    ] as const) {
      app.all(path, (c) => this.#refuse(wrongMethod(c.req.method, methods), { allow: methods }));
    }
    app.notFound(() => this.#refuse(unknownRoute()));
    app.onError((failure) => this.#refuse(failure));
    return app;
  }

  async #info(): Promise<Response> {
    await this.ready();
    const info: RelayInfo = {
      key: bytesToBase64url(this.#ports.signer.publicKey),
      format: formatVersion,
      suite,
      runBytesMax: this.#runBytesMax,
    };
    return Response.json(info);
  }

  async #readControl(c: Context): Promise<Response> {
    const workspace = workspaceOf(c);
    const { view } = await this.#authorise(c, workspace, { kind: 'readControl' }, 0);
    return bytesAnswer(encodeFrames(await this.#control.objectsAfter(workspace, view, afterOf(c), this.#answerBytesMax)));
  }

  async #appendControl(c: Context): Promise<Response> {
    const workspace = workspaceOf(c);
    return bytesAnswer(await this.#control.append(workspace, await readBody(c.req.raw, controlEntryBytesMax)));
  }

  async #push(c: Context): Promise<Response> {
    const target = { workspace: workspaceOf(c), shard: shardOf(c) };
    const body = await readBody(c.req.raw, this.#runBytesMax + pushFrameBytesMax);
    const parts = { control: this.#control, budget: this.#budget, runBytesMax: this.#runBytesMax };
    return bytesAnswer(await commitPush(this.#ports, parts, target, body));
  }

  async #fence(c: Context): Promise<Response> {
    const { place, view, body, key } = await this.#shardRequest(c, 'fence', signedFenceBytes);
    const author = deviceOf(view.state, key);
    if (author === undefined) throw unknownDevice(key);
    return bytesAnswer(await putFence(this.#ports, { view, place, author }, body));
  }

  async #readLog(c: Context): Promise<Response> {
    const { place } = await this.#shardRequest(c, 'read', 0);
    const bytesMax = Math.min(numberOf(c, 'bytes', this.#answerBytesMax), this.#answerBytesMax);
    return bytesAnswer(encodeFrames(await readLog(this.#ports, place, afterOf(c), bytesMax)));
  }

  async #readLength(c: Context): Promise<Response> {
    const { place } = await this.#shardRequest(c, 'read', 0);
    return Response.json(await readLength(this.#ports, place));
  }

  async #putStatement(c: Context): Promise<Response> {
    const { place, view, body, shard } = await this.#shardRequest(c, 'upload', checkpointBytesMax);
    await putStatement(this.#ports, place, { state: view.state, shard }, body);
    return new Response(null, { status: 204 });
  }

  async #newestStatement(c: Context): Promise<Response> {
    const { place } = await this.#shardRequest(c, 'read', 0);
    const isBounded = c.req.query('upTo') !== undefined;
    const bytes = await (isBounded
      ? newestStatementUpTo(this.#ports, place, seq(numberOf(c, 'upTo', 0)))
      : newestStatement(this.#ports, place));
    return bytes === undefined ? new Response(null, { status: 204 }) : bytesAnswer(bytes);
  }

  async #putChunk(c: Context): Promise<Response> {
    const name = inPath(() => chunkFromPath(c.req.param('chunk') ?? ''));
    const { place, body } = await this.#shardRequest(c, 'upload', chunkStoredBytesMax);
    await putChunk(this.#ports, place, name, body);
    return new Response(null, { status: 204 });
  }

  async #readChunk(c: Context): Promise<Response> {
    const name = inPath(() => chunkFromPath(c.req.param('chunk') ?? ''));
    const { place } = await this.#shardRequest(c, 'read', 0);
    return bytesAnswer(await readChunk(this.#ports, place, name));
  }

  async #shardRequest(c: Context, kind: 'read' | 'upload' | 'fence', bodyBytesMax: number) {
    const workspace = workspaceOf(c);
    const id = shardOf(c);
    const { view, body, key } = await this.#authorise(c, workspace, { kind, shard: id }, bodyBytesMax);
    return { view, body, key, shard: requireShard(view.state, id), place: placeOf(view.state, this.#ports.signer, id) };
  }

  /** Who asks and whether they may, before a byte of the body is kept; the signature over the body after it. */
  async #authorise(
    c: Context,
    workspace: WorkspaceId,
    purpose: Purpose,
    bodyBytesMax: number,
  ): Promise<{ readonly view: ControlView; readonly body: Bytes; readonly key: KeyId }> {
    const { clock, verifier } = this.#ports;
    const request = c.req.raw;
    const credential = readCredential(request.headers.get('authorization'), clock.now());
    const rule = (view: ControlView) => keyFor(purpose, view.state, credential.key, clock.now());
    const { view, value: key } = await this.#control.judge(workspace, ageFor(purpose), rule);
    const body = await readBody(request, bodyBytesMax);
    await requireSignature(verifier, key, { workspace, method: request.method, path: this.#pathOf(request), body }, credential);
    return { view, body, key: credential.key };
  }

  /** Path and query as the device signed them: below the base. */
  #pathOf(request: Request): string {
    const { pathname, search } = new URL(request.url);
    return pathname.slice(this.#basePath.length) + search;
  }

  #refuse(failure: unknown, headers: Readonly<Record<string, string>> = {}): Response {
    if (failure instanceof FoldlogError) return Response.json(errorToPlain(failure), { status: statusOf(failure), headers });
    this.#report(failure);
    const plain: PlainError = {
      ...errorToPlain(failure),
      where: 'relay',
      found: 'a failure that no rule foresaw',
      todo: 'try again later',
    };
    return Response.json(plain, { status: 500, headers });
  }

  /** CORS only for the origins named: no cookies are involved, and a push or a signed request carries its own right. */
  #sharedHeaders(request: Request): readonly (readonly [string, string])[] {
    const origin = request.headers.get('origin');
    const headers: [string, string][] = [
      ['cache-control', 'no-store'],
      ['x-content-type-options', 'nosniff'],
    ];
    if (this.#origins.size === 0) return headers;
    headers.push(['vary', 'origin']);
    if (origin === null || !this.#origins.has(origin)) return headers;
    headers.push(['access-control-allow-origin', origin], ['access-control-expose-headers', 'date']);
    headers.push(['cross-origin-resource-policy', 'cross-origin']);
    if (request.method !== 'OPTIONS') return headers;
    headers.push(['access-control-allow-methods', 'GET, POST, PUT'], ['access-control-allow-headers', 'authorization, content-type']);
    headers.push(['access-control-max-age', String(preflightSecondsMax)]);
    return headers;
  }
}

/** A copy of the control log that is seconds old may still know a device that was revoked: good enough to read by, not to write. */
const ageFor = (purpose: Purpose): 'current' | 'recent' => (purpose.kind === 'read' ? 'recent' : 'current');

/** A bound that is no number would bound nothing. */
function positive(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw FoldlogError.misuse({
    where: `relay setting ${name}`,
    reason: 'badSetting',
    found: String(value),
    expected: 'a whole number above 0',
  });
}

const bytesAnswer = (bytes: Bytes): Response =>
  new Response(bytes, { headers: { 'content-type': 'application/octet-stream', 'content-length': String(bytes.length) } });

const workspaceOf = (c: Context): WorkspaceId => inPath(() => workspaceFromPath(c.req.param('workspace') ?? ''));
const shardOf = (c: Context): ShardId => inPath(() => shardFromPath(c.req.param('shard') ?? ''));
const afterOf = (c: Context): Slot => slot(numberOf(c, 'after', 0));

/** An id in a path that is none is the caller's mistake, not corruption. */
function inPath<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    const found = cause instanceof FoldlogError ? cause.found : 'something else';
    throw FoldlogError.misuse({ where: 'path', reason: 'badPath', found, expected: 'ids in lower-case hex of their length', cause });
  }
}

function numberOf(c: Context, name: string, fallback: number): number {
  const text = c.req.query(name);
  if (text === undefined) return fallback;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw FoldlogError.misuse({
    where: 'query',
    reason: 'badQuery',
    found: `another form of ${name}`,
    expected: 'a whole number of at most 15 digits',
  });
}

const wrongMethod = (method: string, allowed: string): FoldlogError =>
  FoldlogError.misuse({ where: 'request', reason: 'wrongMethod', found: method, expected: allowed });

const unknownRoute = (): FoldlogError =>
  FoldlogError.misuse({ where: 'request', reason: 'unknownRoute', found: 'a path that is no route', expected: 'one of docs/relay-api.md' });
