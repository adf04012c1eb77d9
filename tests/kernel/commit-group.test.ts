import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSameBytes, utf8 } from '../../kernel/bytes.ts';
import {
  bodyHashOf,
  decodeGroupHeader,
  encodeGroupHeader,
  groupHashOf,
  groupHeaderBytes,
  headOf,
  isBodyOf,
  lastSeqOf,
  linkGroup,
} from '../../kernel/commit-group.ts';
import { chainStart, epoch, groupId, type Hash, integerMax, type Seq, timeMs } from '../../kernel/units.ts';
import { fill, tillShard } from '../vectors/cast.ts';
import { layouts } from '../vectors/layouts.ts';
import { anyHeader } from './support/arbitraries.ts';

const parts = {
  shard: tillShard,
  epoch: epoch(1),
  after: chainStart,
  opCount: 3,
  time: timeMs(5),
  id: groupId(fill(7, 16)),
  salt: fill(8, 16),
  body: utf8('[["a",1,0],["a",1,0],["a",1,0]]'),
};

describe('header', () => {
  test('any header comes back, in 136 bytes', () => {
    fc.assert(
      fc.property(anyHeader, (header) => {
        const bytes = encodeGroupHeader(header);
        expect(decodeGroupHeader(bytes, 'test')).toEqual(header);
        return bytes.length === groupHeaderBytes;
      }),
    );
  });

  test('every field is in the hash', () => {
    const { header } = linkGroup(parts);
    const bytes = encodeGroupHeader(header);
    const hashes = new Set<string>([groupHashOf(bytes).join()]);
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ 1;
      hashes.add(groupHashOf(changed).join());
    }
    expect(hashes.size).toBe(bytes.length + 1);
    expect(layouts['group-header'].reduce((sum, [, size]) => sum + size, 0)).toBe(bytes.length);
  });

  test('a group whose last op could not be counted is corrupt', () => {
    const { header } = linkGroup(parts);
    const last = { ...header, firstSeq: (integerMax - 2) as Seq };
    expect(lastSeqOf(decodeGroupHeader(encodeGroupHeader(last), 'test'))).toBe(integerMax);
    const beyond = encodeGroupHeader({ ...header, firstSeq: (integerMax - 1) as Seq });
    expect(() => decodeGroupHeader(beyond, 'test')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'outOfBounds' }));
  });

  test('another codec is corrupt', () => {
    const bytes = encodeGroupHeader({ ...linkGroup(parts).header, codec: 2 });
    expect(() => decodeGroupHeader(bytes, 'test')).toThrow(expect.objectContaining({ reason: 'badCodec' }));
  });
});

describe('linking', () => {
  test('groups follow one another by seq and hash', () => {
    const first = linkGroup(parts);
    const second = linkGroup({ ...parts, after: headOf(first) });
    expect(headOf(first)).toEqual({ seq: 3, hash: first.hash });
    expect(second.header).toMatchObject({ firstSeq: 4, prev: first.hash });
    expect(lastSeqOf(second.header)).toBe(6);
    expect(first.hash).toEqual(groupHashOf(encodeGroupHeader(first.header)));
  });

  test('a body hash computed elsewhere is taken', () => {
    const bodyHash = fill(1, 32) as Hash;
    expect(linkGroup({ ...parts, bodyHash }).header.bodyHash).toBe(bodyHash);
    expect(linkGroup(parts).header.bodyHash).toEqual(bodyHashOf(parts.salt, parts.body));
  });

  test('only salt and body of the header are its body', () => {
    const { header } = linkGroup(parts);
    expect(isBodyOf(header, parts.salt, parts.body)).toBe(true);
    expect(isBodyOf(header, fill(9, 16), parts.body)).toBe(false);
    expect(isBodyOf(header, parts.salt, parts.body.slice(1))).toBe(false);
    expect(
      isBodyOf(
        header,
        parts.salt,
        Uint8Array.from(parts.body, (byte) => byte ^ 1),
      ),
    ).toBe(false);
  });

  test('salt and body have their places: moving a byte from one to the other is another hash', () => {
    const [a, b] = [bodyHashOf(fill(1, 16), fill(1, 16)), bodyHashOf(fill(1, 15), fill(1, 16))];
    expect(isSameBytes(a, b)).toBe(false);
  });
});
