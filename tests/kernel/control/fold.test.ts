import { beforeAll, describe, expect, test } from 'vitest';
import { type Bytes, bytesToHex } from '../../../kernel/bytes.ts';
import type { Act } from '../../../kernel/control/acts.ts';
import {
  type ControlSlot,
  decodeControlEntry,
  decodeControlSlot,
  makeControlSlot,
  signControlEntry,
  workspaceIdOfGenesis,
} from '../../../kernel/control/entry.ts';
import { type ControlState, controlStart, deviceOf, foldControl, judgeEntry, shardNamed, shardOf } from '../../../kernel/control/fold.ts';
import { keyIdOf, shardIdOf } from '../../../kernel/digest.ts';
import type { Signer } from '../../../kernel/ports.ts';
import { type Hash, noHash, slot, timeMs, workspaceId } from '../../../kernel/units.ts';
import { at, fill, genesisAct, genesisEntry, noon, owner, recovery, relay, workspace } from '../../vectors/cast.ts';
import { deviceAct, inviteAct, relayAct, shardAct, signerOf, verifier, World } from './world.ts';

const week = 7 * 24 * 3600;
const stranger = signerOf(0x99);
const corrupt = (reason: string, found = '') => ({ kind: 'corrupt', reason, found: expect.stringContaining(found) });

let world: World;
let admin: Signer;
let writer: Signer;
let reader: Signer;
beforeAll(async () => {
  world = await World.begin();
  admin = await world.join('admin', 0x40);
  writer = await world.join('writer', 0x50);
  reader = await world.join('reader', 0x60);
  await world.append(writer, [shardAct(0x70, 'till-1', writer)]);
});

describe('genesis', () => {
  const judge = async (author: Signer, acts: readonly Act[], change: { prev?: Hash; workspace?: typeof workspace; slot?: number } = {}) => {
    const bytes = await signControlEntry(author, { workspace: change.workspace ?? workspaceId(noHash), prev: change.prev ?? noHash }, acts);
    const place = { slot: slot(change.slot ?? 1), time: at(1) };
    const verdict = await judgeEntry(verifier, undefined, decodeControlEntry(bytes, 'entry'), place);
    return verdict.kind === 'refused' ? verdict.reason : verdict.kind;
  };

  test('it makes the workspace with its owner, and nothing else', async () => {
    const state = (await foldControl(verifier, workspace, undefined, world.objects.slice(0, 1))) as ControlState;
    expect(state).toMatchObject({ workspace, name: 'Corner shop', slot: 1, time: at(1), relay: undefined });
    expect([...state.devices.values()]).toEqual([{ id: keyIdOf(owner.publicKey), key: owner.publicKey, name: 'Office', role: 'owner' }]);
    expect(state.head).toEqual(world.objects[0]?.objectHash);
    expect([state.invites.size, state.shards.size]).toEqual([0, 0]);
  });

  test('an entry without acts, were one decoded, is no genesis', async () => {
    const entry = { ...decodeControlEntry(genesisEntry, 'genesis'), acts: [] };
    const verdict = await judgeEntry(verifier, undefined, entry, { slot: slot(1), time: at(1) });
    expect(verdict).toMatchObject({ kind: 'refused', reason: 'noGenesis', found: 'the act none in slot 1' });
  });

  test('its id is the hash of what the owner signed', () => {
    expect(workspaceIdOfGenesis(decodeControlEntry(genesisEntry, 'genesis'))).toEqual(workspace);
  });

  test('it is refused unless it stands alone in slot 1, unbound, by its own owner', async () => {
    expect(await judge(owner, [genesisAct])).toBe('applies');
    expect(await judge(owner, [relayAct()])).toBe('noGenesis');
    expect(await judge(owner, [genesisAct, relayAct()])).toBe('noGenesis');
    expect(await judge(owner, [genesisAct], { slot: 2 })).toBe('noGenesis');
    expect(await judge(owner, [genesisAct], { prev: fill(1, 32) as Hash })).toBe('badGenesis');
    expect(await judge(owner, [genesisAct], { workspace })).toBe('badGenesis');
    expect(await judge(stranger, [genesisAct])).toBe('badGenesis');
    expect(await judge({ ...stranger, publicKey: owner.publicKey }, [genesisAct])).toBe('wrongSignature');
  });

  test('a second one is refused, also by the owner', async () => {
    expect(await world.reason(owner, [genesisAct])).toBe('secondGenesis');
  });
});

