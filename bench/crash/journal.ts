// The acknowledgement journal: what the page was told, noted outside of the browser the moment it is told. One JSON line each, on disk before the
// next one is looked at: {store, round, means, life, number, group, firstSeq, lastSeq, atMs}.
import { closeSync, openSync, writeSync } from 'node:fs';
import { placeInLoad } from './load.ts';
import type { Means } from './means.ts';
import type { Acknowledged } from './page/page.ts';

/** Where in the run something was acknowledged. */
export interface JournalPlace {
  readonly store: string;
  readonly round: number;
  /** What ends this round. */
  readonly means: Means | 'none';
}

export class Journal {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'wx');
  }

  take(place: JournalPlace, acknowledged: Acknowledged): void {
    const line = { ...place, ...placeInLoad(acknowledged.group), ...acknowledged, atMs: Date.now() };
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}
