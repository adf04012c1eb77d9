// What every bench says the same way: percentiles of times, the middle of several rounds, and where and with what a result was taken.
import { readFile } from 'node:fs/promises';
import { cpus, platform, release } from 'node:os';
import { fileURLToPath } from 'node:url';

const manifest = fileURLToPath(new URL('../package.json', import.meta.url));

/** @param {readonly number[]} times @param {number} p */
export function percentile(times, p) {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
}

/** @param {readonly number[]} values */
export const median = (values) => percentile(values, 0.5);

/**
 * One run of commits of `group` rows each.
 * @typedef {{ p50Ms: number, p99Ms: number, p999Ms: number, opsPerSecond: number }} CommitFigures
 * @param {readonly number[]} times @param {number} group @returns {CommitFigures}
 */
export function commitFigures(times, group) {
  const spent = times.reduce((a, b) => a + b, 0);
  return {
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    p999Ms: percentile(times, 0.999),
    opsPerSecond: (times.length * group * 1000) / spent,
  };
}

/** The middle of each figure over the rounds. @param {readonly CommitFigures[]} runs @returns {CommitFigures} */
export function middleOf(runs) {
  const middle = (/** @type {keyof CommitFigures} */ field) => median(runs.map((run) => run[field]));
  return {
    p50Ms: round3(middle('p50Ms')),
    p99Ms: round3(middle('p99Ms')),
    p999Ms: round3(middle('p999Ms')),
    opsPerSecond: Math.round(middle('opsPerSecond')),
  };
}

export const round1 = (/** @type {number} */ value) => Math.round(value * 10) / 10;
export const round2 = (/** @type {number} */ value) => Math.round(value * 100) / 100;
export const round3 = (/** @type {number} */ value) => Math.round(value * 1000) / 1000;

/** How many times the floor. @param {number} engine @param {number} floor */
export const ratio = (engine, floor) => round2(engine / floor);

/** @param {Readonly<Record<string, string>>} browsers their versions, by name */
export async function circumstances(browsers) {
  const { version, dependencies } = JSON.parse(await readFile(manifest, 'utf8'));
  return {
    date: new Date().toISOString(),
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, os: `${platform()} ${release()}` },
    versions: { ...browsers, node: process.version, sqliteWasm: dependencies['@sqlite.org/sqlite-wasm'], foldlog: version },
  };
}
