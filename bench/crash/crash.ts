// The crash gate: a real browser on a profile on disk saves and is killed, round after round; every acknowledged group must be there when it opens again.
// Then the same gate over builds that are broken on purpose, which it must report. Run it with `npm run crash -- --rounds N --seed S`.
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { cpus, platform, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuildName, buildPage } from './builds.ts';
import type { Fault } from './chain.ts';
import type { NullControl } from './controls.ts';
import { type Course, type CourseSettings, runCourse } from './course.ts';
import { allMeans, type Means } from './means.ts';
import type { Backend } from './page/backend.ts';

export interface CrashSettings {
  readonly rounds: number;
  readonly seed: number;
  /** Each gets all rounds; null controls run on the first. */
  readonly backends: readonly [Backend, ...Backend[]];
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

/** Enough to see whether faults are alike; the run has failed anyway. */
const faultyStoresMax = 3;

export async function crash(settings: CrashSettings, ports: CrashPorts): Promise<CrashOutcome> {
  await mkdir(settings.evidence, { recursive: true });
  const inTheWay = (await readdir(settings.evidence))[0];
  if (inTheWay !== undefined) return { kind: 'evidenceInUse', found: inTheWay };
  const scratch = await mkdtemp(join(tmpdir(), 'foldlog-crash-'));
  try {
    return await run(settings, ports, scratch);
  } finally {
    await rm(scratch, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }
}

async function run(settings: CrashSettings, ports: CrashPorts, scratch: string): Promise<CrashOutcome> {
  const { rounds, seed, backends, controls, evidence } = settings;
  const pages = new Map<BuildName, string>();
  const course = async (own: Omit<CourseSettings, 'seed'>): Promise<Course> => {
    const page = pages.get(own.build) ?? (await buildPage(own.build, scratch));
    pages.set(own.build, page);
    return runCourse({ ...own, seed }, { ...ports, page, evidence, scratch });
  };

  // The shipped build.
  const shipped = { build: 'shipped', disk: 'kept', rounds, faultyMax: faultyStoresMax } as const;
  const courses = new Map<Backend, Course>();
  const start = performance.now();
  if (rounds > 0) for (const backend of backends) courses.set(backend, await course({ ...shipped, name: backend, backend }));
  const ms = performance.now() - start;
  const all = [...courses.values()];
  const kills = all.flatMap((one) => one.kills);

  // The broken ones, each beside its sound twin.
  const nullControls: ControlResult[] = [];
  const breaks = all.flatMap((one) => one.breaks);
  for (const { name, build, sound, disk, only, roundsMax } of controls) {
    const own = { backend: backends[0], disk, only, rounds: roundsMax, faultyMax: 1 };
    const broken = await course({ ...own, name: `control-${name}`, build });
    const twin = sound === undefined ? undefined : await course({ ...own, name: `control-${name}-sound`, build: sound });
    nullControls.push({ name, ...tallyOf([broken]), ...(twin === undefined ? {} : { sound: tallyOf([twin]) }) });
    breaks.push(...broken.breaks, ...(twin?.breaks ?? []));
  }

  const result: CrashResult = {
    ...tallyOf(all),
    byMeans: Object.fromEntries(allMeans.map((means) => [means, tallyOfMeans(kills, means)])) as CrashResult['byMeans'],
    byBackend: Object.fromEntries([...courses].map(([backend, one]) => [backend, tallyOf([one])])),
    nullControls,
    secondsPerRound: Math.round(ms / Math.max(1, kills.length) / 10) / 100,
    evidence,
  };
  const failures = [
    ...all.flatMap(({ faults }) => faults).map(({ kind, what }) => `${kind}: ${what}`),
    ...breaks,
    ...shortfalls(settings, result),
  ];
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, os: `${platform()} ${release()}` };
  const versions = { node: process.version, chromium: all[0]?.browser ?? 'unknown' };
  const summary = { date: new Date().toISOString(), seed, machine, versions, result, failures };
  await writeFile(join(evidence, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
  return { kind: 'done', result, failures };
}

function tallyOf(courses: readonly Course[]): Tally {
  const faults = courses.flatMap((course) => course.faults);
  const count = (kind: Fault['kind']): number => faults.filter((fault) => fault.kind === kind).length;
  return {
    rounds: sum(courses.map(({ kills }) => kills.length)),
    acked: sum(courses.map(({ acked }) => acked)),
    lost: sum(courses.map(({ lost }) => lost)),
    torn: count('torn'),
    doubled: count('doubled'),
  };
}

function tallyOfMeans(kills: Course['kills'], means: Means): { readonly rounds: number; readonly acked: number } {
  const own = kills.filter((kill) => kill.means === means);
  return { rounds: own.length, acked: sum(own.map(({ acknowledged }) => acknowledged)) };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** What makes a run worth less than it says, though nothing was lost in it. */
function shortfalls({ rounds, backends, controls }: CrashSettings, result: CrashResult): readonly string[] {
  const wanted = rounds * backends.length;
  return [
    ...(result.rounds < wanted ? [`${result.rounds} rounds of ${wanted}`] : []),
    ...(rounds > 0 && result.acked === 0 ? ['nothing was acknowledged'] : []),
    ...controls.flatMap(({ name }) => {
      const found = result.nullControls.find((control) => control.name === name);
      if (found === undefined || found.lost === 0) return [`control ${name}: no loss was reported`];
      const { lost, torn, doubled } = found.sound ?? { lost: 0, torn: 0, doubled: 0 };
      return lost + torn + doubled > 0 ? [`control ${name}: its sound twin has ${lost} lost, ${torn} torn, ${doubled} doubled`] : [];
    }),
  ];
}
