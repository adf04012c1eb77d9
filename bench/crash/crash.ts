// The crash gate: a real browser on a profile on disk saves and is killed, round after round; every acknowledged group must be there when it opens again.
// Then the same gate over builds that are broken on purpose, which it must report. Run it with `npm run crash -- --rounds N --seed S`.
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { cpus, platform, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuildName, buildPage, journalOf } from './builds.ts';
import type { Fault } from './chain.ts';
import type { NullControl } from './controls.ts';
import { Journal } from './journal.ts';
import { allMeans, type Means } from './means.ts';
import type { Backend } from './page/backend.ts';
import type { Disk } from './page/write-cache.ts';
import { type Moment, planRounds } from './plan.ts';
import { Site } from './site.ts';
import { StoreRun } from './store.ts';

export interface CrashSettings {
  readonly rounds: number;
  readonly seed: number;
  /** Each gets all rounds. */
  readonly backends: readonly Backend[];
  readonly controls: readonly NullControl[];
  /** Folder for the evidence: made here, or empty. */
  readonly evidence: string;
}

export interface CrashPorts {
  /** Told what is being done, for people. */
  readonly log: (text: string) => void;
  /** Ends the run after the round that runs. */
  readonly signal: AbortSignal;
}

export interface Tally {
  readonly rounds: number;
  /** Acknowledged groups. */
  readonly acked: number;
  readonly lost: number;
  /** Faults of these kinds: a store ends with its first. */
  readonly torn: number;
  readonly doubled: number;
}

/** The last line of `--json`. */
export interface CrashResult extends Tally {
  /** Which means ended how many rounds, and what was acknowledged in them. */
  readonly byMeans: Readonly<Record<Means, { readonly rounds: number; readonly acked: number }>>;
  readonly byBackend: Readonly<Record<string, Tally>>;
  readonly nullControls: readonly ControlResult[];
  readonly secondsPerRound: number;
  readonly evidence: string;
}

/** Its rounds: until the gate reported it. */
export interface ControlResult extends Tally {
  readonly name: string;
  /** The sound build over the same disk and journal, for as many rounds or more: nothing may be wrong there. Absent: the rounds above are it. */
  readonly sound?: Tally;
}

export type CrashOutcome =
  | { readonly kind: 'evidenceInUse'; readonly found: string }
  | { readonly kind: 'done'; readonly result: CrashResult; readonly failures: readonly string[] };

/** Rounds of one store: its chain stays short enough to be judged whole, and long enough to have been killed in every way. */
const roundsPerStore = 20;
/** Enough to see whether faults are alike; the run has failed anyway. */
const faultyStoresMax = 3;

