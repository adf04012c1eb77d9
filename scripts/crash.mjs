// `npm run crash -- --rounds N --seed S`: kills a real browser while it saves, again and again, and says what was lost. Arguments and words only; the
// gate itself is bench/crash/crash.ts, run from its sources.
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

const EXIT_MS_MAX = 5_000;

const HELP = `npm run crash -- [options]

Saves in Chromium on a profile on disk and ends it: kill -9 of the browser and of the renderer, a crash, a closed tab, a terminated worker, a freeze; at
seeded moments, most of them exactly one I/O call. Opens the same profile again and requires every acknowledged group in its place, once, whole, in one
verified chain, with the tables that chain folds to. Then runs builds that are broken on purpose, which must be found out.

  --rounds N       kills on each backend (default 60; 0: null controls alone)
  --seed S         what everything is drawn from (default 20261121)
  --backends LIST  opfs-pool, indexeddb (default opfs-pool)
  --no-controls    without the null controls: for working on the gate
  --evidence DIR   empty or new folder for journals and databases (default .foldlog/crash-<date>)
  --json           the result as one line of JSON on standard output, nothing else there
  --help           this text

Exit code: 0 nothing lost, torn or doubled, and every broken build found out · 1 otherwise, or the run broke · 2 bad arguments.`;

/**
 * What bench/crash exports, as far as it is used here.
 * @typedef {{ rounds: number, acked: number, lost: number }} Tally
 * @typedef {Tally & {
 *   torn: number, doubled: number, byMeans: Record<string, { rounds: number, acked: number }>, byBackend: Record<string, Tally>,
 *   nullControls: (Tally & { name: string, torn: number, sound?: Tally })[], secondsPerRound: number, evidence: string,
 * }} Result
 * @typedef {{ rounds: number, seed: number, backends: [string, ...string[]], controls: readonly unknown[], evidence: string }} Settings
 * @typedef {{ kind: 'evidenceInUse', found: string } | { kind: 'done', result: Result, failures: string[] }} Outcome
 * @typedef {{ crash: (settings: Settings, ports: { log: (text: string) => void, signal: AbortSignal }) => Promise<Outcome> }} Crash
 * @typedef {{ nullControls: readonly unknown[] }} Controls
 */

const options = readOptions();
if (options !== undefined) {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop.abort());
  try {
    process.exitCode = await main(options, stop.signal);
  } catch (cause) {
    console.error(process.env.DEBUG ? cause : `\ncrash: ${cause instanceof Error ? cause.message : cause}`);
    process.exitCode = 1;
  }
  // Everything is closed; whatever still holds the process open is not worth waiting for.
  setTimeout(() => process.exit(), EXIT_MS_MAX).unref();
}

/**
 * @param {NonNullable<ReturnType<typeof readOptions>>} options @param {AbortSignal} signal
 * @returns {Promise<number>} exit code
 */
async function main({ isJson, hasControls, ...settings }, signal) {
  const { crash } = /** @type {Crash} */ (await load('bench/crash/crash.ts'));
  const { nullControls } = /** @type {Controls} */ (await load('bench/crash/controls.ts'));
  const controls = hasControls ? nullControls : [];
  const outcome = await crash({ ...settings, controls }, { log: (text) => console.error(text), signal });
  if (outcome.kind === 'evidenceInUse') {
    console.error(`--evidence: ${outcome.found} found in ${settings.evidence}, an empty or new folder expected`);
    return 2;
  }
  const { result, failures } = outcome;
  for (const failure of failures) console.error(`FAILED ${failure}`);
  if (isJson) console.log(JSON.stringify(result));
  else printResult(result);
  return failures.length === 0 ? 0 : 1;
}

/** @param {string} file @returns {Promise<unknown>} */
async function load(file) {
  return (await runnerImport(join(root, file), { root, configFile: false, logLevel: 'error' })).module;
}

/** @param {Result} result */
function printResult(result) {
  const { rounds, acked, lost, torn, doubled, byMeans, byBackend, nullControls, secondsPerRound, evidence } = result;
  console.log(
    `\n  ${rounds} kills, ${secondsPerRound} s each; ${acked} groups acknowledged: ${lost} lost, ${torn} torn, ${doubled} doubled`,
  );
  for (const [backend, tally] of Object.entries(byBackend)) console.log(`  ${backend}: ${tally.rounds} kills, ${tally.lost} lost`);
  for (const [means, tally] of Object.entries(byMeans))
    console.log(`    ${means.padEnd(17)} ${tally.rounds} kills, ${tally.acked} acknowledged`);
  for (const control of nullControls) {
    const twin = control.sound === undefined ? '' : `; its sound twin ${control.sound.lost} in ${control.sound.rounds}`;
    console.log(`  broken on purpose, ${control.name}: ${control.lost} lost, ${control.torn} torn after ${control.rounds} kills${twin}`);
  }
  console.log(`  evidence: ${evidence}`);
}

function readOptions() {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    const { values } = util.parseArgs({
      options: {
        ...{ rounds: text, seed: text, backends: text, evidence: text, json: flag, 'no-controls': flag },
        help: { ...flag, short: 'h' },
      },
    });
    if (values.help) return void console.log(HELP);
    const date = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
    return {
      rounds: wholeNumber('rounds', values.rounds ?? '60'),
      seed: wholeNumber('seed', values.seed ?? '20261121'),
      backends: readBackends(values.backends ?? 'opfs-pool'),
      hasControls: !values['no-controls'],
      evidence:
        values.evidence === undefined
          ? join(root, '.foldlog', `crash-${date}`)
          : resolve(process.env.INIT_CWD ?? process.cwd(), values.evidence),
      isJson: values.json ?? false,
    };
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : cause}\n\n${HELP}`);
    process.exitCode = 2;
    return undefined;
  }
}

/** @param {string} name @param {string} value */
function wholeNumber(name, value) {
  if (!/^\d{1,9}$/.test(value)) throw new Error(`--${name}: ${value} found, a whole number expected`);
  return Number(value);
}

/** @param {string} list */
function readBackends(list) {
  const known = ['opfs-pool', 'indexeddb'];
  const asked = /** @type {[string, ...string[]]} */ (list.split(','));
  const unknown = asked.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--backends: ${unknown} found, ${known.join(' or ')} expected`);
  return asked;
}
