// A disk that fails for a while and then is well again, without the machine stopping: every call ends in a typed error, and the same id asked
// again finds out what became of it.

import { expect, test } from 'vitest';
import { FoldlogError } from '../../kernel/errors.ts';
import { groupId } from '../../kernel/units.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { line, till } from '../sim/shop.ts';
import { SimDevice } from '../sim/sim-device.ts';
import type { Fault } from '../sim/sim-page-store.ts';
import { SimWorld } from '../sim/sim-world.ts';

const never = 1e9;

test.each<readonly [Backend, Fault]>([
  ['opfs-pool', 'full'],
  ['indexeddb', 'full'],
  ['indexeddb', 'cut'],
])('a save whose outcome is unknown is settled by the same id once the file opens again: %s, %s', async (backend, fault) => {
  const world = new SimWorld(7);
  const device = new SimDevice(world, 'till', [till], undefined, { backend });
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  const shard = device.engine.shard(await device.engine.openShard('till', 'till-1'));
  const random = world.random('ids');
  const endings = new Set<string>();
  for (let call = 1; call <= 30; call++) {
    const id = groupId(random.bytes(16));
    const source = { kind: 'ops', inputs: [line(`s${call}`, 'sku')] } as const;
    device.medium.failAfter(call, 200, fault);
    const first: unknown = await shard.save(id, source).catch((error: unknown) => error);
    if (first instanceof FoldlogError && first.kind === 'unknown') {
      // Still failing: asked again, it is still unknown, never "not saved".
      await expect(shard.save(id, source)).rejects.toMatchObject({ kind: 'unknown', reason: 'reopenFailed' });
    }
    device.medium.failAfter(never);
    endings.add(first instanceof FoldlogError ? first.kind : 'saved');
    await shard.save(id, source);
    expect(shard.store.db.value('SELECT count(*) FROM saleLine WHERE sale = ?', [`s${call}`])).toBe(1);
    expect(shard.store.db.value('SELECT count(*) FROM foldlog_group')).toBe(call);
  }
  expect(endings).toContain('unknown');
  expect(endings).toContain('saved');
});
