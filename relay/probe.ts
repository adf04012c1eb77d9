// The contract probe: whether a store really keeps what safety rests on, found by racing it. A relay on a store that fails serves
// nobody (decision 0008). Known to fail: s3rver, which ignores conditions. It cannot prove a store right, only catch it wrong.

import { bytesToHex, isSameBytes, utf8 } from '../kernel/bytes.ts';
import { sha256 } from '../kernel/digest.ts';
import { FoldlogError } from '../kernel/errors.ts';
import { objectKeys } from '../shards/object-keys.ts';
import { type Etag, ifAbsent, ifMatch, type PutCondition, type Stored } from './object-store.ts';
import { storeTrouble } from './refusals.ts';
import { putUntilDecided, type SettlePorts, untilKnown } from './settle.ts';

const racers = 8;

/**
 * Races the store under fresh names and removes them again.
 * @throws {FoldlogError} `misuse` `storeContract`: names the promise that failed · `unavailable`: the store does not answer
 */
export async function probeStore(ports: SettlePorts): Promise<void> {
  const life = bytesToHex(ports.random.bytes(8));
  const created = objectKeys.probe(life, 'create');
  const missing = objectKeys.probe(life, 'missing');
  try {
    const first = await race(ports, created, ifAbsent, 'create-only');
    await requireLost(ports, created, ifAbsent, 'create-only on a taken key');
    await requireDigest(ports, created, first);
    const second = await race(ports, created, ifMatch(first.etag), 'If-Match');
    await requireLost(ports, created, ifMatch(first.etag), 'If-Match with a replaced state');
    await requireDigest(ports, created, second);
    await requireLost(ports, missing, ifMatch(second.etag), 'If-Match on a missing key');
  } finally {
    for (const key of [created, missing]) await ports.store.delete(key);
  }
}

/** Eight puts of different bytes at once under one condition: one may win, and its bytes are what a read then sees. */
async function race(ports: SettlePorts, key: string, condition: PutCondition, promise: string): Promise<Stored> {
  const bodies = Array.from({ length: racers }, (_, i) => utf8(`${promise} ${i} ${bytesToHex(ports.random.bytes(8))}`));
  const outcomes = await Promise.all(bodies.map((body) => putUntilDecided(ports, key, body, condition)));
  const winners: { readonly body: Uint8Array; readonly etag: Etag }[] = [];
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.kind === 'unknown') throw storeTrouble(`probe of ${promise}`, outcome.cause);
    if (outcome.kind === 'written') winners.push({ body: bodies[i] as Uint8Array, etag: outcome.etag });
  }
  if (winners.length > 1) throw broken(promise, `${winners.length} winners`, `one of ${racers}`);
  const stored = await untilKnown(ports, () => ports.store.get(key));
  if (stored.kind === 'unknown') throw storeTrouble(`probe of ${promise}`, stored.cause);
  // No winner is possible when the winning put had first answered `unknown`; then a racer's bytes stand there all the same.
  const written = winners[0]?.body ?? bodies.find((body) => stored.kind === 'found' && isSameBytes(body, stored.bytes));
  if (stored.kind === 'absent' || written === undefined || !isSameBytes(stored.bytes, written)) {
    throw broken(`${promise}, then a read`, stored.kind === 'absent' ? 'nothing' : 'other bytes', "the winner's bytes");
  }
  if (winners[0] !== undefined && winners[0].etag !== stored.etag) {
    throw broken(`${promise}, then a read`, 'another ETag than the put gave', 'one ETag for one state');
  }
  return stored;
}

async function requireLost(ports: SettlePorts, key: string, condition: PutCondition, promise: string): Promise<void> {
  const outcome = await putUntilDecided(ports, key, utf8(`late ${bytesToHex(ports.random.bytes(8))}`), condition);
  if (outcome.kind === 'unknown') throw storeTrouble(`probe of ${promise}`, outcome.cause);
  if (outcome.kind === 'written') throw broken(promise, 'a put that was accepted', 'a put that is refused');
}

async function requireDigest(ports: SettlePorts, key: string, stored: Stored): Promise<void> {
  const head = await untilKnown(ports, () => ports.store.head(key));
  if (head.kind === 'unknown') throw storeTrouble('probe of the digest', head.cause);
  const isRight = head.kind === 'found' && head.size === stored.bytes.length && isSameBytes(head.digest, sha256(stored.bytes));
  if (!isRight) throw broken('digest of the last write', head.kind === 'found' ? 'another digest' : 'nothing', "the bytes' SHA-256");
}

const broken = (promise: string, found: string, expected: string): FoldlogError =>
  FoldlogError.misuse({
    where: `store contract: ${promise}`,
    reason: 'storeContract',
    found,
    expected,
    todo: 'use a store that honours conditional writes; this relay serves nobody from this one',
  });
