import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSameBytes } from '../../kernel/bytes.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { decodeReceipt, encodeReceipt, makeReceipt, receiptBytes, verifyReceipt } from '../../kernel/receipt.ts';
import { epoch, type Hash, seq, slot, timeMs } from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { fill, life, owner, relay, till, tillShard, workspace } from '../vectors/cast.ts';
import { anyReceipt } from './support/arbitraries.ts';

const facts = {
  workspace,
  incarnation: life,
  shard: tillShard,
  epoch: epoch(1),
  writer: keyIdOf(till.publicKey),
  controlSlot: slot(0),
  slot: slot(3),
  head: { seq: seq(9), hash: fill(1, 32) as Hash },
  objectHash: fill(2, 32) as Hash,
  shardBytes: 999,
  time: timeMs(5),
};
const wrongReceipt = { kind: 'corrupt', reason: 'wrongReceipt' };

describe('receipt', () => {
  test('any receipt comes back, in 276 bytes', () => {
    fc.assert(
      fc.property(anyReceipt, (receipt) => {
        const bytes = encodeReceipt(receipt);
        expect(decodeReceipt(bytes, 'test')).toEqual(receipt);
        return bytes.length === receiptBytes;
      }),
    );
  });

  test('it verifies under the relay that signed it', async () => {
    const bytes = await makeReceipt(relay, facts);
    const receipt = decodeReceipt(bytes, 'test');
    expect(receipt).toMatchObject({ ...facts, relayKey: keyIdOf(relay.publicKey) });
    expect(isSameBytes(encodeReceipt(receipt), bytes)).toBe(true);
    await verifyReceipt(portableVerifier, relay.publicKey, receipt, 'test');
  });

  test('under another key, or another name, it is refused', async () => {
    const receipt = decodeReceipt(await makeReceipt(relay, facts), 'test');
    await expect(verifyReceipt(portableVerifier, owner.publicKey, receipt, 'test')).rejects.toMatchObject(wrongReceipt);
    const misnamed = decodeReceipt(await makeReceipt({ ...relay, publicKey: owner.publicKey }, facts), 'test');
    await expect(verifyReceipt(portableVerifier, relay.publicKey, misnamed, 'test')).rejects.toMatchObject(wrongReceipt);
  });

  test('every bit is under the signature', async () => {
    const verifier = webVerifier();
    const bytes = await makeReceipt(relay, facts);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const outcome = await Promise.resolve()
        .then(() => verifyReceipt(verifier, relay.publicKey, decodeReceipt(flipped, 'test'), 'test'))
        .catch((error: unknown) => error);
      expect(outcome, `bit ${bit}`).toMatchObject({ name: 'FoldlogError' });
    }
  });
});
