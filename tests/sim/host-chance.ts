// What the host gives at random or by the clock, drawn from the seed while a run goes on: the pool of SQLite-WASM names its slots by Math.random, SQLite
// salts its WAL by the host's random bytes, and both would make two runs of one seed differ.

import type { Dice } from './dice.ts';

/** Replaces what is random in this realm; the returned function puts it back. */
export function hostChance(dice: Dice, nowMs: () => number): () => void {
  const { random } = Math;
  const { now } = Date;
  const draw = dice.stream('host', 'random');
  const bytes = dice.stream('host', 'bytes');
  const getRandomValues = globalThis.crypto.getRandomValues.bind(globalThis.crypto);
  Math.random = draw;
  Date.now = nowMs;
  const filled = <T extends ArrayBufferView | null>(array: T): T => {
    if (array !== null) {
      const view = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      for (let i = 0; i < view.length; i++) view[i] = Math.floor(bytes() * 256);
    }
    return array;
  };
  globalThis.crypto.getRandomValues = filled;
  return () => {
    Math.random = random;
    Date.now = now;
    globalThis.crypto.getRandomValues = getRandomValues;
  };
}
