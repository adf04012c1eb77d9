// A course: stores of one kind, one after another, until their rounds are done or enough of them had a fault; and the evidence they leave in a folder:
// journal, kills, faults, and the database of each store.
import { appendFileSync } from 'node:fs';
import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildName, journalOf } from './builds.ts';
import type { Fault } from './chain.ts';
import { Journal } from './journal.ts';
import type { Backend } from './page/backend.ts';
import type { Disk } from './page/write-cache.ts';
import { type Moment, planRounds, type RoundPlan } from './plan.ts';
import { Site } from './site.ts';
import { type RoundReport, StoreRun } from './store.ts';

export interface CourseSettings {
  /** Names its folder of evidence. */
  readonly name: string;
  readonly seed: number;
  readonly rounds: number;
  readonly build: BuildName;
  readonly backend: Backend;
  readonly disk: Disk;
  /** Every round ends there. */
  readonly only?: Moment['at'] | undefined;
  /** Stores with a fault after which it ends: a broken build has said all with its first one. */
  readonly faultyMax: number;
}

export interface CoursePorts {
  /** The built page. */
  readonly page: string;
  readonly evidence: string;
  /** For browser profiles, which go as their stores end. */
  readonly scratch: string;
  readonly log: (text: string) => void;
  readonly signal: AbortSignal;
}

export interface Course {
  readonly kills: readonly RoundReport[];
  /** Acknowledged groups, and those of them that are lost. */
  readonly acked: number;
  readonly lost: number;
  readonly faults: readonly Fault[];
  /** What ended a store's rounds and is no finding about the store: a browser that hangs, a save that was refused. */
  readonly breaks: readonly string[];
  readonly browser: string;
}

/** Rounds of one store: its chain stays short enough to be judged whole, and long enough to have been killed in every way. */
const roundsPerStore = 20;

export async function runCourse(settings: CourseSettings, ports: CoursePorts): Promise<Course> {
  const { name, rounds, build, backend, disk, faultyMax } = settings;
  const folder = join(ports.evidence, name);
  await mkdir(folder);
  const journal = new Journal(join(folder, 'journal.jsonl'));
  const site = await Site.serve(ports.page, folder);
  const plans = planRounds(settings.seed, rounds, settings.only);
  const kills: RoundReport[] = [];
  const faults: Fault[] = [];
  const breaks: string[] = [];
  let [acked, lost, failed, browser] = [0, 0, 0, 'unknown'];

  /** The rounds of one store. True when nothing was wrong with it. */
  const runStore = async (storeName: string, seed: number, plan: readonly RoundPlan[]): Promise<boolean> => {
    const profile = join(ports.scratch, `${name}-${storeName}`);
    const about = { name: storeName, seed, backend, disk, sqliteJournal: journalOf(build) };
    const store = new StoreRun({ ...about, profile, inbox: folder }, site, journal);
    let isBroken = false;
    try {
      for (const round of plan) {
        const kill = ports.signal.aborted ? undefined : await store.round(round);
        if (kill === undefined) break;
        kills.push(kill);
        appendFileSync(join(folder, 'kills.jsonl'), `${JSON.stringify({ store: storeName, ...kill })}\n`);
        ports.log(`${name} ${progress(kills.length, rounds)}  ${words(kill)} ${acked + store.judge.acknowledged} acked`);
      }
      await store.finish();
    } catch (error) {
      isBroken = true;
      breaks.push(`${name}, ${storeName}: ${error instanceof Error ? error.message : String(error)}`);
    }
    await store.stop();
    acked += store.judge.acknowledged;
    lost += store.judge.lost;
    faults.push(...store.judge.faults);
    browser = store.browserVersion;
    const isSound = !isBroken && store.judge.faults.length === 0;
    // What went wrong stays as it is; of a build that is broken on purpose the database is enough.
    if (!isSound && build === 'shipped') await cp(profile, join(folder, `${storeName}-profile`), { recursive: true });
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    return isSound;
  };

  try {
    for (let number = 0; kills.length < rounds && failed < faultyMax && !ports.signal.aborted; number++) {
      // Far enough apart that the stores of two neighbouring seeds differ.
      const seed = settings.seed + 7_919 * (number + 1);
      const isSound = await runStore(`store-${number}`, seed, plans.slice(kills.length, kills.length + roundsPerStore));
      if (!isSound) failed++;
    }
  } finally {
    journal.close();
    await site.close();
  }
  await writeFile(join(folder, 'faults.json'), `${JSON.stringify({ faults, breaks }, null, 2)}\n`);
  for (const fault of [...faults.map(({ kind, what }) => `${kind}: ${what}`), ...breaks]) ports.log(`${name}: ${fault}`);
  return { kills, acked, lost, faults, breaks, browser };
}

const progress = (done: number, of: number): string => `${String(done).padStart(String(of).length)}/${of}`;
const words = ({ means, point, ms }: RoundReport): string => `${means.padEnd(16)} ${point.padEnd(32)} ${(ms / 1000).toFixed(2)} s `;
