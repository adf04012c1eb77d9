// The crash gate, short: every means of killing twice, most of them at exactly one I/O call, and one build that is broken on purpose. `npm run crash` is
// the long one, with all null controls.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nullControls } from '../../bench/crash/controls.ts';
import { type CrashOutcome, crash } from '../../bench/crash/crash.ts';
import { allMeans } from '../../bench/crash/means.ts';
import type { Backend } from '../../bench/crash/page/backend.ts';

const seed = 20261121;
const rounds = allMeans.length;

let evidence: string;

beforeAll(async () => {
  evidence = await mkdtemp(join(tmpdir(), 'foldlog-kill-'));
});

afterAll(async () => {
  await rm(evidence, { recursive: true, force: true });
});

async function run(settings: {
  readonly name: string;
  readonly rounds: number;
  readonly controls: typeof nullControls;
  readonly backend?: Backend;
}) {
  const { name, backend = 'opfs-pool', ...rest } = settings;
  const log: string[] = [];
  const ports = { log: (text: string) => void log.push(text), signal: new AbortController().signal };
  const outcome: CrashOutcome = await crash({ ...rest, seed, backends: [backend], evidence: join(evidence, name) }, ports);
  if (outcome.kind !== 'done') throw new Error(outcome.kind);
  return { ...outcome, log };
}

test.each(['opfs-pool', 'indexeddb'] as const)(
  `every acknowledged save survives ${rounds} kills by ${allMeans.length} means on %s, whole and once: seed ${seed}`,
  async (backend) => {
    const { result, failures, log } = await run({ name: backend, rounds, controls: [], backend });
    expect(failures, log.join('\n')).toEqual([]);
    expect(result).toMatchObject({ rounds, lost: 0, torn: 0, doubled: 0 });
    for (const means of allMeans) expect(result.byMeans[means].rounds).toBe(1);
    const journal = (await readFile(join(evidence, backend, backend, 'journal.jsonl'), 'utf8')).trimEnd().split('\n');
    const groups = new Set(journal.map((line) => (JSON.parse(line) as { readonly group: string }).group));
    expect(groups.size).toBe(result.acked);
    expect(groups.size).toBeGreaterThan(20 * (rounds / 2));
  },
);

test('a save that is acknowledged before COMMIT is reported as lost', async () => {
  const controls = nullControls.filter(({ name }) => name === 'acknowledged-early');
  const { result, log } = await run({ name: 'early', rounds: 0, controls });
  expect(result.nullControls[0]?.lost, log.join('\n')).toBeGreaterThan(0);
});
