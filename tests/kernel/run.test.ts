import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bytes, concatBytes } from '../../kernel/bytes.ts';
import { type CommitGroup, headOf, linkGroup } from '../../kernel/commit-group.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { inflateRatioMax, runBytesMax, runGroupsMax } from '../../kernel/limits.ts';
import {
  encodePackedRun,
  isSameHead,
  isSameRun,
  type PackedRun,
  packRun,
  readPackedRun,
  recordBytesOf,
  requireLink,
  unpackRun,
  verifyRun,
} from '../../kernel/run.ts';
import { makeSeal } from '../../kernel/seal.ts';
import {
  chainStart,
  epoch,
  groupId,
  type Hash,
  type Head,
  integerMax,
  noHash,
  type Seq,
  seq,
  shardId,
  timeMs,
} from '../../kernel/units.ts';
import { webVerifier } from '../../kernel/web/web-crypto.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { Reader } from '../../kernel/wire.ts';
import { fill, owner, till, tillShard } from '../vectors/cast.ts';
import { fixedDeflate } from '../vectors/fixed-deflate.ts';
import { anyChain } from './support/arbitraries.ts';

const believed = { controlHead: noHash, headsSeen: noHash };
const verifier = webVerifier();
const start: Head = { seq: seq(10), hash: fill(0xaa, 32) as Hash };

async function sealed(groups: readonly CommitGroup[], after = start, signer = till): Promise<PackedRun> {
  const head = headOf(groups.at(-1) as CommitGroup);
  const seal = await makeSeal(signer, { shard: tillShard, epoch: epoch(1), head }, believed);
  return packRun(webDeflate, after, groups, seal);
}

const read = (bytes: Uint8Array): PackedRun => {
  const reader = new Reader(bytes, 'run');
  const run = readPackedRun(reader);
  reader.end();
  return run;
};
const unpack = (run: PackedRun, shard = tillShard) => unpackRun(webDeflate, shard, run, 'run');
const verify = async (run: PackedRun, head = start, writer = till.publicKey, shard = tillShard) =>
  verifyRun(verifier, { head, writer }, await unpack(run, shard), 'run');
const corrupt = (reason: string) => expect.objectContaining({ kind: 'corrupt', reason });

const chain = (count: number, after = start): readonly CommitGroup[] => {
  const groups: CommitGroup[] = [];
  let head = after;
  for (let i = 0; i < count; i++) {
    const body = new TextEncoder().encode(`[["sale.completed",1,{"sku":"tea","line":${i}}]]`);
    const salt = fill(0x80 + i, 16);
    const group = linkGroup({
      shard: tillShard,
      epoch: epoch(1),
      after: head,
      opCount: 1,
      time: timeMs(i),
      id: groupId(fill(i, 16)),
      salt,
      body,
    });
    groups.push(group);
    head = headOf(group);
  }
  return groups;
};

describe('packing', () => {
  test('any run comes back, erased groups too, and verifies', async () => {
    await fc.assert(
      fc.asyncProperty(anyChain(tillShard, start), async (groups) => {
        const packed = await sealed(groups);
        const again = read(encodePackedRun(packed));
        expect(again).toEqual(packed);
        expect(encodePackedRun(again)).toEqual(encodePackedRun(packed));
        const run = await unpack(again);
        expect(run.groups).toEqual(groups);
        await verifyRun(verifier, { head: start, writer: till.publicKey }, run, 'run');
      }),
      { numRuns: 60 },
    );
  });

  test('records are deflated only when that saves something', async () => {
    const one = await sealed(chain(1));
    const many = await sealed(chain(50));
    const body = (chain(1)[0] as CommitGroup).header.bodyLength;
    expect(one.recordsLength).toBe(recordBytesOf(body));
    expect([one.packing === 'deflated', many.packing]).toEqual([one.records.length < one.recordsLength, 'deflated']);
    const incompressible = { ...webDeflate, deflate: async (bytes: Uint8Array) => new Uint8Array(bytes.length + 5) };
    expect((await packRun(incompressible, start, chain(50), many.seal)).packing).toBe('raw');
  });

  test('another deflate gives other bytes and the same run', async () => {
    const groups = chain(20);
    const one = await sealed(groups);
    const other = await packRun(fixedDeflate, start, groups, one.seal);
    expect(other.records).not.toEqual(one.records);
    expect(isSameRun(await unpack(one), await unpack(other))).toBe(true);
    await verify(other);
  });

  test('no groups, and more than a reader takes, are refused', async () => {
    const { seal } = await sealed(chain(1));
    const misuse = (reason: string) => ({ kind: 'misuse', reason });
    await expect(packRun(webDeflate, start, [], seal)).rejects.toMatchObject(misuse('emptyRun'));
    const [group] = chain(1);
    const tooMany = new Array<CommitGroup>(runGroupsMax + 1).fill(group as CommitGroup);
    await expect(packRun(webDeflate, start, tooMany, seal)).rejects.toMatchObject(misuse('runTooLarge'));
    const large = { ...(group as CommitGroup), content: { kind: 'whole', salt: fill(1, 16), body: new Uint8Array(runBytesMax) } as const };
    await expect(packRun(webDeflate, start, [large], seal)).rejects.toMatchObject(misuse('runTooLarge'));
  });
});

