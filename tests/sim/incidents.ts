// What befalls devices, relay instances and the network in a simulated run, by F-id: each a name, how many runs have it and how often there. What always
// may go wrong with single requests and calls to the store is a rate of the plan instead.

import type { Incident, Step } from './plan.ts';
import { profileIncidents } from './profile-incidents.ts';
import type { CallFault, StopMode } from './sim-disk.ts';
import type { Device, Stage } from './stage.ts';

export interface Befall {
  readonly stage: Stage;
  readonly device: Device;
  readonly draw: (name: string, counter?: number) => number;
  readonly step: Step;
}

export interface IncidentKind extends Incident {
  run(befall: Befall): void;
}

const stops = (mode: StopMode) => (befall: Befall) => stopSoon(befall, mode);

export const incidents: readonly IncidentKind[] = [
  { name: 'F-01 killed', weight: 1, part: 0.6, most: 4, run: stops('kill') },
  { name: 'F-02 power cut, ordered', weight: 1, part: 0.35, most: 3, run: stops('powerOrdered') },
  { name: 'F-03 power cut, torn', weight: 1, part: 0.35, most: 3, run: stops('power') },
  { name: 'F-04 ends again while it recovers', weight: 1, part: 0.3, most: 2, run: compound },
  { name: 'F-06 writes throw', weight: 1, part: 0.15, most: 2, run: (befall) => failing(befall, 'full') },
  {
    name: 'F-07 writes are short',
    weight: 1,
    part: 0.12,
    most: 2,
    run: (befall) => failing(befall, befall.draw('huge') < 0.5 ? 'huge' : 'short'),
  },
  { name: 'F-08 flushes throw', weight: 1, part: 0.15, most: 2, run: (befall) => failing(befall, 'flush') },
  { name: 'F-52 cut off, one way or both', weight: 1, part: 0.35, most: 3, run: partition },
  { name: 'F-60 relay instance ends', weight: 1, part: 0.3, most: 3, run: relayEnds },
  ...profileIncidents,
];

export function befall(stage: Stage, step: Step): void {
  const device = stage.devices[step.device];
  const incident = incidents.find(({ name }) => name === step.what);
  if (device === undefined || incident === undefined || device.lost !== undefined) return;
  const draw = (name: string, counter = 0): number => stage.dice.at(`incident ${step.id}`, name, counter);
  stage.world.note(`${device.name}: ${step.what}`);
  incident.run({ stage, device, draw, step });
}

/** At once, or at one of the next calls to the medium or the vault, so that every place where a process can end is met. */
function stopSoon({ stage, device, draw, step }: Befall, mode: StopMode): void {
  if (!device.isUp) return;
  stage.mark(step.what);
  device.stopMode = mode;
  if (draw('when') < 0.2) {
    stage.takeAway(device);
    return;
  }
  const isVault = draw('vault') < 0.1;
  device.machine.stopAfter(1 + Math.floor(draw('call') ** 2 * (isVault ? 6 : 250)), isVault ? 'vault' : 'medium');
}

/** Up to three times in a row, each within the first calls of the start before it. */
function compound(befall: Befall): void {
  const { stage, device, draw, step } = befall;
  if (!device.isUp) return;
  stage.mark(step.what);
  stage.takeAway(device, 50);
  const depth = 1 + Math.floor(draw('depth') * 3);
  for (let i = 1; i <= depth; i++) {
    stage.world.scheduler.after(50 + 400 * i, () => {
      if (!device.isUp) return;
      device.stopMode = (['kill', 'power', 'powerOrdered'] as const)[Math.floor(draw('mode', i) * 3)] as StopMode;
      stage.takeAway(device, 100);
      stage.world.scheduler.after(101, () => device.machine.stopAfter(1 + Math.floor(draw('call', i) * 120), 'medium'));
    });
  }
}

function failing({ stage, device, draw, step }: Befall, kind: CallFault): void {
  if (!device.isUp) return;
  stage.mark(step.what);
  // Once, a few times, or until the end of the run.
  const count = [1, 1, 3, 20, 1_000_000][Math.floor(draw('count') * 5)] as number;
  device.allowed.add('storageFull');
  if (device.machine.kind.backend === 'opfs-pool') device.machine.failCalls(kind, count);
  else device.machine.pages.failAfter(1, Math.min(count, 60), kind === 'flush' ? 'cut' : 'full');
  if (count > 20) {
    stage.world.scheduler.after(4_000, () => {
      device.machine.heal();
    });
  }
}

function partition({ stage, device, draw, step }: Befall): void {
  stage.mark(step.what);
  const way = draw('way');
  if (way < 0.66) stage.net.close(device.name, 'up');
  if (way > 0.33) stage.net.close(device.name, 'down');
  stage.world.scheduler.after(500 + 15_000 * draw('ms'), () => {
    stage.net.open(device.name, 'up');
    stage.net.open(device.name, 'down');
  });
}

function relayEnds({ stage, draw, step }: Befall): void {
  stage.mark(step.what);
  const instance = Math.floor(draw('instance') * stage.plan.relayInstances);
  stage.stopRelay(instance);
  stage.world.scheduler.after(10 + 4_000 * draw('ms'), () => stage.startRelay(instance));
}
