// The one small interface over three ways of driving a browser, so that a promise is tested by the same lines in every engine: Playwright for
// Chromium, WebDriver BiDi for Firefox, plain WebDriver for WebKit. It is as wide as the tests need and no wider.
import { spawnSync } from 'node:child_process';
import { describe } from 'vitest';

export interface Engine {
  readonly name: 'Chromium' | 'Firefox' | 'WebKit';
  /** Which of the ways this engine can be built or started in. */
  readonly mode: string;
  /** Why it cannot be driven on this machine, and what to install. */
  readonly missing: string | undefined;
  makeDevice(): Promise<EngineDevice>;
}

/** A profile folder on disk. Its browser starts with the first tab, and can be ended or killed and started again. */
export interface EngineDevice {
  /** A new tab that has loaded `url`. */
  open(url: string): Promise<Tab>;
  /** Of the running browser. */
  version(): string;
  /** SIGKILL to every process of this browser at once: nothing gets to finish or flush. */
  kill(): Promise<void>;
  stop(): Promise<void>;
  /** Ends the browser and removes the profile. */
  remove(): Promise<void>;
}

/** What a test function may touch inside a page: its argument and the page's own globals. It travels as text. */
export type Body<Arg, Result> = string | ((arg: Arg) => Result | Promise<Result>);

export interface Tab {
  evaluate<Result, Arg = undefined>(body: Body<Arg, Result>, arg?: Arg): Promise<Result>;
  goto(url: string): Promise<void>;
  /** Resolves when the page has loaded again. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** The tests of one engine; skipped by name, with the reason in the name, where the engine is not to be had. `npm test` prints it again. */
export function describeEngine(engine: Engine, body: () => void): void {
  const title = `${engine.name}, ${engine.mode}`;
  if (engine.missing === undefined) describe(title, body);
  else describe.skipIf(true)(`${title} (not tested: ${engine.missing})`, body);
}

const waitMs = 60_000;
const lookEveryMs = 50;

/** Waits until `condition`, an expression, is truthy in the page. */
export async function waitFor(tab: Tab, condition: string): Promise<void> {
  for (const until = Date.now() + waitMs; ; ) {
    if (await tab.evaluate<boolean>(`Boolean(${condition})`)) return;
    if (Date.now() > until) throw new Error(`after ${waitMs} ms still not: ${condition}`);
    await pause(lookEveryMs);
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Kills a process group and waits until nothing of it runs; what only waits to be reaped holds no file and no lock. */
export async function killGroup(leader: number): Promise<void> {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ESRCH')) throw cause;
  }
  const isRunning = (line: string): boolean => new RegExp(`^\\s*${leader}\\s+[^Z]`).test(line);
  while (spawnSync('ps', ['-Ao', 'pgid=,stat='], { encoding: 'utf8' }).stdout.split('\n').some(isRunning)) await pause(10);
}
