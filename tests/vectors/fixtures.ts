// Reads fixtures and vectors from the repository, for tests that run in Node.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bytes } from '../../kernel/bytes.ts';
import type { Objects } from './read-folder.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export const readBytes = (path: string): Bytes => new Uint8Array(readFileSync(join(root, path)));

export const readJson = <T>(path: string): T => JSON.parse(readFileSync(join(root, path), 'utf8')) as T;

/** Objects of a folder by key. */
export function readObjects(path: string): Map<string, Bytes> {
  const folder = join(root, path);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(
    files
      .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
      .sort()
      .map((key) => [key, new Uint8Array(readFileSync(join(folder, key)))]),
  );
}

export function writeObjects(folder: string, objects: Objects): void {
  for (const [key, bytes] of objects) {
    mkdirSync(dirname(join(folder, key)), { recursive: true });
    writeFileSync(join(folder, key), bytes);
  }
}