describe('an entry', () => {
  test('of another workspace is refused', async () => {
    const other = await signControlEntry(owner, { workspace: workspaceId(fill(1, 32)), prev: (world.state as ControlState).head }, [
      relayAct(),
    ]);
    const verdict = await judgeEntry(verifier, world.state, decodeControlEntry(other, 'entry'), { slot: slot(9), time: at(9) });
    expect(verdict).toMatchObject({ kind: 'refused', reason: 'wrongWorkspace' });
  });

  test('over an older head is stale, whoever wrote it, and told the head', async () => {
    for (const author of [owner, stranger]) {
      const stale = await signControlEntry(author, { workspace, prev: world.objects[1]?.objectHash as Hash }, [relayAct()]);
      const verdict = await judgeEntry(verifier, world.state, decodeControlEntry(stale, 'entry'), { slot: slot(9), time: at(9) });
      expect(verdict).toEqual({ kind: 'staleHead', head: world.state?.head });
    }
  });

  test('by somebody who is no device is refused', async () => {
    expect(await world.reason(stranger, [relayAct()])).toBe('unknownDevice');
    expect(await world.reason(recovery, [relayAct()])).toBe('unknownDevice');
  });

  test('by somebody who only says to be a device is refused', async () => {
    expect(await world.reason({ ...stranger, publicKey: owner.publicKey }, [relayAct()])).toBe('wrongSignature');
  });

  test('applies whole or not at all', async () => {
    const before = world.state as ControlState;
    const acts = [inviteAct(signerOf(0x71)), shardAct(0x71, 'till-2', admin), inviteAct(signerOf(0x72), { uses: 0 })];
    expect(await world.reason(owner, acts)).toBe('badUses');
    expect(before.invites.has(bytesToHex(keyIdOf(signerOf(0x71).publicKey)))).toBe(false);
    expect(before.shards.size).toBe(1);
    const verdict = await world.judge(owner, acts.slice(0, 2));
    if (verdict.kind !== 'applies') throw new Error('refused');
    expect([verdict.next.invites.size - before.invites.size, verdict.next.shards.size]).toEqual([1, 2]);
    expect(before.shards.size).toBe(1);
  });

  test('with an act that the decoder should have stopped is a defect, not a guess', async () => {
    const entry = decodeControlEntry(await world.entry(owner, [relayAct()]), 'entry');
    const later = { ...entry, acts: [{ act: 'role' } as unknown as Act] };
    const judged = judgeEntry(verifier, world.state, later, { slot: slot(world.next), time: at(99) });
    await expect(judged).rejects.toMatchObject({ kind: 'misuse', reason: 'unreachable' });
  });

  test('is judged act by act in order: a later act sees the earlier one', async () => {
    const key = signerOf(0x73);
    expect(await world.reason(owner, [inviteAct(key), inviteAct(key)])).toBe('keyTaken');
    expect(await world.reason(owner, [shardAct(0x73, 'till-3', owner), shardAct(0x74, 'till-3', owner)])).toBe('nameTaken');
  });
});

describe('relay', () => {
  test('only an owner declares one', async () => {
    expect(await world.reason(owner, [relayAct(signerOf(0x12))])).toBe('applies');
    for (const author of [admin, writer, reader]) expect(await world.reason(author, [relayAct()])).toBe('notAllowed');
  });
});

