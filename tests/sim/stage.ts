// What a simulated run plays on: devices, relay instances over one store, the network between, and those who watch. Starts processes, takes dead ones
// away, keeps account of calls under way, and collects what must not be.

import { FoldlogError } from '../../kernel/errors.ts';
import { createRelay, type Relay } from '../../relay/index.ts';
import type { Engine, EngineSettings } from '../../worker/engine/engine.ts';
import { Dice } from './dice.ts';
import { ShardLedger, type StoredGroup, type Violation } from './ledger.ts';
import { Machine, type MachineKind } from './machine.ts';
import { type Marks, mark } from './marks.ts';
import type { OwnGroup } from './own-format.ts';
import type { Plan } from './plan.ts';
import { RelayAudit } from './relay-audit.ts';
import { atOnce, type Completion, hostSigner, hostVerifier } from './sim-crypto.ts';
import type { StopMode } from './sim-disk.ts';
import { SimNet } from './sim-net.ts';
import { SimStore } from './sim-store.ts';
import { SimWorld, syncDeflate } from './sim-world.ts';
import { stockRoom } from './stock-room.ts';

export interface Device {
  readonly index: number;
  readonly name: string;
  readonly machine: Machine;
  /** By handle. */
  readonly ledgers: Map<string, ShardLedger>;
  /** A process runs, or is being started. */
  isUp: boolean;
  isOpen: boolean;
  isMember: boolean;
  invite: string | undefined;
  /** How its next end treats the medium. */
  stopMode: StopMode;
  /** Its medium was damaged: what it holds is looked at before it is believed. */
  isSuspect: boolean;
  /** Why it is not asked to be level and whole any more. */
  lost: string | undefined;
  /** Endings that what befell it allows beside the usual ones. */
  readonly allowed: Set<string>;
  /** Farthest that was reported, by shard: committed, or followed. */
  readonly reached: Map<string, number>;
}

interface Task {
  readonly device: Device;
  readonly what: string;
  readonly life: number;
  readonly sinceMs: number;
}

/** A call that runs longer than this while nothing goes wrong hangs. */
const hangMs = 10 * 60_000;

export class Stage {
  readonly plan: Plan;
  readonly world: SimWorld;
  readonly dice: Dice;
  readonly marks: Marks = new Map();
  readonly store: SimStore;
  readonly net: SimNet;
  readonly relayAudit: RelayAudit;
  readonly devices: Device[];
  readonly violations: Violation[] = [];
  /** Ops that were answered. */
  ops = 0;
  isHealed = false;
  readonly #completion: Completion;
  readonly #relays: (Relay | undefined)[];
  readonly #relayLives: number[];
  readonly #tasks = new Set<Task>();

