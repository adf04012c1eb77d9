// Bundles the relay's Worker into one module, dist/workers/relay.mjs: what miniflare runs in tests and what a deployment without
// wrangler's own bundler uploads. Run directly (`node scripts/worker-bundle.mjs`) it prints the path.
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const at = (/** @type {string} */ path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/**
 * @param {string} [outfile] where to write; default dist/workers/relay.mjs
 * @returns {Promise<string>} path of the bundle
 */
export async function bundleWorker(outfile = at('dist/workers/relay.mjs')) {
  await build({
    entryPoints: [at('relay/main.workers.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    target: 'es2023',
    conditions: ['workerd', 'worker', 'browser'],
    sourcemap: 'linked',
    logLevel: 'warning',
  });
  return outfile;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  console.log(await bundleWorker());
}
