// What is fuzzed and what has to hold for it: a target makes one input from a seeded stream and judges how the code took it.
// Promises of every decoder: a value or a typed error, never anything else; what was taken is written back byte for byte; a value is
// no larger than its bytes allow; the input stays as it was.
import { isDeepStrictEqual } from 'node:util';
import type { Random } from '../../bench/crash/random.ts';
import { type Bytes, bytesToHex, isSameBytes } from '../../kernel/bytes.ts';
import { type ErrorKind, FoldlogError } from '../../kernel/errors.ts';
import { anyBytes, isOneIn, mutatedBytes, oneOf } from './mutations.ts';

export interface Target<Input> {
  readonly name: string;
  /** Exported functions that it runs; targets.test.ts holds the list to the exports of kernel/. */
  readonly covers: readonly string[];
  /** How many of a run's executions it gets, against the others. */
  readonly weight: number;
  input(random: Random): Input | Promise<Input>;
  /** How it ended, in a word or two. @throws {Breach} when a promise is broken */
  judge(input: Input): string | Promise<string>;
  /** The input as text, for a report. */
  describe(input: Input): string;
}

/** A broken promise. */
export class Breach extends Error {
  override readonly name = 'Breach';
}

/** The longest message of an error: what is wrong is named, never poured out. */
const messageLengthMax = 1_000;

/** How a call ended; anything thrown that is not a typed error of these kinds is a breach. */
export async function ending<T>(kinds: readonly ErrorKind[], call: () => T | Promise<T>): Promise<{ value: T } | { error: FoldlogError }> {
  try {
    return { value: await call() };
  } catch (error) {
    if (!(error instanceof FoldlogError))
      throw new Breach(`threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    if (!kinds.includes(error.kind)) throw new Breach(`refused as ${error.kind} ${error.reason}: ${error.message}`);
    if (error.message.length > messageLengthMax) throw new Breach(`an error message of ${error.message.length} characters`);
    return { error };
  }
}

export const wordOf = ({ kind, reason }: FoldlogError): string => `${kind} ${reason}`;

/** Bytes a decoded value holds, about: contents of arrays and texts, and some for each object and field. */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string') return 2 * value.length;
  if (typeof value !== 'object' || value === null) return 8;
  if (ArrayBuffer.isView(value)) return 16 + value.byteLength;
  if (value instanceof Map) return sizeOf([...(value as Map<unknown, unknown>)]);
  let size = 16;
  for (const field of Object.values(value)) size += 8 + sizeOf(field);
  return size;
}

/** A value may hold so many bytes for each byte of input (an op of twenty characters is an object of several fields), and so many beside. */
const sizeFactorMax = 40;
const sizeBesideMax = 4_096;

export interface BytesTarget<T> {
  readonly name: string;
  readonly covers: readonly string[];
  readonly weight?: number;
  readonly kinds?: readonly ErrorKind[];
  readonly samples: readonly Bytes[];
  decode(bytes: Bytes): T | Promise<T>;
  encode?(value: T): Bytes | Promise<Bytes>;
  /** A value in its range: its bytes must give it back. */
  make?(random: Random): T;
  /** For what inflates: how large a value of this input may be. */
  sizeMax?(bytes: Bytes): number;
}

const corruption: readonly ErrorKind[] = ['corrupt', 'upgradeNeeded'];
const arbitraryLengthMax = 600;

/** A decoder of bytes under all its promises. */
export function bytesTarget<T>(parts: BytesTarget<T>): Target<{ readonly bytes: Bytes; readonly made?: T }> {
  const { decode, encode, make } = parts;
  return {
    name: parts.name,
    covers: parts.covers,
    weight: parts.weight ?? 1,
    describe: ({ bytes, made }) => `${made === undefined ? '' : 'made from a value, '}${bytes.length} bytes: ${bytesToHex(bytes)}`,
    async input(random) {
      if (isOneIn(random, 10)) return { bytes: anyBytes(random, random.magnitude(arbitraryLengthMax)) };
      if (make === undefined || encode === undefined || isOneIn(random, 2)) {
        return { bytes: mutatedBytes(random, oneOf(random, parts.samples), parts.samples) };
      }
      const made = make(random);
      const bytes = await encode(made);
      return isOneIn(random, 3) ? { bytes, made } : { bytes: mutatedBytes(random, bytes, parts.samples) };
    },
    async judge({ bytes, made }) {
      const given = bytes.slice();
      const found = await ending(parts.kinds ?? corruption, () => decode(bytes));
      if (!isSameBytes(given, bytes)) throw new Breach('the input was changed');
      if ('error' in found) {
        if (made !== undefined) throw new Breach(`a valid value came back as ${found.error.message}`);
        return wordOf(found.error);
      }
      const sizeMax = parts.sizeMax?.(bytes) ?? bytes.length * sizeFactorMax + sizeBesideMax;
      if (sizeOf(found.value) > sizeMax) throw new Breach(`a value of ${sizeOf(found.value)} bytes, at most ${sizeMax} expected`);
      if (made !== undefined && !isDeepStrictEqual(found.value, made)) throw new Breach('another value came back');
      if (encode !== undefined && !isSameBytes(await encode(found.value), given)) throw new Breach('written back as other bytes');
      return 'value';
    },
  };
}

export interface ValueTarget<Input, T> {
  readonly name: string;
  readonly covers: readonly string[];
  readonly weight?: number;
  readonly kinds: readonly ErrorKind[];
  input(random: Random): Input;
  decode(input: Input): T | Promise<T>;
  /** Whether what was taken may have been: usually that it is written back alike. */
  isTrue?(value: T, input: Input): boolean | Promise<boolean>;
}

/** A decoder of text or of a value that somebody handed in. */
export function valueTarget<Input, T>(parts: ValueTarget<Input, T>): Target<Input> {
  return {
    name: parts.name,
    covers: parts.covers,
    weight: parts.weight ?? 1,
    input: parts.input,
    describe: describeValue,
    async judge(input) {
      const found = await ending(parts.kinds, () => parts.decode(input));
      if ('error' in found) return wordOf(found.error);
      if (parts.isTrue !== undefined && !(await parts.isTrue(found.value, input))) throw new Breach('taken, and not written back alike');
      return 'value';
    },
  };
}

function describeValue(input: unknown): string {
  try {
    return `${typeof input} ${JSON.stringify(input)?.slice(0, 4_000)}`;
  } catch {
    return `${typeof input} without JSON`;
  }
}
