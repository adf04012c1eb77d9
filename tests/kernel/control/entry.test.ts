import { describe, expect, test } from 'vitest';
import { type Bytes, concatBytes, utf8 } from '../../../kernel/bytes.ts';
import type { Act } from '../../../kernel/control/acts.ts';
import {
  controlMessage,
  controlSlotBytesMax,
  controlSlotMessage,
  decodeControlEntry,
  decodeControlSlot,
  makeControlSlot,
  signControlEntry,
} from '../../../kernel/control/entry.ts';
import { keyIdOf, objectHash } from '../../../kernel/digest.ts';
import { portableVerifier } from '../../../kernel/ed25519.ts';
import { controlEntryBytesMax } from '../../../kernel/limits.ts';
import { type Hash, slot } from '../../../kernel/units.ts';
import { at, fill, owner, relay, story, workspace } from '../../vectors/cast.ts';

const place = { workspace, prev: fill(3, 32) as Hash };
const act = story[4]?.[1] as Extract<Act, { act: 'shard' }>;
const entry = await signControlEntry(owner, place, [act]);

/** An entry with whatever bytes for acts, signed like any other. */
async function entryOf(acts: Bytes): Promise<Bytes> {
  const head = entry.slice(0, 92);
  new DataView(head.buffer).setUint32(88, acts.length);
  return concatBytes(head, acts, await owner.sign(concatBytes(head, acts)));
}

describe('entry', () => {
  test('it comes back with its author, signed over everything before the signature', async () => {
    const decoded = decodeControlEntry(entry, 'entry');
    expect(decoded).toMatchObject({ ...place, author: keyIdOf(owner.publicKey), acts: [act] });
    expect(decoded.signed).toEqual(entry.slice(0, -64));
    expect(await portableVerifier.verify(owner.publicKey, controlMessage(decoded), decoded.signature)).toBe(true);
  });

  test.each<readonly [string, Bytes, object]>([
    ['no JSON', utf8('[{'), { kind: 'corrupt', reason: 'badJson' }],
    ['JSON with a space', utf8('[ ]'), { kind: 'corrupt', reason: 'badJson' }],
    ['no acts', utf8('[]'), { kind: 'corrupt', reason: 'badAct' }],
    ['a prototype', utf8('[{"__proto__":1}]'), { kind: 'corrupt', reason: 'badJson' }],
    ['bytes that are not UTF-8', fill(0xff, 4), { kind: 'corrupt', reason: 'badUtf8' }],
    ['a newer act', utf8('[{"act":"role"}]'), { kind: 'upgradeNeeded', reason: 'unknownAct' }],
  ])('acts with %s are refused', async (_what, acts, expected) => {
    const bytes = await entryOf(acts);
    expect(() => decodeControlEntry(bytes, 'entry')).toThrow(expect.objectContaining(expected));
  });

  test('what no reader takes is not signed', async () => {
    const bad = { kind: 'misuse', reason: 'badAct' };
    await expect(signControlEntry(owner, place, [])).rejects.toMatchObject(bad);
    await expect(signControlEntry(owner, place, [{ ...act, name: '../x' }])).rejects.toMatchObject(bad);
    await expect(signControlEntry(owner, place, [{ ...act, nonce: fill(1, 15) }])).rejects.toMatchObject(bad);
  });

  test('the largest entry is taken, a larger one neither made nor read', async () => {
    const one = JSON.stringify([act]).length;
    const room = Math.floor((controlEntryBytesMax - 156) / one);
    const most = await signControlEntry(owner, place, new Array<Act>(Math.min(room, 512)).fill(act));
    expect(most.length).toBeLessThanOrEqual(controlEntryBytesMax);
    expect(decodeControlEntry(most, 'entry').acts.length).toBeGreaterThan(100);
    const tooMany = new Array<Act>(512).fill({ ...act, name: 'n'.repeat(64), kind: 'k'.repeat(64) });
    await expect(signControlEntry(owner, place, tooMany)).rejects.toMatchObject({ kind: 'misuse', reason: 'entryTooLarge' });
    const tooLarge = concatBytes(most, new Uint8Array(controlEntryBytesMax));
    expect(() => decodeControlEntry(tooLarge, 'entry')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'entryTooLarge' }));
  });
});

describe('slot object', () => {
  test('it holds the entry byte for byte, under the relay’s signature', async () => {
    const at5 = { workspace, slot: slot(5), time: at(9) };
    const bytes = await makeControlSlot(relay, at5, entry);
    const object = decodeControlSlot(bytes, 'slot 5');
    expect(object).toMatchObject({ ...at5, relayKey: keyIdOf(relay.publicKey), objectHash: objectHash(bytes) });
    expect(object.entry).toEqual(decodeControlEntry(entry, 'entry'));
    const message = controlSlotMessage(object);
    expect(await portableVerifier.verify(relay.publicKey, message, object.relaySignature)).toBe(true);
    expect(bytes.length).toBeLessThan(controlSlotBytesMax);
  });

  test('around the largest entry it stays within its bound', () => {
    expect(controlSlotBytesMax).toBeGreaterThanOrEqual(52 + controlEntryBytesMax + 88);
  });
});
