// Looks at the slots of the OPFS pool before the pool does. A slot is one opaque file: 4 KB that say which file of ours it holds, then that file. The
// pool takes a slot whose head does not match its digest for an empty one and cuts its content off, so one flipped bit would cost a database, or
// the WAL that holds the newest commits. Here such a slot is found first, and nothing is opened. Layout: SQLite-WASM's opfs-sahpool, fixed by its
// own promise never to change it.

import { looseTextFromUtf8 } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';

/** Of the origin's file system, what the look needs (fs.spec.whatwg.org). */
export interface SlotFolder {
  getDirectoryHandle(name: string): Promise<SlotFolder>;
  getFileHandle(name: string): Promise<{ createSyncAccessHandle(): Promise<SlotHandle> }>;
  keys(): AsyncIterable<string>;
}

interface SlotHandle {
  read(into: Uint8Array<ArrayBuffer>, options: { readonly at: number }): number;
  getSize(): number;
  close(): void;
}

const pathBytes = 512;
const digestAt = 516;
const headBytes = 524;
const contentAt = 4096;

/** SQLite's open flags, as the pool stores them. */
const flagDigest = 0x80; // SQLITE_OPEN_MEMORY, used for "this slot's digest counts"
const flagDeleteOnClose = 0x8;
const persistentTypes = 0x100 | 0x800 | 0x4000 | 0x80000; // database, its journal, super journal, WAL

/**
 * `free`: no file, one on its way in or out, or nothing but a head, so that the pool may do with it as it likes. `named`: its file is whole as far
 * as the head goes. `damaged`: the pool would cut off what it holds.
 */
export function judgeSlot(head: Uint8Array<ArrayBuffer>, size: number): 'free' | 'named' | 'damaged' {
  if (size <= contentAt) return 'free';
  const view = new DataView(head.buffer, head.byteOffset, headBytes);
  // The pool writes path and digest one after the other: a stop in between leaves one of the two without the other, which no flipped bit does.
  const isOnItsWay = head[0] === 0 || (view.getUint32(digestAt) === 0 && view.getUint32(digestAt + 4) === 0);
  if (isOnItsWay) return 'free';
  const flags = view.getUint32(pathBytes);
  const isKept = (flags & flagDigest) !== 0 && (flags & flagDeleteOnClose) === 0 && (flags & persistentTypes) !== 0;
  const [a, b] = digestOf(head);
  return isKept && view.getUint32(digestAt, true) === a && view.getUint32(digestAt + 4, true) === b ? 'named' : 'damaged';
}

/**
 * The caller holds the store's Web Lock, and no pool is installed yet.
 * @throws {FoldlogError} `corrupt` `damagedSlot`, with nothing changed; whatever the browser throws when a file is held
 */
export async function requireSoundSlots(root: SlotFolder, directory: string): Promise<void> {
  const folder = await slotsOf(root, directory);
  if (folder === undefined) return;
  const names: string[] = [];
  for await (const name of folder.keys()) names.push(name);
  await Promise.all(names.map((name) => requireSoundSlot(folder, name)));
}

async function requireSoundSlot(folder: SlotFolder, name: string): Promise<void> {
  const handle = await (await folder.getFileHandle(name)).createSyncAccessHandle();
  const head = new Uint8Array(headBytes);
  let size: number;
  try {
    handle.read(head, { at: 0 });
    size = handle.getSize();
  } finally {
    handle.close();
  }
  if (judgeSlot(head, size) !== 'damaged') return;
  throw FoldlogError.corrupt({
    where: `OPFS pool, slot ${name}`,
    reason: 'damagedSlot',
    found: `${size - contentAt} bytes of ${nameIn(head)} under a head that does not match its digest`,
    expected: 'the head as it was written',
    todo: 'nothing was opened or changed; keep it as it is, or start a new store and follow what was committed',
  });
}

async function slotsOf(root: SlotFolder, directory: string): Promise<SlotFolder | undefined> {
  try {
    let folder = root;
    for (const name of [...directory.split('/').filter((part) => part !== ''), '.opaque']) folder = await folder.getDirectoryHandle(name);
    return folder;
  } catch (cause) {
    if ((cause as { readonly name?: unknown } | null)?.name === 'NotFoundError') return undefined; // a store that never was
    throw cause;
  }
}

/** For the message: what still reads as one of our names. */
function nameIn(head: Uint8Array<ArrayBuffer>): string {
  const end = head.subarray(0, pathBytes).indexOf(0);
  const text = looseTextFromUtf8(head.subarray(0, Math.max(0, end)));
  return /^\/[\w./-]+$/.test(text) ? text : 'a file';
}

function digestOf(head: Uint8Array): readonly [number, number] {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let i = 0; i < digestAt; i++) {
    a = Math.imul(a ^ (head[i] as number), 0x9e3779b1);
    b = Math.imul(b ^ (head[i] as number), 0x19919);
  }
  return [a >>> 0, b >>> 0];
}
