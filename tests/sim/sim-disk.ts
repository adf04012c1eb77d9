// A simulated OPFS under the unmodified pool VFS of SQLite-WASM: exists to inject what a real disk cannot do on demand, a stop at any
// chosen I/O call and the loss of what was not flushed. One disk is one browser profile; booting again after a stop sees what survived.

/** Bytes by path. */
export type DiskImage = ReadonlyMap<string, Uint8Array>;

/**
 * What survives a stop. `kill`: all that was written, flushed or not. `power`: flushed bytes, and of the rest a seeded part, torn anywhere. `powerOrdered`: flushed bytes,
 * and of the rest what was written first, up to a seeded byte.
 */
export type StopMode = 'kill' | 'power' | 'powerOrdered';

/**
 * How one call to the disk goes wrong while the machine goes on. `full`, `short`, `huge`: a write that throws, writes half, or answers 2^32 - 8 as one
 * browser does. `flush`: a flush that throws. `readShort`, `readThrows`: for once.
 */
export type CallFault = 'full' | 'short' | 'huge' | 'flush' | 'readShort' | 'readThrows';
export type DiskCall = 'read' | 'write' | 'flush' | 'truncate';

export class Stopped extends Error {
  override readonly name = 'Stopped';
}

type Change =
  | { readonly kind: 'write'; readonly at: number; readonly data: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number };

/** `order`: among the changes of all files. */
type Pending = Change & { readonly order: number };

interface SimFile {
  /** What a power cut leaves for sure, and what a running process sees; both change in place. */
  flushed: Contents;
  current: Contents;
  pending: Pending[];
}

