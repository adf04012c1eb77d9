// What people and apps do in a simulated run: each a name, how often, and what it asks of a device. A new feature of the engine is driven from here by one
// more entry.

import { bytesToHex } from '../../kernel/bytes.ts';
import { groupId } from '../../kernel/units.ts';
import type { OpInput } from '../../shards/index.ts';
import type { GroupPlace } from '../../worker/engine/chain-log.ts';
import type { Engine } from '../../worker/engine/engine.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Durability, SaveSource } from '../../worker/engine/save.ts';
import { ShardLedger } from './ledger.ts';
import { lookAt, lookAtStatus } from './looks.ts';
import type { Step, Weighted } from './plan.ts';
import type { Device, Stage } from './stage.ts';

interface Ask {
  readonly stage: Stage;
  readonly device: Device;
  readonly engine: Engine;
  /** From 0 to below 1; of this step alone. */
  readonly draw: (name: string, counter?: number) => number;
  readonly step: Step;
}

interface Action extends Weighted {
  run(ask: Ask): Promise<void>;
}

type Op = readonly [string, unknown];

export const actions: readonly Action[] = [
  { name: 'save', weight: 30, run: async (ask) => save(ask, 0, ops(ask, 0)) },
  { name: 'save several', weight: 10, run: several },
  {
    name: 'save relaxed',
    weight: 4,
    run: async (ask) => {
      for (let i = 0; i < 3; i++) await save(ask, i, ops(ask, i), 'relaxed');
    },
  },
  { name: 'flush', weight: 2, run: flush },
  { name: 'save by command', weight: 4, run: byCommand },
  { name: 'save what is refused', weight: 3, run: refused },
  { name: 'save again', weight: 5, run: again },
  { name: 'save much', weight: 4, run: much },
  { name: 'save many groups', weight: 1, run: many },
  { name: 'save beyond the bounds', weight: 1, run: tooMuch },
  {
    name: 'look',
    weight: 10,
    run: async ({ stage, device, draw }) => lookAt(stage, device, Math.floor(draw('of') * stage.devices.length)),
  },
  { name: 'ask for the status', weight: 5, run: async ({ stage, device }) => void (await lookAtStatus(stage, device)) },
  { name: 'publish', weight: 4, run: publish },
  { name: 'audit', weight: 2, run: audit },
  { name: 'open another shard', weight: 2, run: another },
  { name: 'wake', weight: 2, run: async ({ engine }) => engine.wake(true) },
  { name: 'close and open', weight: 2, run: reopen },
];

/** Begins a step; what it asks goes on beside the others. */
export function act(stage: Stage, step: Step): void {
  const device = stage.devices[step.device];
  const action = actions.find(({ name }) => name === step.what);
  if (device === undefined || action === undefined || !device.isOpen) return;
  const { engine } = device.machine;
  if (engine === undefined) return;
  const draw = (name: string, counter = 0): number => stage.dice.at(`action ${step.id}`, name, counter);
  stage.mark(`action ${step.what}`);
  stage.task(device, step.what, () => action.run({ stage, device, engine, draw, step }));
}

function ownShard({ device, engine, draw }: Ask): { readonly shard: OwnShard; readonly ledger: ShardLedger } | undefined {
  const handles = [...device.ledgers.keys()];
  const handle = handles[Math.floor(draw('shard') * handles.length)];
  if (handle === undefined) return undefined;
  return { shard: engine.shard(handle), ledger: device.ledgers.get(handle) as ShardLedger };
}

function ops({ draw, step }: Ask, call: number): readonly Op[] {
  const count = 1 + Math.floor(5 * draw('ops', call) ** 2);
  return Array.from({ length: count }, (_, i): Op => {
    const n = call * 100 + i;
    const kind = draw('class', n);
    const item = { key: `k${Math.floor(draw('key', n) * 12)}`, value: Math.floor(draw('value', n) * 1_000) };
    if (kind < 0.3) return ['item.set', item];
    if (kind < 0.75) return ['item.mixed', item];
    if (kind < 0.95) return ['note.kept', { id: `n${step.id}-${n}`, body: 'x'.repeat(Math.floor(draw('body', n) * 300)) }];
    return ['note.dropped', { upTo: Math.floor(draw('up to', n) * 60) }];
  });
}

/** Letters that deflate does not make much of. */
function letter({ draw }: Ask, length: number): string {
  return Array.from({ length: length / 10 }, (_, i) => draw('letter', i).toString(36).slice(2, 12).padEnd(10, 'z')).join('');
}

const idOf = ({ stage, step, device }: Ask, call: number): Uint8Array<ArrayBuffer> =>
  stage.dice.bytes(16, 'group id', `${device.name}/${step.id}/${call}`);

async function save(ask: Ask, call: number, list: readonly Op[], durability: Durability = 'strict'): Promise<void> {
  const id = idOf(ask, call);
  await saveAs(ask, id, { kind: 'ops', inputs: list as readonly OpInput[] }, list, durability);
}

