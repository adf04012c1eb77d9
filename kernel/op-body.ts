// The body of a commit group: a JSON array of ops, exactly as stored, hashed and sent, with one meaning for every reader.
// Encoding refuses what JSON would silently change; decoding refuses what would not come back byte for byte.
// Layout and rule: docs/format.md#body.

import { type Bytes, textFromUtf8, utf8 } from './bytes.ts';
import { FoldlogError } from './errors.ts';
import { appGroupBodyBytesMax, appGroupOpsMax, nameLengthMax, payloadDepthMax } from './limits.ts';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** One change of a declared class, as it stands in a body. */
export interface Op {
  readonly class: string;
  readonly version: number;
  readonly payload: JsonValue;
  /** The caller's own name for the op, if it gave one. */
  readonly id?: string;
}

export const jsonOpsCodec = 1;

/** Classes the engine itself writes. Apps cannot declare one that starts so. */
export const systemClassPrefix = 'foldlog.';

const classPattern = /^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/;

export function isClassName(name: string): boolean {
  return name.length <= nameLengthMax && classPattern.test(name);
}

/**
 * Bytes of a body. The payloads must be plain JSON values: what `JSON.stringify` would drop or bend (undefined, NaN, -0, Date,
 * integers beyond 2^53-1, lone surrogates, `__proto__` keys, cycles) is refused with the path to it.
 * @throws {FoldlogError} `misuse` `badOp`, `badPayload`, `groupTooLarge`
 */
export function encodeOps(ops: readonly Op[], where: string): Bytes {
  if (ops.length < 1 || ops.length > appGroupOpsMax) {
    throw FoldlogError.misuse({ where, reason: 'groupTooLarge', found: `${ops.length} ops`, expected: `1 to ${appGroupOpsMax} ops` });
  }
  const parts: string[] = [];
  for (const op of ops) {
    const headFault = opHeadFault(op.class, op.version, op.id);
    if (headFault !== undefined) {
      throw FoldlogError.misuse({ where: `${where}, op ${parts.length + 1}`, reason: 'badOp', ...headFault });
    }
    const fault = jsonFault(op.payload, 0);
    if (fault !== undefined) {
      throw FoldlogError.misuse({
        where: `${where}, op ${parts.length + 1} (${op.class}), payload${fault.path}`,
        reason: 'badPayload',
        found: fault.found,
        expected: fault.expected,
      });
    }
    const id = op.id === undefined ? '' : `,${JSON.stringify(op.id)}`;
    parts.push(`[${JSON.stringify(op.class)},${op.version},${JSON.stringify(op.payload)}${id}]`);
  }
  const body = utf8(`[${parts.join(',')}]`);
  if (body.length > appGroupBodyBytesMax) {
    throw FoldlogError.misuse({
      where,
      reason: 'groupTooLarge',
      found: `a body of ${body.length} bytes`,
      expected: `at most ${appGroupBodyBytesMax} bytes`,
      todo: 'split the call into several, or store large values outside and save their hash',
    });
  }
  return body;
}

/**
 * The ops in a body, in order.
 * @throws {FoldlogError} `corrupt` `badBody`: not canonical JSON of ops, or `opCount` does not match
 */
export function decodeOps(body: Uint8Array, opCount: number, where: string): readonly Op[] {
  const bad = (found: string, expected: string) => FoldlogError.corrupt({ where, reason: 'badBody', found, expected });
  let text: string;
  let parsed: unknown;
  let again: string | undefined;
  try {
    // One reason for every breach of the rule: a group with a bad body is void for all readers alike, whatever is bad.
    text = textFromUtf8(body, where);
    parsed = JSON.parse(text);
    again = JSON.stringify(parsed);
  } catch {
    throw bad('bytes that are not JSON', 'a JSON array of ops');
  }
  if (again !== text) throw bad('JSON with a second spelling', 'exactly what JSON.stringify writes');
  if (!Array.isArray(parsed) || parsed.length !== opCount) {
    throw bad(Array.isArray(parsed) ? `${parsed.length} ops` : 'no array', `${opCount} ops, as the header says`);
  }
  return parsed.map((entry, i) => opFromJson(entry, (found, expected) => bad(`op ${i + 1}: ${found}`, expected)));
}

