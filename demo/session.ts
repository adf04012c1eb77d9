// A running till: this device's shard, the catalogue it takes prices from, and the other tills it follows. Screens read its stores and
// call its methods; nothing else in the demo talks to the engine after the start.

import { type EngineStatus, FoldlogError, type Live, openWorkspace } from 'foldlog';
import { type Sql, sql } from 'foldlog/schema';
import type { BasketLine } from './basket.ts';
import { giftShop } from './gift-shop.ts';
import { startOfDay } from './money.ts';
import { latestOnly, Store } from './parts/store.ts';
import { type Basket, catalogue, type Payment, type Product, till } from './shop.ts';
import { isPassing, type SyncWords, saySync } from './words.ts';

export interface SaleRow {
  readonly sale: string;
  readonly number: number;
  readonly at: number;
  readonly payment: Payment;
  readonly items: number;
  readonly totalCents: number;
  readonly receivedCents: number;
  readonly isVoided: number;
  readonly seq: number;
}

export interface SaleLineRow {
  readonly name: string;
  readonly qty: number;
  readonly cents: number;
}

export interface Takings {
  readonly sales: number;
  readonly totalCents: number;
}

export interface TillTakings extends Takings {
  readonly shard: string;
  readonly name: string;
  readonly isThis: boolean;
  readonly lastAt: number | undefined;
  /** Why its newest sales cannot be seen here. */
  readonly stopped: FoldlogError | undefined;
}

/** The newest sales shown in the list; older ones stay in the books. */
export const salesShown = 200;
/** Other tills' news arrive this soon: a shop is small, and a person is waiting. */
const pollMs = 3_000;
const dayCheckMs = 30_000;

/** Opens the store of this browser profile; it may hold no shop yet. */
export function openStore() {
  return openWorkspace({
    shards: [till, catalogue],
    store: 'till-demo',
    relay: '/relay',
    worker: () => new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module' }),
    allowMemory: false,
    pollMs,
  });
}

export type Workspace = Awaited<ReturnType<typeof openStore>>;

const openTill = (ws: Workspace, name: string) => ws.open('till', name);
const openCatalogue = (ws: Workspace) => ws.open('catalogue', 'main');
type TillShard = Awaited<ReturnType<typeof openTill>>;
type CatalogueShard = Awaited<ReturnType<typeof openCatalogue>>;

export class Session {
  readonly shopName: string;
  /** The device's name; with a number when another device of that name came first. */
  readonly tillName: string;
  /** May change the catalogue and let devices in. */
  readonly isOwner: boolean;
  /** Name of this till's shard. */
  readonly shard: string;
  /** What can be sold now; undefined until it is known. */
  readonly products = new Store<readonly Product[] | undefined>(undefined);
  readonly today = new Store<Takings>({ sales: 0, totalCents: 0 });
  /** Newest first, at most `salesShown`. */
  readonly sales = new Store<readonly SaleRow[] | undefined>(undefined);
  readonly sync = new Store<SyncWords>({ tone: 'busy', text: 'Saved on this till' });
  /** Sales up to here are committed. */
  readonly committedSeq = new Store(0);
  readonly engine: Store<EngineStatus>;
  /** The newest thing that failed in the background. */
  readonly trouble = new Store<unknown>(undefined);
  readonly #ws: Workspace;
  readonly #till: TillShard;
  readonly #catalogue: CatalogueShard | undefined;
  readonly #takePricesSoon: () => Promise<void>;
  readonly #countPendingSoon: () => Promise<void>;
  #pricesOf = '';
  #catalogueChanges = 1;

  private constructor(
    ws: Workspace,
    status: EngineStatus,
    shards: { readonly till: TillShard; readonly shard: string; readonly name: string; readonly catalogue: CatalogueShard | undefined },
  ) {
    this.#ws = ws;
    this.#till = shards.till;
    this.#catalogue = shards.catalogue;
    this.shard = shards.shard;
    this.shopName = status.workspace?.name ?? '';
    this.tillName = shards.name;
    this.isOwner = shards.catalogue !== undefined;
    this.engine = new Store(status);
    this.#takePricesSoon = latestOnly(() => this.#takePrices());
    this.#countPendingSoon = latestOnly(() => this.#countPending());
  }

