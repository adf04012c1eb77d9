// What relay tests share: a seeded host without wall clock, a workspace with its devices, and a shard whose writer makes runs and
// pushes with the kernel's own functions. Everything is made from the seed, so a failing test fails again.

import { type Bytes, utf8 } from '../../kernel/bytes.ts';
import { type CommitGroup, headOf, linkGroup } from '../../kernel/commit-group.ts';
import type { Act, Role } from '../../kernel/control/acts.ts';
import { decodeControlEntry, signControlEntry, workspaceIdOfGenesis } from '../../kernel/control/entry.ts';
import { enrolMessage } from '../../kernel/control/fold.ts';
import { keyIdOf, objectHash, sha256, shardIdOf } from '../../kernel/digest.ts';
import { portableSigner } from '../../kernel/ed25519.ts';
import { isPlainError, type PlainError } from '../../kernel/errors.ts';
import { encodeOps, type Op } from '../../kernel/op-body.ts';
import type { Clock, Random, Scheduler, Signer, Verifier } from '../../kernel/ports.ts';
import { encodePush } from '../../kernel/push.ts';
import { decodeReceipt, type Receipt } from '../../kernel/receipt.ts';
import { decodeFrames, relayPaths } from '../../kernel/relay-api.ts';
import { signRequest } from '../../kernel/request-signature.ts';
import { encodePackedRun, packRun, type Run, unpackRun, verifyRun } from '../../kernel/run.ts';
import { makeSeal } from '../../kernel/seal.ts';
import { decodeSlotObject, verifySlotObject } from '../../kernel/segment.ts';
import {
  chainStart,
  type Epoch,
  epoch,
  groupId,
  type Hash,
  type Head,
  type Incarnation,
  incarnation,
  type KeyId,
  noHash,
  type PublicKey,
  type ShardId,
  type Slot,
  signature,
  slot,
  type TimeMs,
  timeMs,
  type WorkspaceId,
} from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { createRelay, type Relay, type RelaySettings } from '../../relay/core.ts';
import type { ObjectStore } from '../../relay/object-store.ts';
import { memoryStore } from '../../relay/stores/memory.ts';

/** The native one: these tests verify thousands of signatures. tests/kernel proves that it agrees with the portable one. */
const verifier = webVerifier();

export const startOfTests = timeMs(1_790_000_000_000);

/** Bytes that look random and depend on the seed alone: SHA-256 in counter mode. */
export function seededRandom(seed: string): Random {
  let block = 0;
  let held: Uint8Array = new Uint8Array(0);
  return {
    bytes(length) {
      const filled = new Uint8Array(length);
      for (let at = 0; at < length; ) {
        if (held.length === 0) held = sha256(utf8(`${seed}#${block++}`));
        const part = held.subarray(0, length - at);
        filled.set(part, at);
        held = held.subarray(part.length);
        at += part.length;
      }
      return filled;
    },
  };
}

/**
 * Clock and scheduler of a test. Short waits (pauses between attempts) pass at once and move the clock; long ones (deadlines of
 * store calls) only end when the test says so, so that slow real I/O never looks like a timeout.
 */
export class TestTime implements Clock, Scheduler {
  #now: number = startOfTests;
  #ticks = 0;
  readonly #deadlines = new Set<() => void>();