describe('invite', () => {
  const key = signerOf(0x75);
  const invite = (change: Partial<Extract<Act, { act: 'invite' }>> = {}) => [inviteAct(key, change)];

  test('owner and admin invite; others do not', async () => {
    expect(await world.reason(owner, invite())).toBe('applies');
    expect(await world.reason(admin, invite())).toBe('applies');
    expect(await world.reason(writer, invite())).toBe('notAllowed');
    expect(await world.reason(reader, invite())).toBe('notAllowed');
  });

  test('nobody invites above their own role', async () => {
    expect(await world.reason(owner, invite({ role: 'owner' }))).toBe('applies');
    expect(await world.reason(admin, invite({ role: 'admin' }))).toBe('applies');
    expect(await world.reason(admin, invite({ role: 'owner' }))).toBe('roleTooHigh');
  });

  test('it lives a week at most, by the time of its slot', async () => {
    const time = at(50);
    const expires = (ms: number) => invite({ expiresAt: timeMs(time + ms) });
    expect(await world.reason(owner, expires(week * 1000), time)).toBe('applies');
    expect(await world.reason(owner, expires(week * 1000 + 1), time)).toBe('inviteTooLong');
  });

  test('it has one use to ten', async () => {
    for (const uses of [1, 10]) expect(await world.reason(owner, invite({ uses }))).toBe('applies');
    for (const uses of [0, 11]) expect(await world.reason(owner, invite({ uses }))).toBe('badUses');
  });

  test('a key that is a device’s or was an invite’s is taken', async () => {
    for (const taken of [writer, signerOf(0x50)]) expect(await world.reason(owner, [inviteAct(taken)])).toBe('keyTaken');
  });

  test('ten may be open at a time; spent and expired ones do not count', async () => {
    const full = await World.begin();
    await full.append(owner, [inviteAct(signerOf(0xa0), { expiresAt: at(4) })]);
    const spent = signerOf(0xa1);
    await full.append(owner, [inviteAct(spent)]);
    await full.append(signerOf(0xa2), [await deviceAct(signerOf(0xa2), spent)]);
    const ten = Array.from({ length: 10 }, (_, i) => inviteAct(signerOf(0xb0 + i)));
    expect(await full.reason(owner, [...ten, inviteAct(signerOf(0xc0))])).toBe('tooManyInvites');
    await full.append(owner, ten);
    expect(await full.reason(owner, [inviteAct(signerOf(0xc0))])).toBe('tooManyInvites');
    expect(await full.reason(owner, [inviteAct(signerOf(0xc0), { expiresAt: at(9000) })], at(3600))).toBe('applies');
  });
});

describe('device', () => {
  const key = signerOf(0x80);
  const device = signerOf(0x81);
  let open: World;
  beforeAll(async () => {
    open = await World.begin();
    await open.append(owner, [inviteAct(key, { expiresAt: at(100), uses: 2, role: 'writer' })]);
  });

  test('it enrols itself under the invite’s role, and takes one use', async () => {
    const verdict = await open.judge(device, [await deviceAct(device, key, 'Till 2')]);
    if (verdict.kind !== 'applies') throw new Error('refused');
    const id = keyIdOf(device.publicKey);
    expect(verdict.next.devices.get(bytesToHex(id))).toEqual({ id, key: device.publicKey, name: 'Till 2', role: 'writer' });
    expect(verdict.next.invites.get(bytesToHex(keyIdOf(key.publicKey)))).toMatchObject({ usesLeft: 1 });
  });

  test('nobody enrols another', async () => {
    const act = await deviceAct(device, key);
    expect(await open.reason(owner, [act])).toBe('notItself');
    expect(await open.reason(stranger, [act])).toBe('unknownDevice');
    const second = await deviceAct(signerOf(0x82), key);
    expect(await open.reason(device, [act, second])).toBe('notItself');
  });

  test('a key that is enrolled, or an invite’s, is taken', async () => {
    expect(await open.reason(owner, [await deviceAct(owner, key)])).toBe('keyTaken');
    expect(await open.reason(key, [await deviceAct(key, key)])).toBe('keyTaken');
  });

  test('without an invite, or the invite’s proof, it does not get in', async () => {
    expect(await open.reason(device, [await deviceAct(device, stranger)])).toBe('unknownInvite');
    const forged = { ...(await deviceAct(device, stranger)), invite: keyIdOf(key.publicKey) };
    expect(await open.reason(device, [forged])).toBe('wrongProof');
    const borrowed = { ...(await deviceAct(signerOf(0x83), key)), key: device.publicKey };
    expect(await open.reason(device, [borrowed])).toBe('wrongProof');
  });

  test('expiry is judged by the slot’s time', async () => {
    const act = await deviceAct(device, key);
    expect(await open.reason(device, [act], timeMs(at(100) - 1))).toBe('applies');
    expect(await open.reason(device, [act], at(100))).toBe('inviteExpired');
  });

  test('two racing enrolments: one lands, the other signs again and takes what is left', async () => {
    const race = await World.begin();
    await race.append(owner, [inviteAct(key, { uses: 2 })]);
    const [one, two, three] = [signerOf(0x84), signerOf(0x85), signerOf(0x86)];
    const entries = await Promise.all([one, two].map(async (each) => race.entry(each, [await deviceAct(each, key)])));
    await race.put(entries[0] as Bytes);
    const late = decodeControlEntry(entries[1] as Bytes, 'entry');
    const verdict = await judgeEntry(verifier, race.state, late, { slot: slot(race.next), time: at(9) });
    expect(verdict).toEqual({ kind: 'staleHead', head: race.state?.head });
    await expect(race.put(entries[1] as Bytes)).rejects.toMatchObject(corrupt('entryDoesNotApply', 'another head'));
    await race.append(two, [await deviceAct(two, key)]);
    expect(await race.reason(three, [await deviceAct(three, key)])).toBe('inviteSpent');
    expect(race.state?.devices.size).toBe(3);
  });

  test('in its own first entry it is only a reader', async () => {
    const act = await deviceAct(device, key);
    expect(await open.reason(device, [act, shardAct(0x80, 'till-1', device)])).toBe('notAllowed');
    expect(await open.reason(device, [act, inviteAct(stranger, { role: 'reader' })])).toBe('notAllowed');
  });

  test('what it says before it is enrolled is not from a device', async () => {
    expect(await open.reason(device, [shardAct(0x80, 'till-1', device), await deviceAct(device, key)])).toBe('unknownDevice');
  });
});

