// The kernel's decoders of stored and sent bytes as fuzz targets. Samples are the worked examples of docs/format.md.
import type { Random } from '../../bench/crash/random.ts';
import { type Bytes, concatBytes, textFromUtf8, utf8 } from '../../kernel/bytes.ts';
import { decodeCheckpoint } from '../../kernel/checkpoint.ts';
import { decodeGroupHeader, encodeGroupHeader, readCodec } from '../../kernel/commit-group.ts';
import { decodeControlEntry, decodeControlSlot } from '../../kernel/control/entry.ts';
import { runBytesMax } from '../../kernel/limits.ts';
import { decodeOps, encodeOps, type Op, parseCanonicalJson } from '../../kernel/op-body.ts';
import { decodePush, encodePush } from '../../kernel/push.ts';
import { readStrandedBody } from '../../kernel/rebased-body.ts';
import { decodeReceipt, encodeReceipt } from '../../kernel/receipt.ts';
import { decodeFrames, encodeFrames } from '../../kernel/relay-api.ts';
import { encodePackedRun, type PackedRun, packRun, type Run, readPackedRun, unpackRun } from '../../kernel/run.ts';
import { encodeSeal, readSeal } from '../../kernel/seal.ts';
import { decodeSignedFence, decodeSlotObject, encodeSignedFence, signedFenceBytes } from '../../kernel/segment.ts';
import { decodeTail, encodeTail } from '../../kernel/tail.ts';
import { webDeflate } from '../../kernel/web/web-deflate.ts';
import { Reader } from '../../kernel/wire.ts';
import { vector } from '../kernel/support/decoders.ts';
import { encodeCheckpoint, encodeControlEntry, encodeControlSlot, encodeSlotObject } from './encoders.ts';
import { anyJson } from './json-mutations.ts';
import { inRange, madeHeader, madeOps, madePush, madeReceipt, madeRun, madeSeal } from './made-values.ts';
import { anyBytes, isOneIn, mutatedBytes, oneOf } from './mutations.ts';
import { type BytesTarget, bytesTarget, ending, type Target, wordOf } from './targets.ts';

/** Reads exactly the bytes, as a whole. */
const whole =
  <T>(read: (reader: Reader) => T) =>
  (bytes: Bytes): T => {
    const reader = new Reader(bytes, 'fuzz');
    const value = read(reader);
    reader.end();
    return value;
  };

const runs = [vector('run-raw'), vector('run-deflated')];
const shard = decodePush(vector('push')).shard;
const controlTexts = ['acts-genesis', 'acts-relay', 'acts-invite', 'acts-device', 'acts-shard', 'acts-cut', 'acts-revoke'].map(vector);

/** A target that keeps the type of what it decodes to itself. */
const target = <T>(parts: BytesTarget<T>): Target<unknown> => bytesTarget(parts) as Target<unknown>;

