// Whether there is room to save more: asks the host's meter now and then, adds what was saved since, and refuses early. Apart from the save path, which
// only asks `near`: a refusal costs nothing that was saved, and a call whose group stands already is still answered by whoever asked.

import { FoldlogError } from '../../kernel/errors.ts';
import { roomFreshMs, writtenPerSavedByte } from '../../kernel/limits.ts';
import type { Clock, StorageMeter, StorageUse } from '../../kernel/ports.ts';
import { judgeRoom } from '../../kernel/queue-rule.ts';

export interface RoomSettings {
  /** The app's own bound on what this origin may hold; absent: the host's alone. */
  readonly storageBytesMax: number | undefined;
}

export class Room {
  readonly #clock: Clock;
  readonly #meter: StorageMeter | undefined;
  readonly #settingBytes: number | undefined;
  #use: StorageUse | undefined;
  /** Size of our own files, for hosts that do not say what is used. */
  #fileBytes = 0;
  #savedSince = 0;
  #askedAt: number | undefined;

  constructor(ports: { readonly clock: Clock; readonly meter?: StorageMeter | undefined }, { storageBytesMax }: RoomSettings) {
    this.#clock = ports.clock;
    this.#meter = ports.meter;
    this.#settingBytes = storageBytesMax;
  }

  /** Whether anybody could ever say that there is no room. */
  get isBounded(): boolean {
    return this.#meter !== undefined || this.#settingBytes !== undefined;
  }

  /** Asks the host. What is saved while it answers counts as not yet in the answer. */
  async measure(): Promise<StorageUse | undefined> {
    this.#askedAt = this.#clock.ticks();
    const [before, savedBefore] = [this.#use, this.#savedSince];
    const use = await this.#meter?.measure();
    // A meter may repeat an answer for a while; only a new one knows of what was saved meanwhile.
    if (use !== undefined && use !== before && use !== this.#use) this.#savedSince = Math.max(0, this.#savedSince - savedBefore);
    this.#use = use;
    return use;
  }

  noteFiles(bytes: number): void {
    this.#fileBytes = bytes;
    if (this.#use === undefined) this.#savedSince = 0;
  }

  noteSaved(bytes: number): void {
    this.#savedSince += bytes * writtenPerSavedByte;
    if (this.#meter === undefined) return;
    if (this.#askedAt === undefined || this.#clock.ticks() - this.#askedAt > roomFreshMs) void this.measure();
  }

  /** Why a new save is refused now; undefined while there is room. */
  near(): FoldlogError | undefined {
    const usedBytes = (this.#use?.usedBytes ?? this.#fileBytes) + this.#savedSince;
    const facts = { usedBytes, grantedBytes: this.#use?.grantedBytes, settingBytes: this.#settingBytes };
    const verdict = judgeRoom(facts);
    if (verdict.kind === 'room') return undefined;
    // The answer may be old: the next call finds a new one.
    if (this.#askedAt === undefined || this.#clock.ticks() - this.#askedAt > roomFreshMs) void this.measure();
    return new FoldlogError('storageFull', {
      where: 'save',
      reason: 'quotaNear',
      found: `about ${usedBytes} bytes in use`,
      expected: `fewer than ${verdict.limitBytes}${verdict.by === 'setting' ? ', as the app set' : ', of what the browser grants'}`,
      todo: 'everything saved is kept and is still sent; bring the device online, or free space, then try again',
    });
  }
}
