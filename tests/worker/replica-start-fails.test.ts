// A replica whose start fails behind the opening of its file, because the store or the vault refuses: it is started again in the next round, and levels.

import { expect, test } from 'vitest';
import { SimShop } from '../sim/sim-shop.ts';

test.each(['indexeddb', 'opfs-pool'] as const)(
  'a replica whose file could not be kept at first starts in a later round: %s',
  async (backend) => {
    const shop = new SimShop(3, { backend });
    const shard = await shop.found();
    await shop.sell(shard, 3);
    await shop.committed(shard);
    const link = await shop.world.finish('invite', shop.owner.engine.invite({}));
    const device = shop.device('b');
    await device.boot();
    await shop.world.finish('join', device.engine.join(link, 'b'));
    const { vault } = device;
    const mark = vault.mark.bind(vault);
    let refused = 0;
    vault.mark = async (file, holds) => {
      if (file.startsWith('/s-') && refused++ < 2) throw new Error('the vault does not answer');
      return mark(file, holds);
    };
    await device.engine.follow('till/*');
    await shop.level(device, shard);
    expect(refused).toBe(3);
    device.stop('kill');
    shop.owner.stop('kill');
  },
);