describe('shard', () => {
  test('a writer makes its own, an admin anybody’s', async () => {
    expect(await world.reason(writer, [shardAct(0x90, 'till-9', writer)])).toBe('applies');
    expect(await world.reason(admin, [shardAct(0x90, 'till-9', writer)])).toBe('applies');
    expect(await world.reason(writer, [shardAct(0x90, 'till-9', admin)])).toBe('notAllowed');
    expect(await world.reason(reader, [shardAct(0x90, 'till-9', writer)])).toBe('notAllowed');
  });

  test('its writer is a device that may write', async () => {
    expect(await world.reason(owner, [shardAct(0x90, 'till-9', reader)])).toBe('badWriter');
    expect(await world.reason(owner, [shardAct(0x90, 'till-9', stranger)])).toBe('badWriter');
  });

  test('id and name are taken once, a name in its kind', async () => {
    expect(await world.reason(owner, [shardAct(0x70, 'till-9', owner)])).toBe('shardTaken');
    expect(await world.reason(owner, [shardAct(0x90, 'till-1', owner)])).toBe('nameTaken');
    expect(await world.reason(owner, [{ ...shardAct(0x90, 'till-1', owner), kind: 'catalogue' }])).toBe('applies');
  });

  test('it is found by id and by name, with epoch 1', () => {
    const state = world.state as ControlState;
    const id = shardIdOf(workspace, fill(0x70, 16));
    const expected = { id, kind: 'till', name: 'till-1', epoch: 1, writer: keyIdOf(writer.publicKey) };
    expect(shardOf(state, id)).toMatchObject(expected);
    expect(shardNamed(state, 'till', 'till-1')).toMatchObject(expected);
    expect(shardNamed(state, 'till', 'till-2')).toBeUndefined();
    expect(shardNamed(state, 'catalogue', 'till-1')).toBeUndefined();
    expect(deviceOf(state, keyIdOf(writer.publicKey))?.role).toBe('writer');
    expect(deviceOf(state, keyIdOf(stranger.publicKey))).toBeUndefined();
  });
});

