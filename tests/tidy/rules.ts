// The house rules a compiler cannot see, as one pure function over files: paths and texts in, findings out.
// Reads syntax trees (vite's own parser), so comments and strings neither trigger a rule nor hide from one.
// Patterns below are written so that this file does not match itself.
import { posix } from 'node:path';
import { findBannedGlobals } from './globals.ts';
import { findImports, type ImportRef, parseModule } from './syntax.ts';

export interface SourceFile {
  /** Relative to the repository's root, with `/`. */
  readonly path: string;
  readonly text: string;
}

const LINES_MAX = 500;

type Area =
  | 'kernel'
  | 'kernel/web'
  | 'shards'
  | 'worker/engine'
  | 'worker/browser'
  | 'relay'
  | 'relay/host'
  | 'tooling'
  | 'demo'
  | 'tests'
  | 'bench'
  | 'tools';

/** Whom each area may import. `relay/host` is the relay's hands: its mains, stores, and node/ and workers/. */
const ARROWS: Readonly<Record<Area, readonly Area[]>> = {
  kernel: ['kernel'],
  'kernel/web': ['kernel/web', 'kernel'],
  shards: ['shards', 'kernel'],
  'worker/engine': ['worker/engine', 'shards', 'kernel'],
  'worker/browser': ['worker/browser', 'worker/engine', 'shards', 'kernel', 'kernel/web'],
  relay: ['relay', 'relay/host', 'shards', 'kernel'],
  'relay/host': ['relay', 'relay/host', 'shards', 'kernel', 'kernel/web'],
  tooling: ['tooling', 'worker/engine', 'shards', 'kernel'],
  demo: ['demo'],
  tests: [
    ...['kernel', 'kernel/web', 'shards', 'worker/engine', 'worker/browser', 'relay', 'relay/host', 'tooling'],
    ...['demo', 'tests', 'bench', 'tools'],
  ] as Area[],
  bench: [
    ...['kernel', 'kernel/web', 'shards', 'worker/engine', 'worker/browser', 'relay', 'relay/host'],
    ...['demo', 'tests', 'bench', 'tools'],
  ] as Area[],
  tools: ['tools', 'tooling'],
};

/** Packages the layers may name; an area that is not listed here is free. A trailing `/` or `:` admits all under it. */
const PACKAGES: Partial<Record<Area, readonly string[]>> = {
  kernel: ['@noble/'],
  'kernel/web': ['@noble/'],
  shards: ['@standard-schema/spec'],
  'worker/engine': ['@standard-schema/spec', '@sqlite.org/sqlite-wasm'],
  'worker/browser': ['@standard-schema/spec', '@sqlite.org/sqlite-wasm', 'comlink', 'idb'],
  relay: ['hono', 'hono/', 'aws4fetch', '@standard-schema/spec'],
  'relay/host': ['hono', 'hono/', 'aws4fetch', '@standard-schema/spec', 'node:', 'cloudflare:'],
  tooling: ['@sqlite.org/sqlite-wasm', '@standard-schema/spec', 'node:'],
};

/** Packages of which a layer may use the types alone: the running thing is handed in. */
const TYPES_ONLY: Partial<Record<Area, readonly string[]>> = { 'worker/engine': ['@sqlite.org/sqlite-wasm'] };

const PUBLISHED_ENTRIES = ['foldlog', 'foldlog/worker', 'foldlog/schema'];
const PURE: readonly Area[] = ['kernel', 'shards', 'worker/engine', 'relay'];
/** Takes Math.random away while reducers run, so it has to name it; it may name nothing else. */
const GUARD = { path: 'worker/engine/fold-guard.ts', mayUse: 'uses Math.random:' };
const OPENS_WITH_COMMENT = /^(?:kernel|shards|worker|relay|tooling)\//;
const IS_CODE = /\.(?:ts|mts|mjs|js)$/;

