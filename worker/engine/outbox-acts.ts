// What a person does with the outbox of a shard: looks at it, has a group tried again, lets one be, takes one to another device. None of it loses bytes: what is
// discarded stays here, and what was taken elsewhere stays here until it is discarded (decision 0003).

import { bytesToHex, hexToBytes, isSameBytes } from '../../kernel/bytes.ts';
import { type CommitGroup, decodeGroupHeader, encodeGroupHeader } from '../../kernel/commit-group.ts';
import { type ControlState, cutAbove, signatoryOf, writerAt } from '../../kernel/control/fold.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Clock, Deflate, Verifier } from '../../kernel/ports.ts';
import { packRun, unpackRun, verifyRun } from '../../kernel/run.ts';
import { encodeSeal } from '../../kernel/seal.ts';
import { decodeTail, encodeTail } from '../../kernel/tail.ts';
import { type GroupId, groupId, hash, short } from '../../kernel/units.ts';
import type { EntryState, OutboxEntry } from './outbox.ts';
import type { ShardStore } from './shard-store.ts';

/** One stranded group, for people. */
export interface OutboxItem {
  /** Group id, 32 hex digits: that of the call that saved it, and the one it keeps. */
  readonly id: string;
  /** Where it was saved. */
  readonly epoch: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** `waiting`: for its new place · `rebased`: saved again, not committed yet · `refused`: kept, see `reason` · `discarded`: by a person. */
  readonly state: Exclude<EntryState['kind'], 'engine'>;
  readonly reason: string | undefined;
  /** Id of the shard it waits for or was saved again in, hex; undefined when the workspace names none. */
  readonly destination: string | undefined;
  /** When its state was last decided, by this device's clock. */
  readonly atMs: number;
}

/** Oldest first; of a group that stranded more than once, each time. */
export function listOutbox(store: ShardStore): readonly OutboxItem[] {
  return store.outbox.entries().flatMap(({ id, from, state, destination, at }): OutboxItem[] => {
    if (state.kind === 'engine') return [];
    return [
      {
        ...{ id: bytesToHex(id), epoch: from.epoch, firstSeq: from.firstSeq, lastSeq: from.lastSeq, state: state.kind, atMs: at },
        reason: state.kind === 'refused' ? state.reason : undefined,
        destination: destination === undefined ? undefined : bytesToHex(destination),
      },
    ];
  });
}

/** Has a refused or discarded group tried again. @throws {FoldlogError} `misuse` `notStranded`, `noPlace` */
export function retryEntry(store: ShardStore, clock: Clock, id: string): void {
  const entry = entryNamed(store, id, ['refused', 'discarded']);
  if (entry.from.firstSeq <= entry.cut) {
    throw FoldlogError.misuse({
      where: whereOf(store, id),
      reason: 'noPlace',
      found: 'a group in whose place other ops were committed',
      expected: 'one above the cut',
      todo: 'it is kept; save what it says anew if it is to count',
    });
  }
  store.db.transaction(() => store.outbox.mark(entry.n, { kind: 'waiting' }, clock.now()));
}

/** Lets a group be: it is not saved again, and stays here. @throws {FoldlogError} `misuse` `notStranded` */
export function discardEntry(store: ShardStore, clock: Clock, id: string): void {
  const entry = entryNamed(store, id, ['waiting', 'refused']);
  store.db.transaction(() => store.outbox.mark(entry.n, { kind: 'discarded' }, clock.now()));
}

/** The group with its proof, for `importTail` on the device that writes its destination. @throws {FoldlogError} `misuse` `notStranded` */
export async function exportEntry(store: ShardStore, deflate: Deflate, id: string): Promise<Uint8Array<ArrayBuffer>> {
  const where = whereOf(store, id);
  const entry = entryNamed(store, id, ['waiting', 'refused', 'discarded']);
  const stranded = store.outbox.sealedFrom(entry.n);
  const groups = stranded.map(({ header: bytes, hash: groupHash, salt, body }, i): CommitGroup => {
    const header = decodeGroupHeader(bytes, where);
    return { header, hash: groupHash, content: i === 0 ? { kind: 'whole', salt, body } : { kind: 'erased' } };
  });
  const [first] = groups;
  const last = stranded.at(-1);
  if (first === undefined || last === undefined) throw notStranded(store, id);
  const after = { seq: (first.header.firstSeq - 1) as typeof entry.cut, hash: first.header.prev };
  const run = await packRun(deflate, after, groups, last.seal);
  return encodeTail({ shard: entry.from.shard, cut: entry.cut, controlSlot: entry.controlSlot, run });
}

