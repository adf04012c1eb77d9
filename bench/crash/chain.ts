// A chain as it was read out of a store, followed group by group with the kernel's decoders: links, body hashes, seals, and the ops of each group against
// what was asked to be saved. Folds what it passes into the plain model.
import { bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { decodeGroupHeader, groupHashOf, isBodyOf, lastSeqOf } from '../../kernel/commit-group.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { decodeOps } from '../../kernel/op-body.ts';
import { readSeal, type SealedPosition, verifySeal } from '../../kernel/seal.ts';
import { hash, publicKey } from '../../kernel/units.ts';
import { Reader } from '../../kernel/wire.ts';
import type { Expected } from './expected.ts';
import { Model } from './model.ts';
import type { FoundGroup } from './page/page.ts';

/** What is wrong with a store. Lost: acknowledged, and its group or a row it wrote is gone. Doubled: there twice. Torn: anything else that cannot be. */
export interface Fault {
  readonly kind: 'lost' | 'torn' | 'doubled';
  readonly what: string;
}

export interface GroupSpan {
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export class Chain {
  readonly model = new Model();
  /** Groups whose ops are what was asked for, by id. */
  readonly places = new Map<string, GroupSpan>();
  readonly #expected: Expected;
  #head = { seq: 0, hash: '00'.repeat(32) };

  constructor(expected: Expected) {
    this.#expected = expected;
  }

  get headSeq(): number {
    return this.#head.seq;
  }

  get groupCount(): number {
    return this.places.size;
  }

  /** Follows the chain over `groups`, which come right after its head and reach to the end of the log. */
  async follow(groups: readonly FoundGroup[], deviceKey: string): Promise<readonly Fault[]> {
    const faults: Fault[] = [];
    let sealed: SealedPosition | undefined;
    for (const group of groups) {
      try {
        sealed = this.#take(group, faults);
      } catch (error) {
        return [...faults, torn(`after seq ${this.#head.seq}: ${error instanceof Error ? error.message : String(error)}`)];
      }
    }
    const last = groups.at(-1);
    if (last === undefined) return faults;
    if (sealed === undefined) return [...faults, torn(`no seal at the head, seq ${this.#head.seq}`)];
    // One signature covers every group up to it.
    await verifySeal(
      portableVerifier,
      publicKey(hexToBytes(deviceKey)),
      sealed,
      readSeal(new Reader(hexToBytes(last.seal), 'seal')),
      'seal',
    ).catch((error: unknown) => faults.push(torn(`seal at the head: ${String(error)}`)));
    return faults;
  }

  /** Its position when it carries a seal. */
  #take({ header: headerHex, salt, body: bodyHex, seal }: FoundGroup, faults: Fault[]): SealedPosition | undefined {
    const headerBytes = hexToBytes(headerHex);
    const header = decodeGroupHeader(headerBytes, 'stored group');
    const body = hexToBytes(bodyHex);
    const groupHash = groupHashOf(headerBytes);
    const id = bytesToHex(header.id);
    const span: GroupSpan = { firstSeq: header.firstSeq, lastSeq: lastSeqOf(header) };
    if (span.firstSeq !== this.#head.seq + 1) faults.push(torn(`seq ${span.firstSeq} after ${this.#head.seq}`));
    if (bytesToHex(header.prev) !== this.#head.hash) faults.push(torn(`seq ${span.firstSeq}: its link does not name the group before it`));
    if (!isBodyOf(header, hexToBytes(salt), body)) faults.push(torn(`seq ${span.firstSeq}: a body that is not its header's`));
    this.#head = { seq: span.lastSeq, hash: bytesToHex(groupHash) };
    const ops = decodeOps(body, header.opCount, 'stored group').map(({ class: name, payload }) => [name, payload] as const);
    for (const [name, payload] of ops) this.model.fold(id, name, payload);
    if (this.places.has(id)) faults.push({ kind: 'doubled', what: `group ${id} at seq ${span.firstSeq} and once before` });
    else if (JSON.stringify(ops) === JSON.stringify(this.#expected.opsOf(id))) this.places.set(id, span);
    else faults.push(torn(`group ${id} at seq ${span.firstSeq} does not hold what was asked`));
    if (seal === '') return undefined;
    return { shard: header.shard, epoch: header.epoch, head: { seq: lastSeqOf(header), hash: hash(groupHash) } };
  }
}

const torn = (what: string): Fault => ({ kind: 'torn', what });