export async function crash(settings: CrashSettings, ports: CrashPorts): Promise<CrashOutcome> {
  await mkdir(settings.evidence, { recursive: true });
  const inTheWay = (await readdir(settings.evidence))[0];
  if (inTheWay !== undefined) return { kind: 'evidenceInUse', found: inTheWay };
  const scratch = await mkdtemp(join(tmpdir(), 'foldlog-crash-'));
  const gate = new Gate(settings, ports, scratch);
  try {
    return await gate.run();
  } finally {
    await rm(scratch, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

/** What some stores of one kind came to. */
interface Course {
  rounds: number;
  acked: number;
  lost: number;
  readonly faults: Fault[];
  /** What ended a store's rounds that is no finding about the store: a browser that hangs, a save that was refused. */
  readonly breaks: string[];
}

interface CourseSettings {
  /** Names its folder of evidence. */
  readonly name: string;
  readonly build: BuildName;
  readonly backend: Backend;
  readonly disk: Disk;
  readonly rounds: number;
  readonly only?: Moment['at'] | undefined;
  /** Stores with a fault after which it ends: a broken build has said all with its first one. */
  readonly faultyMax: number;
}

class Gate {
  readonly #settings: CrashSettings;
  readonly #ports: CrashPorts;
  readonly #scratch: string;
  readonly #folders = new Map<BuildName, Promise<string>>();
  readonly #byMeans = Object.fromEntries(allMeans.map((means) => [means, { rounds: 0, acked: 0 }])) as Record<
    Means,
    { rounds: number; acked: number }
  >;
  readonly #breaks: string[] = [];
  #browser = 'unknown';

  constructor(settings: CrashSettings, ports: CrashPorts, scratch: string) {
    this.#settings = settings;
    this.#ports = ports;
    this.#scratch = scratch;
  }

  async run(): Promise<CrashOutcome> {
    const { rounds, backends, controls, evidence, seed } = this.#settings;
    const start = performance.now();
    const courses = new Map<Backend, Course>();
    for (const backend of backends) {
      courses.set(
        backend,
        await this.#course({ name: backend, build: 'shipped', backend, disk: 'kept', rounds, faultyMax: faultyStoresMax }),
      );
    }
    const ran = sum([...courses.values()].map((course) => course.rounds));
    const secondsPerRound = Math.round((performance.now() - start) / Math.max(1, ran) / 10) / 100;
    const byMeans = structuredClone(this.#byMeans);
    const controlResults: ControlResult[] = [];
    for (const control of controls) controlResults.push(await this.#control(control, backends[0] ?? 'opfs-pool'));

    const all = [...courses.values()];
    const faults = all.flatMap((course) => course.faults);
    const [acked, lost] = [sum(all.map((course) => course.acked)), sum(all.map((course) => course.lost))];
    const result: CrashResult = {
      ...tallyOf({ rounds: ran, acked, lost, faults, breaks: [] }),
      byMeans,
      byBackend: Object.fromEntries([...courses].map(([backend, course]) => [backend, tallyOf(course)])),
      nullControls: controlResults,
      secondsPerRound,
      evidence,
    };
    const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, os: `${platform()} ${release()}` };
    const versions = { node: process.version, chromium: this.#browser };
    const failures = [...faults.map(({ kind, what }) => `${kind}: ${what}`), ...this.#breaks, ...shortfalls(this.#settings, result)];
    const summary = { date: new Date().toISOString(), seed, machine, versions, result, failures };
    await writeFile(join(evidence, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
    return { kind: 'done', result, failures };
  }

  async #control({ name, build, disk, only, roundsMax, sound }: NullControl, backend: Backend): Promise<ControlResult> {
    const shared = { backend, disk, only, rounds: roundsMax };
    const broken = await this.#course({ name: `control-${name}`, build, ...shared, faultyMax: 1 });
    this.#ports.log(`control ${name}: ${broken.faults[0]?.what ?? 'NOT FOUND'}`);
    if (sound === undefined) return { name, ...tallyOf(broken) };
    const twin = await this.#course({ name: `control-${name}-sound`, build: sound, ...shared, faultyMax: 1 });
    for (const { kind, what } of twin.faults) this.#ports.log(`  its sound twin: ${kind}: ${what}`);
    return { name, ...tallyOf(broken), sound: tallyOf(twin) };
  }

  /** Stores of one kind, one after another, until the rounds are done. */
  async #course(settings: CourseSettings): Promise<Course> {
    const { name, build, backend, disk, rounds, only, faultyMax } = settings;
    const course: Course = { rounds: 0, acked: 0, lost: 0, faults: [], breaks: [] };
    if (rounds === 0) return course;
    const folder = join(this.#settings.evidence, name);
    await mkdir(folder);
    const journal = new Journal(join(folder, 'journal.jsonl'));
    const site = await Site.serve(await this.#build(build), folder);
    const plans = planRounds(this.#settings.seed, rounds, only);
    const lines: string[] = [];
    let faulty = 0;
    try {
      for (let number = 0; course.rounds < rounds && !this.#ports.signal.aborted; number++) {
        const seed = this.#settings.seed + 7_919 * (number + 1);
        const profile = join(this.#scratch, `${name}-${number}`);
        const place = { name: `store-${number}`, profile, inbox: folder };
        const store = new StoreRun({ ...place, seed, backend, disk, journal: journalOf(build) }, site, journal);
        try {
          for (const plan of plans.slice(course.rounds, course.rounds + roundsPerStore)) {
            const report = this.#ports.signal.aborted ? undefined : await store.round(plan);
            if (report === undefined) break;
            const { point, acknowledged, ms } = report;
            course.rounds++;
            this.#byMeans[plan.means].rounds++;
            this.#byMeans[plan.means].acked += acknowledged;
            lines.push(JSON.stringify({ store: `store-${number}`, ...plan, point, acknowledged, ms: Math.round(ms) }));
            this.#tell(settings, course, { means: plan.means, point, acked: course.acked + store.judge.acknowledged, ms });
          }
          await store.finish();
        } catch (error) {
          course.breaks.push(`${name}, ${place.name}: ${error instanceof Error ? error.message : String(error)}`);
          this.#ports.log(course.breaks.at(-1) ?? '');
        } finally {
          course.acked += store.judge.acknowledged;
          course.lost += store.judge.lost;
          course.faults.push(...store.faults);
          if (store.browserVersion !== 'unknown') this.#browser = store.browserVersion;
          await store.stop();
          // What went wrong stays as it is; of a build that is broken on purpose the file is enough.
          if (store.faults.length + course.breaks.length > 0 && build === 'shipped')
            await cp(profile, join(folder, `${place.name}-profile`), { recursive: true });
          await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
        }
        if (store.faults.length > 0) faulty++;
        if (faulty + course.breaks.length >= faultyMax) break;
      }
    } finally {
      this.#breaks.push(...course.breaks);
      await writeFile(join(folder, 'kills.jsonl'), lines.map((line) => `${line}\n`).join(''));
      await writeFile(join(folder, 'faults.json'), `${JSON.stringify(course.faults, null, 2)}\n`);
      journal.close();
      await site.close();
    }
    return course;
  }

  #build(name: BuildName): Promise<string> {
    let folder = this.#folders.get(name);
    if (folder === undefined) {
      folder = buildPage(name, this.#scratch);
      this.#folders.set(name, folder);
    }
    return folder;
  }

  #tell({ name, rounds }: CourseSettings, course: Course, round: { means: Means; point: string; acked: number; ms: number }): void {
    const { means, point, acked, ms } = round;
    const progress = `${name} ${String(course.rounds).padStart(String(rounds).length)}/${rounds}`;
    this.#ports.log(`${progress}  ${means.padEnd(16)} ${point.padEnd(32)} ${acked} acked  ${(ms / 1000).toFixed(2)} s`);
  }
}

function tallyOf({ rounds, acked, lost, faults }: Course): Tally {
  const count = (kind: Fault['kind']): number => faults.filter((fault) => fault.kind === kind).length;
  return { rounds, acked, lost, torn: count('torn'), doubled: count('doubled') };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const none = { lost: 0, torn: 0, doubled: 0 };

/** What makes a run worth less than it says, though nothing was lost in it. */
function shortfalls({ rounds, backends, controls }: CrashSettings, result: CrashResult): readonly string[] {
  const wanted = rounds * backends.length;
  return [
    ...(result.rounds < wanted ? [`${result.rounds} rounds of ${wanted}`] : []),
    ...(rounds > 0 && result.acked === 0 ? ['nothing was acknowledged'] : []),
    ...controls.flatMap(({ name }) => {
      const found = result.nullControls.find((control) => control.name === name);
      if (found === undefined || found.lost + found.torn === 0) return [`control ${name}: the broken build was not found out`];
      const { lost, torn, doubled } = found.sound ?? none;
      return lost + torn + doubled > 0 ? [`control ${name}: its sound twin has ${lost} lost, ${torn} torn, ${doubled} doubled`] : [];
    }),
  ];
}
