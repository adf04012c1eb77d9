// The disk that a power cut meets: writes stay in this worker's memory until their file is flushed, and a kill takes them along. As an operating
// system does, it writes back by itself what has waited long enough, oldest first, flushed or not. What reaches the real file in order is what a
// power cut leaves behind; reordered and torn writes are the simulator's (tests/worker/save-kill.test.ts).
import { bytesOf, type SyncFile } from './sync-file.ts';

/** What a kill leaves: `kept` all that was written, as under a system that goes on; `cut` what was flushed, and what was written back in time. */
export type Disk = 'kept' | 'cut';

/** Writes that wait at most: some commits of one op, and a fraction of a rewrite. */
const waitingMax = 64;

interface Waiting {
  readonly file: CachedFile;
  readonly apply: () => void;
}

/** In the order they were made, over all files. */
let waiting: Waiting[] = [];

export class CachedFile implements SyncFile {
  readonly #disk: SyncFile;
  /** What a reader sees: the file with all that waits. */
  #image: Uint8Array;
  #size: number;

  constructor(disk: SyncFile) {
    this.#disk = disk;
    this.#size = disk.getSize();
    this.#image = new Uint8Array(this.#size);
    disk.read(this.#image, { at: 0 });
  }

  read(buffer: ArrayBufferView, { at = 0 } = {}): number {
    const found = this.#image.subarray(at, Math.min(this.#size, at + buffer.byteLength));
    bytesOf(buffer).set(found);
    return found.length;
  }

  write(buffer: ArrayBufferView, { at = 0 } = {}): number {
    const bytes = bytesOf(buffer).slice();
    this.#resize(Math.max(this.#size, at + bytes.length));
    this.#image.set(bytes, at);
    this.#wait(() => this.#disk.write(bytes, { at }));
    return bytes.length;
  }

  truncate(size: number): void {
    this.#resize(size);
    this.#wait(() => this.#disk.truncate(size));
  }

  getSize(): number {
    return this.#size;
  }

  flush(): void {
    this.#writeBack();
    this.#disk.flush();
  }

  /** An operating system keeps what a closed file still owes its disk; here it is written back. */
  close(): void {
    this.#writeBack();
    this.#disk.close();
  }

  #wait(apply: () => void): void {
    waiting.push({ file: this, apply });
    if (waiting.length > waitingMax) waiting.shift()?.apply();
  }

  #writeBack(): void {
    for (const { file, apply } of waiting) if (file === this) apply();
    waiting = waiting.filter(({ file }) => file !== this);
  }

  #resize(size: number): void {
    if (size > this.#image.length) {
      const grown = new Uint8Array(Math.max(size, 2 * this.#image.length));
      grown.set(this.#image);
      this.#image = grown;
    }
    this.#image.fill(0, Math.min(size, this.#size), Math.max(size, this.#size));
    this.#size = size;
  }
}
