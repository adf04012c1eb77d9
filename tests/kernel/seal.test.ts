import { describe, expect, test } from 'vitest';
import { keyIdOf } from '../../kernel/digest.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { encodeSeal, makeSeal, readSeal, type Seal, type SealedPosition, sealBytes, verifySeal } from '../../kernel/seal.ts';
import { epoch, type Hash, type KeyId, seq, shardId } from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import { fill, owner, till, tillShard } from '../vectors/cast.ts';

const position: SealedPosition = { shard: tillShard, epoch: epoch(2), head: { seq: seq(5), hash: fill(1, 32) as Hash } };
const believed = { controlHead: fill(2, 32) as Hash, headsSeen: fill(3, 32) as Hash };
const seal = await makeSeal(till, position, believed);

const verify = (at: SealedPosition, by: Seal, key = till.publicKey) => verifySeal(portableVerifier, key, at, by, 'test');
const wrongSeal = { kind: 'corrupt', reason: 'wrongSeal' };

describe('seal', () => {
  test('it is stored in 144 bytes and comes back', () => {
    const bytes = encodeSeal(seal);
    expect(bytes).toHaveLength(sealBytes);
    expect(readSeal(new Reader(bytes, 'test'))).toEqual(seal);
  });

  test('it verifies over its position by its key', async () => {
    await verify(position, seal);
    expect(seal).toMatchObject({ key: keyIdOf(till.publicKey), ...believed });
  });

  test.each<readonly [string, SealedPosition]>([
    ['another shard', { ...position, shard: shardId(fill(9, 16)) }],
    ['another epoch', { ...position, epoch: epoch(3) }],
    ['another seq', { ...position, head: { ...position.head, seq: seq(6) } }],
    ['another group', { ...position, head: { ...position.head, hash: fill(4, 32) as Hash } }],
  ])('it is refused over %s', async (_what, other) => {
    await expect(verify(other, seal)).rejects.toMatchObject(wrongSeal);
  });

  test.each<readonly [string, Partial<Seal>]>([
    ['another control head', { controlHead: fill(5, 32) as Hash }],
    ['other heads seen', { headsSeen: fill(5, 32) as Hash }],
    ['another key id', { key: fill(5, 16) as KeyId }],
  ])('it is refused with %s', async (_what, change) => {
    await expect(verify(position, { ...seal, ...change })).rejects.toMatchObject(wrongSeal);
  });

  test('it is refused as another key’s, also when that key signed the very same words', async () => {
    await expect(verify(position, seal, owner.publicKey)).rejects.toMatchObject(wrongSeal);
    const borrowed = await makeSeal({ ...owner, publicKey: till.publicKey }, position, believed);
    await expect(verify(position, borrowed)).rejects.toMatchObject(wrongSeal);
  });

  test('a signature that verifies under a key the seal does not name is refused', async () => {
    const misnamed = await makeSeal({ ...till, publicKey: owner.publicKey }, position, believed);
    await expect(verify(position, misnamed, till.publicKey)).rejects.toMatchObject(wrongSeal);
  });
});
