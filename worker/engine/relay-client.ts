// The relay as the engine sees it: each request of docs/relay-api.md with its three endings. An answer that is not what the relay
// should say (garbage, another program, a proxy's page) counts as unreachable: nothing is concluded from it.

import { type Bytes, textFromUtf8 } from '../../kernel/bytes.ts';
import { checkpointBytesMax } from '../../kernel/checkpoint.ts';
import { controlSlotBytesMax } from '../../kernel/control/entry.ts';
import { FoldlogError, isPlainError, plainToError } from '../../kernel/errors.ts';
import { chunkBytes, requestMsMax, runBytesMax } from '../../kernel/limits.ts';
import type { Clock, Http, HttpRequest, Signer } from '../../kernel/ports.ts';
import { receiptBytes } from '../../kernel/receipt.ts';
import { decodeFrames, type LogLength, type RelayInfo, relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import type { Hash, Seq, ShardId, Slot, WorkspaceId } from '../../kernel/units.ts';

export type Answer<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'refused'; readonly error: FoldlogError }
  | { readonly kind: 'unreachable'; readonly found: string };

export interface RelayClient {
  info(): Promise<Answer<RelayInfo>>;
  control(workspace: WorkspaceId, after: Slot, signer: Signer): Promise<Answer<readonly Bytes[]>>;
  appendControl(workspace: WorkspaceId, entry: Bytes): Promise<Answer<Bytes>>;
  push(workspace: WorkspaceId, shard: ShardId, push: Bytes): Promise<Answer<Bytes>>;
  fence(workspace: WorkspaceId, shard: ShardId, signed: Bytes, signer: Signer): Promise<Answer<Bytes>>;
  log(workspace: WorkspaceId, shard: ShardId, after: Slot, bytes: number, signer: Signer): Promise<Answer<readonly Bytes[]>>;
  logHead(workspace: WorkspaceId, shard: ShardId, signer: Signer): Promise<Answer<LogLength>>;
  newestCheckpoint(workspace: WorkspaceId, shard: ShardId, signer: Signer, upTo?: Seq): Promise<Answer<Bytes | undefined>>;
  publishCheckpoint(workspace: WorkspaceId, shard: ShardId, statement: Bytes, signer: Signer): Promise<Answer<undefined>>;
  chunk(workspace: WorkspaceId, shard: ShardId, chunk: Hash, signer: Signer): Promise<Answer<Bytes>>;
  putChunk(workspace: WorkspaceId, shard: ShardId, chunk: Hash, bytes: Bytes, signer: Signer): Promise<Answer<undefined>>;
}

/** Bytes received and sent, for the figures of a start (`bootstrap.bytes`). */
export interface Traffic {
  received: number;
  sent: number;
}

const smallAnswerBytesMax = 64 * 1024;

