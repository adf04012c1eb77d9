// What devices were asked to save and what they answered: kept beside them, by id, and compared with what their stores hold after every start. Acked is
// there, refused is not, anything else was asked for; groups are whole, in place, linked and sealed. Shares no code with kernel or engine.

import { isSealed, type OwnGroup, ownGroup } from './own-format.ts';

export interface Violation {
  /** I-01 … I-24. */
  readonly invariant: string;
  readonly what: string;
}

export interface StoredGroup {
  readonly header: Uint8Array;
  readonly salt: Uint8Array;
  readonly body: Uint8Array;
  readonly seal: Uint8Array | null;
}

export interface Place {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly hash: string;
}

/** `asked`: under way. `relaxed`: answered, and the next answer of a durable call makes it acked. `maybe`: nobody knows. */
type State = 'asked' | 'relaxed' | 'acked' | 'maybe' | 'refused';

interface Call {
  readonly id: string;
  /** Class and payload of each op; undefined for a command, which decides by itself. */
  readonly ops: string | undefined;
  state: State;
  place: Place | undefined;
}

export interface Audited {
  readonly groups: readonly OwnGroup[];
  readonly violations: readonly Violation[];
  /** Calls that had no answer, by what became of their groups. */
  readonly kept: number;
  readonly gone: number;
}

export class ShardLedger {
  readonly name: string;
  readonly #calls = new Map<string, Call>();

  constructor(name: string) {
    this.name = name;
  }

  get size(): number {
    return this.#calls.size;
  }

  has(id: string): boolean {
    return this.#calls.has(id);
  }

  opsOf(id: string): string | undefined {
    return this.#calls.get(id)?.ops;
  }

  ids(): readonly string[] {
    return [...this.#calls.keys()];
  }

  isAcked(id: string): boolean {
    return this.#calls.get(id)?.state === 'acked';
  }

  ask(id: string, ops: readonly (readonly [string, unknown])[] | undefined): void {
    const known = this.#calls.get(id);
    if (known === undefined) {
      const text = ops === undefined ? undefined : JSON.stringify(ops.map(([name, payload]) => [name, payload]));
      this.#calls.set(id, { id, ops: text, state: 'asked', place: undefined });
    } else if (known.state === 'refused' || known.state === 'maybe') {
      known.state = 'asked';
    }
  }

  /** @returns what is wrong with the answer */
  ack(id: string, place: Place, isRelaxed: boolean): readonly Violation[] {
    const call = this.#calls.get(id);
    if (call === undefined) return [{ invariant: 'I-24', what: `${this.name}: an answer to a call nobody made` }];
    const known = call.place;
    call.place = place;
    if (call.state !== 'acked') call.state = isRelaxed ? 'relaxed' : 'acked';
    // A durable answer stands on everything answered before it.
    if (!isRelaxed) this.settleRelaxed();
    if (known === undefined || (known.firstSeq === place.firstSeq && known.hash === place.hash)) return [];
    return [{ invariant: 'I-10', what: `${this.name}: group ${id} answered at seq ${known.firstSeq}, then at ${place.firstSeq}` }];
  }

  settleRelaxed(): void {
    for (const call of this.#calls.values()) if (call.state === 'relaxed') call.state = 'acked';
  }

  refuse(id: string, isUnknown: boolean): void {
    const call = this.#calls.get(id);
    if (call?.state === 'asked') call.state = isUnknown ? 'maybe' : 'refused';
  }

  /** The process ended: what it was doing may have been done. */
  cutOff(): void {
    for (const call of this.#calls.values()) if (call.state === 'asked' || call.state === 'relaxed') call.state = 'maybe';
  }

  /** The profile was taken back: what was acked since, this device cannot know any more. */
  takeBack(): void {
    for (const call of this.#calls.values()) {
      call.state = 'maybe';
      call.place = undefined;
    }
  }

  /** Follows a stored chain from genesis and compares it with the calls. */
  audit(
    stored: readonly StoredGroup[],
    key: Uint8Array,
  ): { readonly groups: readonly OwnGroup[]; readonly violations: readonly Violation[]; readonly kept: number; readonly gone: number } {
    const violations: Violation[] = [];
    const found = (invariant: string, what: string): void => void violations.push({ invariant, what: `${this.name}: ${what}` });
    const groups: OwnGroup[] = [];
    const ids = new Set<string>();
    let [seq, head] = [0, '00'.repeat(32)];
    let sealedAt = 0;
    let [kept, gone] = [0, 0];
    for (const { header, salt, body, seal } of stored) {
      let group: OwnGroup;
      try {
        group = ownGroup(header, salt, body);
      } catch (error) {
        found('I-03', `after seq ${seq}: ${(error as Error).message}`);
        break;
      }
      if (group.firstSeq !== seq + 1) found('I-03', `seq ${group.firstSeq} after ${seq}`);
      if (group.prev !== head) found('I-03', `seq ${group.firstSeq} does not name the group before it`);
      if (ids.has(group.id)) found('I-10', `group ${group.id} twice`);
      ids.add(group.id);
      this.#judge(group, found);
      [seq, head] = [group.lastSeq, group.hash];
      // One signature covers all up to it: the last one is verified.
      if (seal !== null) sealedAt = seq;
      groups.push(group);
    }
    const [last, lastStored] = [groups.at(-1), stored.at(-1)];
    if (last !== undefined && (sealedAt !== seq || !isSealed(lastStored?.seal as Uint8Array, key, last))) {
      found('I-03', `no valid seal at the head, seq ${seq}`);
    }
    for (const call of this.#calls.values()) {
      if (call.state === 'acked' && !ids.has(call.id)) found('I-01', `group ${call.id}, acked at seq ${call.place?.firstSeq}, is gone`);
      if (call.state !== 'maybe') continue;
      if (!ids.has(call.id)) gone++;
      else {
        call.state = 'acked';
        kept++;
      }
    }
    return { groups, violations, kept, gone };
  }

  #judge(group: OwnGroup, found: (invariant: string, what: string) => void): void {
    const call = this.#calls.get(group.id);
    if (call === undefined) {
      // The engine's own groups come without a call.
      if (!group.ops.every(([name]) => name.startsWith('foldlog.'))) found('I-24', `group ${group.id} that nobody asked for`);
      return;
    }
    if (call.state === 'refused') found('I-19', `group ${group.id} is saved and was refused`);
    const ops = JSON.stringify(group.ops.map(([name, , payload]) => [name, payload]));
    if (call.ops !== undefined && ops !== call.ops) found('I-02', `group ${group.id} holds other ops than were asked for`);
    const { place } = call;
    if (place !== undefined && (place.firstSeq !== group.firstSeq || place.hash !== group.hash)) {
      found('I-01', `group ${group.id} was answered at seq ${place.firstSeq} and stands at ${group.firstSeq}`);
    }
    call.place ??= { firstSeq: group.firstSeq, lastSeq: group.lastSeq, hash: group.hash };
  }
}
