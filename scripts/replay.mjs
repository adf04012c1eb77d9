// `npm run replay -- --csv FILE`: feeds a retail CSV through two real browsers and the relay, and compares what comes out with the CSV.
// Arguments and words only; the replay itself is bench/replay/replay.ts, run from its sources.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import util from 'node:util';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

const EXIT_MS_MAX = 5_000;

const HELP = `npm run replay -- --csv FILE [options]

Feeds a retail CSV (InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country) through the public API: one commit
group per invoice, one op per line, in Chromium on OPFS, to the relay in workerd over R2; a second device joins and follows. Then compares totals,
lines and chain with the CSV.

  --csv FILE       the CSV, UTF-8, dates MM-DD-YYYY HH:MM, prices with up to three decimals
  --evidence DIR   empty or new folder for relay objects, both databases and the acknowledgement journal (default .foldlog/replay-<date>)
  --json           the result as one line of JSON on standard output, nothing else there
  --help           this text

Exit code: 0 everything matches · 1 something does not, or the run broke · 2 bad arguments, or bad lines in the CSV: nothing was loaded.`;

/**
 * What bench/replay/replay.ts exports, as far as it is used here.
 * @typedef {{ line: number, column: string, found: string, expected: string }} BadLine
 * @typedef {{
 *   ops: number, groups: number, savedOpsPerSecond: number, committedOpsPerSecond: number, bytesPerOpLocal: number, bytesPerOpRelay: number,
 *   storeRequests: number, bootstrap: { path: string, ms: number, bytes: number, groupsFolded: number }, loneSaleBytes: number,
 *   totalsMatch: boolean, chainVerified: boolean, evidence: string,
 * }} Result
 * @typedef {{ kind: 'badLines', badLines: BadLine[] } | { kind: 'evidenceInUse', found: string }
 *   | { kind: 'done', result: Result, failures: string[] }} Outcome
 * @typedef {{
 *   replay: (settings: { csv: string, evidence: string }, ports: { log: (text: string) => void, signal: AbortSignal }) => Promise<Outcome>,
 * }} Replay
 */

const options = readOptions();
if (options !== undefined) {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stop.abort());
  // A tool that fails outside of every call must not leave browsers and folders behind.
  process.on('uncaughtException', (cause) => {
    console.error(cause);
    stop.abort();
  });
  try {
    process.exitCode = await main(options, stop.signal);
  } catch (cause) {
    console.error(process.env.DEBUG ? cause : `\nreplay: ${cause instanceof Error ? cause.message : cause}`);
    process.exitCode = 1;
  }
  // Everything is closed; whatever still holds the process open is not worth waiting for.
  setTimeout(() => process.exit(), EXIT_MS_MAX).unref();
}

/**
 * @param {{ csv: string, evidence: string, isJson: boolean }} options @param {AbortSignal} signal
 * @returns {Promise<number>} exit code
 */
async function main({ csv, evidence, isJson }, signal) {
  /** @type {{ module: Replay }} */
  const { module } = await runnerImport(join(root, 'bench/replay/replay.ts'), { root, configFile: false, logLevel: 'error' });
  const outcome = await module.replay({ csv, evidence }, { log: (text) => console.error(text), signal });
  switch (outcome.kind) {
    case 'badLines':
      for (const { line, column, found, expected } of outcome.badLines) {
        console.error(`line ${line}${column === '' ? '' : `, ${column}`}: ${found} found, ${expected} expected`);
      }
      console.error(`${outcome.badLines.length} faults in ${csv}: nothing was loaded`);
      if (isJson) console.log(JSON.stringify({ error: 'badLines', badLines: outcome.badLines }));
      return 2;
    case 'evidenceInUse':
      console.error(`--evidence: ${outcome.found} found in ${evidence}, an empty or new folder expected`);
      return 2;
    case 'done':
      for (const failure of outcome.failures) console.error(`FAILED ${failure}`);
      if (isJson) console.log(JSON.stringify(outcome.result));
      else printResult(outcome.result);
      return outcome.failures.length === 0 ? 0 : 1;
  }
}

/** @param {Result} result */
function printResult(result) {
  const { bootstrap } = result;
  console.log(`
  ${result.ops} lines in ${result.groups} invoices
  saved       ${result.savedOpsPerSecond} lines/s, ${result.bytesPerOpLocal} B each on the device
  committed   ${result.committedOpsPerSecond} lines/s, ${result.bytesPerOpRelay} B each on the relay (a lone sale of one line: ${result.loneSaleBytes} B)
  the relay   ${result.storeRequests} requests to its store
  device b    ${bootstrap.path}, ${bootstrap.ms} ms, ${bootstrap.bytes} B, ${bootstrap.groupsFolded} groups folded
  totals      ${result.totalsMatch ? 'match' : 'DIFFER'}
  chain       ${result.chainVerified ? 'verified' : 'NOT VERIFIED'}
  evidence    ${result.evidence}`);
}

function readOptions() {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    const { values } = util.parseArgs({ options: { csv: text, evidence: text, json: flag, help: { ...flag, short: 'h' } } });
    if (values.help) return void console.log(HELP);
    if (values.csv === undefined) throw new Error('--csv FILE is missing');
    const from = process.env.INIT_CWD ?? process.cwd();
    if (!existsSync(resolve(from, values.csv))) throw new Error(`--csv: no file ${values.csv}`);
    const date = new Date().toISOString().slice(0, 19).replaceAll(':', '-');
    return {
      csv: resolve(from, values.csv),
      evidence: values.evidence === undefined ? join(root, '.foldlog', `replay-${date}`) : resolve(from, values.evidence),
      isJson: values.json ?? false,
    };
  } catch (cause) {
    console.error(`${cause instanceof Error ? cause.message : cause}\n\n${HELP}`);
    process.exitCode = 2;
    return undefined;
  }
}
