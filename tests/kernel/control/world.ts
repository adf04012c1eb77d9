// A control log that tests extend entry by entry, judged by the fold as a relay would.
import type { Bytes } from '../../../kernel/bytes.ts';
import type { Act, Role } from '../../../kernel/control/acts.ts';
import {
  type ControlSlot,
  decodeControlEntry,
  decodeControlSlot,
  makeControlSlot,
  signControlEntry,
} from '../../../kernel/control/entry.ts';
import { type ControlState, type EntryVerdict, enrolMessage, foldControl, judgeEntry } from '../../../kernel/control/fold.ts';
import { keyIdOf } from '../../../kernel/digest.ts';
import { portableSigner } from '../../../kernel/ed25519.ts';
import type { Signer } from '../../../kernel/ports.ts';
import { noHash, slot, type TimeMs } from '../../../kernel/units.ts';
import { webVerifier } from '../../../kernel/web/web-crypto.ts';
import { at, fill, genesisEntry, life, owner, relay, workspace } from '../../vectors/cast.ts';

export const verifier = webVerifier();
export const signerOf = (mark: number): Signer => portableSigner(fill(mark, 32));

export const relayAct = (key = relay): Act => ({ act: 'relay', key: key.publicKey, incarnation: life });
export const inviteAct = (key: Signer, change: Partial<Extract<Act, { act: 'invite' }>> = {}): Act => ({
  act: 'invite',
  key: key.publicKey,
  role: 'writer',
  expiresAt: at(3600),
  uses: 1,
  ...change,
});
export const shardAct = (nonce: number, name: string, writer: Signer): Extract<Act, { act: 'shard' }> => ({
  act: 'shard',
  nonce: fill(nonce, 16),
  kind: 'till',
  name,
  writer: keyIdOf(writer.publicKey),
});

export async function deviceAct(device: Signer, by: Signer, name = 'Device'): Promise<Extract<Act, { act: 'device' }>> {
  const proof = await by.sign(enrolMessage(workspace, device.publicKey));
  return { act: 'device', key: device.publicKey, name, invite: keyIdOf(by.publicKey), proof };
}

export class World {
  readonly objects: ControlSlot[] = [];
  state: ControlState | undefined;

  /** A workspace with its relay declared. */
  static async begin(): Promise<World> {
    const world = new World();
    await world.put(genesisEntry);
    await world.append(owner, [relayAct()]);
    return world;
  }

  get next(): number {
    return this.objects.length + 1;
  }

  entry(author: Signer, acts: readonly Act[], prev = this.state?.head ?? noHash): Promise<Bytes> {
    return signControlEntry(author, { workspace, prev }, acts);
  }

  async judge(author: Signer, acts: readonly Act[], time: TimeMs = at(this.next)): Promise<EntryVerdict> {
    const entry = decodeControlEntry(await this.entry(author, acts), 'entry');
    return judgeEntry(verifier, this.state, entry, { slot: slot(this.next), time });
  }

  /** The fold's reason, or `applies`. */
  async reason(author: Signer, acts: readonly Act[], time?: TimeMs): Promise<string> {
    const verdict = await this.judge(author, acts, time);
    return verdict.kind === 'refused' ? verdict.reason : verdict.kind;
  }

  async append(author: Signer, acts: readonly Act[], time?: TimeMs): Promise<ControlState> {
    return this.put(await this.entry(author, acts), time);
  }

  /** Puts an entry into the next slot, as the relay signs it, and folds it. */
  async put(entry: Bytes, time: TimeMs = at(this.next), signer = relay): Promise<ControlState> {
    const bytes = await makeControlSlot(signer, { workspace, slot: slot(this.next), time }, entry);
    const object = decodeControlSlot(bytes, `slot ${this.next}`);
    const state = await foldControl(verifier, workspace, this.state, [object]);
    if (state === undefined) throw new Error('no state');
    this.objects.push(object);
    this.state = state;
    return state;
  }

  /** Invites and enrols a device under a role. */
  async join(role: Role, mark: number): Promise<Signer> {
    const [key, device] = [signerOf(mark), signerOf(mark + 1)];
    await this.append(owner, [inviteAct(key, { role })]);
    await this.append(device, [await deviceAct(device, key)]);
    return device;
  }
}
