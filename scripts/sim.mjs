// `npm run sim`: runs seeds of the simulator and says what they found. Arguments and words only; the simulator is tests/sim, run from its sources.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

const HELP = `npm run sim -- [options]

Runs seeds of the simulator: several devices, relay instances over one store, a network, and faults, in one thread each and without real time. A seed
decides everything; what a seed finds is found again by running it again. docs/simulator.md

  --seeds N          how many, default 200
  --seed S           the first one, default 1
  --planted [IDS]    puts known bugs into a copy of the sources, one at a time, and runs seeds until each is found; IDS: P-01,P-05
  --plan FILE        runs one plan that was made smaller, or one of tests/sim/regress
  --trace            prints every event; with one seed or --plan
  --threads N        default: one per core
  --json             the result as one line of JSON on standard output
  --help             this text

Exit code: 0 nothing was found (with --planted: everything was) · 1 something was (was not) · 2 bad arguments.`;

/**
 * What the modules of tests/sim export, as far as it is used here.
 * @typedef {{ invariant: string, what: string }} Violation
 * @typedef {{ seed: number, violations: Violation[], ops: number, trace: string }} Outcome
 * @typedef {{ seed: number, invariant: string, what: string, command: string, plan?: unknown }} Failure
 * @typedef {{
 *   seeds: number, replayed: number, failures: Failure[], ops: number, opsPerSecond: number, simulatedHours: number, wallMs: number,
 *   msPerSeed: number, slowest: { seed: number, ms: number }, marks: Record<string, number>, missing: string[],
 * }} SeedsResult
 * @typedef {{ runSeeds: (settings: object) => Promise<SeedsResult> }} Seeds
 * @typedef {{
 *   drawPlan: (seed: number) => object, stray: (failure: unknown) => void,
 *   simulate: (plan: object, onNote?: (atMs: number, event: string) => void) => Promise<Outcome>,
 * }} Simulate
 * @typedef {{ id: string, found: boolean, seeds: number, invariant: string }} Planted
 * @typedef {{ runPlanted: (settings: object) => Promise<Planted[]> }} PlantedRuns
 */

const options = readOptions();
if (options !== undefined) {
  try {
    process.exitCode = await main(options);
  } catch (cause) {
    console.error(process.env.DEBUG ? cause : `\nsim: ${cause instanceof Error ? cause.message : cause}`);
    process.exitCode = 1;
  }
}

/** @param {NonNullable<ReturnType<typeof readOptions>>} options @returns {Promise<number>} */
async function main({ seeds, seed, threads, isJson, planted, plan, isTrace }) {
  if (planted !== undefined) return runPlanted(planted, threads, isJson);
  if (plan !== undefined || isTrace) return runOne({ seed, plan, isTrace, isJson });
  /** @type {{ module: Seeds }} */
  const { module } = await load('tests/sim/seeds.ts');
  const result = await module.runSeeds({
    ...{ root, from: seed, count: seeds, threads, shrinkTries: 60, failuresMax: 10, plansIn: join(root, '.foldlog', 'sim') },
    onSeed: (/** @type {{ outcome: Outcome }} */ { outcome }) => {
      if (outcome.violations.length > 0)
        console.error(`seed ${outcome.seed}: ${outcome.violations[0]?.invariant} ${outcome.violations[0]?.what}`);
    },
  });
  for (const failure of result.failures) {
    console.error(`\nFAILED seed ${failure.seed}, ${failure.invariant}: ${failure.what}\n  ${failure.command}`);
  }
  const out = { ...result, failures: result.failures.map(({ plan: _plan, ...failure }) => failure) };
  if (isJson) console.log(JSON.stringify(out));
  else {
    for (const [mark, count] of Object.entries(result.marks)) console.log(`${String(count).padStart(9)}  ${mark}`);
    console.log(
      `\n${result.seeds} seeds (${result.replayed} of them twice), ${result.failures.length} failed; ${result.ops} ops, ${result.opsPerSecond} ops/s, ` +
        `${result.simulatedHours} simulated hours in ${(result.wallMs / 1000).toFixed(1)} s, ${result.msPerSeed} ms a seed, ` +
        `slowest seed ${result.slowest.seed}: ${result.slowest.ms} ms`,
    );
  }
  for (const name of result.missing) console.error(`NEVER MET: ${name}`);
  return result.failures.length + result.missing.length === 0 ? 0 : 1;
}

