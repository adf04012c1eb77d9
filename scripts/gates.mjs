// `npm run gates [-- --csv FILE]`: the long proofs, one after another, each leaving its result as JSON in bench/results/ with date, machine and
// versions. Takes some minutes and wants an idle machine; `npm test` does not run it.
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

const csvAt = process.argv.indexOf('--csv');
const given = csvAt < 0 ? undefined : process.argv[csvAt + 1];

mkdirSync(results, { recursive: true });
const work = mkdtempSync(join(tmpdir(), 'foldlog-gates-'));
/** @type {string[]} */
const failed = [];
try {
  run('build', 'node_modules/.bin/tsc', ['-b']);
  run('commit bench', 'node', ['bench/run.mjs', 'commit']);
  replay(given ?? (await writeGenerated()));
  await reloadStorm();
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.error(failed.length === 0 ? '\ngates: all passed' : `\ngates: failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

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
  const last = out.trim().split('\n').at(-1) ?? '';
  if (!last.startsWith('{')) return;
  const { evidence: _, ...result } = JSON.parse(last);
  report('replay', {
    input: given === undefined ? { generated } : { csv: 'given', lines: result.ops },
    reproduce: given === undefined ? 'npm run gates' : 'npm run gates -- --csv FILE',
    result,
  });
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
  report('reload-storm', { input: storm, reproduce: 'npm run gates', result: stormed });
}

/** @param {string} gate @param {object} facts */
function report(gate, facts) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const whole = {
    gate,
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, os: `${platform()} ${release()} ${arch()}` },
    versions: { foldlog: version, node: process.version },
    ...facts,
  };
  writeFileSync(join(results, `${gate}.json`), `${JSON.stringify(whole, null, 2)}\n`);
}
