// What ops that were saved again do to a shard's state, and which groups are void: the same for who saves, who follows and who folds from genesis.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { groupBodyBytesMax } from '../../kernel/limits.ts';
import { decodeOps, encodeOps, type Op } from '../../kernel/op-body.ts';
import { readStrandedBody, rebasedBody } from '../../kernel/rebased-body.ts';
import { type Origin, type RebasedOp, systemOp } from '../../kernel/system-ops.ts';
import { epoch, groupId, hash, seq, shardId, slot, timeMs } from '../../kernel/units.ts';
import { Database } from '../../worker/engine/database.ts';
import { Folder } from '../../worker/engine/fold.ts';
import { imageDdl } from '../../worker/engine/image.ts';
import { line, till } from '../sim/shop.ts';
import { bootSqlite } from '../sim/sim-sqlite.ts';

const shard = shardId(new Uint8Array(16).fill(7));
const origin = (firstSeq: number, lastSeq: number, inEpoch = 1): Origin => ({
  shard,
  epoch: epoch(inEpoch),
  firstSeq: seq(firstSeq),
  lastSeq: seq(lastSeq),
});
const rebased = (from: Origin, change: Partial<RebasedOp> = {}): RebasedOp => ({
  ...{ kind: 'rebased', from, cut: seq(5), controlSlot: slot(3), born: undefined, attest: undefined },
  ...change,
});

const sale = (name: string): Op => {
  const [className, payload] = line(name, 'sku');
  return { class: className, version: 1, payload };
};

class Shard {
  readonly db: Database;
  readonly #folder: Folder;
  #sales = 0;

  constructor(db: Database) {
    this.db = db;
    for (const statement of imageDdl(till)) db.exec(statement);
    this.#folder = new Folder(till, db);
  }

  static async open(): Promise<Shard> {
    const sqlite3 = await bootSqlite();
    return new Shard(new Database(sqlite3, new sqlite3.oo1.DB(':memory:', 'c'), 'memory'));
  }

  /** Folds a group of `front` and as many sales. */
  fold(front: readonly Op[], sales: number, behind: readonly Op[] = []): 'folded' | 'void' {
    const ops = [...front, ...Array.from({ length: sales }, () => sale(`s${this.#sales++}`)), ...behind];
    const body = encodeOps(ops, 'test');
    const header = {
      ...{ shard, epoch: epoch(2), firstSeq: seq(100), opCount: ops.length, time: timeMs(1), id: groupId(new Uint8Array(16)) },
      ...{ prev: hash(new Uint8Array(32)), bodyHash: hash(new Uint8Array(32)), bodyLength: body.length, codec: 1 },
    };
    return this.#folder.foldGroup(header, body, 'test').kind;
  }

  get ranges(): readonly (readonly number[])[] {
    const rows = this.db.all<Record<string, number>>('SELECT epoch, first_seq, last_seq FROM foldlog_origin ORDER BY epoch, first_seq');
    return rows.map((row) => [row.epoch ?? 0, row.first_seq ?? 0, row.last_seq ?? 0]);
  }

  get sales(): number {
    return Number(this.db.value('SELECT count(*) FROM saleLine'));
  }
}

