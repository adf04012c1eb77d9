// A page saves without pause into a shard whose state stays small while its log grows, with a live query open, and checkpoints are published one after the
// other; upkeep truncates by its own rule. Afterwards every acknowledged save stands, here and on a device that starts from the last checkpoint. For some
// seconds in the tests, for ten minutes in the gates.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRelay } from '../../relay/main.node.ts';
import type { Backend } from '../../worker/browser/page.ts';
import { buildLab, Device } from './harness.ts';

export interface PublishSoak {
  readonly backend: Backend;
  readonly seconds: number;
  readonly saved: number;
  /** Acknowledged while a job of upkeep ran. */
  readonly savedDuringJobs: number;
  /** Saves answered with an error: none is expected. */
  readonly failed: readonly string[];
  readonly published: number;
  /** Publishes that ended typed, by reason: a copy gives way to whoever must change the file. */
  readonly notPublished: Readonly<Record<string, number>>;
  readonly truncatedTo: number;
  readonly patches: number;
  /** Of the file, at its largest and at the end; `storedBytes` is what the closed store takes in the browser. */
  readonly fileBytesMax: number;
  readonly fileBytes: number;
  readonly storedBytes: number;
  readonly logBytes: number;
  readonly uploadedBytes: number;
  readonly loggedBytes: number;
  /** Of saves, from call to answer, and of the turns of upkeep that they may have waited for. */
  readonly saveMs: { readonly p50: number; readonly p99: number; readonly longest: number };
  readonly longestTurnsMs: Readonly<Record<string, number>>;
  /** Acknowledged saves that are not in the state: here, and on the device that started from a checkpoint. */
  readonly lost: number;
  readonly lostOnOther: number;
  readonly otherStartedFrom: string;
}

export async function runPublishSoak(options: {
  readonly backend: Backend;
  readonly seconds: number;
  /** Bytes of each save. */
  readonly saveBytes: number;
  readonly onProgress?: (line: string) => void;
}): Promise<PublishSoak> {
  const page = await buildLab();
  const folder = await mkdtemp(join(tmpdir(), 'foldlog-soak-'));
  const relay = await startRelay({ folder, port: 0, serve: { dir: page } });
  const device = await Device.make();
  const other = await Device.make();
  try {
    const first = await device.page(`${relay.url}/`);
    await first.exposeFunction('progress', (line: string) => options.onProgress?.(line));
    const found = await first.evaluate(soak, { backend: options.backend, seconds: options.seconds, saveBytes: options.saveBytes });
    const { link, last, ...rest } = found;
    const second = await other.page(`${relay.url}/`);
    const seen = await second.evaluate(follow, { link, seq: rest.seq });
    const { seq: _, rows, ...result } = rest;
    return {
      ...{ backend: options.backend, seconds: options.seconds },
      ...result,
      lost: missing(last, rows),
      lostOnOther: missing(last, seen.rows),
      otherStartedFrom: seen.path,
    };
  } finally {
    await device.remove();
    await other.remove();
    await relay.close();
    await rm(folder, { recursive: true, force: true });
    await rm(page, { recursive: true, force: true });
  }
}

/** Number of the newest save of each sku. */
type Numbers = Readonly<Record<string, number>>;

const missing = (last: Numbers, rows: Numbers): number => Object.entries(last).filter(([sku, n]) => (rows[sku] ?? -1) < n).length;