  now(): TimeMs {
    return timeMs(this.#now);
  }

  ticks(): number {
    return this.#ticks;
  }

  pass(ms: number): void {
    this.#now += ms;
    this.#ticks += ms;
  }

  /** Moves only the wall clock, as somebody setting it would. */
  jump(ms: number): void {
    this.#now += ms;
  }

  after(delayMs: number, task: () => void): () => void {
    if (delayMs >= 5_000) {
      this.#deadlines.add(task);
      return () => this.#deadlines.delete(task);
    }
    const turn = setImmediate(() => {
      this.pass(Math.ceil(delayMs));
      task();
    });
    return () => clearImmediate(turn);
  }

  /** Ends every long wait that is under way. */
  expireDeadlines(): void {
    for (const task of [...this.#deadlines]) {
      this.#deadlines.delete(task);
      task();
    }
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

export interface TestHost {
  readonly store: ObjectStore;
  readonly time: TestTime;
  readonly signer: Signer;
  readonly relay: Relay;
  /** Failures that no rule foresaw; a test that expects none checks that it is empty. */
  readonly reported: unknown[];
}

export interface TestHostOptions {
  readonly seed?: string;
  readonly store?: ObjectStore;
  readonly time?: TestTime;
  readonly verifier?: Verifier;
  readonly settings?: RelaySettings;
}

/** A relay instance in this process. Several over one store and one seed are instances of one relay. */
export function testHost(options: TestHostOptions = {}): TestHost {
  const seed = options.seed ?? 'relay';
  const store = options.store ?? memoryStore();
  const time = options.time ?? new TestTime();
  const signer = portableSigner(seededRandom(`${seed} key`).bytes(32));
  const reported: unknown[] = [];
  const ports = {
    store,
    signer,
    verifier: options.verifier ?? verifier,
    clock: time,
    scheduler: time,
    random: seededRandom(`${seed} random`),
    deflate: webDeflate,
    report: (failure: unknown) => reported.push(failure),
  };
  return { store, time, signer, reported, relay: createRelay(ports, options.settings) };
}

export type Answer =
  | { readonly kind: 'ok'; readonly status: number; readonly body: Bytes }
  | { readonly kind: 'error'; readonly status: number; readonly error: PlainError };

/** How requests reach a relay: in process, or over HTTP. */
export type Send = (request: Request) => Promise<Response>;

export const sendTo =
  (host: { readonly relay: Relay }): Send =>
  (request) =>
    host.relay.fetch(request);

export const sendHttp =
  (base: string): Send =>
  async (request) => {
    const { pathname, search } = new URL(request.url);
    const body = request.method === 'GET' ? undefined : await request.arrayBuffer();
    return fetch(base + pathname + search, { method: request.method, headers: request.headers, ...(body === undefined ? {} : { body }) });
  };

export async function readAnswer(response: Response): Promise<Answer> {
  const body = new Uint8Array(await response.arrayBuffer());
  if (response.ok) return { kind: 'ok', status: response.status, body };
  const error: unknown = JSON.parse(new TextDecoder().decode(body));
  if (!isPlainError(error)) throw new Error(`status ${response.status} without a typed error`);
  return { kind: 'error', status: response.status, error };
}

export class TestDevice {
  readonly name: string;
  readonly signer: Signer;
  readonly random: Random;

  constructor(seed: string, name: string) {
    this.name = name;
    this.random = seededRandom(`${seed} ${name} random`);
    this.signer = portableSigner(seededRandom(`${seed} ${name} key`).bytes(32));
  }

  get id(): KeyId {
    return keyIdOf(this.signer.publicKey);
  }
}

/** A workspace as its owner makes it: genesis, relay, then whatever the test asks for. */
export class TestWorkspace {
  readonly seed: string;
  readonly id: WorkspaceId;
  readonly owner: TestDevice;
  readonly genesis: Bytes;
  readonly incarnation: Incarnation;
  /** Control head after the last append through this object. */
  head: Hash = noHash;
  readonly #time: Clock;

  private constructor(seed: string, owner: TestDevice, genesis: Bytes, time: Clock) {
    this.seed = seed;
    this.owner = owner;
    this.genesis = genesis;
    this.id = workspaceIdOfGenesis(decodeControlEntry(genesis, 'genesis'));
    this.incarnation = incarnation(seededRandom(`${seed} incarnation`).bytes(16));
    this.#time = time;
  }

  static async make(seed: string, time: Clock): Promise<TestWorkspace> {
    const owner = new TestDevice(seed, 'owner');
    const recovery = new TestDevice(seed, 'recovery');
    const at = { workspace: noHash as Bytes as WorkspaceId, prev: noHash };
    const genesis = await signControlEntry(owner.signer, at, [
      {
        act: 'genesis',
        name: `Shop ${seed}`.slice(0, 60),
        owner: owner.signer.publicKey,
        device: 'Office',
        recovery: recovery.signer.publicKey,
        nonce: owner.random.bytes(16),
        time: time.now(),
      },
    ]);
    return new TestWorkspace(seed, owner, genesis, time);
  }

  /** Founds the workspace on a relay and declares that relay. */
  async found(send: Send, relayKey: PublicKey): Promise<void> {
    this.head = objectHash(okBody(await this.post(send, relayPaths.controlAppend(this.id), this.genesis)));
    await this.append(send, this.owner, [{ act: 'relay', key: relayKey, incarnation: this.incarnation }]);
  }

  /** An entry over the head this object knows. */
  entry(author: TestDevice, acts: readonly Act[], prev: Hash = this.head): Promise<Bytes> {
    return signControlEntry(author.signer, { workspace: this.id, prev }, acts);
  }

  async append(send: Send, author: TestDevice, acts: readonly Act[]): Promise<Bytes> {
    const body = okBody(await this.post(send, relayPaths.controlAppend(this.id), await this.entry(author, acts)));
    this.head = objectHash(body);
    return body;
  }

  /** Invites and enrols a device. */
  async join(send: Send, name: string, role: Role): Promise<TestDevice> {
    const invite = new TestDevice(this.seed, `invite for ${name}`);
    const expiresAt = timeMs(this.#time.now() + 3_600_000);
    await this.append(send, this.owner, [{ act: 'invite', key: invite.signer.publicKey, role, expiresAt, uses: 1 }]);
    const device = new TestDevice(this.seed, name);
    const proof = await invite.signer.sign(enrolMessage(this.id, device.signer.publicKey));
    await this.append(send, device, [{ act: 'device', key: device.signer.publicKey, name, invite: invite.id, proof: signature(proof) }]);
    return device;
  }

  async addShard(send: Send, writer: TestDevice, kind: string, name: string): Promise<TestShard> {
    const nonce = writer.random.bytes(16);
    await this.append(send, writer, [{ act: 'shard', nonce, kind, name, writer: writer.id }]);
    return new TestShard(this, writer, shardIdOf(this.id, nonce), this.#time);
  }

  async post(send: Send, path: string, body: Uint8Array): Promise<Answer> {
    return readAnswer(await send(new Request(`http://relay${path}`, { method: 'POST', body: body as Bytes })));
  }

  async signed(
    send: Send,
    device: TestDevice,
    method: 'GET' | 'POST' | 'PUT',
    path: string,
    body: Uint8Array = new Uint8Array(0),
  ): Promise<Answer> {
    const authorization = await signRequest(device.signer, { workspace: this.id, method, path, body }, this.#time.now());
    const init = method === 'GET' ? {} : { body: body as Bytes };
    return readAnswer(await send(new Request(`http://relay${path}`, { method, headers: { authorization }, ...init })));
  }

  /** Control slot objects after a slot, as a device reads them. */
  async controlAfter(send: Send, device: TestDevice, after: Slot = slot(0)): Promise<readonly Bytes[]> {
    return decodeFrames(okBody(await this.signed(send, device, 'GET', relayPaths.control(this.id, after))), 'control');
  }
}

/** A run as a device keeps it until its receipt is there. */
export interface TestRun {
  readonly after: Head;
  readonly head: Head;
  readonly groups: readonly CommitGroup[];
  readonly encoded: Bytes;
}

/** One shard on the device that writes it: its chain so far and its last receipt. */
export class TestShard {
  readonly workspace: TestWorkspace;
  readonly writer: TestDevice;
  readonly id: ShardId;
  epoch: Epoch = epoch(1);
  head: Head = chainStart;
  receipt: Bytes | undefined;
  readonly #time: Clock;

  constructor(workspace: TestWorkspace, writer: TestDevice, id: ShardId, time: Clock) {
    this.workspace = workspace;
    this.writer = writer;
    this.id = id;
    this.#time = time;
  }

  get place() {
    return { workspace: this.workspace.id, incarnation: this.workspace.incarnation, shard: this.id };
  }

  /** A copy of the device as it is now: what a restored backup or a cloned profile is. */
  clone(): TestShard {
    return this.heldBy(this.writer);
  }

  /** The same shard on another device. */
  heldBy(writer: TestDevice): TestShard {
    const copy = new TestShard(this.workspace, writer, this.id, this.#time);
    copy.epoch = this.epoch;
    copy.head = this.head;
    copy.receipt = this.receipt;
    return copy;
  }

  /** Makes a run of `groupCount` groups of one op after `after` and moves the chain's head to its end. */
  async nextRun(
    groupCount = 1,
    options: { readonly after?: Head; readonly signer?: Signer; readonly epoch?: Epoch; readonly note?: string } = {},
  ): Promise<TestRun> {
    const { after = this.head, signer = this.writer.signer, note = 'sale' } = options;
    const groups: CommitGroup[] = [];
    let head = after;
    for (let i = 0; i < groupCount; i++) {
      const op: Op = { class: 'sale.completed', version: 1, payload: { note, line: head.seq + 1, cents: 250 } };
      const group = linkGroup({
        shard: this.id,
        epoch: options.epoch ?? this.epoch,
        after: head,
        opCount: 1,
        time: this.#time.now(),
        id: groupId(this.writer.random.bytes(16)),
        salt: this.writer.random.bytes(16),
        body: encodeOps([op], 'test'),
      });
      groups.push(group);
      head = headOf(group);
    }
    const position = { shard: this.id, epoch: options.epoch ?? this.epoch, head };
    const seal = await makeSeal(signer, position, { controlHead: this.workspace.head, headsSeen: noHash });
    this.head = head;
    return { after, head, groups, encoded: encodePackedRun(await packRun(webDeflate, after, groups, seal)) };
  }

  /** Two runs that follow each other, sealed as one. */
  async joinRuns(first: TestRun, second: TestRun): Promise<TestRun> {
    const groups = [...first.groups, ...second.groups];
    const position = { shard: this.id, epoch: this.epoch, head: second.head };
    const seal = await makeSeal(this.writer.signer, position, { controlHead: this.workspace.head, headsSeen: noHash });
    return {
      after: first.after,
      head: second.head,
      groups,
      encoded: encodePackedRun(await packRun(webDeflate, first.after, groups, seal)),
    };
  }

  get pushPath(): string {
    return relayPaths.push(this.workspace.id, this.id);
  }

  /** Sends a run as it is, with a receipt or without, and keeps nothing. */
  send(send: Send, run: { readonly encoded: Bytes }, receipt: Bytes | undefined = this.receipt): Promise<Answer> {
    return this.workspace.post(send, this.pushPath, encodePush(this.id, receipt, run.encoded));
  }

  /** Sends a run and keeps the receipt, as a device does. */
  async push(send: Send, run?: { readonly encoded: Bytes }): Promise<Receipt> {
    this.receipt = okBody(await this.send(send, run ?? (await this.nextRun())));
    return decodeReceipt(this.receipt, 'receipt');
  }

  async readLog(send: Send, device: TestDevice = this.writer, after: Slot = slot(0), bytes = 1_000_000): Promise<readonly Bytes[]> {
    const path = relayPaths.log(this.workspace.id, this.id, after, bytes);
    return decodeFrames(okBody(await this.workspace.signed(send, device, 'GET', path)), 'log');
  }
}

/**
 * The log of a shard as a follower must check it: slots without gaps, object links, relay signatures, time, run links and seals.
 * Returns the runs in order.
 */
export async function verifiedLog(relayKey: PublicKey, shard: TestShard, objects: readonly Bytes[]): Promise<readonly Run[]> {
  const runs: Run[] = [];
  let prevObject = noHash;
  let head = chainStart;
  let time = timeMs(0);
  let bytesBefore = 0;
  for (const [i, bytes] of objects.entries()) {
    const where = `slot ${i + 1}`;
    const object = decodeSlotObject(bytes, where);
    const expected = { shard: shard.id, slot: slot(i + 1), prevObject, relay: relayKey, timeMin: time };
    await verifySlotObject(verifier, expected, object, where);
    if (object.kind !== 'segment') throw new Error(`${where} holds a ${object.kind}`);
    if (object.bytesBefore !== bytesBefore) throw new Error(`${where}: bytes before ${object.bytesBefore}, expected ${bytesBefore}`);
    const run = await unpackRun(webDeflate, shard.id, object.run, where);
    await verifyRun(verifier, { head, writer: shard.writer.signer.publicKey }, run, where);
    runs.push(run);
    ({ head } = run);
    ({ time } = object);
    prevObject = object.objectHash;
    bytesBefore += bytes.length;
  }
  return runs;
}

export function okBody(answer: Answer): Bytes {
  if (answer.kind === 'ok') return answer.body;
  const { kind, reason, where, found, expected } = answer.error;
  throw new Error(`status ${answer.status}, ${kind} ${reason}: ${where}: found ${found}, expected ${expected}`);
}

export function errorOf(answer: Answer): { readonly status: number; readonly kind: string; readonly reason: string } {
  if (answer.kind === 'ok') throw new Error(`status ${answer.status}, where an error was expected`);
  return { status: answer.status, kind: answer.error.kind, reason: answer.error.reason };
}

/** A founded workspace with one till and its shard, on one relay instance. */
export async function foundedShop(options: TestHostOptions = {}) {
  const host = testHost(options);
  const send = sendTo(host);
  const workspace = await TestWorkspace.make(options.seed ?? 'shop', host.time);
  await workspace.found(send, host.signer.publicKey);
  const till = await workspace.join(send, 'till-1', 'writer');
  const shard = await workspace.addShard(send, till, 'till', 'till-1');
  return { host, send, workspace, till, shard };
}
