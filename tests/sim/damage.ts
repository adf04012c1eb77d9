// Where a bit can flip in what a device stored, by what stands there: slots of the pool, pages by their table, WAL by its frames; and the same for files
// over IndexedDB. Shared by the sweeps; knows the layouts on its own, so that it does not follow the engine's mistakes.

import type { Database } from '../../worker/engine/database.ts';
import type { SimDevice } from './sim-device.ts';
import type { DiskImage, SimDisk } from './sim-disk.ts';
import type { SimPageStore } from './sim-page-store.ts';

/** One bit somewhere: `flip` flips it, and again back. */
export interface Flip {
  readonly region: string;
  readonly where: string;
  readonly flip: () => void;
}

export interface Damage {
  /** Everything as it was when the flips were chosen. */
  readonly restore: () => void;
  readonly flips: readonly Flip[];
}

interface Spot {
  readonly region: string;
  readonly path: string;
  readonly from: number;
  readonly length: number;
}

const contentAt = 4096;
const pageBytes = 8192;

const ascii = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** File of ours in each slot that holds one. */
export function filesIn(image: DiskImage): ReadonlyMap<string, string> {
  const named = new Map<string, string>();
  for (const [path, bytes] of image) {
    if (!path.includes('/.opaque/') || bytes[0] === 0) continue;
    named.set(path, ascii(bytes.subarray(0, bytes.indexOf(0))));
  }
  return named;
}

/** Every region of every file, with `ownerOf` saying which table a page belongs to. */
function spotsIn(image: DiskImage, ownerOf: (file: string, page: number) => string): readonly Spot[] {
  const spots: Spot[] = [];
  for (const [path, file] of filesIn(image)) {
    const bytes = image.get(path) as Uint8Array;
    const add = (region: string, from: number, length: number): void => {
      if (length > 0) spots.push({ region: `${file.replace(/s-[0-9a-f]+/, 'shard')} ${region}`, path, from, length });
    };
    add('slot path', 0, file.length);
    add('slot flags', 512, 4);
    add('slot digest', 516, 8);
    const size = bytes.length - contentAt;
    if (file.endsWith('-wal')) {
      add('wal header', contentAt, Math.min(32, size));
      for (let at = contentAt + 32; at + 24 + pageBytes <= bytes.length; at += 24 + pageBytes) {
        add('wal frame header', at, 24);
        add('wal frame page', at + 24, pageBytes);
      }
      continue;
    }
    add('database header', contentAt, Math.min(100, size));
    for (let page = 1; page * pageBytes <= size; page++) {
      add(
        `page of ${ownerOf(file, page)}`,
        contentAt + (page - 1) * pageBytes + (page === 1 ? 100 : 0),
        pageBytes - (page === 1 ? 100 : 0),
      );
    }
  }
  return spots;
}

/** Table of each page, from SQLite's own account of an open database. */
export async function pageOwners(device: SimDevice, handle: string): Promise<ReadonlyMap<number, string>> {
  const { store } = device.engine.shard(handle);
  const rows = store.db.all<{ name: string; pageno: number }>('SELECT name, pageno FROM dbstat');
  return new Map(rows.map(({ name, pageno }) => [pageno, name]));
}

/** Seeded bits of every region of every file of a stopped disk. */
export function diskFlips(disk: SimDisk, owners: ReadonlyMap<number, string>, random: () => number, bitsPerSpot: number): Damage {
  const image = disk.image();
  const ownerOf = (file: string, page: number): string =>
    file.startsWith('/s-') ? (owners.get(page) ?? 'the free list') : 'the workspace';
  const flips = chosen(spotsIn(image, ownerOf), random).flatMap(({ region, path, from, length }) =>
    bitsIn(length, random, bitsPerSpot).map(({ at, bit }) => ({
      region,
      where: `byte ${at}, bit ${bit}`,
      flip: () => disk.flipBit(path, from + at, bit),
    })),
  );
  return { restore: () => disk.load(image), flips };
}

