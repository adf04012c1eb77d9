// The builds of the page: the engine as it is shipped, and the ones that are broken on purpose to show that the gate can fail. A broken build is made
// from the shipped sources while they are bundled; a replacement that finds nothing to replace fails the run.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'vite';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Replacement {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

interface Recipe {
  readonly replacements?: readonly Replacement[];
  readonly aliases?: Readonly<Record<string, string>>;
}

const rollbackJournal: Replacement = {
  file: 'worker/engine/shard-file.ts',
  from: "db.requirePragma('journal_mode', 'wal', 'wal')",
  to: "db.requirePragma('journal_mode', 'delete', 'delete')",
};

/** The engine's own question whether a build leaks (worker/browser/leak-test.ts). */
const unasked: Replacement = { file: 'worker/browser/storage.ts', from: 'await requireNoLeak(sqlite3);', to: '' };

const recipes = {
  shipped: {},
  /** COMMIT no longer flushes. */
  flushRemoved: {
    replacements: [
      {
        file: 'worker/engine/shard-file.ts',
        from: "db.requirePragma('synchronous', 'full', 2)",
        to: "db.requirePragma('synchronous', 'off', 0)",
      },
    ],
  },
  /** Calls are answered, and the answers let go, before COMMIT. */
  acknowledgedEarly: {
    replacements: [
      {
        file: 'worker/engine/save.ts',
        from: "step = 'commit';",
        to: "for (const { call, group } of landed) call.resolve(placeOf(group)); await this.#ports.scheduler.yield(); step = 'commit';",
      },
    ],
  },
  /** The shipped SQLite over a rollback journal instead of a WAL: the sound twin of the next one. */
  rollbackJournal: { replacements: [rollbackJournal] },
  /**
   * A SQLite that takes a dead worker's rollback journal for a live writer's and does not roll back. A WAL never asks, so it gets no WAL; and the engine
   * refuses such a build by itself, so it is not asked.
   */
  brokenSqlite: { replacements: [rollbackJournal, unasked], aliases: { '@sqlite.org/sqlite-wasm': 'sqlite-wasm-broken' } },
} satisfies Readonly<Record<string, Recipe>>;

export type BuildName = keyof typeof recipes;

/** A WAL is gone when its database is closed; a rollback journal may stand there empty until the next write. */
export type SqliteJournal = 'wal' | 'rollback';

export const journalOf = (name: BuildName): SqliteJournal =>
  (recipes[name] as Recipe).replacements?.includes(rollbackJournal) === true ? 'rollback' : 'wal';

/** Builds one of them into a folder of its own under `into`, and answers the folder. */
export async function buildPage(name: BuildName, into: string): Promise<string> {
  const { replacements = [], aliases = {} }: Recipe = recipes[name];
  const outDir = join(into, name);
  const made = new Set<Replacement>();
  await mkdir(outDir, { recursive: true });
  await build({
    configFile: false,
    logLevel: 'error',
    root: fileURLToPath(new URL('./page', import.meta.url)),
    base: './',
    resolve: { alias: aliases },
    worker: { format: 'es', plugins: () => [replacing(replacements, made)] },
    build: { outDir, emptyOutDir: true, target: 'es2023', modulePreload: false, minify: false },
  });
  const missed = replacements.filter((replacement) => !made.has(replacement));
  if (missed.length > 0) throw new Error(`build ${name}: not found in ${missed.map(({ file, from }) => `${file}: ${from}`).join(' · ')}`);
  return outDir;
}

function replacing(replacements: readonly Replacement[], made: Set<Replacement>): Plugin {
  return {
    name: 'replacing',
    enforce: 'pre',
    transform(code, id) {
      let text = code;
      for (const replacement of replacements) {
        const { file, from, to } = replacement;
        if (id !== join(root, file) || text.split(from).length !== 2) continue;
        text = text.replace(from, () => to);
        made.add(replacement);
      }
      return text === code ? undefined : text;
    },
  };
}
