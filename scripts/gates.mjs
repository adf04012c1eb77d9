// `npm run gates [-- --csv FILE] [--rounds N] [--fuzz N] [--seeds N]`: the long proofs, one after another, each leaving its result as JSON in bench/results/ with date,
// machine and versions. Takes about two hours and wants an idle machine to itself; `npm test` does not run it.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, cpus, platform, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const results = join(root, 'bench', 'results');
/** Lines of the generated CSV when none is given: as many as the real one the project was built against. */
const generated = { seed: 20260101, lines: 10_000 };
/** Boots of the reload storm on each backend. */
const storm = { seed: 20261122, boots: 1_000 };

/** Saving without pause on each backend, with a checkpoint under way most of the time. */
const soak = { seconds: 600, saveBytes: 3_000 };

/** Kills of the crash gate on each backend: none lost in so many bounds the chance of a loss by 0.6 % for each, at 95 %. */
const crashRounds = argument('--rounds') ?? '510';
const crashBackends = 'opfs-pool,indexeddb';
const crashSeed = '20261121';
const given = argument('--csv');

/** Seeds of the simulator: enough that every fault and every branch of recovery is met. */
const simSeeds = argument('--seeds') ?? '2000';

/** Executions of the fuzz gate: each decoder tens of thousands of times. */
const fuzz = { seed: 20261121, executions: Number(argument('--fuzz') ?? '1000000') };

