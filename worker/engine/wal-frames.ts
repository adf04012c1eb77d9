// Tells a damaged WAL from one whose end was lost. SQLite reads a WAL up to the first frame that does not add up and forgets the rest without a word:
// right for the torn end of a transaction that nobody was told about, wrong for a commit that was acknowledged. Every commit is flushed before the
// next begins, so a frame that does not add up is damage when a later commit stands behind it. In the last commit damage and a torn write look
// alike, except for a single flipped bit, which a torn write does not leave. Layout and checksum: sqlite.org/fileformat.html#walformat. Pure.

export type WalState = 'sound' | { readonly damagedAt: 'header' | number };

const headerBytes = 32;
const frameHeadBytes = 24;
const magic = 0x377f0682;

/** A running checksum: two words of 32 bits. */
type Sum = readonly [number, number];

interface Wal {
  readonly view: DataView;
  /** Of the words that are summed: the byte order of the machine that made the file. */
  readonly isLittle: boolean;
  readonly salt: Sum;
  readonly frameBytes: number;
  readonly frames: number;
}

/** Reads all of the file once, as SQLite does when it opens it. */
export function judgeWal(bytes: Uint8Array): WalState {
  if (bytes.length < headerBytes) return 'sound'; // no commit fits in it
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stored = sumAt(view, 24);
  const computed = addUp(view, 0, 24, [0, 0], isLittle(view));
  if (!isSame(stored, computed)) return isHeaderOneBitOff(view) ? { damagedAt: 'header' } : 'sound';
  const frameBytes = frameHeadBytes + view.getUint32(8);
  const frames = Math.floor((bytes.length - headerBytes) / frameBytes);
  const wal: Wal = { view, isLittle: isLittle(view), salt: sumAt(view, 16), frameBytes, frames };
  let sum = stored;
  for (let i = 0; i < frames; i++) {
    if (!isOfThisWal(wal, i) || !addsUp(wal, i, sum)) {
      return isFrameOneBitOff(wal, i, sum) || hasCommitBehind(wal, i) ? { damagedAt: i } : 'sound';
    }
    sum = storedSum(wal, i);
  }
  return 'sound';
}

const frameAt = (wal: Wal, i: number): number => headerBytes + i * wal.frameBytes;
const storedSum = (wal: Wal, i: number): Sum => sumAt(wal.view, frameAt(wal, i) + 16);
const isCommit = (wal: Wal, i: number): boolean => wal.view.getUint32(frameAt(wal, i) + 4) !== 0;
const isOfThisWal = (wal: Wal, i: number): boolean => isSame(sumAt(wal.view, frameAt(wal, i) + 8), wal.salt);
const addsUp = (wal: Wal, i: number, before: Sum): boolean => isSame(frameSum(wal, i, before), storedSum(wal, i));

/** Over page number, commit mark and page; the salts are compared instead. */
function frameSum(wal: Wal, i: number, before: Sum): Sum {
  const at = frameAt(wal, i);
  const head = addUp(wal.view, at, at + 8, before, wal.isLittle);
  return addUp(wal.view, at + frameHeadBytes, at + wal.frameBytes, head, wal.isLittle);
}

/**
 * Whether a frame of a later transaction follows: what a torn end never has. Each frame is judged from the stored sum of the one before. A bad copy of a
 * commit frame ends no transaction here: what follows it may be the one that the power cut came in.
 */
function hasCommitBehind(wal: Wal, bad: number): boolean {
  let isPastCommit = false;
  for (let i = isCopyOfCommit(wal, bad) ? bad + 1 : bad; i < wal.frames; i++) {
    if (!isOfThisWal(wal, i)) continue;
    if (isPastCommit && addsUp(wal, i, storedSum(wal, i - 1))) return true;
    isPastCommit ||= isCommit(wal, i);
  }
  return false;
}

