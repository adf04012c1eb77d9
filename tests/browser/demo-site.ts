// The demo as `npm start` serves it: built as for production, with its relay, at one address.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { startRelay } from '../../relay/main.node.ts';

export interface DemoSite {
  readonly url: string;
  close(): Promise<void>;
}

export async function serveDemo(): Promise<DemoSite> {
  const folder = await mkdtemp(join(tmpdir(), 'foldlog-demo-'));
  const configFile = fileURLToPath(new URL('../../vite.config.ts', import.meta.url));
  await build({ configFile, logLevel: 'error', build: { outDir: join(folder, 'page'), emptyOutDir: true, sourcemap: false } });
  const relay = await startRelay({ folder: join(folder, 'relay'), port: 0, serve: { dir: join(folder, 'page') } });
  return {
    url: relay.url,
    async close() {
      await relay.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