describe('verifying', () => {
  const groups = chain(4);

  test('a run by another key, of another shard or epoch is refused by its seal', async () => {
    const run = await sealed(groups);
    await verify(run);
    await expect(verify(run, start, owner.publicKey)).rejects.toThrow(corrupt('wrongSeal'));
    await expect(verify(run, start, till.publicKey, shardId(fill(1, 16)))).rejects.toThrow(corrupt('wrongSeal'));
    await expect(verify({ ...run, epoch: epoch(2) })).rejects.toThrow(corrupt('wrongSeal'));
    await expect(verify(await sealed(groups, start, owner))).rejects.toThrow(corrupt('wrongSeal'));
  });

  test('commit group is refused when its prev is not the head', async () => {
    const run = await sealed(groups);
    const seqOnly = { ...start, hash: fill(0xab, 32) as Hash };
    const hashOnly = { ...start, seq: seq(11) };
    for (const head of [seqOnly, hashOnly, chainStart]) await expect(verify(run, head)).rejects.toThrow(corrupt('brokenLink'));
  });

  test('groups left out, doubled, swapped or put on top are refused', async () => {
    const run = await sealed(groups);
    const [a, b, c, d] = groups as [CommitGroup, CommitGroup, CommitGroup, CommitGroup];
    for (const other of [
      [a, b, c],
      [a, b, d],
      [b, a, c, d],
      [a, b, b, c, d],
      [a, b, c, d, d],
      [b, c, d],
    ]) {
      const forged = await packRun(webDeflate, start, other, run.seal);
      await expect(verify(forged)).rejects.toThrow(corrupt('wrongSeal'));
    }
  });

  test('one flipped bit anywhere in a run is caught', async () => {
    const raw = await packRun(
      { ...webDeflate, deflate: async (bytes) => new Uint8Array(bytes) },
      start,
      groups.slice(0, 2),
      (await sealed(groups.slice(0, 2))).seal,
    );
    expect(raw.packing).toBe('raw');
    const bytes = encodePackedRun(raw);
    await verify(read(bytes));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const outcome = await verifyBytes(flipped);
      expect(outcome, `bit ${bit}`).toBe('corrupt');
    }
  });

  test('one flipped bit anywhere in a deflated run is caught, or is the same run', async () => {
    const groupsThere = groups.slice(0, 3);
    const bytes = encodePackedRun(await sealed(groupsThere));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const outcome = await verifyBytes(flipped);
      // Bits after the last code of a deflate stream mean nothing: the groups are then the very same.
      if (outcome !== 'corrupt') expect((await unpack(read(flipped))).groups, `bit ${bit}`).toEqual(groupsThere);
    }
  });

  test('an erased group verifies, one with another body hash does not', async () => {
    const [a, b, c] = groups as [CommitGroup, CommitGroup, CommitGroup];
    const gone = { ...b, content: { kind: 'erased' } } as const;
    const { seal } = await sealed([a, b, c]);
    const run = await packRun(webDeflate, start, [a, gone, c], seal);
    await verify(run);
    expect((await unpack(run)).groups[1]).toEqual(gone);
    const other = { ...gone, header: { ...gone.header, bodyHash: fill(1, 32) as Hash } };
    await expect(verify(await packRun(webDeflate, start, [a, other, c], seal))).rejects.toThrow(corrupt('wrongSeal'));
  });

  const verifyBytes = async (bytes: Bytes): Promise<string> => {
    try {
      await verify(read(bytes));
      return 'verified';
    } catch (error) {
      return error instanceof FoldlogError ? error.kind : String(error);
    }
  };
});