/**
 * SQLite fills the disk sector behind a commit with a copy of its last frame and flushes in the middle of it: the rest of the copy is on disk with the flush
 * of the next commit only, and nothing is lost without it.
 */
function isCopyOfCommit(wal: Wal, i: number): boolean {
  if (i === 0 || !isCommit(wal, i - 1) || !isCommit(wal, i)) return false;
  return wal.view.getUint32(frameAt(wal, i)) === wal.view.getUint32(frameAt(wal, i - 1));
}

function isFrameOneBitOff(wal: Wal, i: number, before: Sum): boolean {
  const computed = frameSum(wal, i, before);
  const stored = storedSum(wal, i);
  const bitsOffSalt = bitsApart(sumAt(wal.view, frameAt(wal, i) + 8), wal.salt);
  if (bitsOffSalt > 0) return bitsOffSalt === 1 && isSame(computed, stored);
  return bitsApart(computed, stored) === 1 || isOneInputBitOff(wal.frameBytes - frameHeadBytes + 8, computed, stored);
}

/**
 * Whether flipping one bit of the summed bytes turns `computed` into `stored`. The sum is linear: a word that is off by e moves both halves by multiples
 * of e that depend on its place alone, and those follow from one another, last pair of words first.
 */
function isOneInputBitOff(length: number, computed: Sum, stored: Sum): boolean {
  const off: Sum = [(stored[0] - computed[0]) | 0, (stored[1] - computed[1]) | 0];
  let first: Sum = [1, 1]; // what the first word of a pair does to both halves
  let second: Sum = [0, 1];
  for (let pairs = length / 8; pairs > 0; pairs--) {
    if (isMultipleByOneBit(first, off) || isMultipleByOneBit(second, off)) return true;
    first = onePairOn(first);
    second = onePairOn(second);
  }
  return false;
}

function isMultipleByOneBit([a, b]: Sum, [offA, offB]: Sum): boolean {
  for (let bit = 0; bit < 32; bit++) {
    const [x, y] = [a << bit, b << bit];
    if ((x === offA && y === offB) || ((-x | 0) === offA && (-y | 0) === offB)) return true;
  }
  return false;
}

function onePairOn([a, b]: Sum): Sum {
  const moved = (a + b) | 0;
  return [moved, (b + moved) | 0];
}

/** Few enough bytes to try each bit. */
function isHeaderOneBitOff(view: DataView): boolean {
  const tried = new DataView(new ArrayBuffer(headerBytes));
  for (let i = 0; i < headerBytes; i++) tried.setUint8(i, view.getUint8(i));
  for (let bit = 0; bit < headerBytes * 8; bit++) {
    const at = bit >> 3;
    const flipped = tried.getUint8(at) ^ (1 << (bit & 7));
    tried.setUint8(at, flipped);
    const isWhole = (tried.getUint32(0) & ~1) === magic && isSame(sumAt(tried, 24), addUp(tried, 0, 24, [0, 0], isLittle(tried)));
    if (isWhole) return true;
    tried.setUint8(at, flipped ^ (1 << (bit & 7)));
  }
  return false;
}

const isLittle = (view: DataView): boolean => (view.getUint32(0) & 1) === 0;
const sumAt = (view: DataView, at: number): Sum => [view.getUint32(at), view.getUint32(at + 4)];
const isSame = (one: Sum, other: Sum): boolean => one[0] === other[0] && one[1] === other[1];

function addUp(view: DataView, from: number, to: number, before: Sum, isLittleEndian: boolean): Sum {
  let [a, b] = before;
  for (let at = from; at < to; at += 8) {
    a = (a + view.getUint32(at, isLittleEndian) + b) | 0;
    b = (b + view.getUint32(at + 4, isLittleEndian) + a) | 0;
  }
  return [a >>> 0, b >>> 0];
}

function bitsApart(one: Sum, other: Sum): number {
  let count = 0;
  for (const word of [one[0] ^ other[0], one[1] ^ other[1]]) for (let rest = word >>> 0; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}