export class SimDisk {
  readonly #files = new Map<string, SimFile>();
  readonly #held = new Set<string>();
  #calls = 0;
  #stopAt: number | undefined;
  #isStopped = false;
  #life = 0;
  #failFrom: number | undefined;
  #failTo = 0;
  /** A disk that says "flushed" and did nothing: the control that a power-cut test must catch. */
  liesAboutFlush = false;
  /** Asked before each call: what goes wrong with it. */
  faultOf: ((call: DiskCall) => CallFault | undefined) | undefined;
  #order = 0;
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** I/O calls so far. */
  get calls(): number {
    return this.#calls;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Stops the machine at the `call`-th I/O call from now: that call and all after it throw. */
  stopAfter(call: number): void {
    this.#stopAt = this.#calls + call;
  }

  /** The `call`-th I/O call from now and `count - 1` after it throw; then all is well again. */
  failAfter(call: number, count = 1): void {
    this.#failFrom = this.#calls + call;
    this.#failTo = this.#failFrom + count;
  }

  stopNow(): void {
    this.#isStopped = true;
  }

  /** Starts the machine again: handles are free, and only what survived is there. */
  restart(mode: StopMode): void {
    const keptTo = mode === 'powerOrdered' ? this.#cutPoint() : 0;
    for (const file of this.#files.values()) {
      // A killed process leaves what it wrote to the operating system: read as before, and still to be lost in a power cut.
      if (mode === 'kill') continue;
      if (mode === 'power') this.#loseSome(file);
      else this.#loseAfter(file, keptTo);
      file.current = file.flushed.copy();
      file.pending = [];
    }
    this.#held.clear();
    this.#isStopped = false;
    this.#stopAt = undefined;
    this.#life++;
  }

  /** Flips one bit of one file: what a bad disk does. */
  flipBit(path: string, at: number, bit = 0): void {
    const file = this.#file(path);
    for (const contents of [file.current, file.flushed]) {
      const bytes = contents.bytes();
      bytes[at] = (bytes[at] as number) ^ (1 << bit);
    }
  }

  /** Size of a file. */
  sizeOf(path: string): number {
    return this.#file(path).current.bytes().length;
  }

  /** All files as they are, to be put back as often as wanted: one way here, many ways on. */
  image(): DiskImage {
    return new Map([...this.#files].map(([path, { current }]) => [path, current.bytes().slice()]));
  }

  /** Puts the files of an image in the place of all that is there. The machine is stopped. */
  load(image: DiskImage): void {
    this.#files.clear();
    for (const [path, data] of image) {
      this.create(path);
      this.apply(path, { kind: 'write', at: 0, data });
      this.flush(path);
    }
  }

  paths(): readonly string[] {
    return [...this.#files.keys()];
  }

  has(path: string): boolean {
    return this.#files.has(path);
  }

  create(path: string): void {
    if (!this.#files.has(path)) this.#files.set(path, { flushed: new Contents(), current: new Contents(), pending: [] });
  }

  remove(path: string): void {
    this.#files.delete(path);
  }

  get life(): number {
    return this.#life;
  }

  /** What a dead process still tries comes to nothing. */
  requireLife(life: number): void {
    if (this.#isStopped || life !== this.#life) throw new Stopped('the machine stopped');
  }

  openHandle(path: string, life: number): SimHandle {
    this.requireLife(life);
    if (this.#held.has(path)) throw Object.assign(new Error('held elsewhere'), { name: 'NoModificationAllowedError' });
    this.#held.add(path);
    return new SimHandle(this, path, this.#life);
  }

  release(path: string): void {
    this.#held.delete(path);
  }

  /** Counts a call and stops when its time has come. A handle of an earlier life belongs to a dead process. */
  tick(life: number): void {
    this.#calls++;
    if (this.#stopAt !== undefined && this.#calls >= this.#stopAt) this.#isStopped = true;
    if (this.#isStopped || life !== this.#life) throw new Stopped('the machine stopped');
    if (this.#failFrom !== undefined && this.#calls >= this.#failFrom && this.#calls < this.#failTo) {
      throw Object.assign(new Error('the disk failed this call'), { name: 'QuotaExceededError' });
    }
  }

  read(path: string): Uint8Array {
    return this.#file(path).current.bytes();
  }

  apply(path: string, change: Change): void {
    const file = this.#file(path);
    file.current.apply(change);
    file.pending.push({ ...change, order: this.#order++ });
  }

  flush(path: string): void {
    if (this.liesAboutFlush) return;
    const file = this.#file(path);
    for (const change of file.pending.splice(0)) file.flushed.apply(change);
  }

  #file(path: string): SimFile {
    const file = this.#files.get(path);
    if (file === undefined) throw Object.assign(new Error(`no file ${path}`), { name: 'NotFoundError' });
    return file;
  }

  /** Order of the change that the power cut came in. */
  #cutPoint(): number {
    const orders = [...this.#files.values()].flatMap(({ pending }) => pending.map(({ order }) => order)).sort((a, b) => a - b);
    return orders[Math.floor(this.#random() * orders.length)] ?? -1;
  }

  #loseAfter(file: SimFile, keptTo: number): void {
    for (const change of file.pending) {
      if (change.order < keptTo) file.flushed.apply(change);
      else if (change.order === keptTo && change.kind === 'write') {
        file.flushed.apply({ ...change, data: change.data.subarray(0, Math.floor(this.#random() * change.data.length)) });
      }
    }
  }

  /** Unflushed changes may be lost, kept or torn, each on its own: storage reorders what was not flushed. */
  #loseSome(file: SimFile): void {
    for (const change of file.pending) {
      const fate = this.#random();
      if (fate < 0.4) continue;
      if (change.kind === 'write' && fate < 0.6) {
        const part = Math.floor(this.#random() * change.data.length);
        file.flushed.apply({ ...change, data: change.data.subarray(0, part) });
      } else {
        file.flushed.apply(change);
      }
    }
  }
}

/** Bytes of a file that grow in place: a write costs what it writes, not what the file holds. */
class Contents {
  #buffer = new Uint8Array(4096);
  #size = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#size);
  }

  copy(): Contents {
    const copy = new Contents();
    copy.#buffer = this.#buffer.slice();
    copy.#size = this.#size;
    return copy;
  }

  apply(change: Change): void {
    if (change.kind === 'truncate') {
      this.#reserve(change.size);
      this.#buffer.fill(0, Math.min(change.size, this.#size), Math.max(change.size, this.#size));
      this.#size = change.size;
      return;
    }
    const end = change.at + change.data.length;
    this.#reserve(end);
    this.#buffer.set(change.data, change.at);
    this.#size = Math.max(this.#size, end);
  }

  #reserve(size: number): void {
    if (size <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(size, 2 * this.#buffer.length));
    larger.set(this.#buffer.subarray(0, this.#size));
    this.#buffer = larger;
  }
}

/** FileSystemSyncAccessHandle, as far as the pool uses it. */
export class SimHandle {
  readonly #disk: SimDisk;
  readonly #path: string;
  readonly #life: number;

  constructor(disk: SimDisk, path: string, life: number) {
    this.#disk = disk;
    this.#path = path;
    this.#life = life;
  }

  read(into: Uint8Array, options: { readonly at?: number } = {}): number {
    this.#disk.tick(this.#life);
    const fault = this.#disk.faultOf?.('read');
    if (fault === 'readThrows') throw Object.assign(new Error('the disk failed this read'), { name: 'NotReadableError' });
    const bytes = this.#disk.read(this.#path);
    const at = options.at ?? 0;
    const whole = Math.max(0, Math.min(into.byteLength, bytes.length - at));
    const count = fault === 'readShort' ? Math.floor(whole / 2) : whole;
    new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes.subarray(at, at + count));
    return count;
  }

  write(from: Uint8Array, options: { readonly at?: number } = {}): number {
    this.#disk.tick(this.#life);
    const fault = this.#disk.faultOf?.('write');
    if (fault === 'full') throw Object.assign(new Error('no room'), { name: 'QuotaExceededError' });
    if (fault === 'huge') return 0xfffffff8;
    const length = fault === 'short' ? Math.floor(from.byteLength / 2) : from.byteLength;
    const data = new Uint8Array(from.buffer, from.byteOffset, length).slice();
    this.#disk.apply(this.#path, { kind: 'write', at: options.at ?? 0, data });
    return data.length;
  }

  flush(): void {
    this.#disk.tick(this.#life);
    if (this.#disk.faultOf?.('flush') === 'flush')
      throw Object.assign(new Error('the disk failed this flush'), { name: 'InvalidStateError' });
    this.#disk.flush(this.#path);
  }

  truncate(size: number): void {
    this.#disk.tick(this.#life);
    this.#disk.apply(this.#path, { kind: 'truncate', size });
  }

  getSize(): number {
    return this.#disk.read(this.#path).length;
  }

  close(): void {
    this.#disk.release(this.#path);
  }
}

/** The file-system classes the pool looks for among the globals. */
class SimFileHandle {
  readonly kind = 'file';
  readonly name: string;
  readonly #disk: SimDisk;
  readonly #path: string;
  readonly #life: number;

  constructor(disk: SimDisk, path: string, life: number) {
    this.#disk = disk;
    this.#path = path;
    this.#life = life;
    this.name = path.split('/').pop() ?? '';
  }

  async createSyncAccessHandle(): Promise<SimHandle> {
    return this.#disk.openHandle(this.#path, this.#life);
  }
}

class SimDirectory {
  readonly kind = 'directory';
  readonly name: string;
  readonly #disk: SimDisk;
  readonly #path: string;
  readonly #life: number;

  constructor(disk: SimDisk, path: string, life: number) {
    this.#disk = disk;
    this.#path = path;
    this.#life = life;
    this.name = path.split('/').pop() ?? '';
  }

  async getDirectoryHandle(name: string): Promise<SimDirectory> {
    return new SimDirectory(this.#disk, `${this.#path}/${name}`, this.#life);
  }

  async *keys(): AsyncGenerator<string> {
    for await (const [name] of this) yield name;
  }

  async getFileHandle(name: string, options: { readonly create?: boolean } = {}): Promise<SimFileHandle> {
    this.#disk.requireLife(this.#life);
    const path = `${this.#path}/${name}`;
    if (!this.#disk.has(path)) {
      if (options.create !== true) throw Object.assign(new Error('not there'), { name: 'NotFoundError' });
      this.#disk.create(path);
    }
    return new SimFileHandle(this.#disk, path, this.#life);
  }

  async removeEntry(name: string): Promise<void> {
    this.#disk.requireLife(this.#life);
    this.#disk.remove(`${this.#path}/${name}`);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<[string, SimFileHandle]> {
    for (const path of this.#disk.paths()) {
      const rest = path.slice(this.#path.length + 1);
      if (path.startsWith(`${this.#path}/`) && !rest.includes('/')) yield [rest, new SimFileHandle(this.#disk, path, this.#life)];
    }
  }
}

/** Makes `disk` the one that the next pool installation finds. The pool keeps its directory handle, so disks may take turns. */
export function activate(disk: SimDisk): SimDirectory {
  const { life } = disk;
  const scope = globalThis as unknown as Record<string, unknown>;
  scope.FileSystemHandle = class {};
  scope.FileSystemFileHandle = SimFileHandle;
  scope.FileSystemDirectoryHandle = SimDirectory;
  scope.FileSystemSyncAccessHandle = SimHandle;
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { storage: { getDirectory: async () => new SimDirectory(disk, '', life) }, userAgent: 'simulated' },
  });
  return new SimDirectory(disk, '', life);
}
