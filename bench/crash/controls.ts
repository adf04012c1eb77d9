// The null controls: builds that are known to lose, and the gate must say so; each beside its sound twin, which differs in the one broken thing alone
// and must lose nothing. Where the twin would be the shipped build as every other round runs it, there is none.
import type { BuildName } from './builds.ts';
import type { Disk } from './page/write-cache.ts';
import type { Moment } from './plan.ts';

export interface NullControl {
  readonly name: string;
  readonly build: BuildName;
  readonly sound: BuildName | undefined;
  readonly disk: Disk;
  /** Every round ends there, when what is broken is broken there alone. */
  readonly only?: Moment['at'];
  /** It must be found out within these. */
  readonly roundsMax: number;
}

export const nullControls: readonly NullControl[] = [
  // A kill leaves the system's page cache alone, so a missing flush loses nothing by itself: this one stands on the disk of a power cut.
  { name: 'flush-removed', build: 'flushRemoved', sound: 'shipped', disk: 'cut', roundsMax: 10 },
  { name: 'acknowledged-early', build: 'acknowledgedEarly', sound: undefined, disk: 'kept', roundsMax: 10 },
  { name: 'sqlite-3.53.4', build: 'brokenSqlite', sound: 'rollbackJournal', disk: 'kept', only: 'rewriting', roundsMax: 10 },
];
