// Whether this worker can really keep a file in the origin private file system: written, flushed, closed, opened again, read. Some browsers have
// every name of it and refuse every call, some refuse only the handle that writes synchronously (decision 0006).

import { isSameBytes } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { Random } from '../../kernel/ports.ts';

/**
 * The caller holds the store's Web Lock. Costs a few milliseconds; the file stays, a few bytes beside the store's own folder.
 * @throws {FoldlogError} `unavailable` `storageFailed` when it reads back something else; whatever the browser throws
 */
export async function probeOpfs(store: string, random: Random): Promise<void> {
  const { storage } = navigator as { readonly storage?: Partial<StorageManager> };
  const getDirectory = storage?.getDirectory?.bind(storage);
  if (getDirectory === undefined) throw failure(storage === undefined ? 'no navigator.storage' : 'no getDirectory');
  const root = await getDirectory();
  const folder = await root.getDirectoryHandle('foldlog', { create: true });
  const file = await folder.getFileHandle(`${store}.probe`, { create: true });
  const token = random.bytes(16);
  const written = await file.createSyncAccessHandle();
  try {
    written.truncate(0);
    written.write(token, { at: 0 });
    written.flush();
  } finally {
    written.close();
  }
  const found = new Uint8Array(token.length);
  const read = await file.createSyncAccessHandle();
  try {
    read.read(found, { at: 0 });
  } finally {
    read.close();
  }
  if (isSameBytes(found, token)) return;
  throw failure('a file that reads back something else');
}

const failure = (found: string): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'OPFS',
    reason: 'storageFailed',
    found,
    expected: 'a file that keeps what was written and flushed',
  });
