// Writes the fixtures of this format version that tests/vectors/make-fixtures.ts makes, where there are none yet. What is there is kept for ever:
// a second run changes nothing and says so.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, 'tests/fixtures/format/1');

/**
 * @typedef {{
 *   makeFixtures: (chunk: Uint8Array, thirdSegment: Uint8Array) => Promise<ReadonlyMap<string, Uint8Array>>,
 *   makeRelayFolder: (store: unknown) => Promise<object>,
 * }} Make
 * @typedef {{ openFolderStore: (folder: string) => Promise<unknown> }} Folder
 */
const options = { root, configFile: /** @type {const} */ (false) };
/** @type {{ module: Make }} */
const make = await runnerImport(join(root, 'tests/vectors/make-fixtures.ts'), options);
/** @type {{ module: Folder }} */
const stores = await runnerImport(join(root, 'relay/stores/folder.ts'), options);

let written = 0;
for (const [path, bytes] of await make.module.makeFixtures(objectEndingIn(/\/chunk\//), objectEndingIn(/3de2036d.*\/log\/0+3$/))) {
  if (existsSync(join(folder, path))) continue;
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), bytes);
  written++;
}
if (!existsSync(join(folder, 'relay'))) {
  const facts = await make.module.makeRelayFolder(await stores.module.openFolderStore(join(folder, 'relay')));
  writeFileSync(join(folder, 'relay.json'), `${JSON.stringify(facts, null, 1)}\n`);
  written++;
}
console.log(`${written} written; what was there stays as it is`);

/** @param {RegExp} pattern */
function objectEndingIn(pattern) {
  const objects = join(folder, 'objects');
  const path = readdirSync(objects, { recursive: true, encoding: 'utf8' }).find((name) => pattern.test(name) && !name.endsWith('chunk'));
  if (path === undefined) throw new Error(`no object ${pattern} in ${objects}`);
  return readFileSync(join(objects, path));
}
