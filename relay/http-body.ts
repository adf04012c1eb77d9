// Request bodies: read with a bound that holds while they stream, and never left unread. workerd resets the connection of a POST
// that is answered without its body having been read, so what is not wanted is read away, up to a limit, and then cancelled.

import { type Bytes, concatBytes } from '../kernel/bytes.ts';
import { FoldlogError } from '../kernel/errors.ts';

/** What is read away of an unwanted body before the connection is given up: twice the largest push. */
const drainBytesMax = 16 * 1024 * 1024;

/** @throws {FoldlogError} `misuse` `tooLarge`, as soon as more than `bytesMax` arrived or are announced · `unavailable` `bodyCut` */
export async function readBody(request: Request, bytesMax: number): Promise<Bytes> {
  const announced = Number(request.headers.get('content-length') ?? 0);
  if (announced > bytesMax) throw tooLarge(`${announced} bytes announced`, bytesMax);
  if (request.body === null) return new Uint8Array(0);
  const reader = request.body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const step = await reader.read().catch((cause: unknown) => {
      throw bodyCut(length, cause);
    });
    if (step.done) return concatBytes(...parts);
    length += step.value.length;
    if (length > bytesMax) {
      await drain(reader);
      throw tooLarge(`more than ${bytesMax} bytes`, bytesMax);
    }
    parts.push(step.value);
  }
}

/** Reads away a body that nobody has begun to read. Never throws: the answer is decided already. */
export async function discardBody(request: Request): Promise<void> {
  if (request.body === null || request.bodyUsed) return;
  await drain(request.body.getReader() as ReadableStreamDefaultReader<Uint8Array>);
}

async function drain(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  try {
    for (let length = 0; length <= drainBytesMax; ) {
      const step = await reader.read();
      if (step.done) return;
      length += step.value.length;
    }
    await reader.cancel();
  } catch {
    // The sender went away: nothing left to read.
  }
}

/** The sender went away: nobody hears this, and it is no failure of the relay. */
const bodyCut = (length: number, cause: unknown): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'request body',
    reason: 'bodyCut',
    found: `an end after ${length} bytes`,
    expected: 'the whole body',
    cause,
  });

const tooLarge = (found: string, bytesMax: number): FoldlogError =>
  FoldlogError.misuse({
    where: 'request body',
    reason: 'tooLarge',
    found,
    expected: `at most ${bytesMax} bytes`,
    todo: 'send less at a time',
  });
