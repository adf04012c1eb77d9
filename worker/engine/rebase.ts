// Step 3 of decision 0003: groups of an outbox are saved again by the ordinary save path, in the shard that the cut names, under the ids and times they have
// and with their op bytes as they were. Stopped anywhere it goes on: an id that stands in the destination's log, or a range that was taken there, says
// that its group was saved. One that cannot be saved stays, with the reason, and nobody waits for it.

import { isSameBytes } from '../../kernel/bytes.ts';
import { decodeGroupHeader } from '../../kernel/commit-group.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { rebaseBytesMax, rebaseGroupsMax } from '../../kernel/limits.ts';
import type { Clock, Signer } from '../../kernel/ports.ts';
import { readStrandedBody, rebasedBody } from '../../kernel/rebased-body.ts';
import { type Attest, attestMessage, bornIn } from '../../kernel/system-ops.ts';
import { type GroupId, type Head, short } from '../../kernel/units.ts';
import type { GroupPlace } from './chain-log.ts';
import type { EntryState, StrandedGroup } from './outbox.ts';
import type { SavedBefore } from './save.ts';
import type { ShardStore } from './shard-store.ts';

/** The shard that a cut names, when this device writes it. */
export interface Destination {
  readonly store: ShardStore;
  /** Head up to which the relay has given its word. */
  readonly committed: Head;
  saveAgain(id: GroupId, before: SavedBefore): Promise<GroupPlace>;
}

export interface RebasePorts {
  readonly signer: Signer;
  readonly clock: Clock;
  /** Whether this device may attest groups that another key sealed. */
  readonly isAdmin: () => boolean;
}

/** What a step of the rebase came to: a state that is known, or a failure that passes. */
type Fate = EntryState | { readonly kind: 'later'; readonly error: FoldlogError };

/**
 * Saves everything that waits for `to`, in the order in which it was saved first.
 * @returns the failure that passes, when there was one: the rest waits and is tried again
 */
export async function rebaseWaiting(ports: RebasePorts, from: ShardStore, to: Destination): Promise<FoldlogError | undefined> {
  for (let after = 0; ; ) {
    const batch = await from.mutex.own('other', () =>
      from.outbox.waiting(to.store.identity.id, after, { groupsMax: rebaseGroupsMax, bytesMax: rebaseBytesMax }),
    );
    const last = batch.at(-1);
    if (last === undefined) return undefined;
    const fates = await rebaseBatch(ports, to, batch);
    await from.mutex.own('other', async () => {
      from.db.transaction(() => {
        for (const [i, fate] of fates.entries()) {
          if (fate.kind !== 'later') from.outbox.mark((batch[i] as StrandedGroup).n, fate, ports.clock.now());
        }
      });
      await from.flush();
    });
    const passing = fates.find((fate) => fate.kind === 'later');
    if (passing?.kind === 'later') return passing.error;
    after = last.n;
  }
}

async function rebaseBatch(ports: RebasePorts, to: Destination, batch: readonly StrandedGroup[]): Promise<readonly Fate[]> {
  const known = await to.store.mutex.own('other', () => batch.map(({ id }) => to.store.log.find(id)));
  const ready: (Fate | SavedBefore)[] = [];
  for (const [i, group] of batch.entries()) ready.push(known[i] === undefined ? await prepare(ports, to, group) : rebasedAt(to, known[i]));
  // All at once, in order: they share transactions, and each succeeds or fails alone.
  return Promise.all(
    ready.map((next, i) =>
      'kind' in next
        ? next
        : to.saveAgain((batch[i] as StrandedGroup).id, next).then(
            (place) => rebasedAt(to, place),
            (error: unknown) => fateOf(to, error),
          ),
    ),
  );
}

/** What is to be saved, or why nothing is. */
async function prepare(ports: RebasePorts, to: Destination, group: StrandedGroup): Promise<Fate | SavedBefore> {
  const where = `outbox, seq ${group.from.firstSeq} to ${group.from.lastSeq}`;
  try {
    const header = decodeGroupHeader(group.header, where);
    const stranded = readStrandedBody(group.body, header.opCount, where);
    if (stranded.isSystemOnly) return { kind: 'engine' };
    const { ops, body } = rebasedBody(
      group.body,
      stranded,
      {
        kind: 'rebased',
        from: group.from,
        cut: group.cut,
        controlSlot: group.controlSlot,
        born: stranded.rebased === undefined ? undefined : bornIn(stranded.rebased),
        attest: await attestFor(ports, to, group, where),
      },
      where,
    );
    return { ops: ops.map((op) => to.store.folder.read(op)), body, time: header.time };
  } catch (error) {
    return fateOf(to, error);
  }
}

/** Undefined when the key that sealed it seals it again. @throws {FoldlogError} `misuse` `needsAttest` */
async function attestFor(ports: RebasePorts, to: Destination, group: StrandedGroup, where: string): Promise<Attest | undefined> {
  const key = keyIdOf(ports.signer.publicKey);
  if (isSameBytes(group.seal.key, key)) return undefined;
  if (!ports.isAdmin()) {
    throw FoldlogError.misuse({
      where,
      reason: 'needsAttest',
      found: `a group that key ${short(group.seal.key)} sealed`,
      expected: `one that this device sealed (${short(key)}), or a device that is admin here`,
      todo: 'have an admin import it: exportEntry() here, importTail() there',
    });
  }
  const message = attestMessage({ destination: to.store.identity.id, from: group.from, group: group.hash });
  return { key, group: group.hash, signature: await ports.signer.sign(message) };
}

const rebasedAt = (to: Destination, place: GroupPlace): Fate => ({
  kind: 'rebased',
  to: { shard: to.store.identity.id, epoch: place.epoch, lastSeq: place.lastSeq },
});

function fateOf(to: Destination, cause: unknown): Fate {
  if (!(cause instanceof FoldlogError)) throw cause;
  // Taken before, by a save whose answer was lost; where it stood is in a part of the log that is gone.
  if (cause.reason === 'originTaken') {
    return { kind: 'rebased', to: { shard: to.store.identity.id, epoch: to.store.log.base.epoch, lastSeq: undefined } };
  }
  if (passingKinds.has(cause.kind)) return { kind: 'later', error: cause };
  return { kind: 'refused', reason: `${cause.reason}: ${cause.message}` };
}

const passingKinds = new Set<FoldlogError['kind']>(['unavailable', 'unknown', 'storageFull', 'locked', 'fenced', 'reloadNeeded']);