async function saveAs(
  ask: Ask,
  id: Uint8Array<ArrayBuffer>,
  source: SaveSource,
  list: readonly Op[] | undefined,
  durability: Durability = 'strict',
  more: readonly string[] = [],
): Promise<void> {
  const { stage, device } = ask;
  const own = ownShard(ask);
  if (own === undefined) return;
  const { shard, ledger } = own;
  const name = bytesToHex(id);
  const { life } = device.machine;
  ledger.ask(name, list);
  let place: GroupPlace;
  try {
    place = await shard.save(groupId(id), source, durability);
  } catch (error) {
    if (!stage.isAlive(device, life)) return;
    ledger.refuse(name, (error as { kind?: string }).kind === 'unknown');
    stage.judgeError(device, ask.step.what, error, more);
    return;
  }
  // Nobody hears a process that has ended.
  if (!stage.isAlive(device, life)) return;
  const isRelaxed = durability === 'relaxed' && device.machine.kind.backend === 'indexeddb';
  const answered = { firstSeq: place.firstSeq, lastSeq: place.lastSeq, hash: bytesToHex(place.hash) };
  stage.world.note(`${device.name} saved ${name.slice(0, 6)} at ${place.firstSeq}${isRelaxed ? ', relaxed' : ''}`);
  stage.ops += place.lastSeq - place.firstSeq + 1;
  for (const { invariant, what } of ledger.ack(name, answered, isRelaxed)) stage.found(invariant, what);
}

async function several(ask: Ask): Promise<void> {
  const calls = 2 + Math.floor(ask.draw('calls') * 6);
  await Promise.all(Array.from({ length: calls }, (_, i) => save(ask, i, ops(ask, i))));
}

async function much(ask: Ask): Promise<void> {
  const calls = 1 + Math.floor(ask.draw('calls') * 4);
  const kept = (i: number): Op => ['note.kept', { id: `n${ask.step.id}-${i}`, body: letter(ask, 12_000) }];
  await Promise.all(Array.from({ length: calls }, (_, i) => save(ask, i, [kept(i)])));
}

async function many(ask: Ask): Promise<void> {
  ask.stage.mark('F-62 hundreds of groups wait');
  const calls = 99 + Math.floor(ask.draw('calls') * 340);
  await Promise.all(
    Array.from({ length: calls }, (_, i) =>
      save(ask, i, [['item.mixed', { key: `k${i % 12}`, value: i }]], i % 7 === 0 ? 'relaxed' : 'strict'),
    ),
  );
}

async function flush(ask: Ask): Promise<void> {
  const own = ownShard(ask);
  if (own === undefined) return;
  const { life } = ask.device.machine;
  await own.shard.flush();
  if (ask.stage.isAlive(ask.device, life)) own.ledger.settleRelaxed();
}

async function byCommand(ask: Ask): Promise<void> {
  await saveAs(ask, idOf(ask, 0), { kind: 'command', name: 'raise', input: { key: `k${Math.floor(ask.draw('key') * 12)}` } }, undefined);
}

async function refused(ask: Ask): Promise<void> {
  const bad: SaveSource = { kind: 'ops', inputs: [...(ops(ask, 1) as readonly OpInput[]), ['bad.throws', { why: 'on purpose' }]] };
  await Promise.all([save(ask, 0, ops(ask, 0)), saveAs(ask, idOf(ask, 1), bad, [], 'strict', ['misuse']), save(ask, 2, ops(ask, 2))]);
}

/** A page that lost the answer asks again by the same id, perhaps much later. */
async function again(ask: Ask): Promise<void> {
  const own = ownShard(ask);
  if (own === undefined) return;
  const known = own.ledger.ids().filter((id) => own.ledger.opsOf(id) !== undefined && own.ledger.opsOf(id) !== '[]');
  const id = known[Math.floor(ask.draw('which') * known.length)];
  if (id === undefined) return;
  const list = JSON.parse(own.ledger.opsOf(id) as string) as readonly Op[];
  await saveAs(ask, new Uint8Array(Buffer.from(id, 'hex')), { kind: 'ops', inputs: list as readonly OpInput[] }, list);
}

async function tooMuch(ask: Ask): Promise<void> {
  ask.stage.mark('F-63 beyond the bounds');
  const list: readonly Op[] = [['note.kept', { id: 'too much', body: 'y'.repeat(4 * 1024 * 1024) }]];
  await saveAs(ask, idOf(ask, 0), { kind: 'ops', inputs: list as readonly OpInput[] }, [], 'strict', ['misuse']);
}

async function publish(ask: Ask): Promise<void> {
  const own = ownShard(ask);
  if (own === undefined) return;
  await own.shard.publish();
  ask.stage.mark('published');
}

async function audit({ stage, device, engine }: Ask): Promise<void> {
  const reports = await engine.audit();
  for (const { verdict } of reports) {
    stage.mark(`audit ${verdict.kind}`);
    if (verdict.kind === 'damaged' && !device.allowed.has('corrupt'))
      stage.found('I-24', `${device.name}: the audit found damage: ${verdict.error.message}`);
  }
}

async function another({ device, engine, stage }: Ask): Promise<void> {
  const handle = `room/${device.name}-b`;
  if (device.ledgers.has(handle)) return;
  await engine.openShard('room', handle.slice(5));
  device.ledgers.set(handle, new ShardLedger(handle));
  await stage.auditOwn(device, handle);
}

async function reopen({ stage, device, engine }: Ask): Promise<void> {
  device.isOpen = false;
  stage.mark('closed in order');
  await engine.close();
  stage.takeAway(device);
}