describe('folding stored slots', () => {
  const forge = async (object: ControlSlot, change: { time?: number; slot?: number; signer?: Signer; workspace?: typeof workspace }) => {
    const { entry } = object;
    const bytes = new Uint8Array([...entry.signed, ...entry.signature]);
    const place = {
      workspace: change.workspace ?? workspace,
      slot: slot(change.slot ?? object.slot),
      time: timeMs(change.time ?? object.time),
    };
    return decodeControlSlot(await makeControlSlot(change.signer ?? relay, place, bytes), 'forged');
  };
  const fold = (objects: readonly ControlSlot[], state?: ControlState) => foldControl(verifier, workspace, state, objects);
  const first = (count: number) => world.objects.slice(0, count);
  const replaced = async (number: number, change: Parameters<typeof forge>[1]) =>
    world.objects.map((object) => (object.slot === number ? forge(object, change) : object));

  test('all at once, one by one or in any pieces the state is the same', async () => {
    const whole = await fold(world.objects);
    expect(whole).toEqual(world.state);
    for (let cut = 0; cut <= world.objects.length; cut++) {
      const head = await fold(first(cut));
      expect(await fold(world.objects.slice(cut), head)).toEqual(whole);
    }
  });

  test('of no slots nothing is folded', async () => {
    expect(await fold([])).toBeUndefined();
    expect(await fold([], world.state)).toBe(world.state);
    expect(controlStart).toEqual({ slot: 0, head: noHash, time: 0 });
  });

  test('a slot left out, doubled or swapped is corrupt', async () => {
    const [one, two, three] = world.objects as [ControlSlot, ControlSlot, ControlSlot];
    for (const objects of [[two], [one, three], [one, one], [two, one]])
      await expect(fold(objects)).rejects.toMatchObject(corrupt('wrongSlot'));
  });

  test('a slot of another workspace is corrupt, and so is a genesis that founds another', async () => {
    const other = workspaceId(fill(1, 32));
    const slots = await Promise.all(await replaced(3, { workspace: other }));
    await expect(fold(slots)).rejects.toMatchObject(corrupt('wrongWorkspace'));
    const elsewhere = await forge(world.objects[0] as ControlSlot, { workspace: other });
    await expect(foldControl(verifier, other, undefined, [elsewhere])).rejects.toMatchObject(corrupt('wrongWorkspace'));
  });

  test('a time that falls is corrupt', async () => {
    const slots = await Promise.all(await replaced(4, { time: noon }));
    await expect(fold(slots)).rejects.toMatchObject(corrupt('timeFell'));
  });

  test('a slot whose entry the fold refuses is corrupt: the relay broke its word', async () => {
    const broken = await World.begin();
    await expect(broken.append(stranger, [relayAct()])).rejects.toMatchObject(corrupt('entryDoesNotApply', 'unknownDevice'));
  });

  test('the relay’s signature is checked on every slot after its declaration', async () => {
    for (const number of [3, world.objects.length]) {
      const slots = await Promise.all(await replaced(number, { signer: stranger }));
      await expect(fold(slots)).rejects.toMatchObject(corrupt('wrongRelaySignature'));
    }
  });

  test('a relay that signs under another name than its key’s is corrupt', async () => {
    const slots = await Promise.all(await replaced(world.objects.length, { signer: { ...relay, publicKey: stranger.publicKey } }));
    await expect(fold(slots)).rejects.toMatchObject(corrupt('wrongRelaySignature'));
  });

  test('slots before the declaration wait for it, in one piece or slot by slot', async () => {
    const foreign = new World();
    await foreign.put(genesisEntry, at(1), stranger);
    expect(foreign.state?.unproven).toHaveLength(1);
    const declared = await signControlEntry(owner, { workspace, prev: (foreign.state as ControlState).head }, [relayAct()]);
    await expect(foreign.put(declared, at(2))).rejects.toMatchObject({ ...corrupt('wrongRelaySignature'), where: 'control slot 1' });
    const second = decodeControlSlot(await makeControlSlot(relay, { workspace, slot: slot(2), time: at(2) }, declared), 'slot 2');
    await expect(fold([...foreign.objects, second])).rejects.toMatchObject({ where: 'control slot 1' });
  });

  test('slots before the declaration are proven by it, and then wait no more', async () => {
    const late = new World();
    await late.put(genesisEntry);
    await late.append(owner, [inviteAct(signerOf(0xd0))]);
    expect(late.state?.unproven.map((object) => object.slot)).toEqual([1, 2]);
    await late.append(owner, [relayAct()]);
    expect(late.state?.unproven).toEqual([]);
    expect(await fold(late.objects)).toEqual(late.state);
  });

  test('a declaration is signed by the key it declares when it is the first, else by the key before it', async () => {
    const next = signerOf(0x12);
    const rotated = await World.begin();
    const entry = await rotated.entry(owner, [relayAct(next)]);
    await expect(rotated.put(entry, at(3), next)).rejects.toMatchObject(corrupt('wrongRelaySignature'));
    await rotated.put(entry, at(3), relay);
    expect(rotated.state?.relay?.key).toEqual(next.publicKey);
    const after = await rotated.entry(owner, [inviteAct(signerOf(0xd1))]);
    await expect(rotated.put(after, at(4), relay)).rejects.toMatchObject(corrupt('wrongRelaySignature'));
    await rotated.put(after, at(4), next);
  });
});
