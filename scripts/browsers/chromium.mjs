// Finds the Chromium that browser tests, benches and the demo's walk-through drive; installs one if none is there.
// Order: CHROMIUM_PATH · Playwright's own · the usual system paths · `playwright install` · Debian's package.
import { chromium } from 'playwright';
import { installPackages, isRoot, run, starts } from './machine.mjs';

const SYSTEM_PATHS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

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
  const packaged = installPackages(['chromium']) ? findChromium() : undefined;
  if (packaged) return packaged;
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
    // Tabs in the background run at the lowest priority else, and beside other work on the machine not at all.
    '--disable-renderer-backgrounding',
    '--disable-backgrounding-occluded-windows',
    '--disable-background-timer-throttling',
  ];
  if (isRoot()) args.unshift('--no-sandbox'); // Chromium refuses to sandbox for root
  return { executablePath: ensureChromium(), headless: true, args };
}
