// Known bugs, put one at a time into a copy of the sources, to see that the simulator finds each: a bug that is not found means that a fault or a checker
// is missing here. Each is a patch file whose first line names it, the invariant that must trip and how many seeds that may take.

import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Violation } from './ledger.ts';
import { SimThreads } from './sim-threads.ts';

export interface Planted {
  readonly id: string;
  readonly found: boolean;
  /** Seeds it took; when it was not found, those that were tried. */
  readonly seeds: number;
  /** What tripped. */
  readonly invariant: string;
}

interface Bug {
  readonly id: string;
  readonly patch: string;
  readonly invariants: readonly string[];
  readonly budget: number;
}

const sources = ['kernel', 'shards', 'worker', 'relay', 'tests', 'bench', 'package.json', 'tsconfig.base.json'];

export async function runPlanted(settings: {
  readonly root: string;
  readonly ids: readonly string[];
  readonly threads: number;
  readonly log: (text: string) => void;
}): Promise<readonly Planted[]> {
  const all = plantedBugs(settings.root);
  const unknown = settings.ids.filter((id) => !all.some((bug) => bug.id === id));
  if (unknown.length > 0) throw new Error(`no planted bug ${unknown.join(', ')}; there are ${all.map(({ id }) => id).join(', ')}`);
  const results: Planted[] = [];
  for (const bug of all.filter(({ id }) => settings.ids.length === 0 || settings.ids.includes(id))) {
    const result = await plant(settings.root, bug, settings.threads);
    settings.log(
      `${bug.id}: ${result.found ? `found after ${result.seeds} seeds, ${result.invariant}` : `NOT FOUND in ${result.seeds} seeds`}`,
    );
    results.push(result);
  }
  return results;
}

/** First line of a patch: `P-01 ack before flush · trips I-01 · within 50 seeds`. */
export function plantedBugs(root: string): readonly Bug[] {
  const folder = join(root, 'tests/sim/planted');
  return readdirSync(folder)
    .filter((file) => file.endsWith('.patch'))
    .sort()
    .map((file) => {
      const patch = join(folder, file);
      const [head = ''] = readFileSync(patch, 'utf8').split('\n');
      const match = /^(P-\d\d) .* · trips ((?:I-\d\d(?: or )?)+) · within (\d+) seeds$/.exec(head);
      if (match === null) throw new Error(`${file}: a first line as "P-01 what · trips I-01 · within 50 seeds" expected, found ${head}`);
      return { id: match[1] as string, patch, invariants: (match[2] as string).split(' or '), budget: Number(match[3]) };
    });
}

async function plant(root: string, bug: Bug, count: number): Promise<Planted> {
  const copy = mkdtempSync(join(tmpdir(), 'foldlog-planted-'));
  try {
    for (const path of sources) if (existsSync(join(root, path))) cpSync(join(root, path), join(copy, path), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
    execFileSync('git', ['apply', '--unsafe-paths', `--directory=${copy}`, bug.patch], { cwd: copy, stdio: ['ignore', 'ignore', 'pipe'] });
    return await hunt(copy, bug, count);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

async function hunt(copy: string, bug: Bug, count: number): Promise<Planted> {
  const threads = await SimThreads.start(copy, count);
  let next = 1;
  let tried = 0;
  let found: Planted | undefined;
  const work = async (): Promise<void> => {
    while (found === undefined && next <= bug.budget) {
      const seed = next++;
      const answer = await threads.run({ kind: 'seed', seed, isTwice: false });
      tried++;
      const violations: readonly Violation[] = answer?.outcome.violations ?? [];
      const tripped = violations.find(({ invariant }) => bug.invariants.includes(invariant));
      if (tripped !== undefined) found ??= { id: bug.id, found: true, seeds: tried, invariant: tripped.invariant };
    }
  };
  try {
    await Promise.all(Array.from({ length: count }, work));
  } finally {
    await threads.close();
  }
  return found ?? { id: bug.id, found: false, seeds: tried, invariant: '' };
}