export interface ImportPorts {
  readonly verifier: Verifier;
  readonly deflate: Deflate;
  readonly clock: Clock;
  readonly control: ControlState;
  /** Whether this device may give its word for what another key sealed. */
  readonly isAdmin: boolean;
}

/**
 * Takes a group that another device exported into the outbox of its destination, verified; it is saved again from there. The same once more changes nothing.
 * @returns its id, hex
 * @throws {FoldlogError} `corrupt`: it does not verify · `misuse` `wrongDestination`, `needsAttest` · `unavailable` `controlBehind`
 */
export async function importTail(store: ShardStore, ports: ImportPorts, bytes: Uint8Array): Promise<string> {
  const where = `a tail for ${store.identity.kind}/${store.identity.name}`;
  const tail = decodeTail(bytes, where);
  const { control } = ports;
  if (tail.controlSlot > control.slot) {
    throw new FoldlogError('unavailable', {
      where,
      reason: 'controlBehind',
      retry: 'later',
      found: `a control log up to slot ${control.slot}`,
      expected: `slot ${tail.controlSlot}, which the tail names`,
    });
  }
  const cut = cutAbove(control, tail.shard, tail.run.epoch);
  const isNamed = cut !== undefined && cut.controlSlot === tail.controlSlot && cut.cut.seq === tail.cut;
  if (!isNamed || cut.destination === undefined || !isSameBytes(cut.destination, store.identity.id)) {
    throw FoldlogError.misuse({
      where,
      reason: 'wrongDestination',
      found: cut?.destination === undefined ? 'a tail that no cut sends anywhere' : `a tail for shard ${short(cut.destination)}`,
      expected: `one for shard ${short(store.identity.id)}, as the control log says`,
    });
  }
  const key = writerAt(control, tail.shard, tail.run.epoch);
  const writer = key === undefined ? undefined : signatoryOf(control, key);
  if (writer === undefined) {
    throw FoldlogError.corrupt({
      where,
      reason: 'wrongSeal',
      found: `a seal by key ${short(tail.run.seal.key)} in epoch ${tail.run.epoch}`,
      expected: 'an epoch that the control log opened, by its writer',
    });
  }
  if (!ports.isAdmin) {
    throw FoldlogError.misuse({
      where,
      reason: 'needsAttest',
      found: 'a device that is no admin',
      expected: 'an admin, whose word lets it in',
    });
  }
  const run = await unpackRun(ports.deflate, tail.shard, tail.run, where);
  await verifyRun(ports.verifier, { head: run.after, writer: writer.key }, run, where);
  const [group] = run.groups;
  if (group === undefined || group.content.kind === 'erased') {
    throw FoldlogError.corrupt({ where, reason: 'erased', found: 'no body', expected: 'a whole group' });
  }
  const { header, content } = group;
  const lastSeq = (header.firstSeq + header.opCount - 1) as typeof header.firstSeq;
  await store.mutex.own('other', async () => {
    store.db.transaction(() => {
      store.outbox.take(
        {
          ...{ id: header.id, hash: hash(group.hash), cut: tail.cut, controlSlot: tail.controlSlot, destination: store.identity.id },
          from: { shard: tail.shard, epoch: header.epoch, firstSeq: header.firstSeq, lastSeq },
          ...{ header: encodeGroupHeader(header), salt: content.salt, body: content.body },
        },
        encodeSeal(run.seal),
        ports.clock.now(),
      );
    });
    await store.flush();
  });
  return bytesToHex(header.id);
}

function entryNamed(store: ShardStore, id: string, states: readonly EntryState['kind'][]): OutboxEntry {
  const entry = store.outbox.find(idIn(id));
  if (entry === undefined || !states.includes(entry.state.kind)) throw notStranded(store, id, entry?.state.kind, states);
  return entry;
}

const idIn = (id: string): GroupId => groupId(hexToBytes(id, 'group id'));
const whereOf = (store: ShardStore, id: string): string =>
  `outbox of ${store.identity.kind}/${store.identity.name}, group ${id.slice(0, 8)}`;

const notStranded = (store: ShardStore, id: string, found?: string, states: readonly string[] = []): FoldlogError =>
  FoldlogError.misuse({
    where: whereOf(store, id),
    reason: 'notStranded',
    found: found === undefined ? 'no such group' : `a group that is ${found}`,
    expected: `one that is ${states.join(' or ') || 'here'}`,
  });