export const byteTargets: readonly Target<unknown>[] = [
  target({
    name: 'group header',
    covers: ['decodeGroupHeader'],
    samples: [vector('group-header')],
    decode: (bytes) => decodeGroupHeader(bytes, 'fuzz'),
    encode: encodeGroupHeader,
    make: madeHeader,
  }),
  target<number>({
    name: 'codec of a body',
    covers: ['readCodec'],
    weight: 0.1,
    samples: [Uint8Array.of(1)],
    decode: whole(readCodec),
    encode: (codec) => Uint8Array.of(codec),
  }),
  target({
    name: 'body',
    covers: ['decodeOps'],
    weight: 2,
    samples: [vector('body'), encodeOps([{ class: 'a', version: 1, payload: null, id: 'x' }], 'fuzz')],
    // The count stands in the header, elsewhere: here it is the one that fits where any fits.
    decode: (bytes) => decodeOps(bytes, countOf(bytes), 'fuzz'),
    encode: (ops: readonly Op[]) => encodeOps(ops, 'fuzz'),
    make: madeOps,
  }),
  target({
    name: 'canonical JSON',
    covers: ['parseCanonicalJson'],
    samples: [...controlTexts, vector('body')],
    decode: (bytes) => parseCanonicalJson(bytes, 'fuzz'),
    encode: (value) => utf8(JSON.stringify(value)),
    make: anyJson,
  }),
  target({
    name: 'UTF-8',
    covers: ['textFromUtf8'],
    weight: 0.3,
    samples: [utf8('Käse 🧀 \u0000 \ufeff'), vector('body')],
    decode: (bytes) => textFromUtf8(bytes, 'fuzz'),
    encode: utf8,
  }),
  target({
    name: 'seal',
    covers: ['readSeal'],
    weight: 0.3,
    samples: [vector('seal')],
    decode: whole(readSeal),
    encode: encodeSeal,
    make: madeSeal,
  }),
  target({
    name: 'run, packed',
    covers: ['readPackedRun'],
    weight: 2,
    samples: runs,
    decode: whole(readPackedRun),
    encode: encodePackedRun,
    make: madeRun,
  }),
  target({
    name: 'run, unpacked',
    covers: ['unpackRun'],
    weight: 2,
    samples: runs,
    decode: async (bytes) => unpackRun(webDeflate, shard, whole(readPackedRun)(bytes), 'fuzz'),
    sizeMax: () => 4 * runBytesMax,
  }),
  recordsTarget(),
  target({
    name: 'segment and fence',
    covers: ['decodeSlotObject'],
    weight: 2,
    samples: [vector('segment'), vector('fence')],
    decode: (bytes) => decodeSlotObject(bytes, 'fuzz'),
    encode: encodeSlotObject,
  }),
  target({
    name: 'push',
    covers: ['decodePush'],
    weight: 2,
    samples: [vector('push'), encodePush(shard, undefined, vector('run-deflated'))],
    decode: decodePush,
    encode: ({ shard: to, receipt, encodedRun }) => encodePush(to, receipt && encodeReceipt(receipt), encodedRun),
    make: madePush,
  }),
  target({
    name: 'tail',
    covers: ['decodeTail'],
    samples: [vector('tail')],
    decode: (bytes) => decodeTail(bytes, 'fuzz'),
    encode: encodeTail,
  }),
  target({
    name: 'fence as its author sends it',
    covers: ['decodeSignedFence'],
    weight: 0.5,
    samples: [vector('fence').subarray(0, signedFenceBytes)],
    decode: (bytes) => decodeSignedFence(bytes, 'fuzz'),
    encode: encodeSignedFence,
  }),
  target({
    name: 'body of a group saved again',
    covers: ['readStrandedBody'],
    samples: [vector('body-rebased'), vector('body')],
    decode: (bytes) => readStrandedBody(bytes, countOf(bytes), 'fuzz'),
    encode: ({ ops }) => encodeOps(ops, 'fuzz'),
  }),
  target({
    name: 'receipt',
    covers: ['decodeReceipt'],
    samples: [vector('receipt')],
    decode: (bytes) => decodeReceipt(bytes, 'fuzz'),
    encode: encodeReceipt,
    make: madeReceipt,
  }),
  target({
    name: 'control entry',
    covers: ['decodeControlEntry'],
    weight: 2,
    samples: [vector('control-entry'), ...controlTexts.map((acts) => withActs(acts))],
    decode: (bytes) => decodeControlEntry(bytes, 'fuzz'),
    encode: encodeControlEntry,
  }),
  target({
    name: 'control slot',
    covers: ['decodeControlSlot'],
    samples: [vector('control-slot')],
    decode: (bytes) => decodeControlSlot(bytes, 'fuzz'),
    encode: encodeControlSlot,
  }),
  target({
    name: 'checkpoint statement',
    covers: ['decodeCheckpoint'],
    samples: [vector('checkpoint')],
    decode: (bytes) => decodeCheckpoint(bytes, 'fuzz'),
    encode: encodeCheckpoint,
  }),
  target({
    name: 'frames',
    covers: ['decodeFrames'],
    samples: [encodeFrames([vector('receipt'), new Uint8Array(0), Uint8Array.of(1)])],
    decode: (bytes) => decodeFrames(bytes, 'fuzz') as readonly Bytes[],
    encode: encodeFrames,
    make: (random) => Array.from({ length: random.between(0, 4) }, () => anyBytes(random, random.between(0, 40))),
  }),
  inflateTarget(),
];