describe('reading what is hostile', () => {
  const whole = async (change: (view: DataView) => void, count = 3): Promise<Bytes> => {
    const bytes = encodePackedRun(await sealed(chain(count)));
    change(new DataView(bytes.buffer));
    return bytes;
  };

  test.each<readonly [string, (view: DataView) => void, string]>([
    ['epoch 0', (view) => view.setUint32(0, 0), 'outOfBounds'],
    ['first seq 0', (view) => view.setBigUint64(4, 0n), 'outOfBounds'],
    ['no groups', (view) => view.setUint32(44, 0), 'outOfBounds'],
    ['too many groups', (view) => view.setUint32(44, runGroupsMax + 1), 'outOfBounds'],
    ['another packing', (view) => view.setUint8(48, 2), 'badPacking'],
    ['a reserved byte', (view) => view.setUint8(51, 1), 'badReserved'],
    ['records beyond the bound', (view) => view.setUint32(52, runBytesMax + 1), 'outOfBounds'],
    ['no records', (view) => view.setUint32(52, 0), 'outOfBounds'],
    ['raw records of another length', (view) => view.setUint8(48, 0), 'badPacking'],
    ['more than deflate can do', (view) => view.setUint32(52, (view.byteLength - 204) * inflateRatioMax + 1), 'bomb'],
  ])('%s is corrupt', async (_what, change, reason) => {
    const bytes = await whole(change);
    expect(() => read(bytes)).toThrow(corrupt(reason));
  });

  test.each<readonly [string, (run: PackedRun) => PackedRun, string]>([
    ['more inflated than said', (run) => ({ ...run, recordsLength: run.recordsLength - 1 }), 'bomb'],
    ['less inflated than said', (run) => ({ ...run, recordsLength: run.recordsLength + 1 }), 'badPacking'],
    ['no deflate stream', (run) => ({ ...run, records: fill(0xff, run.records.length) }), 'badDeflate'],
    ['half a deflate stream', (run) => ({ ...run, records: run.records.slice(0, -3) }), 'badDeflate'],
    ['a byte after the deflate stream', (run) => ({ ...run, records: concatBytes(run.records, fill(0, 1)) }), 'badDeflate'],
    ['two deflate streams', (run) => ({ ...run, records: concatBytes(run.records, run.records) }), 'badDeflate'],
    ['fewer groups than records', (run) => ({ ...run, groupCount: run.groupCount - 1 }), 'trailingBytes'],
    ['more groups than records', (run) => ({ ...run, groupCount: run.groupCount + 1 }), 'truncated'],
    ['seqs that cannot be counted', (run) => ({ ...run, after: { ...run.after, seq: (integerMax - 1) as Seq } }), 'outOfBounds'],
  ])('%s is corrupt', async (_what, change, reason) => {
    const run = await sealed(chain(3));
    expect(run.packing).toBe('deflated');
    await expect(unpack(change(run))).rejects.toThrow(corrupt(reason));
  });

  test.each<readonly [string, number, number, string]>([
    ['another record kind', 0, 3, 'badRecord'],
    ['record kind 0', 0, 0, 'badRecord'],
    ['another codec', 1, 2, 'badCodec'],
    ['op count 0', 5, 0, 'outOfBounds'],
    ['op count beyond the bound', 2, 1, 'outOfBounds'],
    ['a body of one byte', 33, 1, 'outOfBounds'],
    ['a body beyond the bound', 30, 1, 'outOfBounds'],
  ])('a record with %s is corrupt', async (_what, at, value, reason) => {
    const run = await sealed(chain(1));
    const records = (await unpackedRecords(run)).slice();
    records[at] = value;
    await expect(unpack({ ...run, packing: 'raw', records, recordsLength: records.length })).rejects.toThrow(corrupt(reason));
  });

  test('a bomb stops at what was said', async () => {
    const bomb = await webDeflate.deflate(new Uint8Array(64 * 1024 * 1024));
    const run = await sealed(chain(3));
    await expect(unpack({ ...run, records: bomb, recordsLength: 1000 })).rejects.toThrow(corrupt('bomb'));
  });

  const unpackedRecords = async (run: PackedRun): Promise<Bytes> =>
    run.packing === 'raw' ? run.records : webDeflate.inflate(run.records, run.recordsLength, 'test');
});

describe('comparing', () => {
  const a = { seq: seq(1), hash: fill(1, 32) as Hash };
  const b = { seq: seq(2), hash: fill(2, 32) as Hash };

  test('heads are the same by seq and hash', () => {
    expect([isSameHead(a, { ...a }), isSameHead(a, { ...a, seq: seq(2) }), isSameHead(a, { ...a, hash: b.hash })]).toEqual([
      true,
      false,
      false,
    ]);
  });

  test('runs are the same by where they begin and the head they reach', () => {
    expect(isSameRun({ after: a, head: b }, { after: { ...a, hash: b.hash }, head: b })).toBe(true);
    expect(isSameRun({ after: a, head: b }, { after: b, head: b })).toBe(false);
    expect(isSameRun({ after: a, head: b }, { after: a, head: a })).toBe(false);
  });

  test('a link holds or says both sides', () => {
    requireLink(a, { ...a }, 'push');
    expect(() => requireLink(a, b, 'push')).toThrow('push: found a run after seq 2 (02020202), expected one after seq 1 (01010101)');
  });

  test('the portable verifier says the same of a run', async () => {
    const run = await unpack(await sealed(chain(2)));
    await verifyRun(portableVerifier, { head: start, writer: till.publicKey }, run, 'run');
  });
});
