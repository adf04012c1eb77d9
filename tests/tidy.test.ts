// The house rules as an ordinary test, over every tracked or new file; and the proof that each rule can fail.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findBreaches } from './tidy/rules.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const TEXT = /(?:\.(?:ts|mts|mjs|js|json|md|css|html|yml|yaml|sh|toml)|^\.ci\/run|^\.npmrc)$/;

describe('house rules', () => {
  test('every file of the repository keeps them', () => {
    const paths = repositoryPaths();
    expect(paths).toContain('package.json');
    const files = paths.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));
    expect(findBreaches(files)).toEqual([]);
  });

  const head = '// What lives here.\n';
  const bad: readonly (readonly [rule: string, path: string, text: string, finding: string])[] = [
    ['kernel imports outward', 'kernel/a.ts', `${head}import '../shards/b.ts';`, 'imports ../shards/b.ts'],
    ['kernel imports its own adapters', 'kernel/a.ts', `${head}import './web/b.ts';`, 'imports ./web/b.ts'],
    ['kernel names a package', 'kernel/a.ts', `${head}import 'comlink';`, '@noble/ only'],
    ['shards import the relay', 'shards/a.ts', `${head}export * from '../relay/b.ts';`, 'imports ../relay/b.ts'],
    ['engine imports the browser', 'worker/engine/a.ts', `${head}await import('../browser/b.ts');`, '../browser'],
    ['engine runs sqlite', 'worker/engine/a.ts', `${head}import s from '@sqlite.org/sqlite-wasm';`, 'handed in'],
    ['relay imports the worker', 'relay/a.ts', `${head}type A = import('../worker/engine/b.ts').A;`, 'worker/engine'],
    ['relay core imports node', 'relay/a.ts', `${head}import 'node:fs';`, 'imports node:fs'],
    ['relay core imports adapters', 'relay/a.ts', `${head}import '../kernel/web/b.ts';`, '(kernel/web)'],
    ['demo reaches inside', 'demo/a.ts', `import '../worker/engine/b.ts';`, 'foldlog'],
    ['code imports tests', 'worker/browser/a.ts', `${head}import '../../tests/b.ts';`, '(tests)'],
    ['worker URL points outward', 'shards/a.ts', `${head}new URL('../demo/b.js', import.meta.url);`, '(demo)'],
    ['clock', 'kernel/a.ts', `${head}export const a = \`\${Date.now()}\`;`, 'uses Date.now: take the Clock port'],
    ['clock by constructor', 'shards/a.ts', `${head}export const a = new Date();`, 'uses new Date(): take the Clock'],
    ['random', 'worker/engine/a.ts', `${head}export const a = Math.random();`, 'take the Random port'],
    ['clock in the guard', 'worker/engine/fold-guard.ts', `${head}Math.random; Date.now();`, 'uses Date.now'],
    ['performance', 'relay/a.ts', `${head}export const a = globalThis.performance.now();`, 'performance.now'],
    ['timer', 'relay/a.ts', `${head}setTimeout(() => {}, 1);`, 'take the Scheduler port'],
    ['timer passed on', 'relay/a.ts', `${head}export const a = { setInterval };`, 'take the Scheduler port'],
    ['crypto', 'kernel/a.ts', `${head}crypto.subtle;`, 'uses crypto'],
    ['crypto by the host object', 'kernel/a.ts', `${head}globalThis.crypto.subtle;`, 'uses globalThis.crypto'],
    ['machine path', 'docs/a.md', `see /${'work'}/main`, 'a path of one machine'],
    ['machine path in a string', 'tests/a.ts', `export const a = '/${'tmp'}/x';`, 'a path of one machine'],
    ['lone test', 'tests/a.test.ts', `test${'.only'}('a', () => {});`, 'one test runs'],
    ['silent test', 'tests/a.test.ts', `test${'.skip'}('a', () => {});`, 'does not run'],
    ['loose end', 'docs/a.md', `${'TO'}${'DO'}: later`, 'a loose end'],
    ['silenced type', 'tests/a.ts', `// @ts-${'ignore'}\n`, 'a silenced type check'],
    ['long file', 'tests/a.ts', '\n'.repeat(501), '501 lines'],
    ['no opening comment', 'kernel/a.ts', 'export {};\n', 'no opening comment'],
    ['unreadable file', 'tests/a.ts', 'export const =', 'does not parse'],
    ['loose version', 'package.json', '{"dependencies":{"a":"^1.0.0"}}', 'pin one exact version'],
    ['loose version under another name', 'package.json', '{"devDependencies":{"a":"npm:@b/c@^1.0.0"}}', 'pin one exact version'],
    ['lock with addresses', 'package-lock.json', `{"resolved": "https:${'//'}a"}`, 'download addresses'],
  ];
  test.each(bad)('a breach is found: %s', (_rule, path, text, finding) => {
    expect(findBreaches([{ path, text }]).join('\n')).toContain(finding);
  });

  const good: readonly (readonly [what: string, path: string, text: string])[] = [
    ['the inward import', 'shards/a.ts', `${head}import '../kernel/b.ts';`],
    ['ports named like globals', 'kernel/a.ts', `${head}export const f = ({ crypto }: P) => crypto.sign();`],
    ['members named like globals', 'kernel/a.ts', `${head}p.crypto.sign(); p.setTimeout({ crypto: 1 });`],
    ['words in comments and strings', 'kernel/a.ts', `${head}// Date.now()\nexport const a = 'setTimeout(';`],
    ['a date from a number', 'kernel/a.ts', `${head}export const a = new Date(0);`],
    ['types of sqlite', 'worker/engine/a.ts', `${head}import type { D } from '@sqlite.org/sqlite-wasm';`],
    ['timers at the edge', 'relay/main.node.ts', `${head}import 'node:http';\nsetTimeout(() => {}, 1);`],
    ['the published entry', 'demo/a.ts', `import { open } from 'foldlog';`],
    ['an exact version under another name', 'package.json', '{"devDependencies":{"a":"npm:@b/c@1.0.0-build1"}}'],
    ['folders named work inside the tree', 'docs/a.md', `[x](docs/${'work'}/a.md) ../${'work'}/a`],
  ];
  test.each(good)('no breach is made up: %s', (_what, path, text) => {
    expect(findBreaches([{ path, text }])).toEqual([]);
  });
});

function repositoryPaths(): string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\0');
  return listed.filter((path) => TEXT.test(path) && existsSync(join(root, path)));
}
