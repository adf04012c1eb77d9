// Many simulated seeds: runs them over threads, makes each failing plan smaller, adds up marks and figures. What `npm run sim` and the test of the
// simulator call.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { actions } from './actions.ts';
import { incidents } from './incidents.ts';
import { addMarks, type Marks } from './marks.ts';
import type { Plan } from './plan.ts';
import { requiredMarks } from './required-marks.ts';
import type { Answer } from './seeds-thread.ts';
import { breaks, shrink } from './shrink.ts';
import { SimThreads } from './sim-threads.ts';

export interface Failure {
  readonly seed: number;
  readonly invariant: string;
  readonly what: string;
  /** Reproduces it. */
  readonly command: string;
  /** The smaller plan, where one was made. */
  readonly plan: Plan | undefined;
}

export interface SeedsResult {
  readonly seeds: number;
  readonly replayed: number;
  readonly failures: readonly Failure[];
  readonly ops: number;
  readonly opsPerSecond: number;
  readonly simulatedHours: number;
  readonly wallMs: number;
  readonly msPerSeed: number;
  readonly slowest: { readonly seed: number; readonly ms: number };
  readonly marks: Readonly<Record<string, number>>;
  /** Faults, actions and branches of recovery that were never met, though there were seeds enough. */
  readonly missing: readonly string[];
}

export interface SeedsSettings {
  readonly root: string;
  readonly from: number;
  readonly count: number;
  readonly threads: number;
  /** No new seed is begun after this. */
  readonly stopAfterMs?: number;
  /** Runs that may be spent on making one failing plan smaller; 0: none. */
  readonly shrinkTries: number;
  readonly failuresMax: number;
  readonly onSeed?: (answer: Answer) => void;
  /** Where smaller plans are put. */
  readonly plansIn?: string;
}

/** Fewer than this prove too little about what is met seldom. */
const seedsForMarks = 400;

const wantedMarks = (): readonly string[] => [
  ...incidents.map(({ name }) => name),
  ...actions.map(({ name }) => `action ${name}`),
  ...requiredMarks,
];

/** One in so many seeds runs twice and must give the same trace. */
const twiceEach = 20;

export async function runSeeds(settings: SeedsSettings): Promise<SeedsResult> {
  const threads = await SimThreads.start(settings.root, settings.threads);
  const from = performance.now();
  const marks: Marks = new Map();
  const failures: Failure[] = [];
  const sum = { seeds: 0, replayed: 0, ops: 0, simulatedMs: 0, threadMs: 0 };
  let slowest = { seed: 0, ms: 0 };
  let next = settings.from;
  const isOver = (): boolean =>
    next >= settings.from + settings.count ||
    failures.length >= settings.failuresMax ||
    (settings.stopAfterMs !== undefined && performance.now() - from > settings.stopAfterMs);
  const work = async (): Promise<void> => {
    while (!isOver()) {
      const seed = next++;
      const isTwice = seed % twiceEach === 0;
      const answer = await threads.run({ kind: 'seed', seed, isTwice });
      sum.seeds++;
      if (isTwice) sum.replayed++;
      if (answer === undefined) {
        failures.push({ ...noPlan(seed), invariant: 'I-19', what: 'the run did not end, or its thread did' });
        continue;
      }
      const { outcome, plan, ms } = answer;
      settings.onSeed?.(answer);
      addMarks(marks, outcome.marks);
      sum.ops += outcome.ops;
      sum.simulatedMs += outcome.simulatedMs;
      sum.threadMs += ms;
      if (ms > slowest.ms) slowest = { seed, ms: Math.round(ms) };
      const [first] = outcome.violations;
      if (first !== undefined) failures.push(await failureOf(threads, settings, plan, first));
    }
  };
  try {
    await Promise.all(Array.from({ length: settings.threads }, work));
  } finally {
    await threads.close();
  }
  const wallMs = performance.now() - from;
  return {
    ...{ seeds: sum.seeds, replayed: sum.replayed, failures, ops: sum.ops, slowest },
    opsPerSecond: Math.round((sum.ops / wallMs) * 1000),
    simulatedHours: Math.round(sum.simulatedMs / 36_000) / 100,
    wallMs: Math.round(wallMs),
    msPerSeed: Math.round(sum.threadMs / Math.max(1, sum.seeds)),
    marks: Object.fromEntries([...marks].sort(([a], [b]) => (a < b ? -1 : 1))),
    missing: sum.seeds < seedsForMarks ? [] : wantedMarks().filter((name) => (marks.get(name) ?? 0) === 0),
  };
}

const noPlan = (seed: number) => ({ seed, command: `npm run sim -- --seed ${seed} --seeds 1`, plan: undefined });

async function failureOf(
  threads: SimThreads,
  settings: SeedsSettings,
  plan: Plan,
  { invariant, what }: { readonly invariant: string; readonly what: string },
): Promise<Failure> {
  const failure = { ...noPlan(plan.seed), invariant, what };
  if (settings.shrinkTries === 0 || invariant === 'I-21') return failure;
  const isFailing = async (candidate: Plan): Promise<boolean> => {
    const answer = await threads.run({ kind: 'plan', plan: candidate });
    return answer !== undefined && breaks(answer.outcome.violations, invariant);
  };
  const smaller = await shrink(plan, isFailing, settings.shrinkTries);
  if (settings.plansIn === undefined) return { ...failure, plan: smaller };
  const file = join(settings.plansIn, `seed-${plan.seed}.json`);
  mkdirSync(settings.plansIn, { recursive: true });
  writeFileSync(file, `${JSON.stringify({ invariant, what, plan: smaller }, undefined, 2)}\n`);
  return { ...failure, plan: smaller, command: `${failure.command}   (smaller: npm run sim -- --plan ${file})` };
}
