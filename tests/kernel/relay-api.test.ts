import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { chunkFromPath, decodeFrames, encodeFrames, relayPaths, shardFromPath, workspaceFromPath } from '../../kernel/relay-api.ts';
import { type Hash, seq, slot } from '../../kernel/units.ts';
import { fill, tillShard, workspace } from '../vectors/cast.ts';

describe('paths', () => {
  const chunk = fill(7, 32) as Hash;
  const base = `/v1/workspaces/${bytesToHex(workspace)}`;
  const shard = `${base}/shards/${bytesToHex(tillShard)}`;

  test('they spell ids in hex and numbers in decimal', () => {
    expect({
      relay: relayPaths.relay,
      control: relayPaths.control(workspace, slot(3)),
      controlAppend: relayPaths.controlAppend(workspace),
      push: relayPaths.push(workspace, tillShard),
      log: relayPaths.log(workspace, tillShard, slot(2), 65_536),
      checkpoints: relayPaths.checkpoints(workspace, tillShard),
      newestCheckpoint: relayPaths.newestCheckpoint(workspace, tillShard),
      newestUpTo: relayPaths.newestCheckpoint(workspace, tillShard, seq(12)),
      chunk: relayPaths.chunk(workspace, tillShard, chunk),
    }).toEqual({
      relay: '/v1/relay',
      control: `${base}/control?after=3`,
      controlAppend: `${base}/control`,
      push: `${shard}/push`,
      log: `${shard}/log?after=2&bytes=65536`,
      checkpoints: `${shard}/checkpoints`,
      newestCheckpoint: `${shard}/checkpoints/newest`,
      newestUpTo: `${shard}/checkpoints/newest?upTo=12`,
      chunk: `${shard}/chunks/${bytesToHex(chunk)}`,
    });
  });

  test('ids in them are read back', () => {
    expect(workspaceFromPath(bytesToHex(workspace))).toEqual(workspace);
    expect(shardFromPath(bytesToHex(tillShard))).toEqual(tillShard);
    expect(chunkFromPath(bytesToHex(chunk))).toEqual(chunk);
  });

  // Bad input 28 of the reliability notes: what is not exactly an id never reaches a key.
  test.each([
    '',
    '..',
    '../'.repeat(6),
    '%2e%2e',
    'A'.repeat(32),
    'g'.repeat(32),
    'a'.repeat(31),
    'a'.repeat(1025),
    '🧀'.repeat(16),
    ':'.repeat(64),
  ])('%j is no id', (text) => {
    const badHex = expect.objectContaining({ kind: 'corrupt', reason: 'badHex' });
    for (const read of [workspaceFromPath, shardFromPath, chunkFromPath]) expect(() => read(text)).toThrow(badHex);
  });
});

describe('frames', () => {
  test('any objects come back in order, empty ones too', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (objects) => {
        expect(decodeFrames(encodeFrames(objects), 'answer').map((bytes) => [...bytes])).toEqual(objects.map((bytes) => [...bytes]));
      }),
    );
  });

  test('a frame longer than the answer is corrupt, and nothing is allocated for it', () => {
    expect(() => decodeFrames(Uint8Array.of(0xff, 0xff, 0xff, 0xff), 'answer')).toThrow(
      expect.objectContaining({ kind: 'corrupt', reason: 'truncated' }),
    );
  });
});
