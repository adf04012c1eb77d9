// One bit of what a device stored is flipped, in every region of every file, and the device starts again. Then either everything acknowledged is there,
// or opening says `corrupt` and left the files alone, which is shown by flipping the bit back. Only values in the state's own tables may be served
// wrong for a while: until the audit, which must find each of them.

import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { type GroupId, groupId } from '../../kernel/units.ts';
import type { OpInput } from '../../shards/define.ts';
import { defineShard, int, op, table, text } from '../../shards/index.ts';
import type { GroupPlace } from '../../worker/engine/chain-log.ts';
import type { OwnShard } from '../../worker/engine/own-shard.ts';
import type { Backend } from '../../worker/engine/storage-pool.ts';
import { diskFlips, type Flip, filesIn, pageFlips, pageOwners } from '../sim/damage.ts';
import { SimDevice } from '../sim/sim-device.ts';
import { SimWorld } from '../sim/sim-world.ts';

const handle = 'ledger/till-1';
const seed = 41;

/** Rows that come, change and go, so that the file has free pages; an index; bodies that overflow a page. */
const ledger = defineShard('ledger', {
  version: 1,
  tables: { entry: table({ id: int(), cents: int(), note: text() }, { key: ['id'], indexes: [['cents']] }) },
  ops: {
    'entry.put': op(v.object({ id: v.number(), cents: v.number(), note: v.string() }), (db, { id, cents, note }) => {
      db.run('INSERT INTO entry VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET cents = excluded.cents, note = excluded.note', [
        id,
        cents,
        note,
      ]);
    }),
    'entry.drop': op(v.object({ below: v.number() }), (db, { below }) => db.run('DELETE FROM entry WHERE id < ?', [below])),
  },
});

type Row = readonly [id: number, cents: number, note: string];

/** What was acknowledged: group ids with their last seq, and the rows they come to, computed here. */
interface Kept {
  readonly groups: ReadonlyMap<string, number>;
  readonly rows: readonly Row[];
  readonly nextId: () => GroupId;
}

/** A device that stopped, with everything it stored; `restore` takes it back there. */
interface Stored {
  readonly device: SimDevice;
  readonly kept: Kept;
  readonly restore: () => void;
  readonly flips: readonly Flip[];
}

/** A day: sales, a clean close (so that the database file holds them), and sales after it that stand in the WAL alone when the process dies. */
async function storeSome(backend: Backend, bitsPerSpot: number): Promise<Stored> {
  const world = new SimWorld(seed);
  const device = new SimDevice(world, 'till', [ledger], undefined, { backend });
  const random = world.random('ids');
  const nextId = (): GroupId => groupId(random.bytes(16));
  const groups = new Map<string, number>();
  const rows = new Map<number, Row>();
  const save = async (input: OpInput): Promise<void> => {
    const group = nextId();
    const place = await device.engine.shard(handle).save(group, { kind: 'ops', inputs: [input] });
    groups.set(bytesToHex(group), place.lastSeq);
  };
  const put = async (id: number, note: string): Promise<void> => {
    await save(['entry.put', { id, cents: id * 7, note }]);
    rows.set(id, [id, id * 7, note]);
  };
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  await device.engine.openShard('ledger', 'till-1');
  for (let id = 0; id < 90; id++) await put(id, `${id}`.repeat(id % 9 === 0 ? 900 : 20));
  await save(['entry.drop', { below: 45 }]);
  for (let id = 0; id < 45; id++) rows.delete(id);
  await device.engine.close();
  await device.boot();
  await device.engine.openShard('ledger', 'till-1');
  const owners = await pageOwners(device, handle);
  for (let id = 90; id < 100; id++) await put(id, `${id}`.repeat(30));
  device.stop('kill');
  const sorted = [...rows.values()].sort(([a], [b]) => a - b);
  const draw = world.stream('flips');
  const damage = backend === 'opfs-pool' ? diskFlips(device.disk, owners, draw, bitsPerSpot) : pageFlips(device.pages, draw, bitsPerSpot);
  const markers = await device.vault.markers();
  const restore = (): void => {
    damage.restore();
    device.vault.load(markers);
  };
  return { device, kept: { groups, rows: sorted, nextId }, flips: damage.flips, restore };
}

/** `found`: something differed from what was acknowledged, and the audit said so. */
type Ending = { readonly kind: 'whole' | 'found' } | { readonly kind: 'refused'; readonly error: FoldlogError };

async function startAgain({ device, kept }: Stored): Promise<Ending> {
  try {
    await device.boot();
    await device.engine.openShard('ledger', 'till-1');
  } catch (error) {
    if (error instanceof FoldlogError && (error.kind === 'corrupt' || error.kind === 'upgradeNeeded')) return { kind: 'refused', error };
    throw error;
  }
  const shard = device.engine.shard(handle);
  const wrong = await whatIsWrong(shard, kept);
  // A save that stood on fewer groups than were acknowledged would sign a seq for the second time.
  const place = await shard.save(kept.nextId(), { kind: 'ops', inputs: [['entry.put', { id: 1_000, cents: 1, note: 'next' }]] });
  expect(place.firstSeq).toBe(kept.groups.size + 1);
  const [report] = await device.engine.audit();
  if (wrong === undefined) return { kind: 'whole' };
  if (report?.verdict.kind !== 'damaged') throw new Error(`${wrong}, and the audit calls it ${report?.verdict.kind}`);
  if (report.verdict.part === 'state') expect(await rowsOf(shard, 1_000)).toEqual(kept.rows); // filled anew from the log
  return { kind: 'found' };
}