/** As many as the list has, so that decoding goes beyond its first check; no header counts fewer than one. */
function countOf(body: Bytes): number {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(body));
    return Array.isArray(parsed) ? Math.max(1, parsed.length) : 1;
  } catch {
    return 1;
  }
}

/** The worked control entry with other acts; its signature is then wrong, which is not the decoder's to find. */
function withActs(acts: Bytes): Bytes {
  const entry = vector('control-entry');
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, acts.length);
  return concatBytes(entry.subarray(0, 8 + 32 + 32 + 16), length, acts, entry.subarray(-64));
}

/** Records of a run, as they stand when inflated: written back by packing the groups again. */
function recordsTarget(): Target<unknown> {
  const packed = whole(readPackedRun)(vector('run-deflated'));
  const asStored: PackedRun = { ...packed, packing: 'raw' };
  const unpacked = { deflate: async (bytes: Uint8Array) => bytes.slice(), inflate: webDeflate.inflate };
  return target<Run>({
    name: 'records of a run',
    covers: ['unpackRun'],
    weight: 2,
    samples: [vector('records-inflated'), concatBytes(vector('record-whole'), vector('record-erased')), vector('record-erased')],
    decode: async (bytes) => {
      // As many records as there are: the longest that decodes.
      for (const groupCount of [1, 2, 3]) {
        const run = { ...asStored, groupCount, recordsLength: bytes.length, records: bytes };
        const found = await ending(['corrupt', 'upgradeNeeded'], () => unpackRun(unpacked, shard, run, 'fuzz'));
        if ('value' in found) return found.value;
        if (groupCount === 3) throw found.error;
      }
      throw new Error('unreachable');
    },
    encode: async (run) => (await packRun(unpacked, run.after, run.groups, run.seal)).records,
    sizeMax: (bytes) => 40 * bytes.length + 16_384,
  });
}

interface Stream {
  readonly bytes: Bytes;
  readonly bytesMax: number;
}

/** Deflate streams of whatever length against a bound: never more comes out than was allowed. */
function inflateTarget(): Target<unknown> {
  const zeros = { bytes: undefined as Bytes | undefined };
  const inflate: Target<Stream> = {
    name: 'inflate',
    covers: [],
    weight: 0.5,
    describe: ({ bytes, bytesMax }) => `at most ${bytesMax} out of ${Buffer.from(bytes).toString('hex')}`,
    async input(random: Random) {
      zeros.bytes ??= await webDeflate.deflate(new Uint8Array(200_000));
      const plain = anyBytes(random, random.magnitude(300));
      const made = isOneIn(random, 6) ? zeros.bytes : await webDeflate.deflate(isOneIn(random, 2) ? plain : vector('records-inflated'));
      const bytes = isOneIn(random, 3) ? made : mutatedBytes(random, made, [zeros.bytes, vector('run-deflated')]);
      return { bytes, bytesMax: oneOf(random, [0, 1, plain.length, vector('records-inflated').length, inRange(random, 1, 300_000)]) };
    },
    async judge({ bytes, bytesMax }) {
      const found = await ending(['corrupt'], () => webDeflate.inflate(bytes, bytesMax, 'fuzz'));
      if ('error' in found) return wordOf(found.error);
      if (found.value.length > bytesMax) throw new Error(`${found.value.length} bytes came out, ${bytesMax} were allowed`);
      return 'value';
    },
  };
  return inflate as Target<unknown>;
}
