// Every decoder of stored or sent bytes, with samples it must take. decoders.test.ts holds each to the same promises.
import { type Bytes, bytesToHex, hexToBytes, utf8 } from '../../../kernel/bytes.ts';
import { decodeCheckpoint } from '../../../kernel/checkpoint.ts';
import { decodeGroupHeader, encodeGroupHeader } from '../../../kernel/commit-group.ts';
import { decodeControlEntry, decodeControlSlot } from '../../../kernel/control/entry.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import { decodeOps, encodeOps } from '../../../kernel/op-body.ts';
import { decodePush, encodePush } from '../../../kernel/push.ts';
import { decodeReceipt, encodeReceipt } from '../../../kernel/receipt.ts';
import { decodeFrames, encodeFrames } from '../../../kernel/relay-api.ts';
import { encodePackedRun, readPackedRun, unpackRun } from '../../../kernel/run.ts';
import { encodeSeal, readSeal } from '../../../kernel/seal.ts';
import { decodeSlotObject } from '../../../kernel/segment.ts';
import { decodeTail, encodeTail } from '../../../kernel/tail.ts';
import type { ShardId } from '../../../kernel/units.ts';
import { webDeflate } from '../../../kernel/web/web-deflate.ts';
import { type ObjectKind, Reader } from '../../../kernel/wire.ts';
import { readJson } from '../../vectors/fixtures.ts';
import { type LayoutName, layouts } from '../../vectors/layouts.ts';
import type { FormatVector } from '../../vectors/make-format.ts';

const vectors = readJson<readonly FormatVector[]>('tests/vectors/format.json');

/** Bytes of a worked example. */
export function vector(name: string): Bytes {
  const found = vectors.find((known) => known.name === name);
  if (found === undefined) throw new Error(`no vector ${name}`);
  return found.hex === undefined ? utf8(found.text ?? '') : hexToBytes(found.hex);
}

export interface DecoderCase {
  readonly name: string;
  readonly sample: Bytes;
  /** Set when the object begins with a preamble. */
  readonly kind?: ObjectKind;
  readonly layout?: LayoutName;
  /** Decodes wholly; the value is what `encode` takes. */
  readonly decode: (bytes: Bytes) => unknown;
  readonly encode?: (value: never) => Bytes;
}

const whole =
  <T>(read: (reader: Reader) => T, name: string) =>
  (bytes: Uint8Array): T => {
    const reader = new Reader(bytes, name);
    const value = read(reader);
    reader.end();
    return value;
  };

const body = vector('body');

