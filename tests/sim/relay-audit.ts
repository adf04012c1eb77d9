// Reads the relay's store as somebody who comes to it anew, from the format alone: slots are one chain per shard without gap or fork, every receipt that
// was given stands, nothing that is written once was written again, and what devices sent is signed once only.

import type { HttpRequest } from '../../kernel/ports.ts';
import type { Violation } from './ledger.ts';
import {
  isSealed,
  keyIdHex,
  type OwnGroup,
  type OwnReceipt,
  type OwnSegment,
  ownControlSlot,
  ownPush,
  ownReceipt,
  ownSegment,
  sha256Hex,
  shardIdHex,
} from './own-format.ts';
import type { Answer } from './sim-net.ts';
import type { SimStore } from './sim-store.ts';

export interface CommittedShard {
  readonly kind: string;
  readonly name: string;
  readonly groups: OwnGroup[];
  /** Public key of the writer. */
  readonly writer: Uint8Array;
  /** As far as it was read. */
  slot: number;
  object: string;
  bytes: number;
  time: number;
}

const zeros = '00'.repeat(32);
const bytesOf = (text: unknown): Uint8Array => new Uint8Array(Buffer.from(String(text), 'base64url'));

export class RelayAudit {
  readonly #store: SimStore;
  readonly #violations: Violation[] = [];
  readonly #receipts: OwnReceipt[] = [];
  readonly #shards = new Map<string, CommittedShard>();
  readonly #devices = new Map<string, Uint8Array>();
  readonly #relayKeys: Uint8Array[] = [];
  #workspace: string | undefined;
  #incarnation = '';
  #controlSlot = 0;
  #controlHead = zeros;
  /** Hash of each group that left a device, by shard, epoch and first seq. */
  readonly #sent = new Map<string, string>();
  /** Shards whose device was copied or taken back: their key is in two places. */
  readonly copied = new Set<string>();
  /** The store was taken back: receipts of before then stand on nothing. */
  isTakenBack = false;

  constructor(store: SimStore) {
    this.#store = store;
  }

  get violations(): readonly Violation[] {
    return this.#violations;
  }

  get receipts(): number {
    return this.#receipts.length;
  }

