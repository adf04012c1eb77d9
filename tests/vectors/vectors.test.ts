import { describe, expect, test } from 'vitest';
import { bytesToHex, hexToBytes, isSameBytes } from '../../kernel/bytes.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { decodeOps, encodeOps } from '../../kernel/op-body.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { readBytes, readJson, readObjects } from './fixtures.ts';
import type { BodyVector } from './make-bodies.ts';
import { inputPaths, makeFiles } from './make-files.ts';
import { readFolder } from './read-folder.ts';

const folder = 'tests/fixtures/format/1/objects';

describe('generated files', () => {
  test('vectors, fixtures and worked hex are what scripts/make-vectors.mjs writes', async () => {
    const formatText = new TextDecoder().decode(readBytes(inputPaths.formatText));
    const files = await makeFiles({ image: readBytes(inputPaths.image), formatText });
    for (const [path, bytes] of files) expect(isSameBytes(readBytes(path), bytes), path).toBe(true);
    const made = [...files.keys()].filter((path) => path.startsWith(folder));
    expect([...readObjects(folder).keys()].map((key) => `${folder}/${key}`)).toEqual(made.sort());
  });
});

describe('fixture folder of format 1', () => {
  test('it verifies under both verifiers', async () => {
    const objects = readObjects(folder);
    const lines = await readFolder(webVerifier(), objects);
    expect(lines).toHaveLength(4);
    expect(lines[1]).toContain('slots 3, groups 6, ops 7, void 0, erased 1, epoch 1');
    expect(await readFolder(portableVerifier, objects)).toEqual(lines);
  });

  test('one flipped bit in any object is found', async () => {
    const verifier = webVerifier();
    const objects = readObjects(folder);
    let tried = 0;
    for (const [key, bytes] of objects) {
      for (let bit = 0; bit < bytes.length * 8; bit += 173) {
        const damaged = bytes.slice();
        damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
        const outcome = await readFolder(verifier, new Map([...objects, [key, damaged]])).catch((e: unknown) => e);
        expect(outcome, `${key} bit ${bit}`).toBeInstanceOf(FoldlogError);
        expect(['corrupt', 'upgradeNeeded'], `${key} bit ${bit}`).toContain((outcome as FoldlogError).kind);
        tried++;
      }
    }
    expect(tried).toBeGreaterThan(150);
  });
});

describe('body vectors', () => {
  const vectors = readJson<readonly BodyVector[]>('tests/vectors/bodies.json');

  test.each(vectors)('$name', ({ hex, opCount, valid }) => {
    const body = hexToBytes(hex);
    if (valid) {
      expect(bytesToHex(encodeOps(decodeOps(body, opCount, 'body'), 'body'))).toBe(hex);
    } else {
      expect(() => decodeOps(body, opCount, 'body')).toThrow(expect.objectContaining({ kind: 'corrupt', reason: 'badBody' }));
    }
  });
});