export function relayClient(http: Http, clock: Clock, traffic: Traffic): RelayClient {
  const ask = async (
    request: HttpRequest,
    bytesMax: number,
    signing?: { readonly workspace: WorkspaceId; readonly signer: Signer },
  ): Promise<Answer<{ readonly status: number; readonly body: Bytes }>> => {
    const headers: Record<string, string> = { ...request.headers };
    if (request.body !== undefined) headers['content-type'] = 'application/octet-stream';
    if (signing !== undefined) {
      const { workspace, signer } = signing;
      const signed = { workspace, method: request.method, path: request.path, body: request.body ?? new Uint8Array(0) };
      headers.authorization = await signRequest(signer, signed, clock.now());
    }
    traffic.sent += request.body?.length ?? 0;
    const outcome = await http.send(
      { ...request, headers },
      { timeoutMs: requestMsMax, bytesMax: Math.max(bytesMax, smallAnswerBytesMax) },
    );
    if (outcome.kind === 'unreachable') return { kind: 'unreachable', found: describe(outcome.cause) };
    traffic.received += outcome.body.length;
    if (outcome.status >= 200 && outcome.status < 300) return { kind: 'ok', value: outcome };
    return refusalFrom(outcome.status, outcome.body);
  };
  const get = (path: string): HttpRequest => ({ method: 'GET', path, headers: {} });
  const frames = (answer: Answer<{ readonly body: Bytes }>, where: string): Answer<readonly Bytes[]> =>
    decoded(answer, (body) => decodeFrames(body, where));

  return {
    info: async () => decoded(await ask(get(relayPaths.relay), smallAnswerBytesMax), readInfo),
    control: async (workspace, after, signer) =>
      frames(await ask(get(relayPaths.control(workspace, after)), 64 * controlSlotBytesMax, { workspace, signer }), 'control answer'),
    appendControl: async (workspace, entry) =>
      bodyOf(await ask({ method: 'POST', path: relayPaths.controlAppend(workspace), headers: {}, body: entry }, controlSlotBytesMax)),
    push: async (workspace, shard, push) =>
      bodyOf(await ask({ method: 'POST', path: relayPaths.push(workspace, shard), headers: {}, body: push }, receiptBytes)),
    fence: async (workspace, shard, signed, signer) => {
      const request: HttpRequest = { method: 'POST', path: relayPaths.fence(workspace, shard), headers: {}, body: signed };
      return bodyOf(await ask(request, smallAnswerBytesMax, { workspace, signer }));
    },
    log: async (workspace, shard, after, bytes, signer) =>
      frames(
        await ask(get(relayPaths.log(workspace, shard, after, bytes)), bytes + runBytesMax + 4096, { workspace, signer }),
        'log answer',
      ),
    logHead: async (workspace, shard, signer) =>
      decoded(await ask(get(relayPaths.logHead(workspace, shard)), smallAnswerBytesMax, { workspace, signer }), readLength),
    newestCheckpoint: async (workspace, shard, signer, upTo) => {
      const answer = await ask(get(relayPaths.newestCheckpoint(workspace, shard, upTo)), checkpointBytesMax, { workspace, signer });
      if (answer.kind === 'ok' && answer.value.status === 204) return { kind: 'ok', value: undefined };
      return bodyOf(answer);
    },
    publishCheckpoint: async (workspace, shard, statement, signer) => {
      const request: HttpRequest = { method: 'POST', path: relayPaths.checkpoints(workspace, shard), headers: {}, body: statement };
      return emptied(await ask(request, smallAnswerBytesMax, { workspace, signer }));
    },
    chunk: async (workspace, shard, chunk, signer) =>
      bodyOf(await ask(get(relayPaths.chunk(workspace, shard, chunk)), 2 * chunkBytes, { workspace, signer })),
    putChunk: async (workspace, shard, chunk, bytes, signer) => {
      const request: HttpRequest = { method: 'PUT', path: relayPaths.chunk(workspace, shard, chunk), headers: {}, body: bytes };
      return emptied(await ask(request, smallAnswerBytesMax, { workspace, signer }));
    },
  };
}

/** For callers that treat everything but a good answer as an error. @throws {FoldlogError} the refusal, or `unavailable` */
export function answerOrThrow<T>(answer: Answer<T>, where: string): T {
  if (answer.kind === 'ok') return answer.value;
  if (answer.kind === 'refused') throw answer.error;
  throw new FoldlogError('unavailable', { where, reason: 'relayUnreachable', found: answer.found, expected: 'an answer of the relay' });
}

const bodyOf = (answer: Answer<{ readonly body: Bytes }>): Answer<Bytes> =>
  answer.kind === 'ok' ? { kind: 'ok', value: answer.value.body } : answer;

const emptied = (answer: Answer<unknown>): Answer<undefined> => (answer.kind === 'ok' ? { kind: 'ok', value: undefined } : answer);

function decoded<T>(answer: Answer<{ readonly body: Bytes }>, decode: (body: Bytes) => T): Answer<T> {
  if (answer.kind !== 'ok') return answer;
  try {
    return { kind: 'ok', value: decode(answer.value.body) };
  } catch (error) {
    return { kind: 'unreachable', found: `an answer that is not a relay's: ${describe(error)}` };
  }
}

/** A refusal counts only in our own words; whatever else answered is not the relay. */
function refusalFrom(status: number, body: Bytes): Answer<never> {
  try {
    const plain: unknown = JSON.parse(textFromUtf8(body, 'relay error'));
    if (isPlainError(plain)) return { kind: 'refused', error: plainToError(plain) };
  } catch {
    // Not JSON: a proxy or another program.
  }
  return { kind: 'unreachable', found: `status ${status} without an error of ours` };
}

function readInfo(body: Bytes): RelayInfo {
  const info = JSON.parse(textFromUtf8(body, 'relay info')) as Partial<RelayInfo>;
  if (
    typeof info.key !== 'string' ||
    typeof info.format !== 'number' ||
    typeof info.suite !== 'number' ||
    typeof info.runBytesMax !== 'number'
  ) {
    throw FoldlogError.corrupt({
      where: 'relay info',
      reason: 'badRelayInfo',
      found: 'other fields',
      expected: 'key, format, suite, runBytesMax',
    });
  }
  return { key: info.key, format: info.format, suite: info.suite, runBytesMax: info.runBytesMax };
}

function readLength(body: Bytes): LogLength {
  const { slot, seq, bytes } = JSON.parse(textFromUtf8(body, 'log length')) as Partial<LogLength>;
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (isCount(slot) && isCount(seq) && isCount(bytes)) return { slot, seq, bytes };
  throw FoldlogError.corrupt({ where: 'log length', reason: 'badLogLength', found: 'other fields', expected: 'slot, seq, bytes' });
}

const describe = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
