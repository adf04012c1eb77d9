// Where a bit can flip in what a device stored, by what stands there: slots of the pool, pages by their table, WAL by its frames; and the same for files
// over IndexedDB. Shared by the sweeps; knows the layouts on its own, so that it does not follow the engine's mistakes.

import type { SimDevice } from './sim-device.ts';
import type { DiskImage } from './sim-disk.ts';

export interface Spot {
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
export function spotsIn(image: DiskImage, ownerOf: (file: string, page: number) => string): readonly Spot[] {
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
