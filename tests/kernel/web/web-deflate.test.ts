import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { concatBytes, isSameBytes, utf8 } from '../../../kernel/bytes.ts';
import { FoldlogError } from '../../../kernel/errors.ts';
import { requireZlib, webDeflate } from '../../../kernel/web/web-deflate.ts';
import { fill } from '../../vectors/cast.ts';

const raw = utf8('sale.completed '.repeat(500));
const packed = new Uint8Array(deflateRawSync(raw));
const corrupt = (reason: string) => ({ kind: 'corrupt', reason });

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

/** A fresh copy of the module, which asks the host again. */
const fresh = async () => (await import('../../../kernel/web/web-deflate.ts')).webDeflate;

/** Stands for the stream of browsers and workerd, which refuses what comes after the end. */
class StrictStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;

  constructor() {
    let output: ReadableStreamDefaultController<Uint8Array>;
    this.readable = new ReadableStream({
      start: (controller) => {
        output = controller;
      },
    });
    this.writable = new WritableStream({
      write: async (bytes) => {
        try {
          output.enqueue(await webDeflate.inflate(bytes, 128 * 1024 * 1024, 'strict host'));
          output.close();
        } catch (error) {
          output.error(error);
        }
      },
    });
  }
}

describe('deflate', () => {
  test('any bytes come back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) =>
        isSameBytes(await webDeflate.inflate(await webDeflate.deflate(bytes), bytes.length, 'test'), bytes),
      ),
      { numRuns: 50 },
    );
  });

  test('arbitrary bytes end with a value or a typed error, never in a hang', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const ended = await webDeflate.inflate(bytes, 10_000, 'test').catch((error: unknown) => error);
        return ended instanceof Uint8Array || (ended instanceof FoldlogError && ended.kind === 'corrupt');
      }),
      { numRuns: 200 },
    );
  });
});

/** Node inflates by its zlib (its stream is lax), other hosts by their stream: the same promises. */
describe.each([
  ['by zlib, where the host’s stream is lax', async () => fresh()],
  [
    'by the host’s stream, where it is strict',
    async () => {
      vi.stubGlobal('DecompressionStream', StrictStream);
      return fresh();
    },
  ],
])('inflate %s', (_host, module) => {
  test('exactly the bytes that were said', async () => {
    const { inflate } = await module();
    expect(isSameBytes(await inflate(packed, raw.length, 'test'), raw)).toBe(true);
    expect(await inflate(new Uint8Array(deflateRawSync('')), 0, 'test')).toEqual(new Uint8Array(0));
  });

  test.each([
    ['nothing', new Uint8Array(0), 'badDeflate'],
    ['other bytes', fill(0xff, 20), 'badDeflate'],
    ['a stream cut short', packed.slice(0, -1), 'badDeflate'],
    ['a byte after the end', concatBytes(packed, fill(0, 1)), 'badDeflate'],
    ['many bytes after the end', concatBytes(packed, fill(7, 100_000)), 'badDeflate'],
    ['a second stream', concatBytes(packed, packed), 'badDeflate'],
  ])('%s is corrupt', async (_what, bytes, reason) => {
    const { inflate } = await module();
    await expect(inflate(bytes, raw.length * 2, 'test')).rejects.toMatchObject(corrupt(reason));
  });

  test('one byte more than the bound is a bomb', async () => {
    const { inflate } = await module();
    await expect(inflate(packed, raw.length - 1, 'test')).rejects.toMatchObject(corrupt('bomb'));
    await expect(inflate(new Uint8Array(deflateRawSync('x')), 0, 'test')).rejects.toMatchObject(corrupt('bomb'));
  });

  test('a bomb of 64 MiB stops at its bound', async () => {
    const { inflate } = await module();
    const bomb = new Uint8Array(deflateRawSync(new Uint8Array(64 * 1024 * 1024)));
    await expect(inflate(bomb, 1000, 'test')).rejects.toMatchObject(corrupt('bomb'));
  });
});

test('a host that is lax and not Node is refused, not trusted', () => {
  const laxInflate = expect.objectContaining({ kind: 'unavailable', reason: 'laxInflate' });
  for (const host of [{}, { process: {} }, { process: { getBuiltinModule: () => undefined } }])
    expect(() => requireZlib(host)).toThrow(laxInflate);
});
