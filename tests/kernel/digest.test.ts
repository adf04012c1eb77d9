import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, concatBytes, utf8 } from '../../kernel/bytes.ts';
import { keyIdOf, objectHash, sha256, shardIdOf, type Tag, tagged, taggedHash } from '../../kernel/digest.ts';
import { publicKey, workspaceId } from '../../kernel/units.ts';

const tags: readonly Tag[] = ['body', 'group', 'seal', 'commit', 'fence', 'receipt', 'control', 'control-slot'];
const nodeSha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('digests', () => {
  test('SHA-256 is SHA-256, and an object hash is that of all its bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const expected = nodeSha256(bytes);
        return bytesToHex(sha256(bytes)) === expected && bytesToHex(objectHash(bytes)) === expected;
      }),
    );
  });

  test('a tagged hash is that of the joined message, however it is cut', () => {
    fc.assert(
      fc.property(fc.constantFrom(...tags), fc.array(fc.uint8Array({ maxLength: 40 })), (tag, parts) => {
        const message = tagged(tag, ...parts);
        const expected = concatBytes(utf8(`foldlog/v1/${tag}\0`), ...parts);
        return bytesToHex(message) === bytesToHex(expected) && bytesToHex(taggedHash(tag, ...parts)) === nodeSha256(message);
      }),
    );
  });

  test('one message under two tags has two hashes, also when a tag begins like another', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        const control = bytesToHex(tagged('control', a));
        return !bytesToHex(tagged('control-slot', b)).startsWith(control) && control !== bytesToHex(tagged('control-slot', b));
      }),
    );
  });
});

describe('ids', () => {
  const key = publicKey(new Uint8Array(32).fill(7));
  const workspace = workspaceId(new Uint8Array(32).fill(8));

  test('a key id covers suite and key', () => {
    const message = concatBytes(utf8('foldlog/v1/key\0'), Uint8Array.of(1), key);
    expect(bytesToHex(keyIdOf(key))).toBe(nodeSha256(message).slice(0, 32));
  });

  test('a shard id covers workspace and nonce', () => {
    const nonce = new Uint8Array(16).fill(9);
    const other = workspaceId(new Uint8Array(32).fill(9));
    expect(shardIdOf(workspace, nonce)).toHaveLength(16);
    expect(shardIdOf(other, nonce)).not.toEqual(shardIdOf(workspace, nonce));
    expect(shardIdOf(workspace, new Uint8Array(16))).not.toEqual(shardIdOf(workspace, nonce));
  });
});