function opFromJson(entry: unknown, bad: (found: string, expected: string) => FoldlogError): Op {
  if (!Array.isArray(entry) || entry.length < 3 || entry.length > 4) throw bad('another shape', '[class, version, payload, id?]');
  const [name, version, payload, id] = entry as unknown[];
  const headFault = opHeadFault(name, version, id);
  if (headFault !== undefined) throw bad(headFault.found, headFault.expected);
  const fault = jsonFault(payload, 0);
  if (fault !== undefined) throw bad(`${fault.found} at payload${fault.path}`, fault.expected);
  const op = { class: name as string, version: version as number, payload: payload as JsonValue };
  return id === undefined ? op : { ...op, id: id as string };
}

/** What is wrong beside the payload; the same for writing and reading, so that nothing is sealed that no reader takes. */
function opHeadFault(name: unknown, version: unknown, id: unknown): Omit<JsonFault, 'path'> | undefined {
  if (typeof name !== 'string' || !isClassName(name)) {
    return { found: 'a bad class name', expected: 'dotted letters, digits, - and _' };
  }
  if (!Number.isInteger(version) || (version as number) < 1 || (version as number) > 0xffff) {
    return { found: 'a bad version', expected: '1 to 65535' };
  }
  if (id === undefined) return undefined;
  if (typeof id !== 'string' || id.length < 1 || id.length > 256 || loneSurrogate.test(id)) {
    return { found: 'a bad id', expected: '1 to 256 characters of well-formed text' };
  }
  return undefined;
}

interface JsonFault {
  readonly path: string;
  readonly found: string;
  readonly expected: string;
}

const loneSurrogate = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;
const forbiddenKeys = new Set(['__proto__', 'constructor', 'prototype']);

/** Where and why a value is not plain JSON with one meaning; undefined when it is. */
export function jsonFault(value: unknown, depth: number): JsonFault | undefined {
  const at = (found: string, expected: string): JsonFault => ({ path: '', found, expected });
  switch (typeof value) {
    case 'string':
      return loneSurrogate.test(value) ? at('a lone surrogate', 'well-formed text') : undefined;
    case 'number':
      if (!Number.isFinite(value) || Object.is(value, -0)) return at(Object.is(value, -0) ? '-0' : String(value), 'a finite number');
      if (Number.isInteger(value) && !Number.isSafeInteger(value)) return at('an integer beyond 2^53-1', 'a safe integer or text');
      return undefined;
    case 'boolean':
      return undefined;
    case 'object':
      break;
    default:
      return at(typeof value, 'a JSON value');
  }
  if (value === null) return undefined;
  if (depth >= payloadDepthMax) return at(`nesting beyond ${payloadDepthMax}`, 'a flatter value');
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const fault = jsonFault(value[i], depth + 1);
      if (fault !== undefined) return { ...fault, path: `[${i}]${fault.path}` };
    }
    return undefined;
  }
  const proto = Object.getPrototypeOf(value) as unknown;
  if (proto !== null && Object.getPrototypeOf(proto) !== null) return at('an instance of a class', 'a plain object');
  for (const key of Object.keys(value)) {
    if (forbiddenKeys.has(key)) return at('a key that names a prototype', 'another key');
    const fault = loneSurrogate.test(key)
      ? at('a key with a lone surrogate', 'well-formed text')
      : jsonFault((value as Record<string, unknown>)[key], depth + 1);
    if (fault !== undefined) return { ...fault, path: `.${key}${fault.path}` };
  }
  return undefined;
}

/** Parses text that must be canonical JSON (control entries use the same rule). @throws {FoldlogError} `corrupt` `badJson` */
export function parseCanonicalJson(bytes: Uint8Array, where: string): JsonValue {
  const text = textFromUtf8(bytes, where);
  let value: unknown;
  let again: string | undefined;
  try {
    value = JSON.parse(text);
    again = JSON.stringify(value);
  } catch {
    again = undefined;
  }
  const fault = again === text ? jsonFault(value, 0) : { found: 'text that is not canonical JSON', expected: 'what JSON.stringify writes' };
  if (fault !== undefined) throw FoldlogError.corrupt({ where, reason: 'badJson', found: fault.found, expected: fault.expected });
  return value as JsonValue;
}
