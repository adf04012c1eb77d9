// The page that saves until it is killed: opens a store, runs the load, tells every acknowledgement at once, and reads all back over the public API.
// What the driver calls is `crashPage`.
import { openWorkspace, type Shard, type Sql, sql, type Workspace } from '../../../worker/browser/page.ts';
import { ledger } from '../ledger.ts';
import { firstSaves, type Life, type Save, stepsOf } from '../load.ts';
import { type Backend, backendOption } from './backend.ts';
import type { ExportAnswer, ExportOrder } from './export-worker.ts';
import type { Fuse, FuseMessage } from './fuse.ts';
import type { Disk } from './write-cache.ts';

/** A resolved `save()`, as the page saw it. */
export interface Acknowledged {
  readonly group: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface StoreOrder {
  readonly store: string;
  readonly backend: Backend;
  readonly disk: Disk;
  /** Set before the worker has opened anything. */
  readonly fuse?: Fuse;
}

export interface LoadOrder extends Life {
  /** When a fuse is set: before the step of that number, or before the first rewrite from there on; `closing` closes the store instead of saving. */
  readonly arm?: { readonly at: 'saving' | 'rewriting' | 'closing'; readonly step: number; readonly fuse: Fuse };
}

export interface ReadOrder {
  readonly store: string;
  /** The seq that is known already. */
  readonly after: number;
  /** Whether SQLite checks every page too. */
  readonly withPages: boolean;
}

export interface FoundGroup {
  readonly header: string;
  readonly salt: string;
  readonly body: string;
  /** Empty when none stands there. */
  readonly seal: string;
}

/** Each row as an array of its values. */
export type Rows = readonly (readonly (string | number)[])[];

/** The store as SQL answers it: groups whole, the tables in a form that is small and still tells a changed row. */
export interface Found {
  readonly deviceKey: string;
  /** What integrity_check complained of. */
  readonly integrity: readonly string[];
  readonly groups: readonly FoundGroup[];
  /** Rows of the whole log. */
  readonly groupCount: number;
  readonly line: Rows;
  /** id, length, first and last letters. */
  readonly letter: Rows;
  /** item, round, and 1 when the note is, letter for letter, the one of that round. */
  readonly stock: Rows;
}

declare global {
  /** Put here by the driver. Called before anything else happens with what was acknowledged. */
  var crashTell: (acknowledged: Acknowledged) => Promise<void>;
  var crashPage: CrashPage;
}

type Ledger = readonly [typeof ledger];

/** Table by table, for the engine ends a read after a second; the free pages are checked with the whole file, at a store's end. */
const checkedTables = ['foldlog_group', 'foldlog_id', 'foldlog_meta', 'line', 'letter', 'stock'] as const;

class CrashPage {
  #worker: Worker | undefined;
  #ws: Workspace<Ledger> | undefined;
  #shop: Shard<typeof ledger> | undefined;
  /** What still runs of the life before: its page may have outlived its worker, and then goes on with the next one by itself. */
  #before: Promise<unknown> = Promise.resolve();
  #lives = 0;

