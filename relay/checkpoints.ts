// Checkpoint statements and their chunks. Chunks are named by their hash and come first; a statement is taken only when all it
// names is there and the log holds the head it speaks of. Statements are numbered and chained like slots, created once.
// What a crash leaves: chunks without a statement (harmless, sent again under the same names) or the whole checkpoint.

import { type Bytes, isSameBytes } from '../kernel/bytes.ts';
import { type Checkpoint, decodeCheckpoint, verifyCheckpoint } from '../kernel/checkpoint.ts';
import { headOf } from '../kernel/commit-group.ts';
import { isRoleAtLeast } from '../kernel/control/acts.ts';
import { type ControlState, deviceOf, isWriterOf, type ShardEntry } from '../kernel/control/fold.ts';
import { sha256 } from '../kernel/digest.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { chunkBytes } from '../kernel/limits.ts';
import { isSameHead } from '../kernel/run.ts';
import { type Hash, noHash, type PublicKey, type Seq, short } from '../kernel/units.ts';
import { objectKeys, type ShardPlace } from '../shards/object-keys.ts';
import type { CommitPorts } from './commit.ts';
import { unknownDevice } from './entitlement.ts';
import { ifAbsent } from './object-store.ts';
import { storeTrouble, storeUnknown } from './refusals.ts';
import { putUntilDecided, type SettlePorts, untilKnown } from './settle.ts';
import { newestNumber, reachOf, readSlot } from './slots.ts';

/** The most a stored chunk may be: deflate adds little to what it cannot shrink. */
export const chunkStoredBytesMax = 2 * chunkBytes;
/** Chunks asked for at once while a statement is checked. */
const chunkChecksAtOnce = 16;

/** @throws {FoldlogError} `corrupt` `wrongHash` · `unknown` */
export async function putChunk(ports: SettlePorts, place: ShardPlace, name: Hash, bytes: Bytes): Promise<void> {
  const found = sha256(bytes);
  if (!isSameBytes(found, name)) {
    throw FoldlogError.corrupt({
      where: `chunk ${short(name)}`,
      reason: 'wrongHash',
      found: short(found),
      expected: 'bytes with that hash',
    });
  }
  const outcome = await putUntilDecided(ports, objectKeys.chunk(place, name), bytes, ifAbsent);
  if (outcome.kind === 'unknown') throw storeUnknown(`chunk ${short(name)}`, outcome.cause);
  // Lost means that it is there: only bytes with this hash were ever put under this name.
}

/** @throws {FoldlogError} `unavailable` `unknownChunk` */
export async function readChunk(ports: SettlePorts, place: ShardPlace, name: Hash): Promise<Bytes> {
  const where = `chunk ${short(name)}`;
  const found = await untilKnown(ports, () => ports.store.get(objectKeys.chunk(place, name)));
  if (found.kind === 'unknown') throw storeTrouble(where, found.cause);
  if (found.kind === 'found') return found.bytes;
  throw new FoldlogError('unavailable', {
    where,
    reason: 'unknownChunk',
    retry: 'later',
    found: 'nothing',
    expected: 'a chunk of this shard',
  });
}

/** The newest statement, as stored. */
export async function newestStatement(ports: SettlePorts, place: ShardPlace): Promise<Bytes | undefined> {
  const number = await newestNumber(ports, (at) => objectKeys.checkpoint(place, at), 0);
  return number === 0 ? undefined : readStatement(ports, place, number);
}

/** The newest statement whose head is not above `upTo`, by bisecting: along the numbers heads never fall. Statements that were deleted lie below all that stand. */
export async function newestStatementUpTo(ports: SettlePorts, place: ShardPlace, upTo: Seq): Promise<Bytes | undefined> {
  let low = 0; // not above, or gone
  let high = (await newestNumber(ports, (at) => objectKeys.checkpoint(place, at), 0)) + 1;
  let found: Bytes | undefined;
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    const bytes = await readStatement(ports, place, middle);
    if (bytes !== undefined && decodeCheckpoint(bytes, `checkpoint ${middle}`).head.seq > upTo) high = middle;
    else {
      low = middle;
      found = bytes ?? found;
    }
  }
  return found;
}

/**
 * Checks a statement and creates it in its place; the same statement again changes nothing.
 * @throws {FoldlogError} `corrupt` `wrongSeal`, `headNotInLog`, `missingChunk` · `misuse` `wrongShard`, `notAllowed`, `unknownDevice` ·
 *   `unavailable` `staleCheckpoint` · `unknown`
 */
export async function putStatement(
  ports: CommitPorts,
  place: ShardPlace,
  rights: { readonly state: ControlState; readonly shard: ShardEntry },
  bytes: Bytes,
): Promise<void> {
  const statement = decodeCheckpoint(bytes, 'checkpoint statement');
  const where = `checkpoint ${statement.number} of ${rights.shard.kind}/${rights.shard.name}`;
  if (!isSameBytes(statement.shard, place.shard)) {
    throw FoldlogError.misuse({
      where,
      reason: 'wrongShard',
      found: `a statement of shard ${short(statement.shard)}`,
      expected: short(place.shard),
    });
  }
  await verifyCheckpoint(ports.verifier, signerOf(statement, rights, where), statement, where);
  if (await isAlreadyThere(ports, place, statement, where)) return;
  await requirePrevious(ports, place, statement, where);
  await requireHeadInLog(ports, place, statement, where);
  await requireChunks(ports, place, statement, where);
  const outcome = await putUntilDecided(ports, objectKeys.checkpoint(place, statement.number), bytes, ifAbsent);
  if (outcome.kind === 'unknown') throw storeUnknown(where, outcome.cause);
  // Lost: to another statement, or to this one landing late.
  if (outcome.kind === 'lost' && !(await isAlreadyThere(ports, place, statement, where)))
    throw stale(where, 'another statement in its place');
}

