// The replay: a retail CSV through the public API of one device, over the relay in workerd, to a second device; then everything that was kept is
// taken out and compared with the CSV by code that shares nothing with the way it went. Run it with `npm run replay -- --csv FILE`.
//
// Order, and why: bad lines are found before anything exists · a lone sale in a shard of its own, on an idle relay · 80 % of the invoices, a
// checkpoint, 15 %, so that the second device starts from checkpoint and residual · then the rest, so that it has something to follow.
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { cpus, platform, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Device } from './device.ts';
import { type Evidence, judge } from './evidence.ts';
import { type BadLine, checkCsv, type Invoice } from './invoices.ts';
import { Journal } from './journal.ts';
import type { News, SaveSpan } from './page/page.ts';
import { startRelayHost } from './relay-host.ts';
import { buildPage, serveSite } from './site.ts';
import { Supervision } from './supervision.ts';

export interface ReplaySettings {
  /** Path of the CSV. */
  readonly csv: string;
  /** Folder for the evidence: made here, or empty. */
  readonly evidence: string;
}

export interface ReplayPorts {
  /** Told what is being done, for people. */
  readonly log: (text: string) => void;
  /** Ends the run; what was opened is closed. */
  readonly signal: AbortSignal;
}

/** The last line of `--json`. */
export interface ReplayResult {
  readonly ops: number;
  readonly groups: number;
  /** Over the time in which invoices were being saved. */
  readonly savedOpsPerSecond: number;
  /** From the first save to the last receipt; the second device's start, in which nothing is saved, left out. */
  readonly committedOpsPerSecond: number;
  /** Database file of the writing device, log and tables. */
  readonly bytesPerOpLocal: number;
  /** Slot objects of the shard; not its checkpoints. */
  readonly bytesPerOpRelay: number;
  /** Calls of the relay to its bucket, of both devices, start-up probe included. */
  readonly storeRequests: number;
  readonly bootstrap: { readonly path: string; readonly ms: number; readonly bytes: number; readonly groupsFolded: number };
  /** Slot object of one sale of one line, pushed alone. */
  readonly loneSaleBytes: number;
  readonly totalsMatch: boolean;
  readonly chainVerified: boolean;
  readonly evidence: string;
}

export type ReplayOutcome =
  | { readonly kind: 'badLines'; readonly badLines: readonly BadLine[] }
  | { readonly kind: 'evidenceInUse'; readonly found: string }
  | { readonly kind: 'done'; readonly result: ReplayResult; readonly failures: readonly string[] };

const mainShard = 'shop';
const loneShard = 'lone';
const checkpointAt = 0.8;
const secondDeviceAt = 0.95;
const publishAttemptsMax = 3;

export async function replay(settings: ReplaySettings, ports: ReplayPorts): Promise<ReplayOutcome> {
  const csv = new TextDecoder('utf-8', { ignoreBOM: true }).decode(await readFile(settings.csv));
  const { invoices, lineCount, badLines } = checkCsv(csv);
  if (badLines.length > 0) return { kind: 'badLines', badLines };
  await mkdir(settings.evidence, { recursive: true });
  const inTheWay = (await readdir(settings.evidence))[0];
  if (inTheWay !== undefined) return { kind: 'evidenceInUse', found: inTheWay };

  const supervision = new Supervision({ ...ports, lines: lineCount });
  const journal = new Journal(join(settings.evidence, 'journal.jsonl'));
  try {
    return await run(supervision, journal, { csv, invoices, lineCount, evidence: settings.evidence });
  } finally {
    await journal.close().finally(() => supervision.close());
  }
}

interface Load {
  readonly csv: string;
  readonly invoices: readonly Invoice[];
  readonly lineCount: number;
  readonly evidence: string;
}