  constructor(plan: Plan) {
    this.plan = plan;
    this.world = new SimWorld(plan.seed);
    this.dice = new Dice(plan.seed);
    const { world, dice, marks } = this;
    let signatures = 0;
    this.#completion = plan.isCryptoSlow
      ? (work) =>
          new Promise((resolve) => {
            world.scheduler.after(3 * dice.at('crypto', 'ms', signatures++), () => resolve(work()));
          })
      : atOnce;
    this.store = new SimStore(world, dice, marks);
    this.relayAudit = new RelayAudit(this.store);
    this.#relays = Array.from({ length: plan.relayInstances }, () => undefined);
    this.#relayLives = this.#relays.map(() => 0);
    for (const instance of this.#relays.keys()) this.startRelay(instance);
    this.net = new SimNet(
      world,
      dice,
      marks,
      { count: plan.relayInstances, at: (instance) => this.#relays[instance] },
      {
        sent: (device, request) => this.relayAudit.sent(device, request),
        answered: (device, request, answer) => {
          const isRepeated = this.relayAudit.answered(device, request, answer);
          if (isRepeated) this.mark('receipt given again for a run that stands');
          if (answer.status >= 400) this.mark(`relay answered ${answer.status} ${reasonIn(answer.body)}`);
        },
      },
    );
    this.devices = plan.devices.map((kind, index) => this.#device(kind, index, `d${index}`));
  }

  #device(kind: MachineKind, index: number, name: string): Device {
    const { world, dice } = this;
    const machine = new Machine(name, kind, {
      ...{ world, dice, completion: this.#completion, definitions: [stockRoom] },
      connect: (device, process) => this.net.connect(device, process),
    });
    return {
      ...{ index, name, machine, ledgers: new Map(), isUp: false, isOpen: false, isMember: false, invite: undefined },
      ...{ isSuspect: false, stopMode: 'kill', lost: undefined, allowed: new Set(), reached: new Map() },
    };
  }

  /** One more device beside those of the plan. */
  addDevice(kind: MachineKind, name: string): Device {
    const device = this.#device(kind, this.devices.length, name);
    this.devices.push(device);
    return device;
  }

  found(invariant: string, what: string): void {
    this.world.note(`VIOLATION ${invariant} ${what}`);
    this.violations.push({ invariant, what });
  }

  mark(name: string): void {
    mark(this.marks, name);
  }

  // Relay instances

  startRelay(instance: number): void {
    const life = this.#relayLives[instance] as number;
    const { world, dice } = this;
    const isAlive = (): boolean => life === this.#relayLives[instance];
    const stream = dice.stream('relay', `${instance}/${life}`);
    this.#relays[instance] = createRelay(
      {
        store: this.store.connect(isAlive),
        signer: hostSigner(dice.bytes(32, 'relay', 'key'), this.#completion),
        verifier: hostVerifier(this.#completion),
        clock: world.clock,
        scheduler: { after: (delayMs, task) => world.scheduler.after(delayMs, () => isAlive() && task()), yield: world.scheduler.yield },
        random: { bytes: (length) => Uint8Array.from({ length }, () => Math.floor(stream() * 256)) },
        deflate: syncDeflate,
        report: (failure) => this.found('I-19', `a failure in the relay that no rule foresaw: ${String(failure)}`),
      },
      { runBytesMax: this.plan.runBytesMax },
    );
  }

  stopRelay(instance: number): void {
    (this.#relayLives[instance] as number) += 1;
    this.#relays[instance] = undefined;
  }

  // Processes

  /** Starts the process of a device and what its app does then. One that fails to start is started again, as a person would. */
  start(device: Device, onLoss: EngineSettings['onLoss'] = 'refuse'): void {
    if (device.isUp) return;
    device.isUp = true;
    device.isOpen = false;
    this.world.note(`${device.name} starts`);
    const booting = device.machine.boot(onLoss);
    const { life } = device.machine;
    booting.then(
      (engine) => this.task(device, 'open the app', () => this.#openApp(device, engine)),
      (error: unknown) => {
        if (device.machine.life !== life || device.machine.isHalted) return;
        this.judgeError(device, 'open the store', error);
        this.takeAway(device);
      },
    );
  }

  async #openApp(device: Device, engine: Engine): Promise<void> {
    const { workspace } = await engine.status();
    // The founder is a member from the first moment; who joins, once the control log names the device.
    device.isMember = workspace !== undefined && (device.index === 0 || workspace.device !== '');
    if (!device.isMember && device.index === 0) {
      await engine.create({ workspace: 'acme', device: device.name });
      device.isMember = true;
    }
    if (!device.isMember) await this.#join(device, engine);
    await engine.follow('room/*');
    const handles = device.ledgers.size === 0 ? [`room/${device.name}`] : [...device.ledgers.keys()];
    for (const handle of handles) {
      await engine.openShard('room', handle.slice(5));
      if (!device.ledgers.has(handle)) device.ledgers.set(handle, new ShardLedger(handle));
    }
    if (device.isSuspect && !(await this.#clearSuspicion(device, engine))) return;
    for (const handle of handles) await this.auditOwn(device, handle);
    device.isOpen = true;
    this.world.note(`${device.name} is open`);
  }

  /** Damage is told by opening or by the audit; what is called sound then has to be. State is filled anew from a sound log. */
  async #clearSuspicion(device: Device, engine: Engine): Promise<boolean> {
    let isWhole = true;
    for (const { verdict } of await engine.audit()) {
      if (verdict.kind !== 'damaged') continue;
      this.mark(`audit found damaged ${verdict.part}`);
      if (verdict.part === 'log' || verdict.part === 'pages') isWhole = false;
    }
    if (!isWhole) {
      device.lost = 'damaged: found by the audit';
      return false;
    }
    this.mark('damage that hit nothing, or was put right');
    device.isSuspect = false;
    return true;
  }

  async #join(device: Device, engine: Engine): Promise<void> {
    const { life } = device.machine;
    for (let attempt = 0; ; attempt++) {
      const owner = this.devices[0] as Device;
      if (device.invite === undefined && owner.isOpen && owner.machine.engine !== undefined && attempt < 60 && this.isAlive(device, life)) {
        const ownerLife = owner.machine.life;
        const made = await Promise.race([
          owner.machine.engine.invite({}).catch((error: unknown) => {
            if (this.isAlive(owner, ownerLife)) this.judgeError(owner, 'invite', error, ['misuse']);
          }),
          this.pause(20_000),
        ]);
        if (typeof made === 'string') device.invite = made;
      }
      if (device.invite !== undefined) {
        try {
          await engine.join(device.invite, device.name);
          device.isMember = true;
          this.world.note(`${device.name} joined`);
          return;
        } catch (error) {
          if (!this.isAlive(device, life)) return;
          this.judgeError(device, 'join', error);
        }
      }
      await this.pause(1_000);
    }
  }

  /** The process of a device is gone: what it was asked is unknown, what its medium keeps is decided, and it is started again some time later. */
  takeAway(device: Device, backInMs?: number, between?: () => void): void {
    if (!device.isUp) return;
    const { machine } = device;
    this.world.note(`${device.name} ends by ${device.stopMode}`);
    this.cutOff(device);
    machine.stop(device.stopMode);
    between?.();
    device.stopMode = 'kill';
    device.isUp = false;
    device.isOpen = false;
    for (const task of this.#tasks) if (task.device === device) this.#tasks.delete(task);
    const delayMs = backInMs ?? 20 + 2_000 * this.dice.at('restart', device.name, machine.life);
    if (device.lost?.startsWith('damaged')) return;
    this.world.scheduler.after(delayMs, () => this.start(device));
  }

  /** What a process had not answered is open; what it followed over IndexedDB is flushed behind the reader, and pulled again. */
  cutOff({ ledgers, machine, reached }: Device): void {
    for (const ledger of ledgers.values()) ledger.cutOff();
    if (machine.kind.backend === 'indexeddb') for (const what of reached.keys()) if (what.startsWith('followed')) reached.delete(what);
  }

  /** Dead processes are seen at once. */
  clearAway(): void {
    for (const device of this.devices) if (device.isUp && device.machine.isHalted) this.takeAway(device);
  }

  // Calls under way

  /** Runs something for the process of a device as it is now; forgotten when that ends. */
  task(device: Device, what: string, work: () => Promise<void>): void {
    const { life } = device.machine;
    const task: Task = { device, what, life, sinceMs: this.world.clock.ticks() };
    const isAlive = (): boolean => device.machine.life === life && !device.machine.isHalted;
    this.#tasks.add(task);
    work().then(
      () => this.#tasks.delete(task),
      (error: unknown) => {
        this.#tasks.delete(task);
        if (!isAlive()) return;
        this.judgeError(device, what, error);
        if (what === 'open the app') this.takeAway(device);
      },
    );
  }

  isAlive(device: Device, life: number): boolean {
    return device.machine.life === life && !device.machine.isHalted;
  }

  requireNoHang(): void {
    const now = this.world.clock.ticks();
    for (const { device, what, sinceMs } of this.#tasks) {
      if (device.lost === undefined && now - sinceMs > hangMs)
        this.found('I-19', `${device.name}: ${what} has not ended after ${Math.round((now - sinceMs) / 1000)} s`);
    }
  }

  /** Every call that fails says so in one of our errors, of a kind that what befell the device can cause. */
  judgeError(device: Device, what: string, error: unknown, more: readonly string[] = []): void {
    if (!(error instanceof FoldlogError)) {
      const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      this.found('I-19', `${device.name}: ${what} ended in no error of ours: ${words}`);
      return;
    }
    this.world.note(`${device.name} ${what}: ${error.kind} ${error.reason}`);
    this.mark(`ended in ${error.kind} ${error.reason}`);
    const { kind, reason } = error;
    if (device.isSuspect && kind === 'corrupt') {
      this.mark('damage told');
      device.lost ??= `damaged: ${reason}`;
      return;
    }
    if (kind === 'unavailable' || kind === 'unknown' || more.includes(kind) || device.allowed.has(kind)) return;
    if (reason === 'nothingSaved' || (reason === 'clockSkew' && device.machine.clockOffsetMs !== 0)) return;
    this.found(kind === 'corrupt' ? 'I-24' : 'I-19', `${device.name}: ${what} ended in ${kind} ${reason}: ${error.message}`);
  }

  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.world.scheduler.after(delayMs, resolve);
    });
  }

  // What is stored

  /** The whole stored chain of an own shard against its ledger. */
  async auditOwn(device: Device, handle: string): Promise<readonly OwnGroup[]> {
    const { machine } = device;
    const { store } = (machine.engine as Engine).shard(handle);
    const stored = await store.mutex.own('other', () =>
      (store.db.all('SELECT header, salt, body, seal FROM foldlog_group ORDER BY last_seq') as unknown as StoredGroup[]).map((row) => ({
        ...row,
      })),
    );
    const ledger = device.ledgers.get(handle) as ShardLedger;
    const { groups, violations, kept, gone } = ledger.audit(stored, machine.publicKey as Uint8Array);
    if (kept > 0) this.mark('group of a call without an answer was kept');
    if (gone > 0) this.mark('group of a call without an answer was not kept');
    for (const { invariant, what } of violations) this.found(invariant, what);
    return groups;
  }
}

function reasonIn(body: Uint8Array): string {
  try {
    return String((JSON.parse(Buffer.from(body).toString('utf8')) as { readonly reason?: unknown }).reason);
  } catch {
    return 'without a reason';
  }
}
