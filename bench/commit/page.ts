// Runs one lane at a time on demand of bench/commit.mjs.
import { engineLane, floorLane, type LaneSettings } from './lanes.ts';

const startWorker = (name: string): Worker => new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module', name });

const bench = { engineLane: (settings: LaneSettings) => engineLane(startWorker, settings), floorLane };

export type CommitBench = typeof bench;
declare global {
  var commitBench: CommitBench;
}
globalThis.commitBench = bench;