export const decoders: readonly DecoderCase[] = [
  {
    name: 'group header',
    sample: vector('group-header'),
    kind: 'group',
    layout: 'group-header',
    decode: (bytes) => decodeGroupHeader(bytes, 'header'),
    encode: encodeGroupHeader,
  },
  {
    name: 'body',
    sample: body,
    decode: (bytes) => decodeOps(bytes, 1, 'body'),
    encode: (ops) => encodeOps(ops, 'body'),
  },
  { name: 'seal', sample: vector('seal'), layout: 'seal', decode: whole(readSeal, 'seal'), encode: encodeSeal },
  {
    name: 'run, raw',
    sample: vector('run-raw'),
    layout: 'run',
    decode: whole(readPackedRun, 'run'),
    encode: encodePackedRun,
  },
  {
    name: 'run, deflated',
    sample: vector('run-deflated'),
    layout: 'run',
    decode: whole(readPackedRun, 'run'),
    encode: encodePackedRun,
  },
  {
    name: 'segment',
    sample: vector('segment'),
    kind: 'segment',
    layout: 'segment',
    decode: (bytes) => decodeSlotObject(bytes, 'segment'),
  },
  {
    name: 'fence',
    sample: vector('fence'),
    kind: 'fence',
    layout: 'fence',
    decode: (bytes) => decodeSlotObject(bytes, 'fence'),
  },
  {
    name: 'receipt',
    sample: vector('receipt'),
    kind: 'receipt',
    layout: 'receipt',
    decode: (bytes) => decodeReceipt(bytes, 'receipt'),
    encode: encodeReceipt,
  },
  {
    name: 'tail',
    sample: vector('tail'),
    kind: 'tail',
    layout: 'tail',
    decode: (bytes) => decodeTail(bytes, 'tail'),
    encode: encodeTail,
  },
  {
    name: 'push with a receipt',
    sample: vector('push'),
    kind: 'push',
    layout: 'push',
    decode: decodePush,
    encode: ({ shard, receipt, encodedRun }: ReturnType<typeof decodePush>) =>
      encodePush(shard, receipt && encodeReceipt(receipt), encodedRun),
  },
  {
    name: 'push without a receipt',
    sample: encodePush(vector('shard-id') as unknown as ShardId, undefined, vector('run-raw')),
    kind: 'push',
    decode: decodePush,
    encode: ({ shard, encodedRun }: ReturnType<typeof decodePush>) => encodePush(shard, undefined, encodedRun),
  },
  {
    name: 'control entry',
    sample: vector('control-entry'),
    kind: 'controlEntry',
    layout: 'control-entry',
    decode: (bytes) => decodeControlEntry(bytes, 'entry'),
  },
  {
    name: 'control slot',
    sample: vector('control-slot'),
    kind: 'controlSlot',
    layout: 'control-slot',
    decode: (bytes) => decodeControlSlot(bytes, 'slot'),
  },
  {
    name: 'checkpoint statement',
    sample: vector('checkpoint'),
    kind: 'checkpoint',
    layout: 'checkpoint',
    decode: (bytes) => decodeCheckpoint(bytes, 'checkpoint'),
  },
  {
    name: 'records of a run',
    sample: vector('records-inflated'),
    decode: (bytes) => {
      const run = readPackedRun(new Reader(vector('run-deflated'), 'run'));
      const packed = { ...run, packing: 'raw', recordsLength: bytes.length, records: bytes } as const;
      return unpackRun(webDeflate, vector('shard-id') as unknown as ShardId, packed, 'run');
    },
  },
  {
    name: 'frames',
    sample: encodeFrames([vector('receipt'), new Uint8Array(0), Uint8Array.of(1)]),
    decode: (bytes) => decodeFrames(bytes, 'frames'),
    encode: encodeFrames,
  },
];

/** Where the fixed-size fields of a sample begin, by its layout in the sample. */
export function fieldsOf({ layout, sample }: DecoderCase): readonly { field: string; at: number; size: number }[] {
  if (layout === undefined) return [];
  const table: readonly (readonly [string, number | string])[] = layouts[layout];
  const fixed = table.reduce((sum, [, size]) => sum + (typeof size === 'number' ? size : 0), 0);
  const varying = table.filter(([, size]) => typeof size === 'string');
  let at = 0;
  return table.map(([field, size]) => {
    const isLast = field === varying.at(-1)?.[0];
    const receipt = field === 'receipt' ? 276 : 0;
    const rest = sample.length - fixed - (varying.length > 1 ? 276 : 0);
    const length = typeof size === 'number' ? size : isLast ? rest : receipt;
    const found = { field, at, size: length };
    at += length;
    return found;
  });
}

/** How decoding ended: a value, or the error. Anything but a FoldlogError is rethrown: the test fails with it. */
export async function ending(decode: () => unknown): Promise<{ value: unknown } | { error: FoldlogError }> {
  try {
    return { value: await decode() };
  } catch (error) {
    if (!(error instanceof FoldlogError)) throw error;
    return { error };
  }
}

export const kindOf = async (decode: () => unknown): Promise<string> => {
  const found = await ending(decode);
  return 'error' in found ? `${found.error.kind} ${found.error.reason}` : 'value';
};

export const describeBytes = (bytes: Uint8Array): string => bytesToHex(bytes);
