// Finds WebKitGTK for the browser tests: the driver, a browser for it, a screen to draw on, and what the launcher with a data store of its
// own needs (Python's bindings). Installs Debian's packages if one of them is missing. WebKitGTK is not Safari: same engine, other host.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { installPackages } from './machine.mjs';

const PACKAGES = ['webkit2gtk-driver', 'xvfb', 'gir1.2-webkit2-4.1', 'gir1.2-gtk-3.0', 'python3-gi'];
/** Debian's own: its bindings are not on the path of another Python. */
const PYTHON = '/usr/bin/python3';
const BINDINGS = "import gi; gi.require_version('WebKit2', '4.1'); gi.require_version('Gtk', '3.0'); from gi.repository import WebKit2";

/**
 * @typedef {{ driver: string, miniBrowser: string, screen: string, python: string }} WebKit
 */

/**
 * All parts, or `undefined` when one is missing. Installs nothing. WEBKIT_DRIVER_PATH names another driver.
 * @returns {WebKit | undefined}
 * @throws {Error} `WEBKIT_DRIVER_PATH` is set but names nothing
 */
export function findWebKit() {
  const wished = process.env.WEBKIT_DRIVER_PATH;
  if (wished && !existsSync(wished)) throw new Error(`WEBKIT_DRIVER_PATH names ${wished}, which is not there: correct it or unset it`);
  const driver = wished || '/usr/bin/WebKitWebDriver';
  const screen = '/usr/bin/Xvfb';
  if (![driver, screen, PYTHON].every((path) => existsSync(path))) return undefined;
  const miniBrowser = readdirSync('/usr/lib')
    .map((folder) => join('/usr/lib', folder, 'webkit2gtk-4.1', 'MiniBrowser'))
    .find((path) => existsSync(path));
  if (miniBrowser === undefined || spawnSync(PYTHON, ['-c', BINDINGS]).status !== 0) return undefined;
  return { driver, miniBrowser, screen, python: PYTHON };
}

/**
 * All parts, installed now if one is missing.
 * @returns {WebKit}
 * @throws {Error} some are missing and could not be installed; the message says what to install
 */
export function ensureWebKit() {
  const found = findWebKit() ?? (installPackages(PACKAGES) ? findWebKit() : undefined);
  if (found) return found;
  throw new Error(missingWebKit);
}

export const missingWebKit = `no complete WebKitGTK: apt-get install ${PACKAGES.join(' ')} (Debian, as root)`;
