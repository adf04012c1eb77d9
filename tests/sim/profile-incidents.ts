// What befalls the profile of a device as a whole, its clock and its worker: bits that flip while nobody looks, a profile taken back to a backup, a frozen
// process that another has replaced, clocks that jump, timers that come late.

import { groupId } from '../../kernel/units.ts';
import type { Befall, IncidentKind } from './incidents.ts';
import type { CallFault } from './sim-disk.ts';

const hourMs = 3_600_000;

export const profileIncidents: readonly IncidentKind[] = [
  { name: 'F-10 reads fail for once', weight: 1, part: 0.1, most: 2, run: readsFail },
  { name: 'F-11 a bit flips', weight: 1, part: 0.08, most: 1, run: bitFlips },
  { name: 'F-31 replaced while frozen', weight: 1, part: 0.5, most: 2, run: replaced },
  { name: 'F-34 worker starts late', weight: 1, part: 0.1, most: 2, run: startsLate },
  { name: 'F-38 timers come late', weight: 1, part: 0.15, most: 2, run: timersLate },
  { name: 'F-39 clock jumps', weight: 1, part: 0.25, most: 4, run: clockJumps },
  { name: 'F-40 taken back to a backup', weight: 1, part: 0.08, most: 1, run: takenBack },
];

function readsFail({ stage, device, draw, step }: Befall): void {
  if (!device.isOpen || device.machine.kind.backend !== 'opfs-pool') return;
  stage.mark(step.what);
  device.allowed.add('storageFull').add('corrupt');
  device.machine.failCalls(
    (['readShort', 'readThrows'] as const)[Math.floor(draw('kind') * 2)] as CallFault,
    1 + Math.floor(draw('count') * 2),
  );
}

/** In one of the files of ours, while the machine is off. */
function bitFlips({ stage, device, draw, step }: Befall): void {
  if (!device.isOpen || device.machine.kind.backend !== 'opfs-pool') return;
  const { disk } = device.machine;
  stage.takeAway(device, 200, () => {
    const paths = [...disk.image()].filter(([, bytes]) => bytes[0] !== 0 && bytes.length > 8_192).map(([path]) => path);
    const path = paths[Math.floor(draw('file') * paths.length)];
    if (path === undefined) return;
    stage.mark(step.what);
    device.isSuspect = true;
    disk.flipBit(path, Math.floor(draw('at') * disk.sizeOf(path)), Math.floor(draw('bit') * 8));
  });
}

/** Over IndexedDB no handle keeps a second worker out: the one that was frozen must notice that it is not the owner any more. */
function replaced({ stage, device, draw, step }: Befall): void {
  const { machine } = device;
  const frozen = machine.engine;
  const handle = [...device.ledgers.keys()][0];
  if (!device.isOpen || machine.kind.backend !== 'indexeddb' || frozen === undefined || handle === undefined) return;
  stage.mark(step.what);
  const { life } = machine;
  stage.cutOff(device);
  device.isUp = false;
  device.isOpen = false;
  stage.start(device);
  const successor = machine.life;
  stage.world.scheduler.after(200 + 1_500 * draw('ms'), () => {
    if (machine.life !== successor) return;
    const id = groupId(stage.dice.bytes(16, 'frozen', step.id));
    stage.mark('frozen process resumed');
    frozen
      .shard(handle)
      .save(id, { kind: 'ops', inputs: [['item.set', { key: 'frozen', value: 1 }]] })
      .then(
        () => {
          if (machine.life === successor) stage.found('I-06', `${device.name}: a process that was replaced saved a group`);
        },
        (error: unknown) => {
          if (machine.life === successor && !machine.isHalted) stage.judgeError(device, 'save in a frozen process', error, ['locked']);
        },
      )
      .finally(() => machine.forget(life));
  });
}

function startsLate({ stage, device, draw, step }: Befall): void {
  if (!device.isUp) return;
  stage.mark(step.what);
  stage.takeAway(device, 4_000 + 20_000 * draw('ms'));
}

function timersLate({ stage, device, draw, step }: Befall): void {
  stage.mark(step.what);
  device.machine.timerGrainMs = draw('grain') < 0.7 ? 1_000 : 60_000;
  stage.world.scheduler.after(10_000 * draw('ms'), () => {
    device.machine.timerGrainMs = 1;
  });
}

function clockJumps({ stage, device, draw, step }: Befall): void {
  stage.mark(step.what);
  const far = [0.002, 0.05, 3, 24 * 400][Math.floor(draw('far') * 4)] as number;
  device.machine.clockOffsetMs = Math.round((draw('way') < 0.5 ? -1 : 1) * far * hourMs * draw('part'));
}

/** A backup now, and some seconds of work later the profile is that of the backup. Its key is then in two places. */
function takenBack({ stage, device, draw, step }: Befall): void {
  if (!device.isOpen) return;
  let profile: ReturnType<typeof device.machine.backup> | undefined;
  stage.takeAway(device, 50, () => {
    profile = device.machine.backup();
  });
  const handles = new Set(device.ledgers.keys());
  stage.world.scheduler.after(2_000 + 5_000 * draw('ms'), () => {
    if (!device.isUp || profile === undefined || stage.isHealed || device.lost !== undefined) return;
    stage.mark(step.what);
    stage.relayAudit.copied.add(device.name);
    device.allowed.add('fenced').add('corrupt');
    device.lost = 'forked: taken back to a backup';
    device.reached.clear();
    stage.takeAway(device, 100, () => {
      device.machine.restore(profile as NonNullable<typeof profile>);
      for (const [handle, ledger] of device.ledgers) {
        ledger.takeBack();
        if (!handles.has(handle)) device.ledgers.delete(handle);
      }
    });
  });
}