/** Every group in its place, every row as it was; undefined when all is right. */
async function whatIsWrong(shard: OwnShard, kept: Kept): Promise<string | undefined> {
  for (const [id, lastSeq] of kept.groups) {
    const found = await shard.find(groupId(Uint8Array.from(Buffer.from(id, 'hex')))).catch((error: unknown) => error);
    if (found instanceof FoldlogError && found.kind === 'corrupt') return found.reason;
    const place = found as GroupPlace | undefined;
    if (place?.lastSeq !== lastSeq) return `group ${id} of seq ${lastSeq} is ${place === undefined ? 'gone' : `at ${place.lastSeq}`}`;
  }
  const isSame = JSON.stringify(await rowsOf(shard, 1_000)) === JSON.stringify(kept.rows);
  return isSame ? undefined : 'other rows';
}

async function rowsOf(shard: OwnShard, below: number): Promise<readonly unknown[]> {
  const [rows = []] = await shard.read([{ text: 'SELECT id, cents, note FROM entry WHERE id < ? ORDER BY id', params: [below] }]);
  return rows.map(({ id, cents, note }) => [id, cents, note]);
}

/** Flips, starts again, and answers what came of it; a refusal is flipped back and must be whole then. */
async function flipAndStart(stored: Stored, { flip }: Flip): Promise<string> {
  const { device, restore } = stored;
  restore();
  flip();
  const ending = await startAgain(stored);
  device.stop('kill');
  if (ending.kind !== 'refused') return ending.kind;
  flip();
  const again = await startAgain(stored);
  device.stop('kill');
  if (again.kind !== 'whole') throw new Error(`${ending.error.reason}; flipped back it is ${again.kind}`);
  return ending.error.reason;
}

/** How starts ended, by region. */
async function sweep(stored: Stored): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const seen = new Map<string, Set<string>>();
  const failures: string[] = [];
  for (const flip of stored.flips) {
    try {
      seen.set(flip.region, (seen.get(flip.region) ?? new Set()).add(await flipAndStart(stored, flip)));
    } catch (error) {
      failures.push(`${flip.region}, ${flip.where}: ${error}`);
      stored.device.stop('kill');
    }
  }
  expect(failures).toEqual([]);
  return seen;
}

const endingsOf = (seen: ReadonlyMap<string, ReadonlySet<string>>, region: RegExp): readonly string[] =>
  [...new Set([...seen].filter(([name]) => region.test(name)).flatMap(([, endings]) => [...endings]))].sort();

describe(`one flipped bit, seed ${seed}`, () => {
  test('over the OPFS pool never gives an empty shard, fewer groups, or wrong rows that nobody finds', async () => {
    const seen = await sweep(await storeSome('opfs-pool', 3));
    // Opening reads a file of this size whole; what is left to the audit are values that contradict no structure.
    const left = [...seen].filter(([, endings]) => endings.has('found')).map(([region]) => region);
    for (const region of left) expect(region).toMatch(/page of (entry|foldlog_group|foldlog_id)/);
    expect(left.length).toBeGreaterThan(0);
    // What SQLite or the pool would have answered with an older or an empty file.
    expect(endingsOf(seen, /shard-1.*slot/)).toEqual(['damagedSlot']);
    expect(endingsOf(seen, /shard-1.*wal (header|frame)/)).toEqual(['damagedWal']);
  }, 300_000);

  test('in the stored text of a table is told before anything is read by it', async () => {
    const stored = await storeSome('opfs-pool', 0);
    const { disk } = stored.device;
    const [path] = [...filesIn(disk.image())].find(([, file]) => /^\/s-.*\.db$/.test(file)) ?? [''];
    const at = Buffer.from(disk.image().get(path) ?? []).indexOf('"note" TEXT');
    expect(at).toBeGreaterThan(0);
    for (const [letter, bit] of [
      [1, 0],
      [2, 1],
      [8, 2],
    ] as const) {
      const flip = { region: 'schema text', where: `letter ${letter}`, flip: () => disk.flipBit(path, at + letter, bit) };
      expect(await flipAndStart(stored, flip)).toMatch(/damagedSchema|damagedFile/);
    }
  });

  test('in the header, where SQLite calls the file an error of the caller, is told as damage', async () => {
    const stored = await storeSome('opfs-pool', 0);
    const { disk } = stored.device;
    // Schema format and text encoding; the workspace file has no WAL here that would stand in for its first page.
    const [path] = [...filesIn(disk.image())].find(([, file]) => file === '/workspace.db') ?? [''];
    for (const [at, bit] of [
      [47, 3],
      [47, 1],
      [59, 1],
    ] as const) {
      const flip = { region: 'header', where: `byte ${at}`, flip: () => disk.flipBit(path, 4096 + at, bit) };
      expect(await flipAndStart(stored, flip), `byte ${at}, bit ${bit}`).toBe('damagedFile');
    }
  });

  test('over IndexedDB is always told, whatever it hits', async () => {
    const seen = await sweep(await storeSome('indexeddb', 3));
    expect(seen.size).toBeGreaterThan(10);
    expect(endingsOf(seen, /./)).toEqual(['damagedPage', 'damagedRecord']);
  }, 300_000);
});
