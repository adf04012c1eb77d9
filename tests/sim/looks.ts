// What readers see in a simulated run, compared with a fold of their own: the tables of an own shard with its stored chain, those of a followed one with
// the chain that the relay holds; and what a device says of itself, which never goes back.

import type { Engine } from '../../worker/engine/engine.ts';
import type { OwnGroup } from './own-format.ts';
import type { Device, Stage } from './stage.ts';
import { RoomModel, roomQueries } from './stock-room.ts';

/** Tables of a chain's groups up to a seq. Undefined when no group ends there. */
function folded(groups: readonly OwnGroup[], seq: number): RoomModel | undefined {
  const model = new RoomModel();
  let at = 0;
  for (const group of groups) {
    if (group.lastSeq > seq) break;
    group.ops.forEach(([name, , payload], i) => {
      if (!name.startsWith('foldlog.')) model.fold({ class: name, payload, seq: group.firstSeq + i, time: group.time });
    });
    at = group.lastSeq;
  }
  return at === seq ? model : undefined;
}

/** Reads a shard of the `of`th device at `device` and judges what it sees. */
export async function lookAt(stage: Stage, device: Device, of: number): Promise<void> {
  const engine = device.machine.engine as Engine;
  const { life } = device.machine;
  const name = (stage.devices[of] as Device).name;
  const isOwn = of === device.index;
  const read = await engine.readAcross(`room/${name}`, roomQueries);
  if (!stage.isAlive(device, life)) return;
  const rows = read.map((table) => table.map((row) => Object.values(row)));
  const seq = Number(rows[2]?.[0]?.[0] ?? 0);
  if (seq === 0 && rows.every((table) => table.length === 0)) return;
  stage.relayAudit.look();
  const chain = isOwn ? await stage.auditOwn(device, `room/${name}`) : (stage.relayAudit.shard(name)?.groups ?? []);
  if (!stage.isAlive(device, life)) return;
  stage.mark(isOwn ? 'looked at an own shard' : 'looked at a followed shard');
  judgeRows(stage, device, name, { rows, seq, chain });
  if (!isOwn) reachedAt(stage, device, `followed ${name}`, seq);
}

function judgeRows(
  stage: Stage,
  device: Device,
  name: string,
  { rows, seq, chain }: { readonly rows: readonly (readonly unknown[])[]; readonly seq: number; readonly chain: readonly OwnGroup[] },
): void {
  const model = folded(chain, seq);
  if (model === undefined) {
    // Half a group, or more than the relay holds.
    stage.found(device.ledgers.has(`room/${name}`) ? 'I-02' : 'I-08', `${device.name} shows ${name} as of seq ${seq}, where no group ends`);
    return;
  }
  const [found, expected] = [JSON.stringify(rows), JSON.stringify(model.rows())];
  if (found === expected) return;
  const at = [...expected].findIndex((letter, i) => letter !== found[i]);
  const [is, should] = [found, expected].map((text) => text.slice(Math.max(0, at - 30), at + 50));
  stage.found('I-04', `${device.name} shows ${name} as of seq ${seq} with …${is}… where the chain folds to …${should}…`);
}

/** What a device has reported is never taken back (I-13). */
function reachedAt(stage: Stage, device: Device, what: string, seq: number): void {
  const before = device.reached.get(what) ?? 0;
  if (seq < before) stage.found('I-13', `${device.name}: ${what} went back from seq ${before} to ${seq}`);
  device.reached.set(what, seq);
}

/** @returns whether the device is level with all that is committed, and all of its own is */
export async function lookAtStatus(stage: Stage, device: Device): Promise<boolean> {
  const engine = device.machine.engine as Engine;
  const { life } = device.machine;
  const status = await engine.status();
  if (!stage.isAlive(device, life)) return false;
  if (status.backend !== device.machine.kind.backend || status.durability !== 'durable') {
    stage.found('I-17', `${device.name} says ${status.backend}, ${status.durability}`);
  }
  stage.relayAudit.look();
  let isLevel = true;
  for (const { name, savedSeq, committedSeq, push } of status.own) {
    reachedAt(stage, device, `committed ${name}`, committedSeq);
    if (push.kind === 'stopped') {
      const { kind, reason } = push.error;
      if (!device.allowed.has(kind) && !device.allowed.has(reason))
        stage.found('I-22', `${device.name} stopped pushing ${name}: ${push.error.message}`);
    }
    // What a device believes committed stands in the store (I-09).
    const committed = stage.relayAudit.shard(name)?.groups.at(-1)?.lastSeq ?? 0;
    if (committedSeq > committed && !stage.relayAudit.isTakenBack) {
      stage.found('I-09', `${device.name} believes ${name} committed up to ${committedSeq}, the store holds ${committed}`);
    }
    if (committedSeq < savedSeq) isLevel = false;
  }
  for (const { bootstrap } of status.followed) stage.mark(`replica started by ${bootstrap.path}`);
  for (const { name, groups } of stage.relayAudit.shards()) {
    if (device.ledgers.has(`room/${name}`)) continue;
    const replica = status.followed.find((followed) => followed.name === name);
    if (replica?.stopped !== undefined) stage.mark(`replica stopped: ${replica.stopped.reason}`);
    if (replica?.seq !== (groups.at(-1)?.lastSeq ?? 0)) isLevel = false;
  }
  return isLevel;
}
