// The fuse: stops this worker for good at its n-th change of storage, so that a kill meets it at exactly that point. It counts what the shipped code
// does to its files and to IndexedDB, tells the driver that it is there by a request that is never answered, and
// waits in that request for its end. Whatever still runs when the driver hangs up is dead to its files: it neither reads nor changes them.
import { bytesOf, type SyncFile } from './sync-file.ts';

export interface Fuse {
  /** Which call, counted from the moment the fuse is set; the first is 1. */
  readonly call: number;
  /** What counts: every change, or only what makes changes durable. Between a flush and its answer lies the moment an acknowledgement rests on. */
  readonly of: 'changes' | 'flushes';
  /** `half`: the first half of what it writes has reached the file, the rest never does; calls that write nothing stop before. */
  readonly stop: 'before' | 'half' | 'after';
  /** Asked when it blows. */
  readonly url: string;
}

/** What the page posts to its worker to set a fuse. */
export interface FuseMessage {
  readonly fuse: Fuse;
}

let fuse: Fuse | undefined;
let calls = 0;
let isDead = false;

/** Listens for fuses. Before the engine is served: its port must not see them. */
export function takeFuses(): void {
  addEventListener('message', (event: MessageEvent<FuseMessage | undefined>) => {
    if (event.data?.fuse === undefined) return;
    event.stopImmediatePropagation();
    fuse = event.data.fuse;
    calls = 0;
  });
}

export function fused(file: SyncFile): SyncFile {
  return {
    read: (buffer, options) => alive(() => file.read(buffer, options)),
    getSize: () => alive(() => file.getSize()),
    close: () => alive(() => file.close()),
    flush: () => step('flush', () => file.flush()),
    truncate: (size) => step('truncate', () => file.truncate(size)),
    write(buffer, options) {
      const half = bytesOf(buffer).subarray(0, buffer.byteLength >> 1);
      return step(
        'write',
        () => file.write(buffer, options),
        () => file.write(half, options),
      );
    },
  };
}

/** Changes of IndexedDB: the vault's, and the storage's own where it lives there. A transaction counts as flushed when its end is told. */
export function fuseIndexedDb(): void {
  const stores = IDBObjectStore.prototype;
  const { put, add, delete: remove, clear } = stores;
  stores.put = function (...args) {
    return step('put', () => put.apply(this, args));
  };
  stores.add = function (...args) {
    return step('add', () => add.apply(this, args));
  };
  stores.delete = function (...args) {
    return step('delete', () => remove.apply(this, args));
  };
  stores.clear = function () {
    return step('clear', () => clear.call(this));
  };
  const databases = IDBDatabase.prototype;
  const { transaction } = databases;
  databases.transaction = function (...args) {
    const begun = transaction.apply(this, args);
    if (begun.mode === 'readwrite') begun.addEventListener('complete', () => step('flush', () => undefined)); // heard before the app hears it
    return begun;
  };
}

function step<T>(name: string, run: () => T, half?: () => void): T {
  if (isDead) throw dead();
  if (fuse === undefined || (fuse.of === 'flushes' && name !== 'flush') || ++calls < fuse.call) return run();
  if (fuse.stop === 'half') half?.();
  if (fuse.stop === 'after') run();
  isDead = true;
  try {
    const request = new XMLHttpRequest();
    request.open('POST', `${fuse.url}&operation=${name}`, false);
    request.send();
  } catch {
    // The driver hung up: the order to end this worker is given, and only waits for its thread.
  }
  throw dead();
}

function alive<T>(run: () => T): T {
  if (isDead) throw dead();
  return run();
}

const dead = (): DOMException => new DOMException('the fuse of this worker has blown', 'InvalidStateError');
