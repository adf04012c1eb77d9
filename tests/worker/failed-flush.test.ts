// A disk whose flush fails, once or again and again, and a power cut after it: what was answered is there, and nothing that could still be lost has been
// answered or sent away.

import { describe, expect, test } from 'vitest';
import { groupId } from '../../kernel/units.ts';
import { line } from '../sim/shop.ts';
import { SimShop } from '../sim/sim-shop.ts';

const id = (n: number) => groupId(new Uint8Array(16).fill(n));
const sale = (n: number) => ({ kind: 'ops', inputs: [line(`s${n}`, 'sku')] }) as const;

/** The next `count` flushes throw. */
function failFlushes(shop: SimShop, count: number): void {
  let left = count;
  shop.owner.disk.faultOf = (call) => (call === 'flush' && left-- > 0 ? 'flush' : undefined);
}

describe('a flush that fails', () => {
  test.each([1, 2, 3, 4, 5, 6, 1_000])(
    'a save whose COMMIT meets %i of them is refused, unknown, or survives a power cut',
    async (count) => {
      for (const mode of ['power', 'powerOrdered'] as const) {
        for (let seed = 1; seed <= 6; seed++) {
          const shop = new SimShop(seed);
          const shard = await shop.found();
          await shard.save(id(1), sale(1));
          failFlushes(shop, count);
          const answers = [2, 3, 4].map((n) => shard.save(id(n), sale(n)).then(() => n));
          const settled = await Promise.allSettled(answers);
          const acked = [1, ...settled.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))];
          shop.owner.stop(mode);
          shop.owner.disk.faultOf = undefined;
          await shop.owner.boot();
          const again = await shop.reopen();
          for (const n of acked) expect(await again.find(id(n)), `seed ${seed}, group ${n}`).toBeDefined();
          shop.owner.stop('kill');
        }
      }
    },
  );

  test('what a killed process had written and not flushed is on disk before it is answered by its id', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const shop = new SimShop(seed);
      const shard = await shop.found();
      await shard.save(id(1), sale(1));
      failFlushes(shop, 1_000);
      await shard.save(id(2), sale(2)).catch(() => undefined);
      shop.owner.stop('kill'); // the pages are written: the operating system has them
      shop.owner.disk.faultOf = undefined;
      await shop.owner.boot();
      const answered = await (await shop.reopen()).find(id(2));
      shop.owner.stop('power');
      await shop.owner.boot();
      expect(await (await shop.reopen()).find(id(2))).toEqual(answered);
      shop.owner.stop('kill');
    }
  });
});
