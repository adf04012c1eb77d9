// Three tabs of one profile reload at random, often before they have come up. Every boot opens the store, finds everything that was acknowledged before
// it, and saves one op more. Short in the tests, a thousand boots in the gates.
import type { Page } from 'playwright';
import type { Backend } from '../../worker/browser/page.ts';
import { Device, reload, serveLab } from './harness.ts';
import { mulberry32 } from './random.ts';

export interface ReloadStorm {
  readonly backend: Backend;
  readonly seed: number;
  /** Boots that came up; `cutBoots` were reloaded before they did. */
  readonly boots: number;
  readonly cutBoots: number;
  /** Boots whose own worker opened the files; the others worked through another tab's. */
  readonly ownerBoots: number;
  readonly acked: number;
  /** What rejected in a page that was still there. */
  readonly failedOpens: readonly string[];
  /** Boots that found no workspace or no op where there were some. */
  readonly wipes: number;
  /** Acknowledged saves that a later boot did not find in their place, and rows more or fewer than groups at the end. */
  readonly lost: number;
  readonly doubled: number;
}

interface Ack {
  readonly group: string;
  readonly seq: number;
}

/** One boot as the page saw it. */
type Boot =
  | { readonly kind: 'up'; readonly ack: Ack; readonly found: readonly Ack[]; readonly rows: number; readonly isOwner: boolean }
  | { readonly kind: 'failed'; readonly message: string };

const tabCount = 3;
/** How many of the boots are cut short, and how far into them: before, during and just after the files are opened. */
const cutShare = 0.3;
const cutMsMax = 400;

export async function runReloadStorm(options: {
  readonly backend: Backend;
  readonly seed: number;
  readonly boots: number;
  readonly onProgress?: (line: string) => void;
}): Promise<ReloadStorm> {
  const { backend, seed } = options;
  const place = { store: `storm-${backend}`, fault: backend === 'opfs-pool' ? '' : 'opfs-refuses' };
  const site = await serveLab();
  const device = await Device.make();
  const random = mulberry32(seed);
  const acked: Ack[] = [];
  const failedOpens: string[] = [];
  const count = { boots: 0, cutBoots: 0, ownerBoots: 0, wipes: 0, lost: 0, doubled: 0 };

  const judge = (boot: Boot, before: readonly Ack[]): void => {
    if (boot.kind === 'failed') {
      failedOpens.push(boot.message);
      if (boot.message.includes('an empty store')) count.wipes++;
      return;
    }
    const places = new Map(boot.found.map(({ group, seq }) => [group, seq]));
    if (before.length > 0 && boot.found.length === 0) count.wipes++;
    count.lost += before.filter(({ group, seq }) => places.get(group) !== seq).length;
    count.doubled += boot.found.length - places.size + Math.abs(boot.rows - boot.found.length);
    count.boots++;
    if (boot.isOwner) count.ownerBoots++;
    acked.push(boot.ack);
  };

  const stormIn = async (page: Page): Promise<void> => {
    while (count.boots < options.boots && failedOpens.length === 0) {
      await reload(page);
      const before = acked.slice();
      const booting = page.evaluate(boot, place);
      if (random() < cutShare) {
        booting.catch(() => undefined); // the reload at the top of the loop ends it
        await new Promise((resolve) => setTimeout(resolve, random() * cutMsMax));
        count.cutBoots++;
        continue;
      }
      judge(await booting, before);
      if (count.boots % 50 === 0) options.onProgress?.(`${count.boots} boots, ${count.cutBoots} cut short`);
    }
  };

  try {
    const pages: Page[] = [];
    for (let i = 0; i < tabCount; i++) pages.push(await device.page(site.origin));
    const opened = await pages[0]?.evaluate(async ({ store, fault }) => {
      const { ws } = await lab.shop(store, { fault });
      return (await ws.status()).backend;
    }, place);
    if (opened !== backend) throw new Error(`the store is on ${opened}, not on ${backend}`);
    await Promise.all(pages.map(stormIn));
    return { backend, seed, ...count, acked: acked.length, failedOpens };
  } finally {
    await device.remove();
    await site.close();
  }
}

/** In the page. */
async function boot(place: { readonly store: string; readonly fault: string }): Promise<Boot> {
  try {
    const ws = await lab.open(place);
    const shop = await ws.open('till', 'till-1');
    const [found, [count]] = await shop.read([
      lab.sql<Ack>`SELECT lower(hex(id)) AS "group", last_seq AS seq FROM foldlog_group ORDER BY last_seq`,
      lab.sql<{ rows: number }>`SELECT count(*) AS rows FROM saleLine`,
    ]);
    const { ref } = await shop.save('sale.line', { sale: crypto.randomUUID(), sku: 'A', qty: 1, cents: 1 });
    const isOwner = await lab.owns(place.store);
    return { kind: 'up', ack: { group: ref.group, seq: ref.lastSeq }, found, rows: count?.rows ?? 0, isOwner };
  } catch (error) {
    return { kind: 'failed', message: String(error) };
  }
}