  /** Opens what this device writes and follows the rest. The store must hold a shop. */
  static async start(ws: Workspace): Promise<Session> {
    const status = await ws.status();
    const isOwner = status.workspace?.role === 'owner';
    const ownCatalogue = isOwner ? await openCatalogue(ws) : undefined;
    if (ownCatalogue !== undefined) await stockShelves(ownCatalogue);
    else await ws.follow('catalogue/*');
    await ws.follow('till/*');
    const device = status.workspace?.device ?? '';
    const own = await openOwnTill(ws, device);
    const session = new Session(ws, status, { ...own, catalogue: ownCatalogue });
    await session.#nameTill();
    // The owner's prices are here already; a new till shows them at once instead of empty shelves.
    if (session.isOwner) await session.#takePricesSoon();
    session.#watch();
    return session;
  }

  /** One sale, by one command: decided by the writer at the till's own prices. The same id again is the same sale. */
  async sell(lines: readonly BasketLine[], paid: Omit<Basket, 'lines'>): Promise<SaleRow> {
    try {
      await this.#till.run('sell', { ...paid, lines: lines.map(({ sku, qty }) => ({ sku, qty })) });
    } catch (error) {
      if (!(error instanceof FoldlogError) || error.reason !== 'saleKnown') throw error;
    }
    const [[row] = []] = await this.#till.read([sql<SaleRow>`SELECT * FROM sale WHERE sale = ${paid.sale}`]);
    if (row === undefined) throw new Error('the sale was saved but is not in the list');
    return row;
  }

  async voidSale(sale: string): Promise<void> {
    await this.#till.save('sale.voided', { sale });
  }

  async linesOf(sale: string): Promise<readonly SaleLineRow[]> {
    const [rows = []] = await this.#till.read([sql<SaleLineRow>`SELECT name, qty, cents FROM saleLine WHERE sale = ${sale} ORDER BY line`]);
    return rows;
  }

  /** Today at every till this device knows, its own first. */
  async allTills(): Promise<readonly TillTakings[]> {
    const since = startOfDay(Date.now());
    const about = sql<{ shardName: string; name: string }>`SELECT shardName, name FROM about`;
    const sold = sql<{ shardName: string; sales: number; totalCents: number; lastAt: number }>`
      SELECT shardName, count(*) AS sales, sum(totalCents) AS totalCents, max(at) AS lastAt
      FROM sale WHERE at >= ${since} AND isVoided = 0 GROUP BY shardName`;
    const [names = [], sums = []] = await this.#acrossTills([about, sold] as const);
    return names
      .map(({ shardName, name }) => {
        const sum = sums.find((row) => row.shardName === shardName);
        return {
          shard: shardName,
          name,
          isThis: shardName === this.shard,
          sales: sum?.sales ?? 0,
          totalCents: sum?.totalCents ?? 0,
          lastAt: sum?.lastAt,
          stopped: this.#stoppedOf(shardName),
        };
      })
      .sort((a, b) => Number(b.isThis) - Number(a.isThis) || a.name.localeCompare(b.name));
  }

  /** A link that lets one device in, for a day. */
  async inviteLink(): Promise<string> {
    const fragment = await this.#ws.invite({ role: 'writer' });
    return `${location.origin}/#${fragment}`;
  }

  async listProduct(product: Product): Promise<void> {
    await this.#ownCatalogue().save('product.listed', product);
    this.#catalogueChanges++;
    await this.#takePricesSoon();
  }

  async retireProduct(sku: string): Promise<void> {
    await this.#ownCatalogue().save('product.retired', { sku });
    this.#catalogueChanges++;
    await this.#takePricesSoon();
  }

