// One device of the replay: what bench/replay/device.ts calls from outside, over the public API alone (the export apart).
import { openWorkspace, type Shard, type Workspace } from '../../../worker/browser/page.ts';
import type { Invoice } from '../invoices.ts';
import { addTotals, allInvoices, dayTotals, productTotals, rangeStarts, retail } from '../retail.ts';
import type { TotalRow } from '../totals.ts';
import type { ExportAnswer, ExportOrder } from './export-worker.ts';

/** What happened to saved groups, told to the outside in batches while it happens. */
export type News =
  | { readonly kind: 'saved'; readonly group: string; readonly invoice: string; readonly ops: number; readonly atMs: number }
  | { readonly kind: 'committed'; readonly group: string; readonly atMs: number };

/** From the first call to the last answer, by the page's clock, and the head then. */
export interface SaveSpan {
  readonly startMs: number;
  readonly endMs: number;
  readonly lastSeq: number;
}

declare global {
  /** Put here by device.ts. */
  var replayNews: (news: readonly News[]) => Promise<void>;
  var replayPage: ReplayPage;
}

type Retail = readonly [typeof retail];

/** Saves waiting for their answer at once: enough to share flushes, few enough that an import can be stopped. */
const savesInFlightMax = 32;
const newsEveryMs = 100;

const store = 'replay';
/** Wall clock in fractions of a millisecond, never stepping back. */
const nowMs = (): number => performance.timeOrigin + performance.now();

class ReplayPage {
  readonly #news: News[] = [];
  #ws: Workspace<Retail> | undefined;
  #invoices: readonly Invoice[] | undefined;
  #committing: Promise<void>[] = [];
  #lastSeq = 0;

  async open(relay: string): Promise<void> {
    this.#ws = await openWorkspace({
      shards: [retail],
      store,
      relay,
      worker: () => new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module' }),
      pollMs: 2_000,
    });
    setInterval(() => void this.#tell(), newsEveryMs);
  }

  async found(name: string, device: string): Promise<void> {
    await this.#workspace.create({ name, device });
  }

  invite(): Promise<string> {
    return this.#workspace.invite();
  }

  join(link: string, device: string): Promise<void> {
    return this.#workspace.join(link, { device });
  }

  /** Saves the first line of one invoice in a shard where it stands alone. Resolves when it is committed. */
  async saveLone(name: string, at: number): Promise<void> {
    const shop = await this.#workspace.open('retail', name);
    const [line] = (await this.#loaded())[at]?.lines ?? [];
    if (line === undefined) throw new Error(`no invoice ${at}`);
    const { committed } = await shop.save('retail.line', line);
    await committed;
  }

  /** Saves invoices `from` to `to` (exclusive) in their order, each as one commit group. Resolves when all are saved. */
  async save(name: string, from: number, to: number): Promise<SaveSpan> {
    const shop = await this.#workspace.open('retail', name);
    const invoices = (await this.#loaded()).slice(from, to);
    const inFlight = new Set<Promise<void>>();
    const startMs = nowMs();
    for (const invoice of invoices) {
      while (inFlight.size >= savesInFlightMax) await Promise.race(inFlight);
      const saving = this.#saveOne(shop, invoice).finally(() => inFlight.delete(saving));
      saving.catch(() => undefined); // told by the race or the end, whichever looks first
      inFlight.add(saving);
    }
    await Promise.all(inFlight);
    const endMs = nowMs();
    await this.#tell();
    return { startMs, endMs, lastSeq: this.#lastSeq };
  }

  /** Resolves when a receipt covers everything saved so far. */
  async committed(): Promise<void> {
    await Promise.all(this.#committing);
    this.#committing = [];
    await this.#tell();
  }

  async publish(name: string) {
    const shop = await this.#workspace.open('retail', name);
    const { head, rows, imageBytes, storedBytes } = await shop.publish();
    return { seq: head.seq as number, rows, imageBytes, storedBytes };
  }

  follow(name: string): Promise<void> {
    return this.#workspace.follow(`retail/${name}`);
  }

  /** Resolves when the followed shard is level with the relay and holds everything up to `seq`. */
  reached(name: string, seq: number) {
    type Followed = Awaited<ReturnType<Workspace['status']>>['followed'][number];
    return new Promise<Followed['bootstrap']>((resolve, reject) => {
      const end = this.#workspace.subscribe(({ followed }) => {
        const shard = followed.find((entry) => entry.name === name);
        if (shard?.stopped !== undefined) reject(shard.stopped);
        else if (shard === undefined || shard.seq < seq || !shard.bootstrap.isLevel) return;
        else resolve(shard.bootstrap);
        setTimeout(() => end(), 0);
      });
    });
  }

  /** The same SQL on the shard's writer and on a device that follows it. */
  async totals(name: string) {
    const ws = this.#workspace;
    const shard = `retail/${name}`;
    const [starts] = await ws.read(shard, [rangeStarts]);
    const products: (readonly TotalRow[])[] = [];
    const days: (readonly TotalRow[])[] = [];
    for (const [i, { invoice }] of starts.entries()) {
      const range = { from: invoice, to: starts[i + 1]?.invoice ?? allInvoices.to };
      const [ofProducts, ofDays] = await ws.read(shard, [productTotals(range), dayTotals(range)]);
      products.push(ofProducts);
      days.push(ofDays);
    }
    return { products: addTotals(products), days: addTotals(days) };
  }

  async close(): Promise<void> {
    await this.#workspace.close();
    this.#ws = undefined;
  }

  /** After `close`: sends the database file of a shard to `url`. */
  export(name: string, url: string): Promise<number> {
    const worker = new Worker(new URL('./export-worker.ts', import.meta.url), { type: 'module' });
    const order: ExportOrder = { store, name, url: new URL(url, location.href).href };
    return new Promise<number>((resolve, reject) => {
      worker.onerror = (event) => reject(new Error(event.message));
      worker.onmessage = ({ data }: MessageEvent<ExportAnswer>) => {
        if (data.kind === 'sent') resolve(data.bytes);
        else reject(new Error(data.message));
      };
      worker.postMessage(order);
    }).finally(() => worker.terminate());
  }

  get #workspace(): Workspace<Retail> {
    if (this.#ws === undefined) throw new Error('the workspace is not open');
    return this.#ws;
  }

  async #loaded(): Promise<readonly Invoice[]> {
    this.#invoices ??= (await (await fetch('/invoices.json')).json()) as readonly Invoice[];
    return this.#invoices;
  }

  async #saveOne(shop: Shard<typeof retail>, { invoice, lines }: Invoice): Promise<void> {
    const { ref, committed } = await shop.saveAll(lines.map((line) => ['retail.line', line] as const));
    const { group } = ref;
    this.#lastSeq = Math.max(this.#lastSeq, ref.lastSeq);
    this.#news.push({ kind: 'saved', group, invoice, ops: lines.length, atMs: nowMs() });
    this.#committing.push(committed.then(() => void this.#news.push({ kind: 'committed', group, atMs: nowMs() })));
  }

  async #tell(): Promise<void> {
    const news = this.#news.splice(0);
    if (news.length > 0) await replayNews(news);
  }
}

export type { ReplayPage };

globalThis.replayPage = new ReplayPage();
