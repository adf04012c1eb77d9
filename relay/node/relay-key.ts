// The relay's key in its folder: a 32-byte seed as base64url in a file only its owner reads, created once. Two relays starting on
// one fresh folder meet on `link`, so they end with one key. Losing the file means a new relay key in every workspace's control log.

import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { base64urlToBytes, bytesToBase64url } from '../../kernel/bytes.ts';
import { randomSeed } from '../../kernel/ed25519.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Random } from '../../kernel/ports.ts';

/** The seed in `<folder>/relay-key`, made on first use. @throws {FoldlogError} `corrupt` `badRelayKey` */
export async function relaySeed(folder: string, random: Random): Promise<Uint8Array> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'relay-key');
  return (await readSeed(path)) ?? (await createSeed(folder, path, random));
}

async function createSeed(folder: string, path: string, random: Random): Promise<Uint8Array> {
  const temporary = join(folder, `.relay-key-${randomUUID()}`);
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(`${bytesToBase64url(randomSeed(random))}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  // A kill before the link leaves a stray file; the name, once there, always has a whole key behind it.
  try {
    await link(temporary, path);
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause;
  } finally {
    await unlink(temporary);
  }
  const directory = await open(folder, 'r');
  await directory.sync().finally(() => directory.close());
  const seed = await readSeed(path);
  if (seed === undefined) throw badKey(path, 'no file after creating it');
  return seed;
}

async function readSeed(path: string): Promise<Uint8Array | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw cause;
  }
  const line = text.trim();
  if (!/^[\w-]{43}$/.test(line)) throw badKey(path, `${line.length} characters`);
  return base64urlToBytes(line, 'relay-key');
}

const badKey = (path: string, found: string): FoldlogError =>
  FoldlogError.corrupt({
    where: path,
    reason: 'badRelayKey',
    found,
    expected: '43 characters of base64url',
    todo: 'restore the file from a backup; a new key must be declared by an owner of every workspace',
  });