  shard(name: string): CommittedShard | undefined {
    return [...this.#shards.values()].find((shard) => shard.name === name);
  }

  shards(): readonly CommittedShard[] {
    return [...this.#shards.values()];
  }

  /** What a device sends away it has signed: one group per place, for ever (I-07). */
  sent(device: string, request: HttpRequest): void {
    if (!request.path.endsWith('/push') || request.body === undefined || this.copied.has(device)) return;
    const { shard, run } = ownPush(request.body);
    for (const { epoch, firstSeq, hash } of run.groups) {
      const place = `${shard} ${epoch} ${firstSeq}`;
      const known = this.#sent.get(place);
      if (known !== undefined && known !== hash) this.#found('I-07', `${device} signed two groups at epoch ${epoch}, seq ${firstSeq}`);
      this.#sent.set(place, hash);
    }
  }

  /** A receipt is looked up in the moment it is given (I-09). @returns whether it was given before */
  answered(device: string, request: HttpRequest, { status, body }: Answer): boolean {
    if (status === 500) this.#found('I-19', `the relay answered ${device} with a failure that no rule foresaw: ${request.path}`);
    if (status !== 200 || !request.path.endsWith('/push')) return false;
    const receipt = ownReceipt(body);
    const isRepeated = this.#receipts.some(({ object }) => object === receipt.object);
    this.#receipts.push(receipt);
    this.#requireStanding(receipt);
    return isRepeated;
  }

  /** Reads on from where it stood. */
  look(): void {
    for (const key of this.#store.rewrites.splice(0)) this.#found('I-08', `${key} was written over`);
    try {
      this.#readControl();
      for (const [id, shard] of this.#shards) this.#readShard(id, shard);
    } catch (error) {
      this.#found('I-08', `the store cannot be read on: ${(error as Error).message}`);
    }
  }

  /** From the beginning, as a fresh reader, and every receipt again. */
  lookAnew(): void {
    this.#shards.clear();
    this.#devices.clear();
    this.#relayKeys.length = 0;
    this.#controlSlot = 0;
    this.#controlHead = zeros;
    this.look();
    if (!this.isTakenBack) for (const receipt of this.#receipts) this.#requireStanding(receipt);
    // What stands beside the slots that were read: a slot behind a gap.
    for (const key of this.#store.keys()) {
      const log = /\/s\/([0-9a-f]{32})\/log\/(\d+)$/.exec(key);
      if (log !== null && Number(log[2]) > (this.#shards.get(log[1] as string)?.slot ?? 0))
        this.#found('I-08', `${key} stands behind a gap`);
    }
  }

  #requireStanding({ shard, slot, object, incarnation, workspace }: OwnReceipt): void {
    const stored = this.#store.read(slotKey(workspace, incarnation, shard, slot));
    const standing = stored === undefined ? undefined : sha256Hex(stored);
    if (standing !== object)
      this.#found('I-09', `a receipt for slot ${slot} of ${shard.slice(0, 6)}, where ${standing ?? 'nothing'} stands`);
  }

  #readControl(): void {
    this.#workspace ??= this.#store
      .keys()
      .find((key) => key.startsWith('w/'))
      ?.split('/')[1];
    if (this.#workspace === undefined) return;
    for (;;) {
      const bytes = this.#store.read(`w/${this.#workspace}/control/${padded(this.#controlSlot + 1)}`);
      if (bytes === undefined) return;
      const slot = ownControlSlot(bytes);
      const where = `control slot ${slot.slot}`;
      if (slot.slot !== this.#controlSlot + 1 || slot.prev !== this.#controlHead)
        this.#found('I-08', `${where} does not follow the one before`);
      for (const act of slot.acts) this.#apply(act);
      const author = this.#devices.get(slot.author);
      if (author === undefined || !slot.isEntrySignedBy(author)) this.#found('I-16', `${where} is by nobody of the workspace`);
      this.#controlSlot++;
      this.#controlHead = slot.object;
    }
  }

  #apply(act: Readonly<Record<string, unknown>>): void {
    const enrol = (key: Uint8Array): void => void this.#devices.set(keyIdHex(key), key);
    if (act.act === 'genesis') enrol(bytesOf(act.owner));
    if (act.act === 'device') enrol(bytesOf(act.key));
    if (act.act === 'relay') {
      this.#relayKeys.push(bytesOf(act.key));
      this.#incarnation = Buffer.from(bytesOf(act.incarnation)).toString('hex');
    }
    if (act.act !== 'shard') return;
    const id = shardIdHex(this.#workspace as string, bytesOf(act.nonce));
    const writer = this.#devices.get(Buffer.from(bytesOf(act.writer)).toString('hex'));
    if (writer === undefined) {
      this.#found('I-16', `shard ${String(act.name)} of a writer that is no device`);
      return;
    }
    const at = { slot: 0, object: zeros, bytes: 0, time: 0 };
    this.#shards.set(id, { kind: String(act.kind), name: String(act.name), groups: [], writer, ...at });
  }

  #readShard(id: string, shard: CommittedShard): void {
    for (;;) {
      const bytes = this.#store.read(slotKey(this.#workspace as string, this.#incarnation, id, shard.slot + 1));
      if (bytes === undefined) return;
      const segment = ownSegment(bytes);
      this.#judge(id, shard, segment);
      shard.groups.push(...segment.run.groups);
      shard.slot++;
      shard.object = sha256Hex(bytes);
      shard.bytes += bytes.length;
      shard.time = segment.time;
    }
  }

  #judge(id: string, shard: CommittedShard, segment: OwnSegment): void {
    const where = `slot ${shard.slot + 1} of ${shard.name}`;
    const relay = this.#relayKeys.find((key) => keyIdHex(key) === segment.relayKey);
    if (segment.shard !== id || segment.slot !== shard.slot + 1)
      this.#found('I-08', `${where} holds slot ${segment.slot} of ${segment.shard}`);
    if (segment.prevObject !== shard.object) this.#found('I-08', `${where} does not name the object before it`);
    if (segment.time < shard.time || segment.bytesBefore !== shard.bytes) this.#found('I-08', `${where}: time or bytes before are wrong`);
    if (relay === undefined || !segment.isSignedBy(relay)) this.#found('I-09', `${where} is not signed by the relay`);
    let head = { seq: shard.groups.at(-1)?.lastSeq ?? 0, hash: shard.groups.at(-1)?.hash ?? zeros };
    for (const group of segment.run.groups) {
      if (group.firstSeq !== head.seq + 1 || group.prev !== head.hash) {
        this.#found('I-08', `${where}: a group at seq ${group.firstSeq} after seq ${head.seq} that does not continue the chain`);
      }
      if (shard.groups.some(({ id: known }) => known === group.id)) this.#found('I-10', `${where}: group ${group.id} is committed twice`);
      head = { seq: group.lastSeq, hash: group.hash };
    }
    const last = segment.run.groups.at(-1);
    if (last === undefined || !isSealed(segment.run.seal, shard.writer, last)) this.#found('I-03', `${where} has no seal by its writer`);
  }

  #found(invariant: string, what: string): void {
    this.#violations.push({ invariant, what });
  }
}

const padded = (number: number): string => String(number).padStart(16, '0');
const slotKey = (workspace: string, incarnation: string, shard: string, slot: number): string =>
  `w/${workspace}/${incarnation}/s/${shard}/log/${padded(slot)}`;
