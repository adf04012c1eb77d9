// What finding and installing any browser needs to know of this machine: does a program start, and may packages be installed.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const INSTALL_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 30_000;

/** @param {string} path @returns {boolean} it exists and answers `--version` (a browser lacking libraries does not) */
export function starts(path) {
  return existsSync(path) && spawnSync(path, ['--version'], { timeout: START_TIMEOUT_MS }).status === 0;
}

/** @param {string} command @param {string[]} args @returns {boolean} it ended well */
export function run(command, args) {
  console.error(`+ ${command} ${args.join(' ')}`);
  const ended = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], timeout: INSTALL_TIMEOUT_MS });
  return ended.status === 0;
}

/** @param {string[]} packages @returns {boolean} they are installed; false without a word where this is not Debian or not root */
export function installPackages(packages) {
  if (!isRoot() || !isDebian()) return false;
  return run('apt-get', ['update']) && run('apt-get', ['install', '-y', '--no-install-recommends', ...packages]);
}

/** @returns {boolean} */
export function isRoot() {
  return process.getuid?.() === 0;
}

/** @returns {boolean} Debian itself: Ubuntu's `chromium` and `firefox` packages are stubs that need snapd */
function isDebian() {
  return existsSync('/etc/os-release') && /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'));
}
