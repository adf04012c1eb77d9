// The floors: what this browser needs at least to put bytes on its disk, without SQLite and without an engine. Runs in a worker, because only
// there a file can be flushed. Leaves nothing behind.

import type { FloorKind, FloorOrder, FloorResult } from './floors.ts';

/** The part of a synchronous access handle used here; the DOM library knows it only for workers. */
interface SyncHandle {
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  flush(): void;
  close(): void;
}

const name = 'foldlog-selftest-floor';

const floors: Readonly<Record<FloorKind, (order: FloorOrder) => Promise<number[]>>> = { opfs: writeAndFlush, indexedDb: strictPut };

addEventListener('message', async ({ data: order }: MessageEvent<FloorOrder>) => {
  let result: FloorResult;
  try {
    result = { kind: 'measured', times: await floors[order.floor](order) };
  } catch (cause) {
    result = { kind: 'lacking', words: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause) };
  }
  postMessage(result);
});

/** Appends to a file of the origin private file system, flushed each time. */
async function writeAndFlush({ bytes, count }: FloorOrder): Promise<number[]> {
  const root = await navigator.storage.getDirectory();
  const file = await root.getFileHandle(name, { create: true });
  const handle = await (file as unknown as { createSyncAccessHandle(): Promise<SyncHandle> }).createSyncAccessHandle();
  const payload = new Uint8Array(bytes).fill(7);
  try {
    return Array.from({ length: count }, (_, i) => {
      const from = performance.now();
      handle.write(payload, { at: i * bytes });
      handle.flush();
      return performance.now() - from;
    });
  } finally {
    handle.close();
    await root.removeEntry(name);
  }
}

/** Puts one record into IndexedDB, each in a strict transaction awaited to its end. */
async function strictPut({ bytes, count }: FloorOrder): Promise<number[]> {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore('record');
  const db = await settled(opening);
  const payload = new Uint8Array(bytes).fill(7);
  const times: number[] = [];
  try {
    for (let i = 0; i < count; i++) {
      const from = performance.now();
      const transaction = db.transaction('record', 'readwrite', { durability: 'strict' });
      transaction.objectStore('record').put(payload, i);
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
      });
      times.push(performance.now() - from);
    }
    return times;
  } finally {
    db.close();
    await settled(indexedDB.deleteDatabase(name));
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the request failed'));
  });
}
