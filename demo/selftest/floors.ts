// Asks for the floors: a worker of its own for each order, ended when it has answered.

export type FloorKind = 'opfs' | 'indexedDb';

export interface FloorOrder {
  readonly floor: FloorKind;
  /** Written by each of `count` writes. */
  readonly bytes: number;
  readonly count: number;
}

export type FloorResult =
  | { readonly kind: 'measured'; readonly times: readonly number[] }
  /** This browser cannot do it, in its own words. */
  | { readonly kind: 'lacking'; readonly words: string };

/** A browser that needs this long for a few writes does not answer at all. */
const floorMsMax = 30_000;

export function measureFloor(order: FloorOrder): Promise<FloorResult> {
  return new Promise((resolve) => {
    const worker = new Worker(new URL('./selftest-floor-worker.ts', import.meta.url), { type: 'module' });
    const end = (result: FloorResult): void => {
      clearTimeout(timer);
      worker.terminate();
      resolve(result);
    };
    const timer = setTimeout(() => end({ kind: 'lacking', words: `no answer within ${floorMsMax / 1000} s` }), floorMsMax);
    worker.onmessage = ({ data }: MessageEvent<FloorResult>) => end(data);
    worker.onerror = (event) => end({ kind: 'lacking', words: event.message || 'its worker did not start' });
    worker.postMessage(order);
  });
}
