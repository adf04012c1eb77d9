// Runs fuzz targets: each execution draws from a stream of its own, named by seed, target and number, so that any one can be run again alone.
import { Random } from '../../bench/crash/random.ts';
import { byteTargets } from './byte-targets.ts';
import { relayTarget } from './relay-target.ts';
import { Breach, type Target } from './targets.ts';
import { textTargets } from './text-targets.ts';

export interface FuzzSettings {
  readonly executions: number;
  readonly seed: number;
  /** One target alone, by name. */
  readonly target?: string;
  /** Number of the first execution of each target; default 0. */
  readonly from?: number;
}

export interface FuzzPorts {
  /** Told before an execution begins, so that one that never ends can be named. */
  readonly onExecution?: (target: string, number: number) => void;
  readonly log?: (line: string) => void;
}

export interface Failure {
  readonly target: string;
  readonly number: number;
  readonly found: string;
  readonly input: string;
  readonly reproduce: string;
}

export interface TargetResult {
  readonly name: string;
  readonly executions: number;
  /** How executions ended, most frequent first: `value`, or kind and reason. */
  readonly endings: Readonly<Record<string, number>>;
  readonly slowestMs: number;
}

export interface FuzzResult {
  readonly executions: number;
  readonly seed: number;
  readonly failures: readonly Failure[];
  readonly targets: readonly TargetResult[];
  /** How much more memory was resident at the end than at the start, and at most in between. */
  readonly residentMbGrown: number;
}

export const allTargets = async (): Promise<readonly Target<unknown>[]> => [...byteTargets, ...textTargets, await relayTarget()];

/** A target that fails so often has been understood. */
const failuresPerTargetMax = 5;

export async function runFuzz(settings: FuzzSettings, ports: FuzzPorts = {}): Promise<FuzzResult> {
  const all = await allTargets();
  const chosen = settings.target === undefined ? all : all.filter(({ name }) => name === settings.target);
  if (chosen.length === 0) throw new Error(`no target ${settings.target}; there are: ${all.map(({ name }) => name).join(', ')}`);
  return runTargets(chosen, settings, ports);
}

export async function runTargets(targets: readonly Target<unknown>[], settings: FuzzSettings, ports: FuzzPorts = {}): Promise<FuzzResult> {
  const { onExecution = () => undefined, log = () => undefined } = ports;
  const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
  const residentBefore = process.memoryUsage.rss();
  let residentMost = residentBefore;
  const failures: Failure[] = [];
  const results: TargetResult[] = [];
  for (const target of targets) {
    const executions = Math.ceil((settings.executions * target.weight) / weights);
    const endings = new Map<string, number>();
    let failed = 0;
    let slowestMs = 0;
    const from = settings.from ?? 0;
    let number = from;
    for (; number < from + executions && failed < failuresPerTargetMax; number++) {
      onExecution(target.name, number);
      const random = new Random(settings.seed, target.name, number);
      const input = await target.input(random);
      const startedAt = performance.now();
      try {
        const word = await target.judge(input);
        endings.set(word, (endings.get(word) ?? 0) + 1);
      } catch (cause) {
        failed++;
        const found = cause instanceof Breach ? cause.message : cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
        const reproduce = `npm run fuzz -- --target "${target.name}" --seed ${settings.seed} --from ${number} --executions 1`;
        failures.push({ target: target.name, number, found, input: target.describe(input), reproduce });
        log(`FAILED ${target.name}: ${found}\n  ${reproduce}`);
      }
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
      if (number % 1_000 === 0) residentMost = Math.max(residentMost, process.memoryUsage.rss());
    }
    const sorted = Object.fromEntries([...endings].sort(([, a], [, b]) => b - a));
    results.push({ name: target.name, executions: number - from, endings: sorted, slowestMs: Math.round(slowestMs * 10) / 10 });
    log(
      `${target.name}: ${number - from} executions, ${endings.get('value') ?? 0} taken, ${endings.size} endings, slowest ${slowestMs.toFixed(1)} ms`,
    );
  }
  return {
    executions: results.reduce((sum, { executions }) => sum + executions, 0),
    seed: settings.seed,
    failures,
    targets: results,
    residentMbGrown: Math.round((residentMost - residentBefore) / 1024 / 1024),
  };
}
