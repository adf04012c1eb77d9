// The whole proof in one command: build, types, lint, format, then every vitest project, slowest last.
// Each step and each test counts once; the closing line is `N passed, N failed`. Exit code 0 only when nothing
// failed, every project ran at least one test, and no test was skipped but those of an engine that this machine does not have and cannot
// install: they are named with the reason, and counted apart. Chromium's never are.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureChromium, ensureOtherEngines } from './browser.mjs';

/**
 * @typedef {{ passed: number, failed: number, skipped: number, untested: number }} Tally `untested`: of an engine that is not here
 * @typedef {{ status: string, ancestorTitles: string[] }} TestReport
 * @typedef {{ assertionResults: TestReport[], status: string, name: string }} FileReport
 * @typedef {{ success: boolean, testResults: FileReport[] }} Report
 */

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules', '.bin');
const resultsDir = join(root, '.test-results');

rmSync(resultsDir, { recursive: true, force: true });
mkdirSync(resultsDir, { recursive: true });
// A file whose source is gone would otherwise stay in dist/ and be tested and published.
rmSync(join(root, 'dist'), { recursive: true, force: true });

/** @type {{ engine: string, reason: string }[]} */
let missingEngines = [];
/** Folders of the fast tests that have to reach every branch of kernel/ by themselves; they run apart, so that nothing runs twice. */
const measured = ['tests/kernel/', 'tests/shards/', 'tests/vectors/'];
const unmeasured = readdirSync(join(root, 'tests'), { withFileTypes: true })
  .map((entry) => (entry.isDirectory() ? `tests/${entry.name}/` : `tests/${entry.name}`))
  .filter((path) => !measured.includes(path));
const none = { passed: 0, failed: 0, skipped: 0, untested: 0 };

const tallies = [
  step('build', () => run('tsc', ['-b'])),
  step('types', () => run('tsc', ['-b', 'tsconfig.types.json'])),
  step('lint', () => run('biome', ['lint', '--error-on-warnings'])),
  step('format', () => run('biome', ['check', '--linter-enabled=false'])),
  project('fast', 'kernel', ['--coverage', ...measured]),
  project('fast', 'rest', unmeasured),
  project('sim', 'seeds', []),
  project('workerd'),
  step('browsers present', () => {
    missingEngines = ensureOtherEngines();
    return ensureChromium() !== '';
  }),
  project('browser'),
];

const sum = tallies.reduce(add);
if (sum.skipped > 0) console.log(`${sum.skipped} skipped: a skipped test proves nothing, so this run fails`);
for (const { engine, reason } of missingEngines) console.log(`NOT TESTED: ${engine}: ${reason}`);
if (sum.untested > 0) console.log(`${sum.untested} tests of engines that are not here were left out`);
console.log(`\n${sum.passed} passed, ${sum.failed + sum.skipped} failed`);
process.exitCode = sum.failed + sum.skipped === 0 && sum.passed > 0 ? 0 : 1;

/**
 * @param {string} name
 * @param {() => boolean} body true when it holds
 * @returns {Tally}
 */
function step(name, body) {
  console.log(`\n== ${name}`);
  try {
    if (body()) return { ...none, passed: 1 };
  } catch (cause) {
    console.error(cause instanceof Error ? cause.message : cause);
  }
  console.log(`FAILED: ${name}`);
  return { ...none, failed: 1 };
}

/**
 * One vitest project, or a named part of it, counted from its JSON report. A run that ends badly with no failing test to show for it
 * (crash, unhandled rejection, a file that does not load, no tests at all) counts as one failure.
 * With `--coverage` a branch that no test takes ends it badly, too: vitest names file and line.
 * @param {string} projectName @param {string} [part] @param {readonly string[]} [more] what vitest is told beside the project
 * @returns {Tally}
 */
function project(projectName, part, more = []) {
  const name = part === undefined ? projectName : `${projectName}, ${part}`;
  console.log(`\n== ${name} tests`);
  const reportPath = join(resultsDir, `${part ?? projectName}.json`);
  const args = ['run', '--project', projectName, '--reporter=default', '--reporter=json', ...more];
  const ok = run('vitest', [...args, `--outputFile.json=${reportPath}`]);
  if (!existsSync(reportPath)) return fault(name, 'vitest left no report');
  /** @type {Report} */
  const report = JSON.parse(readFileSync(reportPath, 'utf8'));
  const tally = report.testResults.map(countFile).reduce(add, none);
  if (tally.passed + tally.failed + tally.skipped + tally.untested === 0) return fault(name, 'no test ran');
  if ((!ok || !report.success) && tally.failed === 0)
    return add(
      tally,
      fault(name, more.includes('--coverage') ? 'errors outside tests, or branches of kernel/ that no test takes' : 'errors outside tests'),
    );
  return tally;
}

/** @param {FileReport} file @returns {Tally} */
function countFile(file) {
  const tally = { ...none };
  for (const test of file.assertionResults) {
    if (test.status === 'passed') tally.passed += 1;
    else if (test.status === 'failed') tally.failed += 1;
    else if (isOfMissingEngine(test)) tally.untested += 1;
    else tally.skipped += 1;
  }
  if (file.status === 'failed' && tally.failed === 0) {
    console.log(`FAILED: ${file.name} did not load or failed outside its tests`);
    tally.failed = 1;
  }
  return tally;
}

/** @param {TestReport} test @returns {boolean} its group is named after an engine that could not be had, as tests/browser/engines names it */
function isOfMissingEngine({ ancestorTitles }) {
  return missingEngines.some(({ engine, reason }) => ancestorTitles.some((title) => title.startsWith(engine) && title.includes(reason)));
}

/** @param {string} name @param {string} what @returns {Tally} */
function fault(name, what) {
  console.log(`FAILED: ${name} tests: ${what}`);
  return { ...none, failed: 1 };
}

/** @param {Tally} a @param {Tally} b @returns {Tally} */
function add(a, b) {
  return {
    passed: a.passed + b.passed,
    failed: a.failed + b.failed,
    skipped: a.skipped + b.skipped,
    untested: a.untested + b.untested,
  };
}

/** @param {string} tool a command of node_modules/.bin @param {string[]} args @returns {boolean} it ended with 0 */
function run(tool, args) {
  const ended = spawnSync(join(bin, tool), args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  return ended.status === 0;
}
