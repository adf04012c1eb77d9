// The build puts the id of the source into definitions: through the real Vite, in a page, its worker and a module loaded as tests load it.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, createServer, type InlineConfig, type Plugin } from 'vite';
import { afterEach, describe, expect, test } from 'vitest';
import type { ShardDefinition } from '../../shards/define.ts';
import { sourceFold } from '../../tooling/source-fold.ts';
import { foldlog } from '../../tooling/vite.ts';

const schema = fileURLToPath(new URL('../../shards/index.ts', import.meta.url));

const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const files = {
  'index.html': '<script type="module" src="./page.ts"></script>',
  'page.ts': `import { till } from './shop.ts';
document.title = till.kind;
new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
`,
  'worker.ts': `import { till } from './shop.ts';\npostMessage(till);\n`,
  'shop.ts': `import { defineShard, int, op, table, text } from 'foldlog/schema';
import { stock as other } from './stock.ts';
import { total } from './reduce.ts';
const schema = { '~standard': { version: 1, vendor: 'x', validate: (value: unknown) => ({ value }) } } as const;
export const stock = other;
export const till = defineShard('till', {
  version: 1,
  tables: { t: table({ a: text(), n: int() }, { key: ['a'] }) },
  ops: { 'a.b': op(schema, (db) => total(db)) },
});
`,
  'stock.ts': `import * as foldlog from 'foldlog/schema';
export const stock = foldlog.defineShard('stock', { version: 1, tables: {}, ops: {} },);
`,
  'reduce.ts': `export const total = (db: { run(text: string): void }): void => db.run('DELETE FROM t');\n`,
  'elsewhere.ts': 'export const x = 1;\n',
};

function app(changed: Partial<typeof files> = {}): { readonly folder: string; readonly config: InlineConfig } {
  const folder = mkdtempSync(join(tmpdir(), 'foldlog-vite-'));
  made.push(folder);
  for (const [path, text] of Object.entries({ ...files, ...changed })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const plugin: Plugin = foldlog();
  return {
    folder,
    config: {
      root: folder,
      configFile: false,
      logLevel: 'silent',
      plugins: [plugin],
      resolve: { alias: { 'foldlog/schema': schema } },
      worker: { format: 'es' },
    },
  };
}

/** Stamps in what a build made, by the file they stand in. */
async function stampsOf(config: InlineConfig): Promise<ReadonlyMap<string, readonly string[]>> {
  const built = await build({ ...config, build: { write: false, minify: false } });
  const outputs = (Array.isArray(built) ? built : [built]).flatMap((each) => ('output' in each ? each.output : []));
  const found = new Map<string, readonly string[]>();
  for (const output of outputs) {
    const code = output.type === 'chunk' ? output.code : String(output.source);
    const stamps = [...code.matchAll(/source"?: ?"([0-9a-f]{64})",\s*"?mode"?: ?"(\w+)"/g)].map(([, source, mode]) => `${mode} ${source}`);
    if (stamps.length > 0) found.set(output.fileName.replace(/-[^/]*$/, ''), stamps.sort());
  }
  return found;
}

async function loaded(config: InlineConfig): Promise<{ readonly till: ShardDefinition; readonly stock: ShardDefinition }> {
  const server = await createServer({
    ...config,
    server: { middlewareMode: true, hmr: false, ws: false, watch: null },
    optimizeDeps: { noDiscovery: true },
  });
  try {
    return (await server.ssrLoadModule('/shop.ts')) as { till: ShardDefinition; stock: ShardDefinition };
  } finally {
    await server.close();
  }
}

describe('foldlog/vite', () => {
  test('a build puts one and the same id into page and worker', async () => {
    const { folder, config } = app();
    const stamps = await stampsOf(config);
    const wanted = await Promise.all(
      ['shop.ts', 'stock.ts'].map(async (file) => `production ${(await sourceFold(join(folder, file))).source}`),
    );
    expect([...stamps.keys()].sort()).toEqual(['assets/index', 'assets/worker']);
    for (const found of stamps.values()) expect(found).toEqual(wanted.sort());
  }, 60_000);

  test('a module loaded by the dev server, as tests load it, is of that source, in development', async () => {
    const { config } = app();
    const { till, stock } = await loaded(config);
    expect([till.foldIdOf, till.mode, stock.foldIdOf, stock.mode]).toEqual(['source', 'development', 'source', 'development']);
    expect(till.foldId).not.toEqual(stock.foldId);
  }, 60_000);

  test('a reducer that changed in an imported file changes the id, a file elsewhere does not', async () => {
    const idOf = async (changed: Partial<typeof files>) => (await loaded(app(changed).config)).till.foldId;
    const before = await idOf({});
    expect(await idOf({ 'elsewhere.ts': 'export const x = 2;\n' })).toEqual(before);
    expect(await idOf({ 'reduce.ts': files['reduce.ts'].replace('DELETE FROM t', 'DELETE FROM t WHERE n > 1') })).not.toEqual(before);
  }, 60_000);

  test('a definition whose import leads nowhere ends the build', async () => {
    const { config } = app({ 'shop.ts': `import 'virtual:made-up';\n${files['shop.ts']}` });
    const virtual: Plugin = {
      name: 'virtual',
      resolveId: (id) => (id === 'virtual:made-up' ? '\0made-up' : undefined),
      load: (id) => (id === '\0made-up' ? 'export {}' : undefined),
    };
    await expect(stampsOf({ ...config, plugins: [...(config.plugins ?? []), virtual] })).rejects.toThrow(/virtual:made-up/);
  }, 60_000);
});