/** The epoch's writer speaks for its own epoch, an admin for any up to the present one. */
function signerOf(statement: Checkpoint, rights: { state: ControlState; shard: ShardEntry }, where: string): PublicKey {
  const device = deviceOf(rights.state, statement.key);
  if (device === undefined) throw unknownDevice(statement.key);
  const isWriter = isWriterOf(rights.shard, device.id) && statement.epoch === rights.shard.epoch;
  const isAdmin = isRoleAtLeast(device.role, 'admin') && statement.epoch <= rights.shard.epoch;
  if (isWriter || isAdmin) return device.key;
  throw FoldlogError.misuse({
    where,
    reason: 'notAllowed',
    found: `a statement by device ${device.name} for epoch ${statement.epoch}`,
    expected: `one by the writer of epoch ${rights.shard.epoch} or an admin`,
  });
}

async function isAlreadyThere(ports: SettlePorts, place: ShardPlace, statement: Checkpoint, where: string): Promise<boolean> {
  const key = objectKeys.checkpoint(place, statement.number);
  const head = await untilKnown(ports, () => ports.store.head(key));
  if (head.kind === 'unknown') throw storeTrouble(where, head.cause);
  if (head.kind === 'absent') return false;
  if (isSameBytes(head.digest, statement.objectHash)) return true;
  throw stale(where, 'another statement in its place');
}

async function requirePrevious(ports: SettlePorts, place: ShardPlace, statement: Checkpoint, where: string): Promise<void> {
  if (statement.number === 1) {
    if (isSameBytes(statement.prev, noHash)) return;
    throw stale(where, `a previous statement ${short(statement.prev)} for number 1`);
  }
  const bytes = await readStatement(ports, place, statement.number - 1);
  if (bytes === undefined) throw stale(where, `no statement ${statement.number - 1}`);
  const previous = decodeCheckpoint(bytes, `checkpoint ${statement.number - 1}`);
  if (!isSameBytes(previous.objectHash, statement.prev)) throw stale(where, `another statement ${statement.number - 1} than it names`);
  if (statement.head.seq < previous.head.seq)
    throw stale(where, `a head at seq ${statement.head.seq}, below seq ${previous.head.seq} of the last`);
}

async function requireHeadInLog(ports: CommitPorts, place: ShardPlace, statement: Checkpoint, where: string): Promise<void> {
  const stored = await readSlot(ports, place, statement.slot);
  const object = stored?.object;
  if (object !== undefined && isSameBytes(object.objectHash, statement.slotObject) && object.time === statement.slotTime) {
    const { run } = await reachOf(ports.deflate, object);
    if (run?.epoch === statement.epoch && run.groups.some((group) => isSameHead(headOf(group), statement.head))) return;
  }
  throw FoldlogError.corrupt({
    where,
    reason: 'headNotInLog',
    found: `slot ${statement.slot} ${object === undefined ? 'empty' : `holding the object ${short(object.objectHash)}`}`,
    expected: `the object ${short(statement.slotObject)} with a group that ends at seq ${statement.head.seq} (${short(statement.head.hash)})`,
  });
}

async function requireChunks(ports: SettlePorts, place: ShardPlace, statement: Checkpoint, where: string): Promise<void> {
  for (let at = 0; at < statement.chunks.length; at += chunkChecksAtOnce) {
    const chunks = statement.chunks.slice(at, at + chunkChecksAtOnce);
    await Promise.all(
      chunks.map(async ({ hash, storedLength }) => {
        const head = await untilKnown(ports, () => ports.store.head(objectKeys.chunk(place, hash)));
        if (head.kind === 'unknown') throw storeTrouble(where, head.cause);
        if (head.kind === 'found' && head.size === storedLength) return;
        const found = head.kind === 'found' ? `chunk ${short(hash)} of ${head.size} bytes` : `no chunk ${short(hash)}`;
        throw FoldlogError.corrupt({
          where,
          reason: 'missingChunk',
          found,
          expected: `${storedLength} bytes`,
          todo: 'put every chunk first',
        });
      }),
    );
  }
}

async function readStatement(ports: SettlePorts, place: ShardPlace, number: number): Promise<Bytes | undefined> {
  const key = objectKeys.checkpoint(place, number);
  const found = await untilKnown(ports, () => ports.store.get(key));
  if (found.kind === 'unknown') throw storeTrouble(key, found.cause);
  return found.kind === 'absent' ? undefined : found.bytes;
}

const stale = (where: string, found: string): FoldlogError =>
  new FoldlogError('unavailable', {
    where,
    reason: 'staleCheckpoint',
    retry: 'later',
    found,
    expected: 'the next number, chained to the newest statement',
    todo: 'read the newest statement and sign one that follows it',
  });