/** Seeded bits of the pages and records of a stopped page store: bytes of pages, and every number that stands beside them. */
export function pageFlips(pages: SimPageStore, random: () => number, bitsPerSpot: number): Damage {
  const before = pages.state;
  const flips: Flip[] = [];
  const add = (region: string, length: number, flipIn: (state: PageState, at: number, bit: number) => void): void => {
    for (const { at, bit } of bitsIn(length, random, bitsPerSpot)) {
      flips.push({ region, where: `at ${at}, bit ${bit}`, flip: () => pages.edit((state) => flipIn(state, at, bit)) });
    }
  };
  for (const field of ['epoch', 'batch', 'check']) {
    add(`owner ${field}`, 1, (state, _, bit) => {
      state.owner = withBit(state.owner, field, bit);
    });
  }
  for (const file of pages.fileNames()) {
    const name = file.replace(/s-[0-9a-f]+/, 'shard');
    for (const field of ['pageBytes', 'pages', 'generation', 'pagesSum', 'check']) {
      add(`${name} record ${field}`, 1, (state, _, bit) => void state.files.set(file, withBit(state.files.get(file), field, bit)));
    }
    add(`${name} page sum`, pages.pageCount(file), (state, at, bit) => {
      const of = state.pages.get(file);
      of?.set(at, withBit(of.get(at), 'sum', bit));
    });
    add(`${name} page bytes`, pages.pageCount(file) * pageBytes, (state, at, bit) => {
      const of = state.pages.get(file);
      const page = Math.floor(at / pageBytes);
      const record = of?.get(page) as { readonly bytes: Uint8Array };
      const bytes = record.bytes.slice();
      bytes[at % pageBytes] = (bytes[at % pageBytes] as number) ^ (1 << bit);
      of?.set(page, { ...record, bytes });
    });
  }
  return { restore: () => pages.load(before), flips };
}

type PageState = Parameters<Parameters<SimPageStore['edit']>[0]>[0];

function withBit(record: unknown, field: string, bit: number): unknown {
  const value = (record as Readonly<Record<string, number>>)[field] as number;
  return { ...(record as object), [field]: (value ^ (1 << bit)) >>> 0 };
}

/** Some bits of a region: one near its beginning, where counts and pointers stand, and others anywhere. */
function bitsIn(length: number, random: () => number, count: number): readonly { readonly at: number; readonly bit: number }[] {
  return Array.from({ length: count }, (_, i) => ({
    at: Math.floor(random() * (i === 0 ? Math.min(length, 12) : length)),
    bit: Math.floor(random() * 8),
  }));
}

/** Of the many pages and frames of one region the first, the last and one between. */
function chosen(spots: readonly Spot[], random: () => number): readonly Spot[] {
  const regions = [...new Set(spots.map(({ region }) => region))];
  return regions.flatMap((region) => {
    const some = spots.filter((spot) => spot.region === region);
    return some.length <= 3 ? some : [some[0] as Spot, some[Math.floor(random() * some.length)] as Spot, some.at(-1) as Spot];
  });
}

/** NULLs where none may be: what a bad page looks like to quick_check. */
export function spoil(db: Database): void {
  const sql = db.value(`SELECT sql FROM sqlite_schema WHERE name = 'total'`) as string;
  const rewrite = (text: string): void => {
    db.finalizeStatements();
    db.exec('PRAGMA writable_schema=ON');
    db.run(`UPDATE sqlite_schema SET sql = ? WHERE name = 'total'`, [text]);
    db.finalizeStatements();
    db.exec('PRAGMA writable_schema=RESET');
  };
  rewrite(sql.replace(/"?qty"? INTEGER NOT NULL/, 'qty INTEGER'));
  db.run('UPDATE total SET qty = NULL');
  rewrite(sql);
}
