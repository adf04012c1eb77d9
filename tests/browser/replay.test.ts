// The replay end to end, as `npm run replay` runs it, on a generated CSV: two real browsers, the relay in workerd, everything compared with the CSV.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Acknowledged } from '../../bench/replay/journal.ts';
import type { ReplayResult } from '../../bench/replay/replay.ts';
import { verifyRelayFolder } from '../../bench/replay/verify-relay.ts';
import { makeRetailCsv } from '../fixtures/retail-generator.ts';

const script = fileURLToPath(new URL('../../scripts/replay.mjs', import.meta.url));
const seed = 20_101_201;
const lines = 400;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldlog-replay-test-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function replay(...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (part) => (output[name] += part));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...output }));
  });
}

async function csvFile(name: string, text: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, text);
  return path;
}

test(`a retail CSV comes out as it went in: totals on both devices, chain, journal (seed ${seed}, ${lines} lines)`, async () => {
  const csv = makeRetailCsv({ seed, lines });
  const evidence = join(folder, 'evidence');
  const { code, stdout, stderr } = await replay('--csv', await csvFile('good.csv', csv), '--evidence', evidence, '--json');
  expect(stderr).not.toContain('FAILED');
  expect(code, stderr).toBe(0);
  expect(stdout.trim().split('\n')).toHaveLength(1);
  const result = JSON.parse(stdout) as ReplayResult;
  expect(result).toMatchObject({ ops: lines, totalsMatch: true, chainVerified: true, evidence });
  expect(result.bootstrap).toMatchObject({ path: 'checkpoint' });
  expect(result.bootstrap.groupsFolded).toBeGreaterThan(0);
  expect(result.bootstrap.groupsFolded).toBeLessThan(result.groups / 2);
  expect(result.loneSaleBytes).toBeLessThanOrEqual(600);

  expect((await readdir(evidence)).sort()).toEqual(
    expect.arrayContaining(['device-a.db', 'device-b.db', 'journal.jsonl', 'relay', 'report.json']),
  );
  const journal = (await readFile(join(evidence, 'journal.jsonl'), 'utf8')).trim().split('\n');
  const acknowledged = journal.map((line) => JSON.parse(line) as Acknowledged);
  expect(acknowledged).toHaveLength(result.groups);
  expect(acknowledged.reduce((sum, { ops }) => sum + ops, 0)).toBe(lines);
  for (const { savedAtMs, committedAtMs } of acknowledged) expect(committedAtMs).toBeGreaterThanOrEqual(savedAtMs);

  // The verifier can fail: one bit of one object, anywhere in it.
  const relay = join(evidence, 'relay');
  expect(await verifyRelayFolder(relay)).toHaveLength(2);
  const objects = (await readdir(relay, { recursive: true })).filter((name) => /\/(?:log|control|checkpoint|chunk)\/[0-9a-f]+$/.test(name));
  expect(objects.length).toBeGreaterThan(8);
  for (const [i, name] of objects.entries()) {
    const path = join(relay, name);
    const bytes = await readFile(path);
    const at = (i * 7919) % bytes.length;
    await writeFile(path, bytes.with(at, (bytes[at] ?? 0) ^ 1));
    await expect(verifyRelayFolder(relay), `${name} with byte ${at} changed`).rejects.toThrow();
    await writeFile(path, bytes);
  }
});

test('bad lines are reported by number and nothing is loaded', async () => {
  const rows = makeRetailCsv({ seed, lines }).split('\n');
  const plain = rows.findIndex((row, i) => i > 100 && row.split(',').length === 8 && !row.includes('"'));
  const path = await csvFile('bad.csv', rows.with(plain, (rows[plain] ?? '').replace(/,\d\d-\d\d-/, ',31-31-')).join('\n'));
  const evidence = join(folder, 'none');
  const { code, stdout, stderr } = await replay('--csv', path, '--evidence', evidence, '--json');
  expect(code).toBe(2);
  expect(stderr).toContain(`line ${plain + 1}, InvoiceDate: `);
  expect(JSON.parse(stdout)).toMatchObject({ error: 'badLines', badLines: [{ line: plain + 1 }] });
  expect(await readdir(folder)).not.toContain('none');
});

test('evidence of another run is not mixed with', async () => {
  const { code, stderr } = await replay('--csv', await csvFile('one.csv', makeRetailCsv({ seed, lines: 1 })), '--evidence', folder);
  expect(code).toBe(2);
  expect(stderr).toContain('an empty or new folder expected');
});
