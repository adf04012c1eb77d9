// What stands in a page store: a record per page, one per file, one for the owner. Each is checked when it is read; a record that is not what was
// written is typed `corrupt`, and nothing of its file is served.

import type { Bytes } from '../../../kernel/bytes.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import { PageSums, pageSum, textSum } from './page-sum.ts';

/** Page size of every database file here: one record, one SQLite page. */
export const pageBytes = 8192;

export interface StoredPage {
  readonly file: string;
  /** From 0; SQLite counts from 1. */
  readonly page: number;
  readonly bytes: Bytes;
  readonly sum: number;
}

export interface StoredFile {
  readonly file: string;
  readonly pageBytes: number;
  readonly pages: number;
  /** The batch that wrote it last. */
  readonly generation: number;
  /** Over the sums of all its pages. */
  readonly pagesSum: number;
  /** Over this record. */
  readonly check: number;
}

/** Who may write, and how far: compared and set by every transaction. */
export interface StoredOwner {
  readonly epoch: number;
  readonly batch: number;
  readonly check: number;
}

export function makeFile(file: string, pages: number, generation: number, pagesSum: number): StoredFile {
  const record = { file, pageBytes, pages, generation, pagesSum };
  return { ...record, check: fileCheck(record) };
}

export const makeOwner = (epoch: number, batch: number): StoredOwner => ({ epoch, batch, check: ownerCheck({ epoch, batch }) });

/** @throws {FoldlogError} `corrupt` `damagedRecord`; `upgradeNeeded` `otherPageSize` */
export function readFile(value: unknown, where: string): StoredFile {
  const record = value as StoredFile;
  const isWhole = isRecord(value, ['pageBytes', 'pages', 'generation', 'pagesSum', 'check']) && typeof record.file === 'string';
  if (!isWhole || record.check !== fileCheck(record)) throw damagedRecord(where, 'a file record that does not match its checksum');
  if (record.pageBytes !== pageBytes) {
    throw new FoldlogError('upgradeNeeded', {
      where,
      reason: 'otherPageSize',
      found: `pages of ${record.pageBytes} bytes`,
      expected: `pages of ${pageBytes} bytes`,
    });
  }
  return record;
}

/** @throws {FoldlogError} `corrupt` `damagedRecord` */
export function readOwner(value: unknown, where: string): StoredOwner {
  const record = value as StoredOwner;
  if (isRecord(value, ['epoch', 'batch', 'check']) && record.check === ownerCheck(record)) return record;
  throw damagedRecord(where, 'an owner record that does not match its checksum');
}

/** Collects the pages of one file as they are read, each checked, and then all of them against the file's record. */
export class FileReader {
  readonly #file: string;
  readonly #fileSum: number;
  readonly #pages: Bytes[] = [];
  readonly sums = new PageSums();

  constructor(file: string) {
    this.#file = file;
    this.#fileSum = textSum(file);
  }

  /** The next records in page order. @throws {FoldlogError} `corrupt` `damagedPage` */
  take(records: readonly unknown[]): void {
    for (const value of records) {
      const page = this.#pages.length;
      const record = value as StoredPage;
      if (!isRecord(value, ['page', 'sum']) || record.page !== page) {
        throw this.#damaged(page, isRecord(value, ['page']) ? `page ${record.page + 1} in its place` : 'something else');
      }
      if (!(record.bytes instanceof Uint8Array) || record.bytes.length !== pageBytes) throw this.#damaged(page, 'a page of another size');
      if (record.file !== this.#file || pageSum(this.#fileSum, page, record.bytes) !== record.sum) {
        throw this.#damaged(page, 'a page that does not match its checksum');
      }
      this.#pages.push(record.bytes);
      this.sums.set(page, record.sum);
    }
  }

  /** @throws {FoldlogError} `corrupt` `damagedPage`, `damagedRecord` */
  finish(value: unknown): Bytes[] {
    const record = readFile(value, this.#file);
    if (record.file !== this.#file) throw damagedRecord(this.#file, `the record of ${record.file}`);
    if (record.pages !== this.#pages.length) throw this.#damaged(Math.min(record.pages, this.#pages.length), this.#found(record.pages));
    if (record.pagesSum !== this.sums.total) {
      throw damagedRecord(this.#file, 'sound pages of different moments', 'the pages of one commit');
    }
    return this.#pages;
  }

  #found(pages: number): string {
    return pages > this.#pages.length ? `no page, of ${pages}` : `a page, of ${pages}`;
  }

  #damaged(page: number, found: string): FoldlogError {
    return FoldlogError.corrupt({
      where: `${this.#file}, page ${page + 1}`,
      reason: 'damagedPage',
      found,
      expected: 'the page as it was written',
      todo: keepIt,
    });
  }
}

const keepIt = 'nothing was served or changed; keep it as it is, or start a new store and follow what was committed';

const fileCheck = ({ file, pageBytes, pages, generation, pagesSum }: Omit<StoredFile, 'check'>): number =>
  textSum(JSON.stringify(['file', file, pageBytes, pages, generation, pagesSum]));

const ownerCheck = ({ epoch, batch }: Omit<StoredOwner, 'check'>): number => textSum(JSON.stringify(['owner', epoch, batch]));

function isRecord(value: unknown, numbers: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const record = value as Readonly<Record<string, unknown>>;
  return numbers.every((name) => Number.isSafeInteger(record[name]) && (record[name] as number) >= 0);
}

const damagedRecord = (where: string, found: string, expected = 'it as it was written'): FoldlogError =>
  FoldlogError.corrupt({ where, reason: 'damagedRecord', found, expected, todo: keepIt });
