// A database file as an array of pages in memory. A page's bytes never change once they are in: a write puts another array in their place, so a
// reference taken at a commit, for a flush or for a look, stays what it was. Nothing here knows SQLite or the store.

import type { Bytes } from '../../../kernel/bytes.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import { PageSums } from './page-sum.ts';
import { pageBytes } from './stored.ts';

/** What one commit changed. */
export interface CommittedPages {
  readonly dropFrom: number | undefined;
  readonly pages: ReadonlyMap<number, Bytes>;
  readonly count: number;
}

/** Bytes of all files together, counted by the page. */
export class PageBudget {
  readonly bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(pages: number): void {
    this.#bytes += pages * pageBytes;
  }

  /** @throws {FoldlogError} `storageFull` `indexedDbCap` */
  require(pages: number, where: string): void {
    const wanted = this.#bytes + pages * pageBytes;
    if (wanted <= this.bytesMax) return;
    throw new FoldlogError('storageFull', {
      where,
      reason: 'indexedDbCap',
      found: `${wanted} bytes wanted by all files together`,
      expected: `at most ${this.bytesMax}, which IndexedDB files may hold in memory`,
      todo: 'delete what is not needed any more, or use a browser with the origin private file system',
    });
  }
}

export class MirrorFile {
  readonly name: string;
  /** Of the pages as last made up for the store. */
  readonly sums: PageSums;
  readonly #budget: PageBudget;
  readonly #pages: Bytes[];
  /** Pages written since the last commit, and what stood in the place of those that were there. */
  readonly #dirty = new Set<number>();
  readonly #undo = new Map<number, Bytes>();
  /** Pages of the last commit. */
  #count: number;
  #isDropped = false;

  constructor(name: string, budget: PageBudget, pages: Bytes[] = [], sums = new PageSums()) {
    this.name = name;
    this.sums = sums;
    this.#budget = budget;
    this.#pages = pages;
    this.#count = pages.length;
    budget.add(pages.length);
  }

  get count(): number {
    return this.#pages.length;
  }

  get isChanged(): boolean {
    return this.#dirty.size > 0 || this.#pages.length !== this.#count;
  }

  /** The pages as they are now; they stay so whatever is written later. */
  snapshot(): readonly Bytes[] {
    return this.#pages.slice();
  }

  get pages(): readonly Bytes[] {
    return this.#pages;
  }

  /** `bytes` is the file's from now on. @throws {FoldlogError} `storageFull` `indexedDbCap` */
  write(page: number, bytes: Bytes): void {
    // SQLite leaves pages out that it freed in the transaction that made them; a store must not have holes.
    this.#grow(page);
    this.#put(page, bytes);
  }

  truncate(count: number): void {
    this.#grow(count);
    for (let page = count; page < this.#pages.length; page++) {
      this.#remember(page);
      this.#dirty.delete(page);
    }
    this.#account(count - this.#pages.length);
    this.#pages.length = count;
  }

  /** What was written so far is content now. Undefined when nothing was. */
  commit(): CommittedPages | undefined {
    if (!this.isChanged) return undefined;
    const pages = new Map([...this.#dirty].sort((a, b) => a - b).map((page) => [page, this.#pages[page] as Bytes]));
    const count = this.#pages.length;
    const dropFrom = count < this.#count ? count : undefined;
    this.#settle();
    return { dropFrom, pages, count };
  }

  /** Back to the last commit. */
  rollback(): void {
    const before = this.#pages.length;
    for (const [page, bytes] of this.#undo) this.#pages[page] = bytes;
    this.#pages.length = this.#count;
    this.#account(this.#count - before);
    this.#settle();
  }

  /** Gives its bytes back. A connection that still holds it writes into nothing. */
  drop(): void {
    this.#account(-this.#pages.length);
    this.#isDropped = true;
  }

  get isDropped(): boolean {
    return this.#isDropped;
  }

  #grow(count: number): void {
    while (this.#pages.length < count) this.#put(this.#pages.length, zeroPage);
  }

  #put(page: number, bytes: Bytes): void {
    if (page === this.#pages.length) {
      this.#budget.require(1, this.name);
      this.#account(1);
    }
    this.#remember(page);
    this.#pages[page] = bytes;
    this.#dirty.add(page);
  }

  #remember(page: number): void {
    const bytes = this.#pages[page];
    if (bytes !== undefined && page < this.#count && !this.#undo.has(page)) this.#undo.set(page, bytes);
  }

  #account(pages: number): void {
    if (!this.#isDropped) this.#budget.add(pages);
  }

  #settle(): void {
    this.#count = this.#pages.length;
    this.#dirty.clear();
    this.#undo.clear();
  }
}

const zeroPage: Bytes = new Uint8Array(pageBytes);