describe('a group saved again', () => {
  test('enters its range once; a second of the same or an overlapping range is void and changes nothing', async () => {
    const state = await Shard.open();
    expect(state.fold([systemOp(rebased(origin(6, 8)))], 3)).toBe('folded');
    for (const [first, last] of [
      [6, 8],
      [8, 9],
      [7, 7],
      [6, 12],
    ] as const) {
      expect(state.fold([systemOp(rebased(origin(first, last)))], last - first + 1)).toBe('void');
    }
    expect([state.ranges, state.sales]).toEqual([[[1, 6, 8]], 3]);
  });

  test('with `born`, it is that range which is taken, wherever it stood in between', async () => {
    const state = await Shard.open();
    const born = origin(6, 7);
    expect(state.fold([systemOp(rebased(origin(20, 22, 2), { cut: seq(15), born }))], 2)).toBe('folded');
    expect(state.fold([systemOp(rebased(born))], 2)).toBe('void');
    expect(state.fold([systemOp(rebased(origin(20, 21, 2), { cut: seq(15) }))], 2)).toBe('folded');
    expect(state.ranges).toEqual([
      [1, 6, 7],
      [2, 20, 21],
    ]);
  });

  const op = systemOp(rebased(origin(6, 7)));
  test.each<[string, readonly Op[], number, readonly Op[]]>([
    ['its op behind others', [], 2, [op]],
    ['two such ops', [op, systemOp(rebased(origin(9, 9)))], 2, []],
    ['fewer ops than seqs', [op], 1, []],
    ['more ops than seqs', [op], 3, []],
    ['a range at the cut', [systemOp(rebased(origin(5, 6)))], 2, []],
    ['a born range of another length', [systemOp(rebased(origin(20, 22), { born: origin(6, 9) }))], 2, []],
    ['a place without room for its op', [systemOp(rebased(origin(20, 21), { born: origin(6, 7) }))], 2, []],
    ['a payload of another shape', [{ class: 'foldlog.rebased', version: 1, payload: { cut: 1 } }], 2, []],
    ['nothing behind its op', [op], 0, []],
  ])('with %s is void for a reader, whatever else it says', async (_, front, sales, behind) => {
    const state = await Shard.open();
    expect(state.fold(front, sales, behind)).toBe('void');
    expect([state.ranges, state.sales]).toEqual([[], 0]);
  });

  test('ranges that touch are one row, in whatever order they come, and other epochs stay apart', async () => {
    const pieces = fc.shuffledSubarray(
      Array.from({ length: 12 }, (_, i) => i),
      { minLength: 1 },
    );
    await fc.assert(
      fc.asyncProperty(pieces, async (order) => {
        const state = await Shard.open();
        for (const piece of order) expect(state.fold([systemOp(rebased(origin(10 + 2 * piece, 11 + 2 * piece)))], 2)).toBe('folded');
        expect(state.fold([systemOp(rebased(origin(10, 11, 3)))], 2)).toBe('folded');
        const wanted: number[][] = [];
        for (const piece of order.toSorted((a, b) => a - b)) {
          const last = wanted.at(-1);
          if (last?.[2] === 9 + 2 * piece) last[2] += 2;
          else wanted.push([1, 10 + 2 * piece, 11 + 2 * piece]);
        }
        expect(state.ranges).toEqual([...wanted, [3, 10, 11]]);
      }),
      { numRuns: 25 },
    );
  });
});

describe('the body of a group saved again', () => {
  test('holds the ops as they were, byte for byte, behind the one op; moved once more, that op alone is another', () => {
    const payload = fc.jsonValue({ maxDepth: 3 }).filter((value) => {
      try {
        encodeOps([{ class: 'a', version: 1, payload: value as never }], 'test');
        return true;
      } catch {
        return false;
      }
    });
    const ops = fc.array(
      fc.record({ class: fc.constant('sale.line'), version: fc.integer({ min: 1, max: 9 }), payload }, { noNullPrototype: true }),
      {
        minLength: 1,
        maxLength: 5,
      },
    );
    fc.assert(
      fc.property(ops, (made) => {
        const body = encodeOps(made as readonly Op[], 'test');
        const once = rebasedBody(body, readStrandedBody(body, made.length, 'test'), rebased(origin(6, 5 + made.length)), 'test');
        const text = new TextDecoder().decode(once.body);
        expect(text.endsWith(`,${new TextDecoder().decode(body).slice(1)}`)).toBe(true);
        expect(decodeOps(once.body, made.length + 1, 'test')).toEqual(once.ops);
        const again = readStrandedBody(once.body, made.length + 1, 'test');
        const twice = rebasedBody(once.body, again, rebased(origin(9, 9 + made.length), { born: origin(6, 5 + made.length) }), 'test');
        expect(decodeOps(twice.body, made.length + 1, 'test').slice(1)).toEqual(once.ops.slice(1));
        expect(again.isSystemOnly).toBe(false);
      }),
    );
  });

  test('the largest group of an app has room for it', () => {
    const filler = (length: number): Op => ({ class: 'a', version: 1, payload: 'x'.repeat(length) });
    const body = encodeOps([filler(groupBodyBytesMax - 1024 - 14)], 'test');
    const whole = rebased(origin(2 ** 53 - 3, 2 ** 53 - 2, 2 ** 32 - 1), {
      ...{ cut: seq(2 ** 53 - 4), controlSlot: slot(2 ** 53 - 1), born: origin(2 ** 53 - 2, 2 ** 53 - 2, 2 ** 32 - 1) },
      attest: { key: new Uint8Array(16) as never, group: hash(new Uint8Array(32)), signature: new Uint8Array(64) as never },
    });
    expect(rebasedBody(body, readStrandedBody(body, 1, 'test'), whole, 'test').body.length).toBeLessThanOrEqual(groupBodyBytesMax);
  });
});
