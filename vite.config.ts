// The demo's build. It sees the engine only as its users do: the published entries, from the built dist/.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

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
  build: { outDir: at('./dist/demo'), emptyOutDir: true, target: 'es2023', sourcemap: true },
});