  /** Sends and asks now, whatever the back-off says. */
  syncNow(): void {
    this.#ws.sync().catch(this.#report);
  }

  #ownCatalogue(): CatalogueShard {
    if (this.#catalogue !== undefined) return this.#catalogue;
    throw FoldlogError.misuse({ where: 'catalogue', reason: 'notOwner', found: 'another device of the shop', expected: "the owner's" });
  }

  async #nameTill(): Promise<void> {
    const [[about] = []] = await this.#till.read([sql<{ name: string }>`SELECT name FROM about WHERE id = 'till'`]);
    if (about?.name !== this.tillName) await this.#till.save('till.opened', { name: this.tillName });
  }

  #watch(): void {
    const products = sql<Product>`SELECT sku, name, category, cents FROM price ORDER BY category, name`;
    this.#follow(this.#till.live(products, { key: 'sku' }), (rows) => this.products.set(rows));
    const sales = sql<SaleRow>`SELECT * FROM sale ORDER BY number DESC LIMIT ${salesShown}`;
    this.#follow(this.#till.live(sales, { key: 'sale' }), (rows) => {
      this.sales.set(rows);
      this.#countPendingSoon().catch(this.#report);
    });
    this.#watchToday();
    this.#ws.subscribe(this.#takeStatus);
  }

  readonly #takeStatus = (status: EngineStatus): void => {
    this.engine.set(status);
    this.committedSeq.set(this.#ownStatus(status)?.committedSeq ?? 0);
    this.#countPendingSoon().catch(this.#report);
    this.#takePricesSoon().catch(this.#report);
  };

  #follow<Row>(live: Live<Row>, take: (rows: readonly Row[]) => void): void {
    live.subscribe(take);
    live.subscribeError(this.#report);
  }

  /** What fails the same way again and again is told once. */
  readonly #report = (error: unknown): void => {
    const before = this.trouble.value;
    const isSame = error instanceof FoldlogError && before instanceof FoldlogError && error.reason === before.reason;
    if (!isSame) this.trouble.set(error);
  };

  /** Today's sum, over a new day when midnight has passed. */
  #watchToday(): void {
    const since = startOfDay(Date.now());
    const live = this.#till.live(
      sql<Takings & { day: string }>`
        SELECT 'today' AS day, count(*) AS sales, coalesce(sum(totalCents), 0) AS totalCents FROM sale WHERE at >= ${since} AND isVoided = 0`,
      { key: 'day' },
    );
    this.#follow(live, ([row]) => {
      if (row !== undefined) this.today.set({ sales: row.sales, totalCents: row.totalCents });
    });
    const timer = setInterval(() => {
      if (startOfDay(Date.now()) === since) return;
      clearInterval(timer);
      live.close();
      this.#watchToday();
    }, dayCheckMs);
  }

  #stoppedOf(shard: string): FoldlogError | undefined {
    const followed = this.engine.value.followed.find(({ kind, name }) => kind === 'till' && name === shard);
    return followed?.stopped === undefined || isPassing(followed.stopped) ? undefined : followed.stopped;
  }

  #ownStatus(status: EngineStatus) {
    return status.own.find(({ kind, name }) => kind === 'till' && name === this.shard);
  }

  async #countPending(): Promise<void> {
    const status = this.engine.value;
    const own = this.#ownStatus(status);
    let salesPending = 0;
    if (own !== undefined && own.pending.groups > 0) {
      const [[row] = []] = await this.#till.read([sql<{ n: number }>`SELECT count(*) AS n FROM sale WHERE seq > ${own.committedSeq}`]);
      salesPending = row?.n ?? 0;
    }
    this.sync.set(
      saySync({
        link: status.link.kind,
        salesPending,
        isMorePending: status.own.some(({ pending }) => pending.groups > 0),
        trouble: troubleOf(status),
      }),
    );
  }

  /** Copies what changed in the catalogue into this till's chain, as one group. */
  async #takePrices(): Promise<void> {
    const news = this.#catalogueNews();
    if (news === this.#pricesOf) return;
    const listed = await this.#listed();
    const [had = []] = await this.#till.read([sql<Product>`SELECT sku, name, category, cents FROM price`]);
    const before = new Map(had.map((product) => [product.sku, JSON.stringify(product)]));
    const products = listed.filter((product) => before.get(product.sku) !== JSON.stringify(product));
    const skus = new Set(listed.map(({ sku }) => sku));
    const retired = had.flatMap(({ sku }) => (skus.has(sku) ? [] : [sku]));
    if (products.length > 0 || retired.length > 0) await this.#till.save('prices.taken', { products, retired });
    this.#pricesOf = news;
  }

  /** Names the state of the catalogue; '' while this device has none. The owner's changes only by what this page does. */
  #catalogueNews(): string {
    if (this.#catalogue !== undefined) return `own ${this.#catalogueChanges}`;
    const followed = this.engine.value.followed.filter(({ kind }) => kind === 'catalogue');
    return followed.map(({ name, seq }) => `${name}:${seq}`).join(' ');
  }

  async #listed(): Promise<readonly Product[]> {
    const listed = sql<Product>`SELECT sku, name, category, cents FROM product WHERE isListed = 1`;
    const [rows = []] = this.#catalogue === undefined ? await this.#ws.read('catalogue/*', [listed]) : await this.#catalogue.read([listed]);
    return rows;
  }

  /** As many tills as one query can look at; beyond, one by one. */
  async #acrossTills<A, B>(queries: readonly [Sql<A>, Sql<B>]): Promise<readonly [readonly A[], readonly B[]]> {
    try {
      const [a = [], b = []] = await this.#ws.read('till/*', queries);
      return [a as readonly A[], b as readonly B[]];
    } catch (error) {
      if (!(error instanceof FoldlogError) || error.reason !== 'tooManyShards') throw error;
    }
    const { own, followed } = this.engine.value;
    const names = [...own, ...followed].flatMap(({ kind, name }) => (kind === 'till' ? [name] : []));
    const parts = [];
    for (const name of names) parts.push(await this.#ws.read(`till/${name}`, queries));
    return [parts.flatMap(([a = []]) => a as readonly A[]), parts.flatMap(([, b = []]) => b as readonly B[])];
  }
}

