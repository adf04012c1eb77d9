// `npm run fuzz -- --executions N --seed S`: every decoder of the kernel and every route of the relay under damaged input. Arguments and words
// only; targets and promises are tests/fuzz. The work runs in a thread of its own, so that an input that never ends is found and named.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

/** An execution takes a fraction of a millisecond; one that is not over by then does not end. */
const HANG_MS_MAX = 60_000;

const HELP = `npm run fuzz -- [options]

Runs every exported decoder of kernel/ and every route of the relay with arbitrary and damaged input: a value or a typed error, never anything
else; written back byte for byte; nothing stored by a refused request.

  --executions N  how many in all, shared among the targets by weight (default 100000)
  --seed S        a whole number; the same seed draws the same inputs (default 1)
  --target NAME   one target alone
  --from I        number of the first execution of each target (default 0)
  --json          the result as one line of JSON on standard output, nothing else there
  --help          this text

Exit code: 0 every promise kept · 1 a promise broken, or an input that does not end · 2 bad arguments.`;

/**
 * What tests/fuzz/fuzz.ts exports, as far as it is used here.
 * @typedef {{ executions: number, seed: number, target?: string, from: number }} Settings
 * @typedef {{ onExecution: (target: string, number: number) => void, log: (line: string) => void }} Ports
 * @typedef {{ target: string, number: number, found: string, input: string, reproduce: string }} Failure
 * @typedef {{ executions: number, seed: number, failures: Failure[], residentMbGrown: number }} Result
 * @typedef {{ runFuzz: (settings: Settings, ports: Ports) => Promise<Result> }} Fuzz
 * @typedef {{ kind: 'at', target: string, number: number } | { kind: 'log', line: string } | { kind: 'done', result: Result }} Message
 */

if (isMainThread) await main();
else await work(workerData);

/** @param {Settings} settings */
async function work(settings) {
  /** @type {{ module: Fuzz }} */
  const { module } = await runnerImport(join(root, 'tests/fuzz/fuzz.ts'), { root, configFile: false, logLevel: 'error' });
  let told = 0;
  const result = await module.runFuzz(settings, {
    log: (line) => parentPort?.postMessage({ kind: 'log', line }),
    // A message for each execution would cost more than most executions.
    onExecution: (target, number) => {
      const now = performance.now();
      if (now - told < 100) return;
      told = now;
      parentPort?.postMessage({ kind: 'at', target, number });
    },
  });
  parentPort?.postMessage({ kind: 'done', result });
}

async function main() {
  const options = readOptions();
  if (options === undefined) return;
  const { isJson, ...settings } = options;
  const startedAt = performance.now();
  const worker = new Worker(new URL(import.meta.url), { workerData: settings });
  let last = 'the start';
  /** @type {NodeJS.Timeout | undefined} */
  let watch;
  /** @type {Result | undefined} */
  const result = await new Promise((resolve, reject) => {
    const watchAgain = () => {
      clearTimeout(watch);
      watch = setTimeout(() => reject(new Error(`no end of an execution within ${HANG_MS_MAX} ms, soon after ${last}`)), HANG_MS_MAX);
    };
    watchAgain();
    worker.on('message', (/** @type {Message} */ message) => {
      watchAgain();
      if (message.kind === 'at') last = `execution ${message.number} of ${message.target}`;
      else if (message.kind === 'log') console.error(message.line);
      else resolve(message.result);
    });
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the worker ended without a result')));
  }).catch((/** @type {unknown} */ cause) => {
    console.error(`fuzz: ${cause instanceof Error ? cause.message : cause}`);
    return undefined;
  });
  clearTimeout(watch);
  await worker.terminate();
  process.exitCode = 1;
  if (result === undefined) return;
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  for (const { input } of result.failures) console.error(`  input: ${input.slice(0, 2_000)}`);
  if (isJson) console.log(JSON.stringify({ ...result, seconds }));
  else {
    console.log(
      `\n${result.executions} executions in ${seconds} s, ${result.failures.length} promises broken, resident ${result.residentMbGrown} MB more`,
    );
  }
  process.exitCode = result.failures.length === 0 ? 0 : 1;
}

/** @returns {(Settings & { isJson: boolean }) | undefined} */
function readOptions() {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    const { values } = util.parseArgs({
      options: { executions: text, seed: text, target: text, from: text, json: flag, help: { ...flag, short: 'h' } },
    });
    if (values.help) return void console.log(HELP);
    return {
      executions: wholeNumber('--executions', values.executions ?? '100000', 1),
      seed: wholeNumber('--seed', values.seed ?? '1', 0),
      from: wholeNumber('--from', values.from ?? '0', 0),
      ...(values.target === undefined ? {} : { target: values.target }),
      isJson: values.json ?? false,
    };
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : cause}\n\n${HELP}`);
    process.exitCode = 2;
    return undefined;
  }
}

/** @param {string} name @param {string} text @param {number} min */
function wholeNumber(name, text, min) {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min || value > 0xffff_ffff)
    throw new Error(`${name}: a whole number from ${min} is needed, found ${text}`);
  return value;
}