/** In the page. */
async function soak({ backend, seconds, saveBytes }: { readonly backend: Backend; readonly seconds: number; readonly saveBytes: number }) {
  const { progress } = globalThis as unknown as { progress(line: string): Promise<void> };
  const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const ws = await lab.open({ store: 'soak', relay: '/relay', backends: [backend] });
  await ws.create({ name: 'soak', device: 'Office' });
  const shop = await ws.open('catalogue', 'main');
  const own = async () => {
    const [status] = (await ws.status()).own;
    if (status?.upkeep === undefined) throw new Error('no upkeep');
    return { ...status, upkeep: status.upkeep };
  };
  const numbers = lab.sql<{ sku: string; n: string }>`SELECT sku, substr(name, 1, 12) AS n FROM product ORDER BY sku`;
  let patches = 0;
  shop.live(numbers, { key: 'sku' }).subscribe(() => patches++);

  const tally = { saved: 0, savedDuringJobs: 0, published: 0, fileBytesMax: 0 };
  const failed: string[] = [];
  const notPublished: Record<string, number> = {};
  const tookMs: number[] = [];
  const last: Record<string, number> = {};
  const until = performance.now() + seconds * 1000;
  let isOver = false;
  let isAtWork = false;
  const skus = 40;
  const saver = async (lane: number): Promise<void> => {
    for (let n = lane; !isOver; n += 2) {
      const sku = `sku-${n % skus}`;
      const from = performance.now();
      try {
        await shop.save('product.named', { sku, name: String(n).padStart(12, '0').padEnd(saveBytes, 'x') });
        last[sku] = Math.max(last[sku] ?? 0, n);
        tookMs.push(performance.now() - from);
        tally.saved++;
        if (isAtWork) tally.savedDuringJobs++;
      } catch (error) {
        failed.push(String(error));
        await pause(100);
      }
      if (saveBytes > 4_096) await pause(4); // the relay on the same machine must keep up
    }
  };
  const watcher = async (): Promise<void> => {
    for (let i = 0; !isOver; i++, await pause(100)) {
      const { upkeep, savedSeq, committedSeq } = await own();
      isAtWork = upkeep.job !== 'idle';
      tally.fileBytesMax = Math.max(tally.fileBytesMax, upkeep.fileBytes);
      if (i % 100 === 0)
        void progress(
          `saved ${savedSeq}, committed ${committedSeq}, base ${upkeep.baseSeq}, checkpoint ${upkeep.checkpoint?.seq ?? 0}, file ${upkeep.fileBytes}, ${upkeep.job}`,
        );
    }
  };
  const publisher = async (): Promise<void> => {
    while (!isOver) {
      try {
        await shop.publish();
        tally.published++;
      } catch (error) {
        const reason = (error as { readonly reason?: string }).reason ?? String(error);
        notPublished[reason] = (notPublished[reason] ?? 0) + 1;
      }
      await pause(200);
    }
  };
  const work = [saver(0), saver(1), watcher(), publisher()];
  // Longer than asked for until something was truncated: a slow machine has saved less by then.
  while (performance.now() < until || (await own()).upkeep.baseSeq === 0) await pause(250);
  isOver = true;
  await Promise.all(work);
  // What is due is done when nobody saves any more.
  let now = await own();
  while (now.committedSeq < now.savedSeq || now.upkeep.job !== 'idle' || now.upkeep.freeBytes > 0 || now.upkeep.loggedBytes === undefined) {
    await pause(200);
    now = await own();
    const isLevel = now.committedSeq === now.savedSeq && now.upkeep.loggedBytes !== undefined;
    if (now.upkeep.job === 'idle' && now.upkeep.freeBytes < 16 * 1024 * 1024 && isLevel) break;
  }
  const [rows] = await shop.read([numbers]);
  const link = await ws.invite({ role: 'reader' });
  await ws.close();
  await pause(500);
  tookMs.sort((a, b) => a - b);
  const at = (part: number): number => Math.round((tookMs[Math.floor(part * (tookMs.length - 1))] ?? 0) * 10) / 10;
  const { upkeep } = now;
  return {
    ...tally,
    ...{ failed, notPublished, patches, last, link, seq: now.savedSeq },
    truncatedTo: upkeep.baseSeq,
    fileBytes: upkeep.fileBytes,
    storedBytes: await storedBytes(),
    logBytes: upkeep.logBytes ?? 0,
    uploadedBytes: upkeep.uploadedBytes,
    loggedBytes: upkeep.loggedBytes ?? 0,
    saveMs: { p50: at(0.5), p99: at(0.99), longest: at(1) },
    longestTurnsMs: Object.fromEntries(Object.entries(upkeep.longestTurnsMs).map(([kind, ms]) => [kind, Math.round(ms * 10) / 10])),
    rows: Object.fromEntries(rows.map(({ sku, n }) => [sku, Number(n)])),
  };

  async function storedBytes(): Promise<number> {
    if (backend === 'indexeddb') {
      const db = await new Promise<IDBDatabase>((resolve, reject) => {
        const request = indexedDB.open('foldlog-pages/soak');
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      const pages = await new Promise<number>((resolve, reject) => {
        const request = db.transaction('page').objectStore('page').count();
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      db.close();
      return pages * 8192;
    }
    const sizes = async (folder: FileSystemDirectoryHandle): Promise<number> => {
      let sum = 0;
      for await (const handle of (folder as unknown as { values(): AsyncIterable<FileSystemHandle> }).values()) {
        if (handle.kind === 'directory') sum += await sizes(handle as FileSystemDirectoryHandle);
        else sum += (await (handle as FileSystemFileHandle).getFile()).size;
      }
      return sum;
    };
    return sizes(await navigator.storage.getDirectory());
  }
}

/** In another browser: the same rows, from the newest checkpoint on. */
async function follow({ link, seq }: { readonly link: string; readonly seq: number }) {
  const ws = await lab.open({ store: 'soak', relay: '/relay' });
  await ws.join(link, { device: 'Reader' });
  await ws.follow('catalogue/*');
  for (;;) {
    const [followed] = (await ws.status()).followed;
    if (followed !== undefined && followed.seq >= seq) {
      const [rows] = await ws.read('catalogue/*', [lab.sql<{ sku: string; n: string }>`SELECT sku, substr(name, 1, 12) AS n FROM product`]);
      await ws.close();
      return { path: followed.bootstrap.path, rows: Object.fromEntries(rows.map(({ sku, n }) => [sku, Number(n)])) };
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
