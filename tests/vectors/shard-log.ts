// A shard's log as a relay writes it, for vectors and tests: signs runs, segments and fences one after the other.
import type { Bytes } from '../../kernel/bytes.ts';
import { type CommitGroup, headOf, linkGroup } from '../../kernel/commit-group.ts';
import type { Act } from '../../kernel/control/acts.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { encodeOps, type Op } from '../../kernel/op-body.ts';
import type { Deflate, Signer } from '../../kernel/ports.ts';
import { encodePackedRun, packRun } from '../../kernel/run.ts';
import { makeSeal } from '../../kernel/seal.ts';
import { decodeSlotObject, makeFence, makeSegment, type SlotObject, signFence } from '../../kernel/segment.ts';
import {
  chainStart,
  type Epoch,
  epoch,
  groupId,
  type Hash,
  type Head,
  type Incarnation,
  noHash,
  type ShardId,
  slot,
  type TimeMs,
} from '../../kernel/units.ts';
import { objectKeys, type ShardPlace } from '../../shards/object-keys.ts';
import { at, fill, life, relay, workspace } from './cast.ts';

export interface StoredSlot {
  readonly bytes: Bytes;
  readonly object: SlotObject;
}

export interface ShardLogParts {
  readonly shard: ShardId;
  readonly writer: Signer;
  readonly controlHead: Hash;
  readonly deflate: Deflate;
  readonly incarnation?: Incarnation;
}

export const firstEpoch: Epoch = epoch(1);

export class ShardLog {
  readonly slots: StoredSlot[] = [];
  /** Who signs the slots from now on. */
  relay: Signer = relay;
  /** Head of what stands in slots. */
  head: Head = chainStart;
  /** Head of what was linked, in a slot or not yet. */
  linked: Head = chainStart;
  /** Of what is linked and sealed from now on: a cut changes both. */
  epoch: Epoch = firstEpoch;
  writer: Signer;
  readonly place: ShardPlace;
  readonly #parts: ShardLogParts;

  constructor(parts: ShardLogParts) {
    this.#parts = parts;
    this.writer = parts.writer;
    this.place = { workspace, incarnation: parts.incarnation ?? life, shard: parts.shard };
  }

  /** The next group of the chain; `mark` fills its id and, plus 16, its salt. */
  link(mark: number, ops: readonly Op[], time: TimeMs): CommitGroup {
    return this.linkBody(mark, encodeOps(ops, 'test'), ops.length, time);
  }

  /** As `link`, with whatever bytes for a body. */
  linkBody(mark: number, body: Bytes, opCount: number, time: TimeMs): CommitGroup {
    const group = linkGroup({
      shard: this.#parts.shard,
      epoch: this.epoch,
      after: this.linked,
      opCount,
      time,
      id: groupId(fill(mark, 16)),
      salt: fill((mark + 0x10) & 0xff, 16),
      body,
    });
    this.linked = headOf(group);
    return group;
  }

  /** The run of these groups after the head of the slots, as a device sends it. */
  async run(groups: readonly CommitGroup[]): Promise<Bytes> {
    const { shard, controlHead, deflate } = this.#parts;
    const position = { shard, epoch: this.epoch, head: headOf(groups.at(-1) as CommitGroup) };
    const seal = await makeSeal(this.writer, position, { controlHead, headsSeen: noHash });
    return encodePackedRun(await packRun(deflate, this.head, groups, seal));
  }

  async append(groups: readonly CommitGroup[], time = at(20)): Promise<void> {
    this.#keep(await makeSegment(this.relay, this.#relayPlace(time), await this.run(groups)));
    this.head = headOf(groups.at(-1) as CommitGroup);
  }

  async fence(author: Signer, time = at(60)): Promise<void> {
    const { controlHead } = this.#parts;
    const last = this.slots.at(-1)?.object;
    const closedEpoch = last === undefined ? firstEpoch : last.kind === 'fence' ? last.fence.newEpoch : last.run.epoch;
    const claim = { closedEpoch, newEpoch: epoch(closedEpoch + 1), head: this.head, controlHead };
    const place = this.#relayPlace(time);
    this.#keep(await makeFence(this.relay, place, await signFence(author, place, claim)));
  }

  /** The act that opens the epoch of the newest fence; from here on `writer` links and seals in it. */
  cut(writer: Signer): Extract<Act, { act: 'cut' }> {
    const object = this.slots.at(-1)?.object;
    if (object?.kind !== 'fence') throw new Error('no fence');
    const { newEpoch, head } = object.fence;
    this.epoch = newEpoch;
    this.writer = writer;
    this.linked = head;
    const opened = { shard: this.#parts.shard, epoch: newEpoch, writer: keyIdOf(writer.publicKey) };
    return { act: 'cut', ...opened, fence: object.objectHash, seq: head.seq, head: head.hash };
  }

  get bytes(): number {
    return this.slots.reduce((sum, stored) => sum + stored.bytes.length, 0);
  }

  store(objects: Map<string, Bytes>): void {
    for (const { bytes, object } of this.slots) objects.set(objectKeys.logSlot(this.place, object.slot), bytes);
  }

  #relayPlace(time: TimeMs) {
    const last = this.slots.at(-1)?.object;
    const prevObject = last?.objectHash ?? noHash;
    return { shard: this.#parts.shard, slot: slot(this.slots.length + 1), prevObject, time, bytesBefore: this.bytes };
  }

  #keep(bytes: Bytes): void {
    this.slots.push({ bytes, object: decodeSlotObject(bytes, 'test') });
  }
}

/** The group with its salt and body gone. */
export const erased = (group: CommitGroup): CommitGroup => ({ ...group, content: { kind: 'erased' } });