  /** Answers what the store stands on. */
  open(order: StoreOrder): Promise<string> {
    const life = ++this.#lives;
    const opened = this.#before
      .catch(() => undefined)
      .then(() => this.#ws?.close())
      .then(() => this.#open(order, life));
    this.#before = opened;
    return opened;
  }

  async #open({ store, backend, disk, fuse }: StoreOrder, life: number): Promise<string> {
    let isFused = fuse !== undefined;
    const start = (): Worker => {
      this.#worker = new Worker(new URL('./engine-worker.ts', import.meta.url), { type: 'module', name: disk });
      if (fuse !== undefined && isFused) this.#setFuse(fuse);
      isFused = false; // a worker that is started again has none
      return this.#worker;
    };
    this.#ws = await openWorkspace({ shards: [ledger], store, worker: start, ...backendOption(backend) });
    if (life !== this.#lives) return 'given up';
    const status = await this.#ws.status();
    if (status.workspace === undefined) await this.#ws.create({ name: store, device: 'Till 1' });
    this.#shop = await this.#ws.open('ledger', 'ledger');
    return status.backend;
  }

  async close(): Promise<void> {
    await this.#ws?.close();
  }

  endWorker(): void {
    this.#worker?.terminate();
  }

  /** The first `count` saves of a life; resolves when all are acknowledged. */
  async saveFirst(life: Life, count: number): Promise<void> {
    for (const { saves } of firstSaves(life, count)) await this.#saveAll(saves);
  }

  /** One step of a life whose answers were lost: asked again by the same ids. */
  async saveAgain(life: Life, step: number): Promise<void> {
    let at = 0;
    for (const { saves } of stepsOf(life)) if (at++ === step) return await this.#saveAll(saves);
  }

  /** Runs the load. Resolves only when it was to close the store and has done so. */
  load(order: LoadOrder): Promise<void> {
    const loaded = this.#load(order, this.#lives);
    this.#before = loaded;
    return loaded;
  }

  async #load({ arm, ...life }: LoadOrder, lives: number): Promise<void> {
    let at = 0;
    let isArmed = arm === undefined;
    for (const { kind, saves } of stepsOf(life)) {
      if (!isArmed && arm !== undefined && at >= arm.step && (arm.at !== 'rewriting' || kind === 'rewrite')) {
        this.#setFuse(arm.fuse);
        isArmed = true;
        if (arm.at === 'closing') return await this.close();
      }
      await this.#saveAll(saves);
      at++;
      if (lives !== this.#lives) return; // the page was told to open again
    }
  }

  /** The log after a seq, and the tables. */
  async read({ store, after, withPages }: ReadOrder): Promise<Found> {
    const shop = this.#shop;
    if (shop === undefined) throw new Error('the store is not open');
    // One read for each: the engine ends a read after a second, and nobody saves in between.
    const ask = async <Row>(query: Sql<Row>): Promise<readonly Row[]> => (await shop.read([query]))[0];
    const pages: string[] = [];
    for (const table of withPages ? checkedTables : []) {
      const found = await ask<{ integrity_check: string }>({ text: `PRAGMA integrity_check('${table}')`, params: [] });
      pages.push(...found.flatMap(({ integrity_check: says }) => (says === 'ok' ? [] : [says])));
    }
    const groups = await ask(sql<FoundGroup>`SELECT lower(hex(header)) AS header, lower(hex(salt)) AS salt, lower(hex(body)) AS body,
      coalesce(lower(hex(seal)), '') AS seal FROM foldlog_group WHERE last_seq > ${after} ORDER BY last_seq`);
    const [count] = await ask(sql<{ n: number }>`SELECT count(*) AS n FROM foldlog_group`);
    const line = await ask(sql<Values>`SELECT sale, sku, qty, cents FROM line ORDER BY sale, sku`);
    const letter = await ask(sql<Values>`SELECT id, length(body), substr(body, 1, 12), substr(body, -12) FROM letter ORDER BY id`);
    const stock = await ask(
      sql<Values>`SELECT item, round, note = replace(hex(zeroblob(200)), '00', printf('%010d', round)) FROM stock ORDER BY item`,
    );
    return {
      deviceKey: await deviceKey(store),
      integrity: pages,
      groups,
      groupCount: count?.n ?? 0,
      line: line.map(Object.values),
      letter: letter.map(Object.values),
      stock: stock.map(Object.values),
    };
  }

  /** After `close`: sends the shard's database file, and answers the names of all files of the store. */
  export(order: ExportOrder): Promise<readonly string[]> {
    const worker = new Worker(new URL('./export-worker.ts', import.meta.url), { type: 'module' });
    return new Promise<readonly string[]>((resolve, reject) => {
      worker.onerror = ({ message }) => reject(new Error(message || 'the export worker did not load'));
      worker.onmessage = ({ data }: MessageEvent<ExportAnswer>) => {
        if (data.kind === 'sent') resolve(data.files);
        else reject(new Error(data.message));
      };
      worker.postMessage({ ...order, url: new URL(order.url, location.href).href });
    }).finally(() => worker.terminate());
  }

  async #saveAll(saves: readonly Save[]): Promise<void> {
    await Promise.all(saves.map((save) => this.#save(save)));
  }

  async #save({ group, ops }: Save): Promise<void> {
    if (this.#shop === undefined) throw new Error('the store is not open');
    const { ref } = await this.#shop.saveAll(ops, { group });
    void crashTell({ group: ref.group, firstSeq: ref.firstSeq, lastSeq: ref.lastSeq });
  }

  #setFuse(fuse: Fuse): void {
    const message: FuseMessage = { fuse };
    this.#worker?.postMessage(message);
  }
}

type Values = Readonly<Record<string, string | number>>;

/** The public key of the device, from where the engine keeps it, by a read of our own. */
async function deviceKey(store: string): Promise<string> {
  const db = await answer(indexedDB.open(`foldlog/${store}`));
  try {
    const { pair } = await answer<{ readonly pair: CryptoKeyPair }>(db.transaction('key').objectStore('key').get('device'));
    const raw = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
    return Array.from(raw, (byte) => byte.toString(16).padStart(2, '0')).join('');
  } finally {
    db.close();
  }
}

const answer = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

export type { CrashPage };

globalThis.crashPage = new CrashPage();
