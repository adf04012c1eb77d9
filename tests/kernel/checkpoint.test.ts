import { beforeAll, describe, expect, test } from 'vitest';
import type { Bytes } from '../../kernel/bytes.ts';
import {
  type Checkpoint,
  type CheckpointFacts,
  checkpointBytesMax,
  decodeCheckpoint,
  signCheckpoint,
  verifyCheckpoint,
} from '../../kernel/checkpoint.ts';
import { keyIdOf, objectHash } from '../../kernel/digest.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { chunkBytes, chunksMax } from '../../kernel/limits.ts';
import { epoch, type Hash, noHash, seq, slot, timeMs } from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { fill, owner, till, tillShard } from '../vectors/cast.ts';

const chunk = (mark: number) => ({ hash: fill(mark, 32) as Hash, storedLength: 2 * chunkBytes, rawLength: chunkBytes });
const facts: CheckpointFacts = {
  shard: tillShard,
  number: 2,
  prev: fill(1, 32) as Hash,
  epoch: epoch(1),
  head: { seq: seq(9), hash: fill(2, 32) as Hash },
  slot: slot(4),
  slotObject: fill(3, 32) as Hash,
  slotTime: timeMs(7),
  schemaVersion: 1,
  foldId: fill(4, 32) as Hash,
  stateHash: fill(5, 32) as Hash,
  time: timeMs(8),
  controlHead: noHash,
  chunks: [chunk(6), chunk(7)],
};
const wrongSeal = { kind: 'corrupt', reason: 'wrongSeal' };

let bytes: Bytes;
let statement: Checkpoint;
beforeAll(async () => {
  bytes = await signCheckpoint(till, facts);
  statement = decodeCheckpoint(bytes, 'checkpoint 2');
});

describe('statement', () => {
  test('it comes back with its signer and its own hash', async () => {
    expect(statement).toMatchObject({ ...facts, key: keyIdOf(till.publicKey), objectHash: objectHash(bytes) });
    await verifyCheckpoint(portableVerifier, till.publicKey, statement, 'checkpoint 2');
    expect(await signCheckpoint(till, statement)).toEqual(bytes);
  });

  test('under another key, or another name, it is refused', async () => {
    await expect(verifyCheckpoint(portableVerifier, owner.publicKey, statement, 'c')).rejects.toMatchObject(wrongSeal);
    const misnamed = decodeCheckpoint(await signCheckpoint({ ...till, publicKey: owner.publicKey }, facts), 'c');
    await expect(verifyCheckpoint(portableVerifier, till.publicKey, misnamed, 'c')).rejects.toMatchObject(wrongSeal);
  });

  test('every bit is under the signature', async () => {
    const verifier = webVerifier();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const outcome = await Promise.resolve()
        .then(() => verifyCheckpoint(verifier, till.publicKey, decodeCheckpoint(flipped, 'c'), 'c'))
        .catch((error: unknown) => error);
      expect(outcome, `bit ${bit}`).toMatchObject({ name: 'FoldlogError' });
    }
  });

  test('the most chunks there may be fit the bound on its size', async () => {
    const most = await signCheckpoint(till, { ...facts, chunks: new Array(chunksMax).fill(chunk(1)) });
    expect(most).toHaveLength(checkpointBytesMax);
    expect(decodeCheckpoint(most, 'c').chunks).toHaveLength(chunksMax);
  });

  test.each<readonly [string, Partial<CheckpointFacts>]>([
    ['no chunks', { chunks: [] }],
    ['a chunk too many', { chunks: new Array(chunksMax + 1).fill(chunk(1)) }],
    ['a chunk of nothing', { chunks: [{ ...chunk(1), rawLength: 0 }] }],
    ['a stored chunk of nothing', { chunks: [{ ...chunk(1), storedLength: 0 }] }],
    ['a chunk too large', { chunks: [{ ...chunk(1), rawLength: chunkBytes + 1 }] }],
    ['a stored chunk too large', { chunks: [{ ...chunk(1), storedLength: 2 * chunkBytes + 1 }] }],
    ['number 0', { number: 0 }],
    ['schema version 0', { schemaVersion: 0 }],
    ['seq 0', { head: { seq: seq(0), hash: noHash } }],
    ['slot 0', { slot: slot(0) }],
  ])('one with %s is corrupt', async (_what, change) => {
    const made = await signCheckpoint(till, { ...facts, ...change });
    expect(() => decodeCheckpoint(made, 'c')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'outOfBounds' }));
  });
});
