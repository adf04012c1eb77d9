// One simulated run from a plan to a verdict: a time in which things go wrong, an end of all faults, a time in which everybody must become level, and then
// a look at everything that is left.

import { act, actions } from './actions.ts';
import { hostChance } from './host-chance.ts';
import { befall, incidents } from './incidents.ts';
import type { Violation } from './ledger.ts';
import { lookAt, lookAtStatus } from './looks.ts';
import { type Plan, planOf } from './plan.ts';
import { noNetFaults } from './sim-net.ts';
import { bootSqlite } from './sim-sqlite.ts';
import { noStoreFaults } from './sim-store.ts';
import { type Device, Stage } from './stage.ts';

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly trace: string;
  readonly events: number;
  readonly ops: number;
  readonly simulatedMs: number;
  readonly marks: readonly (readonly [string, number])[];
}

export const drawPlan = (seed: number): Plan => planOf(seed, { actions, incidents });

/** Failures that nobody waited for, while a run goes on. */
let strays: unknown[] = [];
export const stray = (failure: unknown): void => void strays.push(failure);

let loaded: Promise<unknown> | undefined;

/** `onNote` hears every event, with its simulated time. */
export async function simulate(plan: Plan, onNote?: (atMs: number, event: string) => void): Promise<Outcome> {
  // Loading and compiling take real time, which no run may see.
  loaded ??= bootSqlite();
  await loaded;
  strays = [];
  const stage = new Stage(plan);
  stage.world.onNote = onNote;
  const giveBack = hostChance(stage.dice, () => stage.world.clock.now());
  try {
    await play(stage);
  } catch (error) {
    stage.found('I-22', error instanceof Error ? error.message : String(error));
  } finally {
    giveBack();
  }
  for (const failure of strays) {
    if (!isOfTheDead(failure))
      stage.found('I-19', `a failure that nobody took: ${failure instanceof Error ? (failure.stack ?? failure.message) : String(failure)}`);
  }
  const { hash, events } = stage.world.traceHash();
  const violations = [...stage.violations, ...stage.relayAudit.violations];
  const simulatedMs = Math.round(stage.world.clock.ticks());
  return { seed: plan.seed, violations, trace: hash, events, ops: stage.ops, simulatedMs, marks: [...stage.marks] };
}

/** What a process says after its end, nobody hears. */
function isOfTheDead(failure: unknown): boolean {
  for (let error = failure; error instanceof Error; error = error.cause) if (error.name === 'Stopped') return true;
  return false;
}

async function play(stage: Stage): Promise<void> {
  const { plan, world } = stage;
  stage.net.rates = plan.net;
  stage.store.rates = plan.store;
  for (const device of stage.devices) {
    // Workers do not start in step (F-34).
    world.scheduler.after(device.index === 0 ? 0 : 300 + 1_500 * stage.dice.at('start', device.name, 0), () => stage.start(device));
  }
  for (const step of plan.actions) world.scheduler.after(step.atMs, () => act(stage, step));
  for (const step of plan.incidents) world.scheduler.after(step.atMs, () => befall(stage, step));
  await until(stage, 'the time of faults passes', plan.safetyMs, plan.safetyMs * 2);
  heal(stage);
  await untilLevel(stage);
  stage.requireNoHang();
  await lastLooks(stage);
}

async function until(stage: Stage, what: string, delayMs: number, limitMs: number): Promise<void> {
  let isOver = false;
  stage.world.scheduler.after(delayMs, () => {
    isOver = true;
  });
  await run(stage, what, () => isOver, limitMs);
}

const run = (stage: Stage, what: string, isDone: () => boolean, limitMs: number): Promise<void> =>
  stage.world.run(
    what,
    () => {
      stage.clearAway();
      return isDone();
    },
    limitMs,
  );

function heal(stage: Stage): void {
  stage.world.note('all faults end');
  stage.isHealed = true;
  stage.net.rates = noNetFaults;
  stage.store.rates = noStoreFaults;
  stage.net.openAll();
  for (const device of stage.devices) {
    device.machine.heal();
    device.machine.clockOffsetMs = 0;
    // The founder alone invites: without it nobody comes in any more.
    if (stage.devices[0]?.lost !== undefined && !device.isMember) device.lost ??= 'never let in';
    device.machine.timerGrainMs = 1;
    device.machine.engine?.wake(true);
  }
}

/** A status that is refused, as long as it is refused well, is one of a device that is not level yet. */
async function isLevelNow(stage: Stage, device: Device): Promise<boolean> {
  const { life } = device.machine;
  try {
    return await lookAtStatus(stage, device);
  } catch (error) {
    if (stage.isAlive(device, life)) stage.judgeError(device, 'ask for the status', error);
    return false;
  }
}

/** Everybody who is asked for is open, has sent all, and has got all. */
async function untilLevel(stage: Stage): Promise<void> {
  let isLevel = false;
  let behind = '';
  const check = async (): Promise<void> => {
    behind = '';
    for (const device of stage.devices) {
      if (device.lost !== undefined) continue;
      if (!device.isOpen || device.machine.engine === undefined) behind ||= `${device.name} is not open`;
      else if (!(await isLevelNow(stage, device))) behind ||= `${device.name} is not level`;
      if (behind !== '') break;
    }
    isLevel = behind === '';
    if (!isLevel) stage.world.scheduler.after(1_000, () => void check().catch(stray));
  };
  stage.world.scheduler.after(100, () => void check().catch(stray));
  try {
    await run(stage, 'all are level', () => isLevel, stage.plan.livenessMs);
  } catch (error) {
    stage.found('I-22', `${(error as Error).message}: ${behind}`);
  }
}

/** Everything once more: through the open engines, after a last kill, and as a fresh reader of the relay. */
async function lastLooks(stage: Stage): Promise<void> {
  const whole = stage.devices.filter(({ lost }) => lost === undefined);
  const look = async (): Promise<void> => {
    for (const device of whole) {
      if (!device.isOpen) continue;
      for (const of of stage.devices) await lookAt(stage, device, of.index);
      for (const handle of device.ledgers.keys()) await stage.auditOwn(device, handle);
    }
  };
  await finish(stage, 'looks at the end', look);
  for (const device of whole) stage.takeAway(device, 1);
  await run(stage, 'all are open again', () => whole.every(({ isOpen }) => isOpen), 120_000);
  await finish(stage, 'looks after the last kill', look);
  stage.relayAudit.lookAnew();
  for (const device of stage.devices) {
    device.isUp = false;
    device.machine.stop('kill');
  }
}

async function finish(stage: Stage, what: string, work: () => Promise<void>): Promise<void> {
  let isDone = false;
  work().then(
    () => {
      isDone = true;
    },
    (error: unknown) => {
      stage.found('I-19', `${what}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      isDone = true;
    },
  );
  await run(stage, what, () => isDone, 120_000);
}
