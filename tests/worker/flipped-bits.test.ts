// One bit of what a device stored is flipped, in every region of every file, and the device starts again. Then either everything acknowledged is there,
// or opening says `corrupt` and left the files alone, which is shown by flipping the bit back. Only values in the state's own tables may be served
// wrong for a while: until the audit, which must find each of them.

import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { bytesToHex } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { type GroupId, groupId } from '../../kernel/units.ts';
import { defineShard, int, op, table, text } from '../../shards/index.ts';
import { pageOwners, type Spot, spotsIn } from '../sim/damage.ts';
import { SimDevice } from '../sim/sim-device.ts';
import type { DiskImage } from '../sim/sim-disk.ts';
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
  readonly image: DiskImage;
  readonly groups: ReadonlyMap<string, number>;
  readonly rows: readonly Row[];
  readonly spots: readonly Spot[];
  readonly nextId: () => GroupId;
}

interface Stored {
  readonly device: SimDevice;
  readonly kept: Kept;
}

/** A day: sales, a clean close (so that the database file holds them), and sales after it that stand in the WAL alone when the process dies. */
async function storeSome(): Promise<Stored> {
  const world = new SimWorld(seed);
  const device = new SimDevice(world, 'till', [ledger], undefined);
  const random = world.random('ids');
  const nextId = (): GroupId => groupId(random.bytes(16));
  const groups = new Map<string, number>();
  const rows = new Map<number, Row>();
  await device.boot();
  await device.engine.create({ workspace: 'acme', device: 'Till 1' });
  await device.engine.openShard('ledger', 'till-1');
  const put = async (id: number, note: string): Promise<void> => {
    const group = nextId();
    const place = await device.engine.shard(handle).save(group, { kind: 'ops', inputs: [['entry.put', { id, cents: id * 7, note }]] });
    groups.set(bytesToHex(group), place.lastSeq);
    rows.set(id, [id, id * 7, note]);
  };
  for (let id = 0; id < 90; id++) await put(id, `${id}`.repeat(id % 9 === 0 ? 900 : 20));
  const dropping = nextId();
  const dropped = await device.engine.shard(handle).save(dropping, { kind: 'ops', inputs: [['entry.drop', { below: 45 }]] });
  groups.set(bytesToHex(dropping), dropped.lastSeq);
  for (let id = 0; id < 45; id++) rows.delete(id);
  await device.engine.close();
  await device.boot();
  await device.engine.openShard('ledger', 'till-1');
  const owners = await pageOwners(device, handle);
  for (let id = 90; id < 100; id++) await put(id, `${id}`.repeat(30));
  device.stop('kill');
  const image = device.disk.image();
  const ownerOf = (file: string, page: number): string =>
    file.startsWith('/s-') ? (owners.get(page) ?? 'the free list') : 'the workspace';
  const sorted = [...rows.values()].sort(([a], [b]) => a - b);
  return { device, kept: { image, groups, rows: sorted, spots: spotsIn(image, ownerOf), nextId } };
}

/** `wrong`: rows differ from what was acknowledged while nothing said so. */
type Ending = { readonly kind: 'whole' | 'wrong' } | { readonly kind: 'refused'; readonly error: FoldlogError };

async function startAgain({ device, kept }: Stored): Promise<Ending> {
  try {
    await device.boot();
    await device.engine.openShard('ledger', 'till-1');
  } catch (error) {
    if (error instanceof FoldlogError && (error.kind === 'corrupt' || error.kind === 'upgradeNeeded')) return { kind: 'refused', error };
    throw error;
  }
  const shard = device.engine.shard(handle);
  // Every group in its place, and the next save after all of them.
  for (const [id, lastSeq] of kept.groups) {
    const found = await shard.find(groupId(Uint8Array.from(Buffer.from(id, 'hex'))));
    if (found?.lastSeq !== lastSeq)
      throw new Error(`group ${id} of seq ${lastSeq} is ${found === undefined ? 'gone' : `at ${found.lastSeq}`}`);
  }
  const [rows = []] = await shard.read([{ text: 'SELECT id, cents, note FROM entry ORDER BY id', params: [] }]);
  const isSame = JSON.stringify(rows.map(({ id, cents, note }) => [id, cents, note])) === JSON.stringify(kept.rows);
  const place = await shard.save(kept.nextId(), { kind: 'ops', inputs: [['entry.put', { id: 1_000, cents: 1, note: 'next' }]] });
  expect(place.firstSeq).toBe(kept.groups.size + 1);
  return { kind: isSame ? 'whole' : 'wrong' };
}

/** Some bits of a spot: its ends, where counts and pointers stand, and seeded ones between. */
function bitsOf(spot: Spot, random: () => number, count: number): readonly { readonly at: number; readonly bit: number }[] {
  return Array.from({ length: count }, (_, i) => ({
    at: spot.from + (i === 0 ? Math.floor(random() * Math.min(spot.length, 12)) : Math.floor(random() * spot.length)),
    bit: Math.floor(random() * 8),
  }));
}

/** Of the many pages and frames of one region the first, the last and some between. */
function chosen(spots: readonly Spot[], random: () => number): readonly Spot[] {
  const regions = [...new Set(spots.map(({ region }) => region))];
  return regions.flatMap((region) => {
    const some = spots.filter((spot) => spot.region === region);
    return some.length <= 3 ? some : [some[0] as Spot, some[Math.floor(random() * some.length)] as Spot, some.at(-1) as Spot];
  });
}

/** Flips, starts again, and answers what came of it; a refusal is flipped back and must be whole then. */
async function flipAndStart(stored: Stored, spot: Spot, at: number, bit: number): Promise<string> {
  const { device, kept } = stored;
  device.disk.load(kept.image);
  device.disk.flipBit(spot.path, at, bit);
  const ending = await startAgain(stored);
  device.stop('kill');
  if (ending.kind !== 'refused') return ending.kind;
  device.disk.flipBit(spot.path, at, bit);
  const again = await startAgain(stored);
  device.stop('kill');
  if (again.kind !== 'whole') throw new Error(`${ending.error.reason}; flipped back it is ${again.kind}`);
  return ending.error.reason;
}

describe('one flipped bit over the OPFS pool', () => {
  test(`never gives an empty shard, fewer groups or wrong rows that nobody finds: seed ${seed}`, async () => {
    const stored = await storeSome();
    const random = new SimWorld(seed).stream('flips');
    const seen = new Map<string, Set<string>>();
    const failures: string[] = [];
    for (const spot of chosen(stored.kept.spots, random)) {
      for (const { at, bit } of bitsOf(spot, random, 3)) {
        try {
          const ending = await flipAndStart(stored, spot, at, bit);
          seen.set(spot.region, (seen.get(spot.region) ?? new Set()).add(ending));
        } catch (error) {
          failures.push(`${spot.region}, byte ${at - spot.from}, bit ${bit}: ${error}`);
          stored.device.stop('kill');
        }
      }
    }
    console.log([...seen].map(([region, ends]) => `${region}: ${[...ends].join(', ')}`).join('\n'));
    expect(failures).toEqual([]);
    const wrong = [...seen].filter(([, ends]) => ends.has('wrong')).map(([region]) => region);
    for (const region of wrong) expect(region).toMatch(/page of entry/);
  }, 300_000);
});
