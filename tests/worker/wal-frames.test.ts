// What a power cut leaves of a WAL is not taken for damage: SQLite writes the last frame of a commit once more to fill the sector, and flushes inside that
// copy, so that its end and the beginning of the next commit are lost or kept each on its own. Single bits are flipped in flipped-bits.test.ts.

import { expect, test } from 'vitest';
import { judgeWal } from '../../worker/engine/wal-frames.ts';
import { SimShop } from '../sim/sim-shop.ts';

const headerBytes = 32;
const frameBytes = 24 + 8192;

/** A WAL of several commits, as the pool's own VFS wrote it, and which of its frames end a commit or copy such an end. */
async function realWal(): Promise<{ readonly wal: Uint8Array; readonly ends: readonly number[] }> {
  const shop = new SimShop(500);
  await shop.found();
  await shop.owner.engine.close();
  await shop.owner.boot();
  const again = await shop.reopen();
  for (let n = 0; n < 4; n++) await shop.sell(again);
  const wal = await (async () => {
    const file = `${again.store.file}-wal`;
    const util = shop.owner.pool as unknown as { readonly exportImage: (file: string) => Promise<Uint8Array> };
    return (await util.exportImage(file)).slice();
  })();
  const view = new DataView(wal.buffer);
  const frames = Math.floor((wal.length - headerBytes) / frameBytes);
  const ends = Array.from({ length: frames }, (_, i) => i).filter((i) => view.getUint32(headerBytes + i * frameBytes + 4) !== 0);
  return { wal, ends };
}

const frameAt = (i: number): number => headerBytes + i * frameBytes;

test('commits end in a frame and its copy', async () => {
  const { wal, ends } = await realWal();
  expect(judgeWal(wal)).toBe('sound');
  expect(ends.length).toBeGreaterThan(6);
  for (let i = 0; i + 1 < ends.length; i += 2) expect((ends[i] as number) + 1).toBe(ends[i + 1]);
});

test('the end of the copy lost, and the first frames of the next commit kept: sound, as far as the commit before', async () => {
  const { wal, ends } = await realWal();
  const copy = ends.at(-3) as number;
  const torn = wal.slice(0, frameAt(ends.at(-2) as number)); // the last commit without its end
  torn.fill(0, frameAt(copy) + 5_000, frameAt(copy + 1));
  expect(torn.length).toBeGreaterThan(frameAt(copy + 1));
  expect(judgeWal(torn)).toBe('sound');
});

test('a torn frame of the last commit, with its end and the copy of it kept: sound', async () => {
  const { wal, ends } = await realWal();
  const torn = wal.slice();
  const first = (ends.at(-3) as number) + 1;
  expect(first).toBeLessThan(ends.at(-2) as number);
  torn.fill(0, frameAt(first) + 3_000, frameAt(first + 1));
  expect(judgeWal(torn)).toBe('sound');
});

test('the same in a commit that another one follows is damage', async () => {
  const { wal, ends } = await realWal();
  for (const inside of [(ends.at(-5) as number) + 1, ends.at(-4) as number]) {
    const damaged = wal.slice();
    damaged.fill(0, frameAt(inside) + 3_000, frameAt(inside + 1));
    expect(judgeWal(damaged)).toEqual({ damagedAt: inside });
  }
});
