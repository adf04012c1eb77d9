// Finds the Firefox of the browser tests (ESR by preference), driven over WebDriver BiDi; installs Debian's if none is there.
// Order: FIREFOX_PATH · the usual system paths · Debian's package.
import { installPackages, starts } from './machine.mjs';

const SYSTEM_PATHS = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];

/**
 * The first Firefox on this machine that starts, or `undefined`. Installs nothing.
 * @returns {string | undefined}
 * @throws {Error} `FIREFOX_PATH` is set but what it names does not start
 */
export function findFirefox() {
  const wished = process.env.FIREFOX_PATH;
  if (wished) {
    if (starts(wished)) return wished;
    throw new Error(`FIREFOX_PATH names ${wished}, which does not start: correct it or unset it`);
  }
  return SYSTEM_PATHS.find(starts);
}

/**
 * A Firefox that starts, installed now if there is none.
 * @returns {string}
 * @throws {Error} none found and none could be installed; the message says what to install
 */
export function ensureFirefox() {
  const found = findFirefox() ?? (installPackages(['firefox-esr']) ? findFirefox() : undefined);
  if (found) return found;
  throw new Error(missingFirefox);
}

export const missingFirefox = 'no Firefox: apt-get install firefox-esr (Debian, as root), or FIREFOX_PATH=/path/to/firefox';
