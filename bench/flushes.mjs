// The flushes bench: what a commit asks of the operating system, per engine and place of the files. Counts, while commits of one row go on, the
// system calls of every process of the browser that make data durable, by file; Linux only, needs strace. It answers a question no timing can:
// whether a faster place is faster because it flushes less (docs/decisions/0011-order-of-backends.md).
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inChromium, inFirefox } from './browsers.mjs';
import { circumstances, round2 } from './figures.mjs';
import { buildSite, serveSite } from './site.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const calls = ['fsync', 'fdatasync', 'sync_file_range', 'msync', 'syncfs', 'sync'];
const commitsWhole = 200;

/** Where commits go. `relaxed` is the control: a strict transaction must show more than it. */
const places = /** @type {const} */ ({
  'OPFS pool, WAL': { on: 'wal' },
  'OPFS pool, TRUNCATE': { on: 'truncate' },
  'mirror over IndexedDB, strict': { on: 'mirror', durability: 'strict' },
  'mirror over IndexedDB, relaxed': { on: 'mirror', durability: 'relaxed' },
});

/** @param {{ isJson: boolean, rounds?: number }} options `rounds`: commits per place */
export async function run({ isJson, rounds: count = commitsWhole }) {
  if (spawnSync('strace', ['-V']).status !== 0) throw new Error('the flushes bench needs Linux and strace: apt-get install strace');
  const site = await serveSite(await buildSite(join(root, 'bench/storage')));
  /** @type {Record<string, string>} */
  const versions = {};
  const found = [];
  try {
    for (const [engine, inBrowser] of Object.entries({ chromium: inChromium, firefox: inFirefox() })) {
      await inBrowser?.(async (browser) => {
        versions[engine] = browser.version;
        const tab = await browser.open();
        await tab.goto(site.origin);
        await tab.waitForFunction(`'storageBench' in globalThis`);
        for (const [place, where] of Object.entries(places)) {
          const commit = (/** @type {number} */ commits) =>
            tab.evaluate((job) => globalThis.storageBench.bareLane(job), {
              ...{ do: /** @type {const} */ ('commit'), group: 1, count: commits },
              ...where,
            });
          await commit(count); // the engine's own start and the file's creation are over
          // A run without commits has the flushes of opening and closing; the difference is what the commits asked for.
          const [idle, busy] = [
            await flushesDuring(browser.profile, () => commit(1)),
            await flushesDuring(browser.profile, () => commit(count + 1)),
          ];
          const perCommit = Object.fromEntries(
            [...new Set([...idle.keys(), ...busy.keys()])]
              .map((what) => /** @type {const} */ ([what, round2(((busy.get(what) ?? 0) - (idle.get(what) ?? 0)) / count)]))
              .filter(([, each]) => each >= 0.01),
          );
          const total = round2(Object.values(perCommit).reduce((sum, each) => sum + each, 0));
          found.push({ engine, place, flushesPerCommit: total, by: perCommit });
          if (!isJson) console.log(`${engine.padEnd(8)} ${place.padEnd(31)} ${total} flushes per commit`, perCommit);
        }
      });
    }
  } finally {
    await site.close();
  }
  const result = { bench: 'flushes', ...(await circumstances(versions)), commits: count, found };
  if (isJson) console.log(JSON.stringify(result, null, 2));
  if (count < commitsWhole) return;
  await mkdir(join(root, 'bench/results'), { recursive: true });
  await writeFile(join(root, 'bench/results/flushes.json'), `${JSON.stringify(result, null, 2)}\n`);
  if (!isJson) console.log('written to bench/results/flushes.json');
}

/**
 * Durable-making calls of a browser's processes while `work` runs: how often each was made, by call and kind of file.
 * @param {string} profile @param {() => Promise<unknown>} work
 */
async function flushesDuring(profile, work) {
  const folder = await mkdtemp(join(tmpdir(), 'foldlog-strace-'));
  const log = join(folder, 'calls');
  const pids = processesOf(profile).flatMap((pid) => ['-p', String(pid)]);
  const strace = spawn('strace', ['-f', '-y', '-e', `trace=${calls.join(',')}`, '-o', log, ...pids], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    await attached(strace);
    await work();
    const ended = new Promise((resolve) => strace.once('exit', resolve));
    strace.kill('SIGINT');
    await ended;
    return countCalls(await readFile(log, 'utf8'), profile);
  } finally {
    if (strace.exitCode === null) strace.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  }
}

/** @param {import('node:child_process').ChildProcess} strace */
async function attached(strace) {
  let words = '';
  strace.stderr?.on('data', (chunk) => {
    words += chunk;
  });
  while (!words.includes('attached')) {
    if (strace.exitCode !== null) throw new Error(`strace: ${words}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await new Promise((resolve) => setTimeout(resolve, 500)); // every thread of every process
}

/** The browser's main process, known by its profile, and all below it. @param {string} profile @returns {number[]} */
function processesOf(profile) {
  const rows = spawnSync('ps', ['-Ao', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .stdout.split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, pid, ppid, args]) => ({ pid: Number(pid), ppid: Number(ppid), args }));
  const family = new Set(rows.filter(({ args }) => args?.includes(profile)).map(({ pid }) => pid));
  for (let before = -1; before !== family.size; ) {
    before = family.size;
    for (const { pid, ppid } of rows) if (family.has(ppid)) family.add(pid);
  }
  return [...family];
}

/** @param {string} text what strace wrote @param {string} profile @returns {Map<string, number>} */
function countCalls(text, profile) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const [, call, path = ''] of text.matchAll(/^\d+\s+(\w+)\((?:\d+<([^>]*)>)?/gm)) {
    if (!calls.includes(call ?? '') || !path.startsWith(profile)) continue;
    const what = `${call} ${kindOf(path.slice(profile.length))}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return counts;
}

/** What a file of the profile is for, so that counts add up over names made at random. @param {string} path */
function kindOf(path) {
  if (/File System|\/fs\//.test(path)) return 'OPFS file';
  if (/IndexedDB|\/idb\//.test(path)) return /-wal$/.test(path) ? 'IndexedDB journal' : 'IndexedDB file';
  return 'other file of the profile';
}
