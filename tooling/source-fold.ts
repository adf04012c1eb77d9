// The source a shard definition is made from, as one hash: its module and all it imports, directly or through others. What the file system or the machine
// adds (line ends, absolute paths, the order of reading) does not count; a comment does, which is cheaper than judging what a comment may do.
// Decision 0004.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { basename, dirname, join, posix, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FoldlogError } from '../kernel/errors.ts';
import { importsOf } from './import-scan.ts';

export interface SourceFold {
  /** SHA-256 in hex, as the build hands it to `defineShard`. */
  readonly source: string;
  /** What it covers: files by absolute path, packages as `name@version`. */
  readonly files: readonly string[];
  readonly packages: readonly string[];
}

/** Where a specifier leads that is neither relative nor an installed package: an alias, a linked package. Undefined when nowhere. */
export type ResolveImport = (specifier: string, importer: string) => Promise<string | undefined> | string | undefined;

/**
 * Hashes the module at `entry` with all it imports. Packages count by name and version alone; a package that is linked from a source tree counts by
 * its files.
 * @throws {FoldlogError} `misuse` `unresolvedImport`: an import that leads nowhere, with the file it stands in
 */
export async function sourceFold(entry: string, resolveImport: ResolveImport = () => undefined): Promise<SourceFold> {
  const start = realpathSync(entry);
  const files = new Map<string, string>();
  const packages = new Map<string, string>();
  const waiting = [start];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue;
    const text = readFileSync(file, 'utf8')
      .replace(/^\uFEFF/, '')
      .replaceAll(/\r\n?/g, '\n');
    files.set(file, createHash('sha256').update(text).digest('hex'));
    if (!/\.[cm]?[jt]sx?$/.test(file)) continue;
    for (const specifier of importsOf(text)) {
      const found = await locate(specifier, file, resolveImport);
      if (found.kind === 'package') packages.set(found.name, found.version);
      else waiting.push(found.path);
    }
  }
  const named = [...files].map(([file, hash]) => [nameOf(file, start), hash] as const).sort(byName);
  const versions = [...packages].sort(byName);
  return {
    source: createHash('sha256')
      .update(JSON.stringify({ files: named, packages: versions }))
      .digest('hex'),
    files: [...files.keys()].sort(),
    packages: versions.map(([name, version]) => `${name}@${version}`),
  };
}

/** As a specifier in the entry's module would name it. */
const nameOf = (file: string, entry: string): string =>
  file === entry ? basename(file) : posix.join('.', relative(dirname(entry), file).split(sep).join('/'));

const byName = ([a]: readonly [string, string], [b]: readonly [string, string]): number => (a < b ? -1 : a > b ? 1 : 0);

type Located =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'package'; readonly name: string; readonly version: string };

const builtins = new Set(builtinModules);

async function locate(written: string, importer: string, resolveImport: ResolveImport): Promise<Located> {
  const specifier = written.replace(/[?#].*$/s, '');
  if (specifier.startsWith('node:') || builtins.has(specifier)) return { kind: 'package', name: specifier, version: 'node' };
  if (/^foldlog(?:\/|$)/.test(specifier)) return { kind: 'package', name: 'foldlog', version: ownVersion() };
  if (/^\.{0,2}\//.test(specifier) || specifier === '.' || specifier === '..') {
    const path = asFile(resolve(dirname(importer), specifier));
    if (path !== undefined) return { kind: 'file', path };
  } else {
    const installed = installedPackage(specifier, importer);
    if (installed !== undefined) return installed;
  }
  const path = (await resolveImport(written, importer))?.replace(/[?#].*$/s, '');
  const real = path === undefined ? undefined : asFile(path);
  if (real !== undefined) return { kind: 'file', path: real };
  throw FoldlogError.misuse({
    where: importer,
    reason: 'unresolvedImport',
    found: `an import of ${JSON.stringify(written.slice(0, 100))} that leads nowhere`,
    expected: 'a file, or an installed package',
    todo: 'a shard definition must not depend on what only exists while building; move that out of what it imports',
  });
}

const endings = ['', '.ts', '.tsx', '.mts', '.js', '.mjs', '.jsx', '.json', '/index.ts', '/index.tsx', '/index.js'];

/** A path as written, with TypeScript's spelling of compiled names, or without its ending. */
function asFile(path: string): string | undefined {
  const spellings = [...endings.map((ending) => path + ending), path.replace(/\.(m?)js(x?)$/, '.$1ts$2')];
  const found = spellings.find((each) => existsSync(each) && statSync(each).isFile());
  return found === undefined ? undefined : realpathSync(found);
}

function installedPackage(specifier: string, importer: string): Located | undefined {
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  for (let folder = dirname(importer); ; folder = dirname(folder)) {
    const manifest = join(folder, 'node_modules', name, 'package.json');
    if (existsSync(manifest)) {
      // Linked from a source tree, it changes without its version: its files count instead.
      const isLinked = !realpathSync(manifest).split(sep).includes('node_modules');
      return isLinked ? undefined : { kind: 'package', name, version: versionIn(manifest) };
    }
    if (dirname(folder) === folder) return undefined;
  }
}

const versionIn = (manifest: string): string => String((JSON.parse(readFileSync(manifest, 'utf8')) as { version?: unknown }).version);

/** Of the package this file is part of, wherever its build put it. */
function ownVersion(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, 'utf8')) as { name?: unknown }).name === 'foldlog')
      return versionIn(manifest);
    if (dirname(folder) === folder) return '0';
  }
}