/** Something that will not go on by itself. What a relay refuses for a moment is not news. */
function troubleOf(status: EngineStatus): FoldlogError | undefined {
  const stopped = status.own.flatMap(({ push }) => (push.kind === 'stopped' ? [push.error] : []))[0];
  if (stopped !== undefined) return stopped;
  const refused = status.link.kind === 'refused' ? status.link.error : undefined;
  return refused === undefined || isPassing(refused) ? undefined : refused;
}

async function stockShelves(shard: CatalogueShard): Promise<void> {
  const [[row] = []] = await shard.read([sql<{ n: number }>`SELECT count(*) AS n FROM product`]);
  if (row !== undefined && row.n > 0) return;
  await shard.saveAll(giftShop.map((product) => ['product.listed', product] as const));
}

/** Names tried when another device of the same name has taken the plain one. */
const namesakesMax = 50;

/** The shard is named after the device; the same names are tried on every start, so this device finds its own again. */
async function openOwnTill(
  ws: Workspace,
  device: string,
): Promise<{ readonly shard: string; readonly name: string; readonly till: TillShard }> {
  const plain = `till-${device.toLowerCase().replaceAll(' ', '-').replaceAll(/\.+/g, '.').slice(0, 40)}`;
  for (let n = 1; ; n++) {
    const shard = n === 1 ? plain : `${plain}-${n}`;
    try {
      return { shard, name: n === 1 ? device : `${device} ${n}`, till: await openTill(ws, shard) };
    } catch (error) {
      const isTaken = error instanceof FoldlogError && error.reason === 'notWriter';
      if (!isTaken || n >= namesakesMax) throw error;
    }
  }
}
