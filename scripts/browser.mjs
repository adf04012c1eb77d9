// Finds the Chromium that browser tests, benches and the demo's walk-through drive; installs one if none is there.
// Order: CHROMIUM_PATH · Playwright's own · the usual system paths · `playwright install` · Debian's package.
// Run directly (`node scripts/browser.mjs`) it prints the path, or says what to install and exits with 1.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright';

const SYSTEM_PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const INSTALL_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 30_000;

/**
 * The first Chromium on this machine that starts, or `undefined`. Installs nothing.
 * @returns {string | undefined}
 * @throws {Error} `CHROMIUM_PATH` is set but what it names does not start: a wish is not silently replaced
 */
export function findChromium() {
  const wished = process.env.CHROMIUM_PATH;
  if (wished) {
    if (starts(wished)) return wished;
    throw new Error(`CHROMIUM_PATH names ${wished}, which does not start: correct it or unset it`);
  }
  return [chromium.executablePath(), ...SYSTEM_PATHS].find((path) => path && starts(path));
}

/**
 * A Chromium that starts, installed now if there is none.
 * @returns {string}
 * @throws {Error} none found and none could be installed; the message says what to install
 */
export function ensureChromium() {
  const found = findChromium();
  if (found) return found;
  console.error('No Chromium found: installing one.');
  run('npx', ['--no-install', 'playwright', 'install', 'chromium']);
  const own = findChromium();
  if (own) return own;
  if (isRoot() && isDebian()) {
    run('apt-get', ['update']);
    run('apt-get', ['install', '-y', '--no-install-recommends', 'chromium']);
    const packaged = findChromium();
    if (packaged) return packaged;
  }
  throw new Error(
    [
      'The browser tests need a Chromium and none could be installed. Do one of these, then run again:',
      '  npx playwright install --with-deps chromium',
      '  apt-get install chromium              (Debian, as root)',
      '  CHROMIUM_PATH=/path/to/chromium       (any Chromium or Chrome of your own)',
    ].join('\n'),
  );
}

/**
 * What to hand to `chromium.launch` or `chromium.launchPersistentContext`. Tests about durability need the
 * latter: an ordinary context is incognito and keeps OPFS and IndexedDB in memory only.
 * @returns {{ executablePath: string, headless: true, args: string[] }}
 */
export function launchOptions() {
  const args = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ];
  if (isRoot()) args.unshift('--no-sandbox'); // Chromium refuses to sandbox for root
  return { executablePath: ensureChromium(), headless: true, args };
}

/** @param {string} path @returns {boolean} it exists and answers `--version` (a browser lacking libraries does not) */
function starts(path) {
  return existsSync(path) && spawnSync(path, ['--version'], { timeout: START_TIMEOUT_MS }).status === 0;
}

/** @param {string} command @param {string[]} args */
function run(command, args) {
  console.error(`+ ${command} ${args.join(' ')}`);
  spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], timeout: INSTALL_TIMEOUT_MS });
}

/** @returns {boolean} */
function isRoot() {
  return process.getuid?.() === 0;
}

/** @returns {boolean} Debian itself: Ubuntu's `chromium` package is a stub that needs snapd */
function isDebian() {
  return existsSync('/etc/os-release') && /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(ensureChromium());
  } catch (cause) {
    console.error(cause instanceof Error ? cause.message : cause);
    process.exitCode = 1;
  }
}
