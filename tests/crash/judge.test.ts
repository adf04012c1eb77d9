// The judge of the crash gate, judged: a sound store passes, and each thing a kill could do to one is found and called by its name.
import { beforeAll, describe, expect, test } from 'vitest';
import { Expected } from '../../bench/crash/expected.ts';
import { Judge } from '../../bench/crash/judge.ts';
import { firstSaves, type Save } from '../../bench/crash/load.ts';
import { Model } from '../../bench/crash/model.ts';
import type { Acknowledged, Found, FoundGroup } from '../../bench/crash/page/page.ts';
import { bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { bodyHashOf, encodeGroupHeader, headOf, linkGroup } from '../../kernel/commit-group.ts';
import { portableSigner, publicKeyOf } from '../../kernel/ed25519.ts';
import { encodeOps } from '../../kernel/op-body.ts';
import { encodeSeal, makeSeal } from '../../kernel/seal.ts';
import { epoch, groupId, type Head, noHash, seq, shardId, timeMs } from '../../kernel/units.ts';

const seed = 7;
const secret = new Uint8Array(32).fill(9);
const signer = portableSigner(secret);
const shard = shardId(new Uint8Array(16).fill(3));
const savesMade = 40;

interface Store {
  readonly found: Found;
  readonly acknowledged: readonly Acknowledged[];
}

/** A store as a sound engine leaves it after these saves. */
async function storeOf(saves: readonly Save[]): Promise<Store> {
  const model = new Model();
  const groups: FoundGroup[] = [];
  const acknowledged: Acknowledged[] = [];
  let head: Head = { seq: seq(0), hash: noHash };
  for (const { group: id, ops } of saves) {
    const body = encodeOps(
      ops.map(([name, payload]) => ({ class: name, version: 1, payload })),
      'test',
    );
    const salt = new Uint8Array(16).fill(groups.length);
    const parts = { shard, epoch: epoch(1), after: head, opCount: ops.length, time: timeMs(1_000), id: groupId(hexToBytes(id)) };
    const group = linkGroup({ ...parts, salt, body, bodyHash: bodyHashOf(salt, body) });
    const firstSeq = head.seq + 1;
    head = headOf(group);
    const seal = await makeSeal(signer, { shard, epoch: epoch(1), head }, { controlHead: noHash, headsSeen: noHash });
    const hex = { header: encodeGroupHeader(group.header), salt, body, seal: encodeSeal(seal) };
    groups.push(Object.fromEntries(Object.entries(hex).map(([name, bytes]) => [name, bytesToHex(bytes)])) as unknown as FoundGroup);
    acknowledged.push({ group: id, firstSeq, lastSeq: head.seq });
    for (const [name, payload] of ops) model.fold(id, name, payload);
  }
  const { line, letter, stock } = model.summary();
  const rows = { line: line.map(valuesOf), letter: letter.map(valuesOf), stock: stock.map(valuesOf) };
  const found = { deviceKey: bytesToHex(publicKeyOf(secret)), integrity: [], groups, groupCount: groups.length, ...rows };
  return { found, acknowledged };
}

const valuesOf = ({ values }: { readonly values: readonly (string | number)[] }) => values;

async function judged(acknowledged: readonly Acknowledged[], ...answers: readonly Found[]): Promise<Judge> {
  const judge = new Judge(new Expected(seed));
  for (const one of acknowledged) judge.acknowledge(one);
  for (const found of answers) await judge.store(found);
  return judge;
}

const kindsOf = (judge: Judge): readonly string[] => [...new Set(judge.faults.map(({ kind }) => kind))].sort();

describe('judge', () => {
  const saves = [...firstSaves({ seed, life: 0 }, savesMade)].flatMap((step) => step.saves);
  let whole: Store;

  beforeAll(async () => {
    whole = await storeOf(saves);
  });

  test('a sound store passes, in one answer and in two', async () => {
    expect(whole.found.groups).toHaveLength(savesMade);
    expect((await judged(whole.acknowledged, whole.found)).faults).toEqual([]);
    const half = await storeOf(saves.slice(0, 20));
    const rest = { ...whole.found, groups: whole.found.groups.slice(20) };
    expect((await judged(whole.acknowledged.slice(0, 20), half.found, rest)).faults).toEqual([]);
  });

  test('a store that never acknowledged its last saves may hold them or not', async () => {
    expect((await judged(whole.acknowledged.slice(0, 30), whole.found)).faults).toEqual([]);
    const shorter = await storeOf(saves.slice(0, 30));
    expect((await judged(whole.acknowledged.slice(0, 30), shorter.found)).faults).toEqual([]);
  });

  test('acknowledged saves that are gone are lost, each once', async () => {
    const shorter = await storeOf(saves.slice(0, 37));
    const judge = await judged(whole.acknowledged, shorter.found);
    expect([kindsOf(judge), judge.lost]).toEqual([['lost'], 3]);
  });

  test('a store that cannot be read has lost all it acknowledged', async () => {
    const judge = await judged(whole.acknowledged);
    judge.unreachable('corrupt');
    expect([kindsOf(judge), judge.lost]).toEqual([['lost'], savesMade]);
  });

  test('rows of an uncommitted save: torn, and lost for the group whose rows they cover', async () => {
    const stock = whole.found.stock.map((row, item) => (item === 5 ? [5, 999_999, 1] : row));
    const judge = await judged(whole.acknowledged, { ...whole.found, stock });
    expect([kindsOf(judge), judge.lost]).toEqual([['lost', 'torn'], 1]);
  });

  test('the same id at two places of the log, or acknowledged at two', async () => {
    const twice = await storeOf([...saves, saves[3] as Save]);
    expect(kindsOf(await judged([], { ...twice.found, groupCount: savesMade }))).toContain('doubled');
    const [first] = whole.acknowledged as readonly [Acknowledged];
    expect(kindsOf(await judged([...whole.acknowledged, { ...first, lastSeq: first.lastSeq + 1 }]))).toEqual(['doubled']);
  });

  const without = (found: Found, at: number): Found => ({ ...found, groups: found.groups.filter((_, i) => i !== at) });
  const with1 = ({ found }: Store, at: number, change: Partial<FoundGroup>): Found => ({
    ...found,
    groups: found.groups.map((group, i) => (i === at ? { ...group, ...change } : group)),
  });

  test.each<readonly [fault: string, says: string, change: (store: Store) => Found]>([
    ['a gap in the seqs', ' after ', ({ found }) => without(found, 9)],
    ['a broken link', 'its link does not name the group before it', ({ found }) => without(found, 9)],
    ['a group beside the chain', 'groups in the log', ({ found }) => ({ ...found, groupCount: savesMade + 1 })],
    ['the body of another group', 'not its header', (store) => with1(store, 9, { body: store.found.groups[10]?.body ?? '' })],
    ['a salt that changed', 'not its header', (store) => with1(store, 9, { salt: '00'.repeat(16) })],
    ['no seal at the head', 'no seal at the head', (store) => with1(store, savesMade - 1, { seal: '' })],
    ['the seal of another head', 'seal at the head:', (store) => with1(store, savesMade - 1, { seal: store.found.groups[9]?.seal ?? '' })],
    ['pages that do not add up', 'integrity_check', ({ found }) => ({ ...found, integrity: ['row 3 missing from index'] })],
    ['a row nobody wrote', 'table line', ({ found }) => ({ ...found, line: [...found.line, ['x', 'y', 1, 1]] })],
  ])('torn: %s', async (_fault, says, change) => {
    const { faults } = await judged([], change(whole));
    expect(faults.filter(({ kind, what }) => kind === 'torn' && what.includes(says))).not.toEqual([]);
  });

  test('torn: a group nobody asked for, and one that holds other ops than were asked', async () => {
    const strange = { group: 'f'.repeat(32), ops: [['sale.removed', { sale: 'x' }]] } as const;
    expect(kindsOf(await judged([], (await storeOf([...saves, strange])).found))).toEqual(['torn']);
    const altered = saves.map((save, i) => (i === 4 ? { ...save, ops: strange.ops } : save));
    expect(kindsOf(await judged([], (await storeOf(altered)).found))).toContain('torn');
  });
});
