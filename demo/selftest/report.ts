// What the self-test has found, as it is shown, remembered across the reload and exported. Pure.

export type CheckId = 'page' | 'storage' | 'key' | 'save1' | 'save100' | 'save1000' | 'floors' | 'reload';
export type CheckState = 'waiting' | 'running' | 'passed' | 'failed' | 'not run';

export interface Check {
  readonly id: CheckId;
  readonly title: string;
  readonly state: CheckState;
  /** For a person: what was found. */
  readonly words: string;
}

export interface Latency {
  readonly p50Ms: number;
  readonly p95Ms: number;
}

/** One lane, and what bare writes of as many bytes took in the same run; a floor this browser lacks says why instead. */
export interface Measure {
  readonly ops: number;
  readonly saves: number;
  readonly save: Latency | undefined;
  readonly opfsFloor: Latency | string;
  readonly indexedDbFloor: Latency | string;
}

export interface Report {
  readonly kind: 'foldlog-selftest';
  readonly version: 1;
  readonly run: string;
  readonly startedAt: string;
  readonly browser: {
    readonly userAgent: string;
    readonly screen: string;
    readonly cores: number;
    /** Times shorter than this cannot be told apart here. */
    readonly clockStepMs: number;
  };
  readonly storage: { readonly backend: string; readonly durability: string; readonly verdict: string; readonly key: string } | undefined;
  readonly measures: readonly Measure[];
  /** Ops that were acknowledged, all of which must be there after every reload. */
  readonly savedOps: number;
  readonly reloads: number;
  readonly checks: readonly Check[];
}

const titles: Readonly<Record<CheckId, string>> = {
  page: 'The page may keep data',
  storage: 'Where it is kept',
  key: "The device's signing key",
  save1: '50 single saves',
  save100: '20 saves of 100 entries',
  save1000: '5 saves of 1,000 entries',
  floors: 'Bare writes, to compare with',
  reload: 'Everything is there after a reload',
};

export const blankChecks: readonly Check[] = Object.entries(titles).map(([id, title]) => ({
  id: id as CheckId,
  title,
  state: 'waiting',
  words: '',
}));

/** A report in which one check has moved on. */
export const withCheck = (report: Report, id: CheckId, state: CheckState, words = ''): Report => ({
  ...report,
  checks: report.checks.map((check) => (check.id === id ? { ...check, state, words } : check)),
});

export function latencyOf(times: readonly number[]): Latency {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50Ms: toMicros(at(0.5)), p95Ms: toMicros(at(0.95)) };
}

/** Milliseconds with no more digits than any browser's clock has. */
export const toMicros = (ms: number): number => Math.round(ms * 1_000) / 1_000;

export type Verdict = 'new' | 'running' | 'reload' | 'passed' | 'failed';

export function verdictOf({ checks }: Report): Verdict {
  const isOpen = ({ state }: Check): boolean => state === 'waiting' || state === 'running';
  const isIn = (state: CheckState): boolean => checks.some((check) => check.state === state);
  if (checks.every(({ state }) => state === 'waiting')) return 'new';
  if (isIn('running') || checks.some((check) => check.id !== 'reload' && isOpen(check))) return 'running';
  if (isIn('failed')) return 'failed';
  return isIn('waiting') ? 'reload' : 'passed';
}

export const said = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** `0.4 ms`; what is shorter than the clock's step is said to be. */
export function millis(ms: number, clockStepMs: number): string {
  if (ms < clockStepMs) return `under ${clockStepMs} ms`;
  return `${Number(ms.toPrecision(ms < 100 ? 2 : 3))} ms`;
}

export const latencyWords = ({ p50Ms, p95Ms }: Latency, clockStepMs: number): string =>
  `half within ${millis(p50Ms, clockStepMs)}, 95 of 100 within ${millis(p95Ms, clockStepMs)}`;
