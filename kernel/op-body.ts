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
  let head = '';
  let headOf: Op | undefined;
  for (const op of ops) {
    // Neighbours are mostly of one class: its name is checked and quoted once.
    if (op.id !== undefined || headOf === undefined || op.class !== headOf.class || op.version !== headOf.version) {
      const headFault = opHeadFault(op.class, op.version, op.id);
      if (headFault !== undefined) {
        throw FoldlogError.misuse({ where: `${where}, op ${parts.length + 1}`, reason: 'badOp', ...headFault });
      }
      head = `[${JSON.stringify(op.class)},${op.version},`;
      headOf = op;
    }
    const payload = payloadText(op.payload);
    if (typeof payload !== 'string') {
      throw FoldlogError.misuse({
        where: `${where}, op ${parts.length + 1} (${op.class}), payload${payload.path}`,
        reason: 'badPayload',
        found: payload.found,
        expected: payload.expected,
      });
    }
    parts.push(op.id === undefined ? `${head}${payload}]` : `${head}${payload},${JSON.stringify(op.id)}]`);
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
  const isSurrogateFree = !text.includes('\\ud');
  return parsed.map((entry, i) => opFromJson(entry, isSurrogateFree, (found, expected) => bad(`op ${i + 1}: ${found}`, expected)));
}

function opFromJson(entry: unknown, isSurrogateFree: boolean, bad: (found: string, expected: string) => FoldlogError): Op {
  if (!Array.isArray(entry) || entry.length < 3 || entry.length > 4) throw bad('another shape', '[class, version, payload, id?]');
  const [name, version, payload, id] = entry as unknown[];
  const headFault = opHeadFault(name, version, id);
  if (headFault !== undefined) throw bad(headFault.found, headFault.expected);
  const fault = isSurrogateFree && isSound(payload, 0) ? undefined : jsonFault(payload, 0);
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

/** The one text of a payload, or why it has none. */
function payloadText(payload: JsonValue): string | JsonFault {
  if (isSound(payload, 0)) {
    const text = JSON.stringify(payload);
    // A lone surrogate is written as an escape, and as nothing else: text without one needs no look at each string.
    if (!text.includes('\\ud')) return text;
  }
  return jsonFault(payload, 0) ?? JSON.stringify(payload);
}

/** Whether `jsonFault` finds nothing but, perhaps, a lone surrogate: the same rule without words, several times as fast. */
function isSound(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isInteger(value) ? Number.isSafeInteger(value) && !Object.is(value, -0) : Number.isFinite(value);
    case 'object':
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (depth >= payloadDepthMax || hasToJson(value)) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!isSound(value[i], depth + 1)) return false;
    return true;
  }
  const proto = Object.getPrototypeOf(value) as unknown;
  if (proto !== null && Object.getPrototypeOf(proto) !== null) return false;
  for (const key of Object.keys(value)) {
    if (forbiddenKeys.has(key) || !isSound((value as Record<string, unknown>)[key], depth + 1)) return false;
  }
  return true;
}

/** `JSON.stringify` would ask such a value for another one, which nobody has looked at. */
const hasToJson = (value: object): boolean => typeof (value as { toJSON?: unknown }).toJSON === 'function';

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
  if (hasToJson(value)) return at('a value that writes its own JSON', 'plain lists and objects');
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
