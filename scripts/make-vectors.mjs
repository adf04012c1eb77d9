// Writes what tests/vectors/make-files.ts makes: the vectors, the fixture folder of format 1 and the worked hex in docs/format.md.
// All from fixed seeds, so a second run changes nothing. Run it after a change of the worked example, never to make a test pass.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * @typedef {{ image: string, formatText: string }} InputPaths
 * @typedef {(inputs: { image: Uint8Array, formatText: string }) => Promise<ReadonlyMap<string, Uint8Array>>} MakeFiles
 */

/** @type {{ module: { makeFiles: MakeFiles, inputPaths: InputPaths } }} */
const { module } = await runnerImport(join(root, 'tests/vectors/make-files.ts'), { root, configFile: false });

const files = await module.makeFiles({
  image: readFileSync(join(root, module.inputPaths.image)),
  formatText: readFileSync(join(root, module.inputPaths.formatText), 'utf8'),
});
for (const [path, bytes] of files) {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), bytes);
}
console.log(`${files.size} files written`);
