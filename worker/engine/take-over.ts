// Takes shards over and revokes devices: note → fence → cut, each step found out again by reading after a restart (crash table of decision 0003).
// What was taken over is made this device's own when its replica has come to the fence. Invariants kept here:
//   nothing is sent that is not noted · a fence is sent as it was noted until its slot is known · file, marker, list: a shard is own last of all

import { bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import type { Act } from '../../kernel/control/acts.ts';
import { signControlEntry } from '../../kernel/control/entry.ts';
import { type ControlState, deviceOf, type ShardEntry, type ShardEpoch, shardOf } from '../../kernel/control/fold.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { FenceObject } from '../../kernel/fence.ts';
import { decodeSignedFence, decodeSlotObject, encodeSignedFence, signFence } from '../../kernel/segment.ts';
import { epoch, type KeyId, type ShardId, short } from '../../kernel/units.ts';
import type { ControlReplica } from './control.ts';
import { type FenceNote, fenceHash, type Intent, Intents, intentName } from './intents.ts';
import { type LogEndPorts, readLogEnd } from './log-end.ts';
import type { RoundEnd } from './loop.ts';
import { markedShard } from './loss.ts';
import { Meta } from './meta.ts';
import { notePromoted } from './move-check.ts';
import type { Answer } from './relay-client.ts';
import type { Replica } from './replica.ts';
import { promoteShardFile } from './shard-file.ts';
import type { StoragePool } from './storage-pool.ts';
import type { Vault } from './vault.ts';
import type { WorkspaceFile } from './workspace-file.ts';

export interface TakeOverPorts extends LogEndPorts {
  readonly pool: StoragePool;
  readonly vault: Vault;
}

/** Rounds of losing a shard's next slot before the next try has to wait: its writer is busy. */
const fenceRoundsMax = 8;

export class TakeOvers {
  readonly intents: Intents;
  readonly #ports: TakeOverPorts;
  readonly #file: WorkspaceFile;
  readonly #control: ControlReplica;
  readonly #onDone: () => void;
  /** How the last step of an intent failed, by its name: told to who waits for it. */
  readonly #troubles = new Map<string, FoldlogError>();

  constructor(ports: TakeOverPorts, file: WorkspaceFile, control: ControlReplica, onDone: () => void) {
    this.#ports = ports;
    this.#file = file;
    this.#control = control;
    this.#onDone = onDone;
    this.intents = new Intents(file);
  }

  trouble(intent: Intent): FoldlogError | undefined {
    return this.#troubles.get(intentName(intent));
  }

  /** Before somebody waits anew: an older failure is not the answer to that. */
  forgetTrouble(intent: Intent): void {
    this.#troubles.delete(intentName(intent));
  }

  /** One more step of everything that is noted. */
  async round(): Promise<RoundEnd> {
    const { state } = this.#control;
    if (state?.relay === undefined) return 'idle';
    let end: RoundEnd = 'idle';
    for (const intent of this.intents.all()) {
      if (intent.refused !== undefined) continue;
      const name = intentName(intent);
      try {
        const isMore = await this.#step(intent, state);
        this.#troubles.delete(name);
        if (isMore) end = end === 'failed' ? end : 'more';
      } catch (error) {
        if (!(error instanceof FoldlogError)) throw error;
        this.#troubles.set(name, error);
        if (error.kind === 'unavailable' || error.kind === 'unknown' || error.kind === 'storageFull') end = 'failed';
        else await this.#refuse(intent, error);
      }
    }
    return end;
  }

  /** True when there is more to do at once: never for what others have to end, the follower or the own shard. */
  async #step(intent: Intent, state: ControlState): Promise<boolean> {
    if (this.#isOver(intent, state)) return false;
    const fences: FenceNote[] = [];
    for (const shard of shardsOf(intent, state)) {
      const note = intent.fences.find((known) => isSameBytes(known.shard, shard)) ?? { shard, signed: undefined, object: undefined };
      fences.push(await this.#fence(intent, note, state));
    }
    const fenced = { ...intent, fences };
    await this.#note(fenced);
    const acts: Act[] = fences.map((note) => cutOf(note, intent.kind === 'takeOver' ? this.#me : undefined, state));
    if (intent.kind === 'revoke') acts.unshift({ act: 'revoke', device: intent.device });
    const { workspace } = state;
    const entry = await signControlEntry(this.#ports.signer, { workspace, prev: state.head }, acts);
    return this.#settleCut(fenced, await this.#ports.relay.appendControl(workspace, entry));
  }

  /** Whether the control log has what was wanted, or what makes it pointless. */
  #isOver(intent: Intent, state: ControlState): boolean {
    if (intent.kind === 'revoke') {
      if (deviceOf(state, intent.device) !== undefined) return false;
      this.intents.drop(intent);
      this.#onDone();
      return true;
    }
    const entry = requireEntry(state, intent.shard);
    const [note] = intent.fences;
    const ours = note === undefined ? undefined : cutOfNote(entry, note);
    if (ours === undefined) return false;
    // Promoted by the follower, or entered by the own shard, which drop the note; unless somebody took over from us meanwhile.
    if (ours.epoch < entry.epoch) throw takenMeanwhile(entry);
    return true;
  }

  /** The fence of one shard, standing. Sent as it was signed until the relay says how it ended; a lost slot is signed for again. */
  async #fence(intent: Intent, note: FenceNote, state: ControlState): Promise<FenceNote> {
    if (note.object !== undefined) return note;
    let signed = note.signed;
    for (let round = 0; round < fenceRoundsMax; round++) {
      signed ??= await this.#sign(intent, note.shard, state);
      const answer = await this.#ports.relay.fence(state.workspace, note.shard, signed, this.#ports.signer);
      if (answer.kind === 'ok') return { shard: note.shard, signed, object: requireThis(answer.value, signed) };
      if (answer.kind === 'unreachable') throw unreachable('fence', answer.found);
      if (answer.error.reason !== 'slotTaken') throw answer.error;
      signed = undefined;
    }
    throw unreachable('fence', `${fenceRoundsMax} slots of shard ${short(note.shard)} lost to others`);
  }

  /** Signs over the log's end and notes it before anything is sent. */
  async #sign(intent: Intent, shard: ShardId, state: ControlState) {
    const end = await readLogEnd(this.#ports, state, shard);
    const claim = { closedEpoch: end.epoch, newEpoch: epoch(end.epoch + 1), head: end.head, controlHead: state.head };
    const signed = encodeSignedFence({ ...end.next, fence: await signFence(this.#ports.signer, end.next, claim) });
    const known = this.intents.find(intent) ?? intent;
    const others = known.fences.filter((note) => !isSameBytes(note.shard, shard));
    await this.#note({ ...known, fences: [...others, { shard, signed, object: undefined }] });
    return signed;
  }

  async #settleCut(intent: Intent, answer: Answer<unknown>): Promise<boolean> {
    if (answer.kind === 'unreachable') throw unreachable('cut', answer.found);
    if (answer.kind === 'refused') {
      const { error } = answer;
      // Another fence stands last: a new one goes over it. Shards made meanwhile: fenced as well in the next step.
      if (error.reason === 'fenceMoved') await this.#note({ ...intent, fences: [] });
      const isBehind = ['staleHead', 'cutMissing', 'epochFell', 'unknownDevice', 'notEnrolled'].includes(error.reason);
      if (error.reason !== 'fenceMoved' && !isBehind) throw error;
    }
    const before = this.#control.head;
    const state = await this.#control.pullWith(this.#ports.signer, this.#control.workspace ?? requireWorkspace());
    if (answer.kind === 'refused' && answer.error.reason !== 'fenceMoved' && isSameBytes(before, state.head)) throw answer.error;
    if (answer.kind === 'ok') this.#onDone();
    return true;
  }

  /**
   * Makes a replica this device's own shard, when its log was read up to the fence that this device noted and whose cut names it. The caller lets go
   * of the replica then. Stopped anywhere, the next reading does it again: the list row goes last, with the note.
   */
  async promote(replica: Replica): Promise<boolean> {
    const { state, workspace } = this.#control;
    const { identity, cursor } = replica;
    const intent = this.intents.takeOver(identity.id);
    const [note] = intent?.fences ?? [];
    const entry = state === undefined ? undefined : shardOf(state, identity.id);
    if (workspace === undefined || intent === undefined || note === undefined || entry === undefined) return false;
    const opened = cutOfNote(entry, note);
    const isAtFence = cursor.isFenced && opened !== undefined && isSameBytes(cursor.objectHash, opened.fence);
    if (!isAtFence || opened !== entry.epochs.at(-1) || opened.writer === undefined || !isSameBytes(opened.writer, this.#me)) return false;
    await replica.mutex.own('other', () =>
      replica.db.transaction(() => {
        promoteShardFile(replica.db, opened);
        notePromoted(new Meta(replica.db), replica.definition);
      }),
    );
    await this.#ports.pool.flush(replica.file);
    await this.#ports.vault.mark(replica.file, markedShard(workspace, identity, true));
    this.#file.db.transaction(() => {
      this.#file.ownShard(identity);
      this.intents.drop(intent);
    });
    await this.#file.flush();
    this.#onDone();
    return true;
  }

  /** Whether this copy noted the fence that opened an epoch: only it may save there (decision 0003). */
  mayEnter(shard: ShardId, opened: ShardEpoch): boolean {
    const [note] = this.intents.takeOver(shard)?.fences ?? [];
    const hash = note === undefined ? undefined : fenceHash(note);
    return hash !== undefined && isSameBytes(hash, opened.fence) && opened.writer !== undefined && isSameBytes(opened.writer, this.#me);
  }

  get #me(): KeyId {
    return keyIdOf(this.#ports.signer.publicKey);
  }

  async #note(intent: Intent): Promise<void> {
    this.intents.put(intent);
    await this.#file.flush();
  }

  /** Told until it is asked for again. */
  async #refuse(intent: Intent, error: FoldlogError): Promise<void> {
    await this.#note({ ...(this.intents.find(intent) ?? intent), refused: error.message });
    this.#onDone();
  }
}

/** Every shard that has to be fenced: for a revocation what the device writes at this control head. */
const shardsOf = (intent: Intent, state: ControlState): readonly ShardId[] =>
  intent.kind === 'takeOver' ? [intent.shard] : shardsWrittenBy(state, intent.device);

export const shardsWrittenBy = (state: ControlState, device: KeyId): readonly ShardId[] =>
  [...state.shards.values()].filter(({ writer }) => writer !== undefined && isSameBytes(writer, device)).map(({ id }) => id);

/** The epoch that a noted fence opened. */
function cutOfNote(entry: ShardEntry, note: FenceNote): ShardEpoch | undefined {
  const hash = fenceHash(note);
  return hash === undefined ? undefined : entry.epochs.find((known) => isSameBytes(known.fence, hash));
}

/** Its tail goes back to the same shard when somebody writes it. What a revoked device did not commit goes nowhere by itself. */
function cutOf(note: FenceNote, writer: KeyId | undefined, state: ControlState): Act {
  const object = fenceOf(note);
  const { newEpoch, head } = object.fence;
  const opened = { shard: requireEntry(state, note.shard).id, epoch: newEpoch, fence: object.objectHash, seq: head.seq, head: head.hash };
  return writer === undefined ? { act: 'cut', ...opened } : { act: 'cut', ...opened, writer, destination: note.shard };
}

function fenceOf(note: FenceNote): FenceObject {
  const object = note.object === undefined ? undefined : decodeSlotObject(note.object, 'noted fence');
  if (object?.kind === 'fence') return object;
  throw FoldlogError.corrupt({ where: 'noted fence', reason: 'wrongFence', found: 'no fence', expected: 'the one that stands' });
}

/** What the relay answered is the fence that was sent, or proves nothing. */
function requireThis(bytes: FenceNote['object'], signed: Uint8Array): FenceNote['object'] {
  const sent = decodeSignedFence(signed, 'fence');
  const object = decodeSlotObject(bytes ?? new Uint8Array(), 'fence from the relay');
  if (object.kind === 'fence' && object.slot === sent.slot && isSameBytes(object.fence.signature, sent.fence.signature)) return bytes;
  throw unreachable('fence', 'an answer that is not the fence that was sent');
}

function requireEntry(state: ControlState, shard: ShardId): ShardEntry {
  const entry = shardOf(state, shard);
  if (entry !== undefined) return entry;
  const found = `shard ${bytesToHex(shard)}`;
  throw FoldlogError.corrupt({ where: 'take-over', reason: 'unknownShard', found, expected: 'a shard of the control log' });
}

function requireWorkspace(): never {
  throw FoldlogError.misuse({ where: 'take-over', reason: 'noWorkspace', found: 'an empty store', expected: 'a workspace' });
}

const unreachable = (where: string, found: string): FoldlogError =>
  new FoldlogError('unavailable', { where, reason: 'relayUnreachable', found, expected: 'an answer of the relay' });

const takenMeanwhile = (entry: ShardEntry): FoldlogError =>
  new FoldlogError('fenced', {
    where: `shard ${entry.kind}/${entry.name}`,
    reason: 'takenMeanwhile',
    found: `epoch ${entry.epoch}, opened after the one this device had taken`,
    expected: 'no other take-over',
    todo: 'ask who took it; take it over again if that was not meant',
  });
