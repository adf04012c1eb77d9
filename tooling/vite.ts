// The published entry `foldlog/vite`: puts into every shard definition which source it was made from, at build time, in page, worker and tests alike.
// Without it a definition is known by what it declares, and a reducer that changed does not show.

import { existsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { type SourceFold, sourceFold } from './source-fold.ts';

export { type ResolveImport, type SourceFold, sourceFold } from './source-fold.ts';

/** As much of Vite's plugin as is used here, so that the types of no one version of Vite are needed. */
export interface FoldlogPlugin {
  readonly name: string;
  config(config: unknown): { readonly worker?: { readonly plugins: () => FoldlogPlugin[] } };
  configResolved(config: { readonly command: string }): void;
  transform(this: TransformContext, code: string, id: string): Promise<{ readonly code: string; readonly map: null } | undefined>;
}

export interface TransformContext {
  parse(code: string): unknown;
  resolve(specifier: string, importer: string): Promise<{ readonly id: string } | null>;
  addWatchFile(file: string): void;
}

export interface FoldlogPluginOptions {
  /**
   * In development a fold that changed under one schema version is refused, in production it is recorded as a move. Vite's dev server, and tests, are
   * development unless said otherwise; a build is production.
   */
  readonly mode?: 'development' | 'production';
}

/**
 * Vite plugin: `defineShard(kind, spec)` of `foldlog/schema` gets its third argument. Reaches workers by itself.
 * @example
 * // vite.config.ts
 * import { foldlog } from 'foldlog/vite';
 * export default defineConfig({ plugins: [foldlog()] });
 * @throws {FoldlogError} `misuse` `unresolvedImport`, while building: a definition that imports what leads nowhere
 */
export function foldlog(options: FoldlogPluginOptions = {}): FoldlogPlugin {
  let mode = options.mode ?? 'production';
  async function transform(
    this: TransformContext,
    code: string,
    id: string,
  ): Promise<{ readonly code: string; readonly map: null } | undefined> {
    const file = id.replace(/[?#].*$/s, '');
    if (!code.includes('defineShard') || !isAbsolute(file) || /[\\/]node_modules[\\/]/.test(file) || !existsSync(file)) return undefined;
    const places = placesOf(this.parse(code));
    if (places.length === 0) return undefined;
    const fold = await sourceFold(file, async (specifier, importer) => (await this.resolve(specifier, importer))?.id);
    for (const used of fold.files) if (used !== file) this.addWatchFile(used);
    // On the line it stands on, so that what maps to the source stays where it is.
    return { code: stamped(code, places, fold, mode), map: null };
  }
  const forWorkers: FoldlogPlugin = { name: 'foldlog', config: () => ({}), configResolved: () => undefined, transform };
  return {
    ...forWorkers,
    // Vite builds workers with plugins of their own.
    config: () => ({ worker: { plugins: () => [forWorkers] } }),
    configResolved({ command }) {
      mode = options.mode ?? (command === 'serve' ? 'development' : 'production');
    },
  };
}

function stamped(code: string, places: readonly number[], { source }: SourceFold, mode: string): string {
  const stamp = `, ${JSON.stringify({ source, mode })}`;
  let text = code;
  for (const at of [...places].sort((a, b) => b - a)) text = text.slice(0, at) + stamp + text.slice(at);
  return text;
}

interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

/** Ends of the second argument of every call of `foldlog/schema`'s `defineShard` that has two. */
function placesOf(program: unknown): readonly number[] {
  const names = new Set<string>();
  const spaces = new Set<string>();
  const places: number[] = [];
  walk(program, (node) => {
    if (node.type !== 'ImportDeclaration' || (node.source as { value?: unknown }).value !== 'foldlog/schema') return;
    for (const named of node.specifiers as readonly Node[]) {
      const local = (named.local as { name: string }).name;
      const imported = (named.imported as { name?: string } | undefined)?.name;
      if (named.type === 'ImportNamespaceSpecifier') spaces.add(local);
      else if (imported === 'defineShard') names.add(local);
    }
  });
  if (names.size + spaces.size === 0) return places;
  walk(program, (node) => {
    if (node.type !== 'CallExpression' || !isOurs(node.callee, names, spaces)) return;
    const args = node.arguments as readonly (Node & { readonly end: number })[];
    if (args.length === 2 && args.every(({ type }) => type !== 'SpreadElement')) places.push(args[1]?.end as number);
  });
  return places;
}

function isOurs(callee: unknown, names: ReadonlySet<string>, spaces: ReadonlySet<string>): boolean {
  if (!isNode(callee)) return false;
  if (callee.type === 'Identifier') return names.has(callee.name as string);
  const { object, property } = callee as { object?: { name?: string }; property?: { name?: string } };
  return callee.type === 'MemberExpression' && property?.name === 'defineShard' && spaces.has(object?.name ?? '');
}

function walk(value: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(value)) for (const each of value) walk(each, visit);
  else if (isNode(value)) {
    visit(value);
    for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) walk(child, visit);
  }
}
