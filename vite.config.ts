// The demo's build. It sees the engine only as its users do: the published entries, from the built dist/.
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { foldlog } from './tooling/vite.ts';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: at('./demo'),
  resolve: {
    alias: [
      { find: /^foldlog$/, replacement: at('./dist/worker/browser/page.js') },
      { find: /^foldlog\/worker$/, replacement: at('./dist/worker/browser/worker.js') },
      { find: /^foldlog\/schema$/, replacement: at('./dist/shards/index.js') },
    ],
  },
  worker: { format: 'es' },
  // Pre-bundling would move the glue away from sqlite3.wasm, which it looks up beside itself.
  optimizeDeps: { exclude: ['@sqlite.org/sqlite-wasm'] },
  server: { fs: { allow: [at('.')] } },
  build: {
    outDir: at('./dist/demo'),
    emptyOutDir: true,
    target: 'es2023',
    sourcemap: true,
    rolldownOptions: {
      input: { page: at('./demo/index.html'), selftest: at('./demo/selftest.html'), sw: at('./demo/sw.ts') },
      // A service worker is found again by its name, and its place is its scope.
      output: { entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
  plugins: [foldlog(), listFilesInServiceWorker()],
});

/** Tells the service worker which files make up this release. */
function listFilesInServiceWorker(): Plugin {
  return {
    name: 'list-files-in-service-worker',
    apply: 'build',
    enforce: 'post',
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        const worker = bundle['sw.js'];
        if (worker?.type !== 'chunk') return;
        // SQLite's package also brings helpers for other ways of running it, which are never loaded; the self-test is for once, online.
        const unused = /\.map$|sqlite3-worker1|opfs-async-proxy|selftest|^sw\.js$|^index\.html$/;
        const built = Object.keys(bundle).filter((name) => !unused.test(name));
        const files = [...built, 'icon.svg', 'manifest.webmanifest'].map((name) => `/${name}`).sort();
        const index = bundle['index.html'];
        const page = index?.type === 'asset' ? String(index.source) : '';
        const release = createHash('sha256').update(files.join('\n')).update(page).update(worker.code).digest('hex').slice(0, 12);
        worker.code = `const release=${JSON.stringify(release)},builtFiles=${JSON.stringify(files)};\n${worker.code}`;
      },
    },
  };
}
