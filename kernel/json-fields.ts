// Strict access to the fields of a small JSON object that has one spelling: each field asked for exactly once, in the order it is written, and
// nothing beside. Acts of the control log and the engine's own ops are read with it.

import { base64urlToBytes } from './bytes.ts';
import { FoldlogError } from './errors.ts';
import type { JsonValue } from './op-body.ts';

export class JsonFields {
  readonly where: string;
  /** Reason of every refusal: `badAct`, `badSystemOp`. */
  readonly #reason: string;
  readonly #values: Readonly<Record<string, JsonValue>>;
  readonly #asked: string[] = [];

  /** @throws {FoldlogError} `corrupt` with `reason`, as every method here */
  constructor(json: JsonValue, at: { readonly where: string; readonly reason: string }) {
    this.where = at.where;
    this.#reason = at.reason;
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw this.bad('another shape', 'an object');
    this.#values = json as Readonly<Record<string, JsonValue>>;
  }

  /** Whether an optional field is written. */
  has(field: string): boolean {
    return Object.hasOwn(this.#values, field);
  }

  text(field: string): string {
    const value = this.value(field);
    if (typeof value !== 'string') throw this.bad(`${field} of another type`, 'text');
    return value;
  }

  integer(field: string): number {
    const value = this.value(field);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw this.bad(`a bad ${field}`, 'an integer from 0');
    return value;
  }

  /** Bytes in base64url, without padding. */
  bytes(field: string, length: number): Uint8Array<ArrayBuffer> {
    const value = base64urlToBytes(this.text(field), `${this.where}, ${field}`);
    if (value.length !== length) throw this.bad(`${value.length} bytes of ${field}`, `${length}`);
    return value;
  }

  value(field: string): JsonValue {
    this.#asked.push(field);
    const value = Object.hasOwn(this.#values, field) ? this.#values[field] : undefined;
    if (value === undefined) throw this.bad(`no ${field}`, `the field ${field}`);
    return value;
  }

  /** Refuses fields nobody asked for, and another order. */
  end<T>(read: T): T {
    const written = Object.keys(this.#values);
    if (written.length !== this.#asked.length || written.some((name, i) => name !== this.#asked[i])) {
      throw this.bad(`fields ${written.join(', ').slice(0, 200)}`, this.#asked.join(', '));
    }
    return read;
  }

  bad(found: string, expected: string): FoldlogError {
    return FoldlogError.corrupt({ where: this.where, reason: this.#reason, found, expected });
  }
}
