// Byte strings: building them, comparing them, writing them for people. Everything hashed, signed or stored passes here.
// Integers are big-endian; 64-bit fields hold at most 2^53-1 (docs/format.md#integers).

import { FoldlogError } from './errors.ts';

/** Bytes that own an ordinary (never shared) buffer, as WebCrypto and SQLite want them. */
export type Bytes = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const looseDecoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

export const utf8 = (text: string): Bytes => encoder.encode(text);

/** Writes text into bytes that are there already; answers how many. `target` holds three for each unit of the text. */
export const utf8Into = (text: string, target: Uint8Array): number => encoder.encodeInto(text, target).written;

/** Text from inside the process (a database's own rows): what is not UTF-8 becomes U+FFFD. Nothing from outside is read with it. */
export const looseTextFromUtf8 = (bytes: Uint8Array): string => looseDecoder.decode(bytes);

/** @throws {FoldlogError} `corrupt` when the bytes are not well-formed UTF-8. */
export function textFromUtf8(bytes: Uint8Array, where: string): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw FoldlogError.corrupt({ where, reason: 'badUtf8', found: 'bytes that are not UTF-8', expected: 'UTF-8' });
  }
}

export function concatBytes(...parts: readonly Uint8Array[]): Bytes {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

export function bytesToHex(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += hexOfByte[byte];
  return hex;
}

/** @throws {FoldlogError} `corrupt` unless `hex` is lower-case hex of even length. */
export function hexToBytes(hex: string, where = 'hex'): Bytes {
  if (!/^([0-9a-f]{2})*$/.test(hex)) {
    throw FoldlogError.corrupt({ where, reason: 'badHex', found: `${hex.length} characters`, expected: 'lower-case hex pairs' });
  }
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

const base64url = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** Base64url without padding (RFC 4648 §5). */
export function bytesToBase64url(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const three = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const digits = Math.min(4, bytes.length - i + 1);
    for (let d = 0; d < digits; d++) text += base64url[(three >> (18 - 6 * d)) & 63];
  }
  return text;
}

/** Strict inverse: no padding, no white space, no stray bits. @throws {FoldlogError} `corrupt` */
export function base64urlToBytes(text: string, where = 'base64url'): Bytes {
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const digit of text) {
    const value = base64url.indexOf(digit);
    if (value < 0) {
      throw FoldlogError.corrupt({ where, reason: 'badBase64', found: 'a character outside the alphabet', expected: 'A-Z a-z 0-9 - _' });
    }
    held = (held << 6) | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 255;
      held &= (1 << bits) - 1;
    }
  }
  if (bits >= 6 || held !== 0) {
    throw FoldlogError.corrupt({ where, reason: 'badBase64', found: 'stray bits at the end', expected: 'canonical base64url' });
  }
  return bytes;
}