mkdirSync(results, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'foldlog-gates-'));
/** @type {string[]} */
const failed = [];
try {
  run('build', 'node_modules/.bin/tsc', ['-b']);
  run('commit bench', 'node', ['bench/run.mjs', 'commit']);
  run('storage bench', 'node', ['bench/run.mjs', 'storage']);
  run('start bench', 'node', ['bench/run.mjs', 'cold-start']);
  fuzzed();
  simulated();
  replay(given ?? (await writeGenerated()));
  await reloadStorm();
  await fiveTabs();
  await publishSoak();
  crash();
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.error(failed.length === 0 ? '\ngates: all passed' : `\ngates: failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

/** @param {string} name */
function argument(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

/** @param {string} name @param {string} command @param {string[]} args */
function run(name, command, args) {
  console.error(`\ngate: ${name}`);
  const ended = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (ended.status !== 0) failed.push(name);
  return ended.stdout;
}

async function writeGenerated() {
  const { module } = await runnerImport(join(root, 'tests/fixtures/retail-generator.ts'));
  const file = join(work, 'retail.csv');
  writeFileSync(file, /** @type {{ makeRetailCsv: (options: object) => string }} */ (module).makeRetailCsv(generated));
  return file;
}

/** @param {string} csv */
function replay(csv) {
  const out = run('replay', 'node', ['scripts/replay.mjs', '--csv', csv, '--json', '--evidence', join(work, 'evidence')]);
  const found = lastLine(out);
  if (found === undefined) return;
  const { evidence: _, ...result } = found;
  const input = given === undefined ? { generated } : { csv: 'given', lines: result.ops };
  write('replay', given === undefined ? 'npm run gates' : 'npm run gates -- --csv FILE', { input }, result);
}

/** @typedef {{ failedOpens: string[], wipes: number, lost: number, doubled: number }} Storm */

/** Three tabs reload at random: no boot fails, none finds fewer saves than were acknowledged before it. */
async function reloadStorm() {
  console.error('\ngate: reload storm');
  const { module } = await runnerImport(join(root, 'tests/browser/reload-storm.ts'));
  const { runReloadStorm } = /** @type {{ runReloadStorm: (options: object) => Promise<Storm> }} */ (module);
  const stormed = [];
  for (const backend of ['opfs-pool', 'indexeddb']) {
    stormed.push(
      await runReloadStorm({ ...storm, backend, onProgress: (/** @type {string} */ line) => console.error(`${backend}: ${line}`) }),
    );
  }
  const isSound = stormed.every(({ failedOpens, wipes, lost, doubled }) => failedOpens.length + wipes + lost + doubled === 0);
  if (!isSound) failed.push('reload storm');
  write('reload-storm', 'npm run gates', { input: storm }, stormed);
}

/** Five tabs save for a minute and more while whoever owns the store is ended. */
async function fiveTabs() {
  console.error('\ngate: five tabs');
  const { module } = await runnerImport(join(root, 'tests/browser/five-tabs.ts'));
  const { runFiveTabs } =
    /** @type {{ runFiveTabs: (options: object) => Promise<{ lost: number, doubled: number, failed: string[] }> }} */ (module);
  const result = await runFiveTabs({
    seed: Number(crashSeed),
    handOvers: 60,
    onProgress: (/** @type {string} */ line) => console.error(line),
  });
  if (result.lost + result.doubled + result.failed.length > 0) failed.push('five tabs');
  write('five-tabs', 'npm run gates', {}, result);
}

/** @typedef {{ failed: string[], lost: number, lostOnOther: number, truncatedTo: number, otherStartedFrom: string }} Soak */

/** Publishes one after the other while saving without pause: every acknowledged save stands, here and on a device that starts from the last checkpoint. */
async function publishSoak() {
  console.error('\ngate: publish soak');
  const { module } = await runnerImport(join(root, 'tests/browser/publish-soak.ts'));
  const { runPublishSoak } = /** @type {{ runPublishSoak: (options: object) => Promise<Soak> }} */ (module);
  const soaked = [];
  for (const backend of ['opfs-pool', 'indexeddb']) {
    soaked.push(
      await runPublishSoak({ ...soak, backend, onProgress: (/** @type {string} */ line) => console.error(`${backend}: ${line}`) }),
    );
  }
  const isSound = soaked.every(
    ({ failed: refused, lost, lostOnOther, truncatedTo, otherStartedFrom }) =>
      refused.length + lost + lostOnOther === 0 && truncatedTo > 0 && otherStartedFrom === 'checkpoint',
  );
  if (!isSound) failed.push('publish soak');
  write('publish-soak', 'npm run gates', { input: soak }, soaked);
}

/** Every decoder and every route under damaged input. */
function fuzzed() {
  const asked = ['--executions', String(fuzz.executions), '--seed', String(fuzz.seed)];
  const found = lastLine(run('fuzz', 'node', ['scripts/fuzz.mjs', ...asked, '--json']));
  if (found !== undefined) write('fuzz', `npm run fuzz -- ${asked.join(' ')}`, { seed: fuzz.seed }, found);
}

/** The simulator over many seeds, and whether it finds the bugs that are planted for it. */
function simulated() {
  const seeds = ['--seeds', simSeeds];
  const found = lastLine(run('simulator', 'node', ['scripts/sim.mjs', ...seeds, '--json']));
  if (found !== undefined) write('sim', `npm run sim -- ${seeds.join(' ')}`, {}, found);
  const planted = lastLine(run('planted bugs', 'node', ['scripts/sim.mjs', '--planted', '--json']));
  if (planted !== undefined) write('planted', 'npm run sim -- --planted', {}, planted);
}

function crash() {
  const asked = ['--rounds', crashRounds, '--seed', crashSeed, '--backends', crashBackends];
  const found = lastLine(run('crash', 'node', ['scripts/crash.mjs', ...asked, '--json']));
  if (found === undefined) return;
  const { evidence, ...result } = found; // journals and databases stay where the gate left them
  const { versions } = JSON.parse(readFileSync(join(evidence, 'summary.json'), 'utf8'));
  write('crash', `npm run crash -- ${asked.join(' ')}`, { seed: Number(crashSeed) }, result, versions);
}

/** @param {string} output what a tool printed with `--json` */
function lastLine(output) {
  const last = output.trim().split('\n').at(-1) ?? '';
  return last.startsWith('{') ? JSON.parse(last) : undefined;
}

/** @param {string} gate @param {string} reproduce @param {object} input @param {unknown} result @param {object} versions */
function write(gate, reproduce, input, result, versions = {}) {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const report = {
    gate,
    date: new Date().toISOString(),
    ...input,
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, os: `${platform()} ${release()} ${arch()}` },
    versions: {
      foldlog: manifest.version,
      sqliteWasm: manifest.dependencies['@sqlite.org/sqlite-wasm'],
      node: process.version,
      ...versions,
    },
    reproduce,
    result,
  };
  writeFileSync(join(results, `${gate}.json`), `${JSON.stringify(report, null, 2)}\n`);
}