/** @param {{ seed: number, plan: string | undefined, isTrace: boolean, isJson: boolean }} one @returns {Promise<number>} */
async function runOne({ seed, plan, isTrace, isJson }) {
  /** @type {{ module: Simulate }} */
  const { module } = await load('tests/sim/simulate.ts');
  process.on('unhandledRejection', module.stray);
  const say = console.log;
  console.warn = () => undefined;
  console.error = () => undefined;
  const chosen = plan === undefined ? module.drawPlan(seed) : JSON.parse(readFileSync(plan, 'utf8')).plan;
  if (isTrace && !isJson) say(JSON.stringify(chosen, undefined, 1));
  const outcome = await module.simulate(
    chosen,
    isTrace && !isJson ? (atMs, event) => say(`${atMs.toFixed(0).padStart(8)} ${event}`) : undefined,
  );
  if (isJson) say(JSON.stringify(outcome));
  else for (const { invariant, what } of outcome.violations) say(`FAILED ${invariant}: ${what}`);
  if (!isJson) say(`seed ${outcome.seed}: ${outcome.violations.length} violations, ${outcome.ops} ops, trace ${outcome.trace}`);
  return outcome.violations.length === 0 ? 0 : 1;
}

/** @param {readonly string[]} ids @param {number} threads @param {boolean} isJson @returns {Promise<number>} */
async function runPlanted(ids, threads, isJson) {
  /** @type {{ module: PlantedRuns }} */
  const { module } = await load('tests/sim/planted.ts');
  const planted = await module.runPlanted({ root, ids, threads, log: (/** @type {string} */ text) => console.error(text) });
  if (isJson) console.log(JSON.stringify({ planted }));
  else {
    for (const { id, found, seeds, invariant } of planted) {
      console.log(`${id}  ${found ? `found after ${seeds} seeds by ${invariant}` : `NOT FOUND in ${seeds} seeds`}`);
    }
  }
  return planted.every(({ found }) => found) ? 0 : 1;
}

/** @param {string} path @returns {Promise<{ module: any }>} */
function load(path) {
  return runnerImport(join(root, path), { root, configFile: false, logLevel: 'error' });
}

function readOptions() {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  const args = process.argv.slice(2);
  // `--planted` stands alone or names some.
  const at = args.indexOf('--planted');
  if (at >= 0 && (args[at + 1] === undefined || args[at + 1]?.startsWith('--'))) args.splice(at, 1, '--planted=');
  try {
    const { values } = util.parseArgs({
      args,
      options: {
        seeds: text,
        seed: text,
        threads: text,
        plan: text,
        planted: text,
        trace: flag,
        json: flag,
        help: { ...flag, short: 'h' },
      },
    });
    if (values.help) return void console.log(HELP);
    return {
      seeds: whole('seeds', values.seeds ?? '200'),
      seed: whole('seed', values.seed ?? '1'),
      threads: whole('threads', values.threads ?? String(availableParallelism())),
      isJson: values.json ?? false,
      isTrace: values.trace ?? false,
      plan: values.plan === undefined ? undefined : resolve(process.env.INIT_CWD ?? process.cwd(), values.plan),
      planted: values.planted === undefined ? undefined : values.planted.replace(/[[\]]/g, '').split(',').filter(Boolean),
    };
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : cause}\n\n${HELP}`);
    process.exitCode = 2;
    return undefined;
  }
}

/** @param {string} name @param {string} value @returns {number} */
function whole(name, value) {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${name}: ${value} found, a whole number from 1 expected`);
  return number;
}
