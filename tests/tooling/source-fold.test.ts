// Which source a definition is made from: what changes its hash and what does not, on real files, and the imports it is found by.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { importsOf } from '../../tooling/import-scan.ts';
import { sourceFold } from '../../tooling/source-fold.ts';
import { findImports, parseModule } from '../tidy/syntax.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** An app on disk. */
function app(files: Readonly<Record<string, string>>): {
  readonly at: (path: string) => string;
  readonly write: (path: string, text: string) => void;
} {
  const folder = mkdtempSync(join(tmpdir(), 'foldlog-source-'));
  made.push(folder);
  const at = (path: string): string => join(folder, path);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), text);
  };
  for (const [path, text] of Object.entries(files)) write(path, text);
  return { at, write };
}

const shop = {
  'node_modules/valibot/package.json': '{"name":"valibot","version":"1.0.0"}',
  'src/shop.ts': `import { defineShard } from 'foldlog/schema';
import * as v from 'valibot';
import { add } from './money.js';
import type { Line } from './types';
export const till = defineShard('till', { add, v });
`,
  'src/money.ts': `export { round } from './deep/round.ts';\nexport const add = (a: number, b: number) => a + b;\n`,
  'src/deep/round.ts': `import { shop } from '../shop.ts';\nexport const round = Math.round;\n`,
  'src/types.ts': 'export interface Line { n: number }\n',
  'src/page.ts': `import './shop.ts';\n`,
};

describe('the source of a definition', () => {
  test('covers its module and all it imports, through others and in circles, and packages by version', async () => {
    const { at } = app(shop);
    const fold = await sourceFold(at('src/shop.ts'));
    expect(fold.files).toEqual([at('src/deep/round.ts'), at('src/money.ts'), at('src/shop.ts'), at('src/types.ts')]);
    expect(fold.packages).toEqual([expect.stringMatching(/^foldlog@\d/), 'valibot@1.0.0']);
    expect(fold.source).toMatch(/^[0-9a-f]{64}$/);
  });

  test.each<readonly [string, string, string, boolean]>([
    ['its own module', 'src/shop.ts', `${shop['src/shop.ts']}// said\n`, true],
    ['a file it imports', 'src/money.ts', shop['src/money.ts'].replace('a + b', 'a - b'), true],
    ['a file that imports import', 'src/deep/round.ts', 'export const round = Math.floor;\n', true],
    ['the version of a package', 'node_modules/valibot/package.json', '{"name":"valibot","version":"1.0.1"}', true],
    ['a file elsewhere', 'src/page.ts', 'console.log(1);\n', false],
    ['what is in a package beside its version', 'node_modules/valibot/package.json', '{"version":"1.0.0","x":1}', false],
    ['line ends', 'src/money.ts', shop['src/money.ts'].replaceAll('\n', '\r\n'), false],
    ['a byte order mark', 'src/money.ts', `\uFEFF${shop['src/money.ts']}`, false],
  ])('%s: %s', async (_, path, text, isChanged) => {
    const { at, write } = app(shop);
    const before = (await sourceFold(at('src/shop.ts'))).source;
    write(path, text);
    expect((await sourceFold(at('src/shop.ts'))).source !== before).toBe(isChanged);
  });

  test('is the same wherever the tree stands', async () => {
    const [here, there] = [app(shop), app(shop)];
    expect((await sourceFold(here.at('src/shop.ts'))).source).toBe((await sourceFold(there.at('src/shop.ts'))).source);
  });

  test('counts an alias and a linked package by their files, as the build finds them', async () => {
    const { at, write } = app({
      ...shop,
      'src/shop.ts': `import '@/money';\nimport 'linked';\n`,
      'linked/package.json': '{"version":"1.0.0"}',
      'linked/index.ts': '1;\n',
    });
    symlinkSync(at('linked'), at('node_modules/linked'));
    const resolve = (specifier: string) => (specifier === '@/money' ? at('src/money.ts') : at('node_modules/linked/index.ts'));
    const fold = await sourceFold(at('src/shop.ts'), resolve);
    expect(fold.files).toContain(at('linked/index.ts'));
    write('linked/index.ts', '2;\n');
    expect((await sourceFold(at('src/shop.ts'), resolve)).source).not.toBe(fold.source);
  });

  test('refuses an import that leads nowhere, with the file it stands in', async () => {
    const { at, write } = app(shop);
    write('src/money.ts', `import './gone.ts';\n`);
    await expect(sourceFold(at('src/shop.ts'))).rejects.toMatchObject({
      kind: 'misuse',
      reason: 'unresolvedImport',
      where: at('src/money.ts'),
    });
  });
});

describe('imports out of text', () => {
  test('those of every module here are found, as a parser finds them', () => {
    const listed = execFileSync('git', ['ls-files', '-z', '*.ts', '*.mjs'], { cwd: root, encoding: 'utf8' }).split('\0');
    let count = 0;
    const missed: string[] = [];
    for (const path of listed.filter((each) => each !== '')) {
      const text = readFileSync(join(root, path), 'utf8');
      const parsed = parseModule(path, text);
      if (parsed.kind !== 'parsed') continue;
      const scanned = new Set(importsOf(text));
      for (const { specifier } of findImports(parsed.program)) {
        count++;
        // A worker named by `new URL` is no import: a definition that starts one would not be a fold.
        if (!scanned.has(specifier) && !text.includes(`new URL('${specifier}'`)) missed.push(`${path}: ${specifier}`);
      }
    }
    expect(count).toBeGreaterThan(1_000);
    expect(missed).toEqual([]);
  });

  test.each<readonly [string, readonly string[]]>([
    [`import a from 'x'; import "y"; export * from 'z'; export { b } from "w"`, ['x', 'y', 'z', 'w']],
    ['const m = await import(`x`); type T = import("y").T;', ['x', 'y']],
    [`// import 'x'\n/* import 'y' */ const s = "import 'z'"; const t = \`import 'w'\``, []],
    ["const r = /['\"`]/.test(s) / 2; import 'x'", ['x']],
    [`const t = \`\${a ? \`\${b}\` : /}/.source}'\`; import 'x'`, ['x']],
    ["const d = (a + b) / c / 'import'.length; import 'x'", ['x']],
    ['import type { A } from "x";\nimport {\n  b, // why\n} from\n  "y";', ['x', 'y']],
    ["from('x'); reimport('y'); const o = { import: 'z' }", []],
  ])('%s', (text, wanted) => {
    expect(importsOf(text)).toEqual(wanted);
  });
});
