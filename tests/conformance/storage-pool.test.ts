// The suite on the pools that run in Node: memory, the OPFS pool over a simulated disk, mirrored files over a simulated page store. The same in a
// real browser: tests/browser/storage-pool.test.ts.

import { describe, expect, test } from 'vitest';
import { FlushQueue } from '../../worker/engine/mirror/flush-queue.ts';
import { MirrorFile } from '../../worker/engine/mirror/mirror-file.ts';
import type { PageSums } from '../../worker/engine/mirror/page-sum.ts';
import { memoryPool, type StoragePool } from '../../worker/engine/storage-pool.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { SimPageStore } from '../sim/sim-page-store.ts';
import { bootMirrorPool, bootPool, bootSqlite } from '../sim/sim-sqlite.ts';
import { SimWorld } from '../sim/sim-world.ts';
import { durablePoolPromises, type PoolPromise, poolPromises } from './storage-pool-suite.ts';

type Machine = { boot(): Promise<StoragePool>; kill(): void };

const machines: Readonly<Record<'memory' | 'opfs-pool' | 'indexeddb', () => Machine>> = {
  memory: () => ({ boot: async () => memoryPool(await bootSqlite()), kill: () => undefined }),
  'opfs-pool': () => {
    const disk = new SimDisk(new SimWorld(1).stream('disk'));
    return {
      boot: () => bootPool(disk),
      kill() {
        disk.stopNow();
        disk.restart('kill');
      },
    };
  },
  indexeddb: () => {
    const world = new SimWorld(1);
    const pages = new SimPageStore(world.stream('pages'));
    return {
      boot: () => bootMirrorPool(pages, world.scheduler),
      kill() {
        pages.stopNow();
        pages.restart('kill');
      },
    };
  },
};

async function keep({ lives }: PoolPromise, machine: Machine): Promise<void> {
  for (const live of lives) {
    await live(await machine.boot());
    machine.kill();
  }
}

describe.each([
  ['memory', poolPromises],
  ['opfs-pool', [...poolPromises, ...durablePoolPromises]],
  ['indexeddb', [...poolPromises, ...durablePoolPromises]],
] as const)('storage pool: %s', (backend, promises) => {
  test.each(promises.map((promise) => [promise.name, promise] as const))('%s', (_, promise) => keep(promise, machines[backend]()));
});

test('the suite finds a VFS that hands pages on as they are written instead of at COMMIT (null control)', async () => {
  const { write } = MirrorFile.prototype;
  const { put } = FlushQueue.prototype;
  const queues = new WeakMap<PageSums, FlushQueue>();
  FlushQueue.prototype.put = function (file, pages, sums) {
    queues.set(sums, this);
    put.call(this, file, pages, sums);
  };
  // What xWrite as the boundary, or xSync after it, amounts to: a page counts as content before its transaction does.
  MirrorFile.prototype.write = function (page, bytes) {
    write.call(this, page, bytes);
    const queue = queues.get(this.sums);
    const pages = queue === undefined ? undefined : this.commit();
    if (pages !== undefined) queue?.put(this.name, pages, this.sums);
  };
  const found: string[] = [];
  try {
    for (const promise of durablePoolPromises)
      await keep(promise, machines.indexeddb()).catch((error) => found.push(`${promise.name}: ${error.message}`));
  } finally {
    Object.assign(MirrorFile.prototype, { write });
    Object.assign(FlushQueue.prototype, { put });
  }
  expect(found.join()).toMatch(/a flush during an open transaction keeps nothing of it.* after the kill: found \[300,"/);
});
