// Raw deflate by the host's CompressionStream (browsers, Node 18+, workerd). Inflating counts while it reads and stops at the bound,
// so a bomb costs no more than what was allowed.
// A stream must end where its bytes end: readers that differ there would differ on whether a segment is corrupt. The standard says
// so and browsers and workerd keep it; Node before 24 does not, so there its zlib, which tells how far it read, does the work.

import { type Bytes, concatBytes } from '../bytes.ts';
import { FoldlogError } from '../errors.ts';
import type { Deflate } from '../ports.ts';

export const webDeflate: Deflate = {
  async deflate(bytes) {
    return collect(new CompressionStream('deflate-raw'), bytes, Number.POSITIVE_INFINITY, 'deflate');
  },
  async inflate(bytes, bytesMax, where) {
    isStrictHost ??= refusesBytesAfterEnd();
    if (await isStrictHost) return collect(new DecompressionStream('deflate-raw'), bytes, bytesMax, where);
    return inflateByZlib(requireZlib(), bytes, bytesMax, where);
  },
};

let isStrictHost: Promise<boolean> | undefined;

/** Asks the host by an empty stream with one byte after its end. */
async function refusesBytesAfterEnd(): Promise<boolean> {
  try {
    await collect(new DecompressionStream('deflate-raw'), Uint8Array.of(0x03, 0x00, 0x00), 1, 'self-test');
    return false;
  } catch {
    return true;
  }
}

/** The part of Node's zlib used here; `bytesWritten` counts the bytes it took in. */
export interface Zlib {
  inflateRaw(
    bytes: Uint8Array,
    options: { readonly info: true; readonly maxOutputLength: number },
    done: (error: unknown, result: { readonly buffer: Uint8Array; readonly engine: { readonly bytesWritten: number } }) => void,
  ): void;
}

interface NodeLike {
  readonly process?: { readonly getBuiltinModule?: (name: string) => unknown };
}

/** @throws {FoldlogError} `unavailable` `laxInflate`: a host that is neither to standard nor Node */
export function requireZlib(host: NodeLike = globalThis as NodeLike): Zlib {
  const zlib = host.process?.getBuiltinModule?.('node:zlib');
  if (zlib !== undefined) return zlib as Zlib;
  throw new FoldlogError('unavailable', {
    where: 'inflate',
    reason: 'laxInflate',
    retry: 'never',
    found: 'a host that takes bytes after the end of a deflate stream',
    expected: 'one that refuses them',
    todo: 'update the browser or runtime',
  });
}

function inflateByZlib(zlib: Zlib, bytes: Uint8Array, bytesMax: number, where: string): Promise<Bytes> {
  return new Promise((resolve, reject) => {
    zlib.inflateRaw(bytes, { info: true, maxOutputLength: Math.max(1, bytesMax) }, (error, result) => {
      const isBomb = (error as { code?: unknown } | null)?.code === 'ERR_BUFFER_TOO_LARGE';
      if (isBomb || (!error && result.buffer.length > bytesMax)) return reject(bomb(where, bytesMax));
      if (error || result.engine.bytesWritten !== bytes.length) return reject(badDeflate(where, error));
      resolve(new Uint8Array(result.buffer));
    });
  });
}

const badDeflate = (where: string, cause: unknown): FoldlogError =>
  FoldlogError.corrupt({
    where,
    reason: 'badDeflate',
    found: 'bytes that do not inflate',
    expected: 'one raw deflate stream and nothing after it',
    cause,
  });

const bomb = (where: string, bytesMax: number): FoldlogError =>
  FoldlogError.corrupt({
    where,
    reason: 'bomb',
    found: `more than ${bytesMax} inflated bytes`,
    expected: `at most ${bytesMax}`,
  });

async function collect(
  stream: CompressionStream | DecompressionStream,
  bytes: Uint8Array,
  bytesMax: number,
  where: string,
): Promise<Bytes> {
  const writer = stream.writable.getWriter();
  // Both settle with the reader below: an error of the stream is reported there once.
  writer.write(bytes as Bytes).catch(() => undefined);
  writer.close().catch(() => undefined);
  const reader = (stream.readable as ReadableStream<Uint8Array>).getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    let step: ReadableStreamReadResult<Uint8Array>;
    try {
      step = await reader.read();
    } catch (cause) {
      throw badDeflate(where, cause);
    }
    if (step.done) return concatBytes(...parts);
    length += step.value.length;
    if (length > bytesMax) {
      await reader.cancel().catch(() => undefined);
      throw bomb(where, bytesMax);
    }
    parts.push(step.value);
  }
}