async function run(supervision: Supervision, journal: Journal, load: Load): Promise<ReplayOutcome> {
  const { invoices, lineCount, evidence } = load;
  const stage: Supervision['stage'] = (name, work) => supervision.stage(name, work);
  const scratch = await mkdtemp(join(tmpdir(), 'foldlog-replay-'));
  // Last of all, and not under the feet of what is still ending.
  supervision.closes('temporary folder', async () => {
    await supervision.settled();
    await rm(scratch, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  });
  const files = { a: join(evidence, 'device-a.db'), b: join(evidence, 'device-b.db') };

  // Hosts: page, relay, one browser.
  const folder = join(scratch, 'page');
  await stage('building the page', () => buildPage(folder));
  const inbox = new Map([
    ['/device-a.db', files.a],
    ['/device-b.db', files.b],
  ]);
  const site = await serveSite({ folder, invoicesJson: JSON.stringify(invoices), inbox });
  supervision.closes('page server', () => site.close());
  const relay = await stage('starting the relay in workerd, over R2 on disk', () =>
    startRelayHost({ folder: join(scratch, 'r2'), origin: site.origin, closes: (close) => supervision.closes('relay', close) }),
  );
  const startDevice = (name: string, onNews?: (news: readonly News[]) => void): Promise<Device> =>
    stage(`starting device ${name} on a profile on disk`, async () => {
      const closes = (close: () => Promise<void>): void => supervision.closes(`device ${name}`, close);
      const options = { profile: join(scratch, `profile-${name}`), url: site.origin, onFailure: supervision.fail, closes };
      const device = await Device.start(onNews === undefined ? options : { ...options, onNews });
      await device.page.evaluate((url) => replayPage.open(url), relay.url);
      return device;
    });

  const a = await startDevice('a', (news) => {
    journal.take(news);
    supervision.sign(() => `${journal.opsSaved} of ${lineCount} lines saved, ${journal.opsCommitted} committed`);
  });
  await stage('a lone sale of one line', async () => {
    await a.page.evaluate(() => replayPage.found('retail', 'Device A'));
    const single = invoices.findIndex(({ lines }) => lines.length === 1);
    await a.page.evaluate(([name, at]) => replayPage.saveLone(name, at), [loneShard, Math.max(single, 0)] as const);
  });

  // The load.
  const cuts = [
    0,
    Math.max(1, Math.floor(invoices.length * checkpointAt)),
    Math.max(1, Math.floor(invoices.length * secondDeviceAt)),
  ] as const;
  const save = (from: number, to: number): Promise<SaveSpan> =>
    stage(`saving ${to - from} of ${invoices.length} invoices`, () =>
      a.page.evaluate(([name, start, end]) => replayPage.save(name, start, end), [mainShard, from, to] as const),
    );
  const committed = async (since: number): Promise<number> => {
    await stage('waiting for the last receipt', () => a.page.evaluate(() => replayPage.committed()));
    return Math.max(0, (journal.committed.at(-1)?.committedAtMs ?? since) - since);
  };
  const first = await save(cuts[0], cuts[1]);
  const published = await stage('publishing a checkpoint', () => publish(a, supervision));
  const second = await save(cuts[1], cuts[2]);
  const bulkMs = await committed(first.startMs);

  // The second device.
  const link = await stage('inviting device b', () => a.page.evaluate(() => replayPage.invite()));
  const b = await startDevice('b');
  const bootstrap = await stage('device b joins and starts from the checkpoint', async () => {
    await b.page.evaluate((fragment) => replayPage.join(fragment, 'Device B'), link);
    await b.page.evaluate((name) => replayPage.follow(name), mainShard);
    return b.page.evaluate(([name, seq]) => replayPage.reached(name, seq), [mainShard, second.lastSeq] as const);
  });
  const third = await save(cuts[2], invoices.length);
  const restMs = await committed(third.startMs);
  const followMs = await stage('device b follows to the end', async () => {
    await b.page.evaluate(([name, seq]) => replayPage.reached(name, seq), [mainShard, third.lastSeq] as const);
    return Date.now() - (journal.committed.at(-1)?.committedAtMs ?? 0);
  });

  // The evidence: out of the devices and the relay, then judged.
  const totals = await stage('asking both devices for the totals', async () => ({
    a: await a.page.evaluate((name) => replayPage.totals(name), mainShard),
    b: await b.page.evaluate((name) => replayPage.totals(name), mainShard),
  }));
  await stage('taking out both databases', async () => {
    for (const [name, device] of [
      ['a', a],
      ['b', b],
    ] as const) {
      await device.page.evaluate(() => replayPage.close());
      await device.page.evaluate(([shard, url]) => replayPage.export(shard, url), [mainShard, `/device-${name}.db`] as const);
    }
  });
  const relayFolder = join(evidence, 'relay');
  const storeCalls = await stage("taking out the relay's objects", async () => {
    const calls = await relay.storeCalls();
    await relay.exportObjects(relayFolder);
    return calls;
  });
  await journal.close();
  const kept: Evidence = { ...load, mainShard, loneShard, relayFolder, databases: files, totals, journal: journal.committed };
  const verdict = await stage('comparing everything with the CSV, verifying the chain', () =>
    judge(kept, (name) => supervision.sign(() => name)),
  );

  const perSecond = (ms: number): number => Math.round((lineCount * 1000) / ms);
  const savedMs = [first, second, third].reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
  const result: ReplayResult = {
    ops: lineCount,
    groups: invoices.length,
    savedOpsPerSecond: perSecond(savedMs),
    committedOpsPerSecond: perSecond(bulkMs + restMs),
    bytesPerOpLocal: round1((await stat(files.a)).size / lineCount),
    bytesPerOpRelay: round1(verdict.slotBytes / lineCount),
    storeRequests: Object.values(storeCalls).reduce((sum, count) => sum + count, 0),
    bootstrap: { path: bootstrap.path, ms: Math.round(bootstrap.ms), bytes: bootstrap.bytes, groupsFolded: bootstrap.groupsFolded },
    loneSaleBytes: verdict.loneSaleBytes,
    totalsMatch: verdict.totalsMatch,
    chainVerified: verdict.chainVerified,
    evidence,
  };
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, os: `${platform()} ${release()}` };
  const versions = { node: process.version, chromium: a.version };
  const details = {
    published,
    storeCalls,
    slots: verdict.slots,
    follow: { groups: invoices.length - cuts[2], ms: Math.max(0, Math.round(followMs)) },
  };
  const report = { date: new Date().toISOString(), machine, versions, result, details, checks: verdict.checks };
  await writeFile(join(evidence, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
  const failures = verdict.checks.filter(({ found }) => found !== 'ok').map(({ check, found }) => `${check}: ${found}`);
  return { kind: 'done', result, failures };
}

/** A head that is not committed in time is no fault: the next try starts over. */
async function publish(device: Device, supervision: Supervision) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await device.page.evaluate((name) => replayPage.publish(name), mainShard);
    } catch (error) {
      if (attempt >= publishAttemptsMax) throw error;
      supervision.sign(() => `publishing again: ${String(error)}`);
    }
  }
}

const round1 = (value: number): number => Math.round(value * 10) / 10;