const EVERYWHERE: readonly (readonly [RegExp, string])[] = [
  [/(?<![\w.\]})*-])\/(?:wo[r]k|fa[r]m|t[m]p)\//, 'a path of one machine: take it from a setting, or os.tmpdir()'],
  [/\b(?:TO[D]O|FI[X]ME)\b/, 'a loose end: finish it, or write it into docs/risks.md'],
];
const IN_CODE: readonly (readonly [RegExp, string])[] = [
  [/\.onl[y]\(/, 'one test runs and the others are silent: take the mark away'],
  [/\.ski[p]\(/, 'a test that does not run proves nothing: mend it or delete it'],
  [/@ts-(?:ignor[e]|nochec[k])/, 'a silenced type check: mend the type, or use @ts-expect-error in tests/types'],
];

/** Every breach, one line each: `path: what was found: what to do`. */
export function findBreaches(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => fileBreaches(file).map((what) => `${file.path}: ${what}`));
}

function fileBreaches({ path, text }: SourceFile): string[] {
  if (path === 'package.json') return [...textBreaches(text, EVERYWHERE), ...manifestBreaches(text)];
  if (path === 'package-lock.json') return lockBreaches(text);
  if (!IS_CODE.test(path)) return textBreaches(text, EVERYWHERE);
  return [
    ...textBreaches(text, [...EVERYWHERE, ...IN_CODE]),
    ...lengthBreaches(text),
    ...openingBreaches(path, text),
    ...codeBreaches(path, text),
  ];
}

function textBreaches(text: string, patterns: readonly (readonly [RegExp, string])[]): string[] {
  return patterns.flatMap(([pattern, todo]) => {
    const hit = pattern.exec(text);
    return hit ? [`"${hit[0]}" on line ${text.slice(0, hit.index).split('\n').length}: ${todo}`] : [];
  });
}

function lengthBreaches(text: string): string[] {
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  return lines > LINES_MAX ? [`${lines} lines: at most ${LINES_MAX}; one file holds one subject`] : [];
}

function openingBreaches(path: string, text: string): string[] {
  if (!OPENS_WITH_COMMENT.test(path) || text.startsWith('// ')) return [];
  return ['no opening comment: say what lives here and why it is apart'];
}

function codeBreaches(path: string, text: string): string[] {
  const parsed = parseModule(path, text);
  if (parsed.kind === 'unreadable') return [`does not parse: ${parsed.message}`];
  const area = areaOf(path);
  const imports = findImports(parsed.program).flatMap((ref) => importBreaches(area, path, ref));
  if (!PURE.includes(area)) return imports;
  const globals = findBannedGlobals(parsed.program);
  return [...imports, ...globals.filter((use) => path !== GUARD.path || !use.startsWith(GUARD.mayUse))];
}

function importBreaches(area: Area, path: string, ref: ImportRef): string[] {
  const { specifier } = ref;
  if (specifier.startsWith('.')) {
    const target = areaOf(posix.normalize(posix.join(posix.dirname(path), specifier)));
    if (ARROWS[area].includes(target)) return [];
    const may = area === 'demo' ? PUBLISHED_ENTRIES : ARROWS[area];
    return [`imports ${specifier} (${target}): ${area} may import ${may.join(', ')} only`];
  }
  if (specifier === 'foldlog' || specifier.startsWith('foldlog/')) {
    if (!PURE.includes(area) && PUBLISHED_ENTRIES.includes(specifier)) return [];
    if (area === 'tests' || area === 'bench') return [];
    return [`imports ${specifier}: layers import the file itself, the demo ${PUBLISHED_ENTRIES.join(', ')}`];
  }
  const allowed = PACKAGES[area];
  if (allowed && !allowed.some((name) => covers(name, specifier))) {
    return [`imports ${specifier}: ${area} may name ${allowed.join(', ')} only`];
  }
  if (!ref.typesOnly && TYPES_ONLY[area]?.includes(specifier)) {
    return [`imports ${specifier} to run it: ${area} may use its types; the running thing is handed in`];
  }
  return [];
}

function covers(name: string, specifier: string): boolean {
  return name.endsWith('/') || name.endsWith(':') ? specifier.startsWith(name) : specifier === name;
}

function areaOf(path: string): Area {
  if (path.startsWith('kernel/web/')) return 'kernel/web';
  if (path.startsWith('kernel/')) return 'kernel';
  if (path.startsWith('shards/')) return 'shards';
  if (path.startsWith('worker/engine/')) return 'worker/engine';
  if (path.startsWith('worker/')) return 'worker/browser';
  if (/^relay\/(?:main\.[^/]+$|stores\/|node\/|workers\/)/.test(path)) return 'relay/host';
  if (path.startsWith('relay/')) return 'relay';
  if (path.startsWith('tooling/')) return 'tooling';
  if (path.startsWith('demo/')) return 'demo';
  if (path.startsWith('tests/')) return 'tests';
  if (path.startsWith('bench/')) return 'bench';
  return 'tools';
}

function manifestBreaches(text: string): string[] {
  const manifest = JSON.parse(text) as Record<string, Record<string, string> | undefined>;
  return ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'].flatMap((kind) =>
    Object.entries(manifest[kind] ?? {})
      // A second version of a package stands under a name of its own: `npm:<package>@<version>`.
      .filter(([, version]) => !/^(?:npm:[\w@./-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/.test(version))
      .map(([name, version]) => `${kind} ${name} "${version}": pin one exact version`),
  );
}

function lockBreaches(text: string): string[] {
  const count = text.split(/"resolved": "https?:/).length - 1;
  if (count === 0) return [];
  return [`${count} download addresses: regenerate it with omit-lockfile-registry-resolved=true in .npmrc`];
}
