// Messages too large for one step of a channel, as JSON text cut into pieces and joined again. JSON has no bytes, big integers or undefined:
// an object with the one key `$` stands for them, and one that really has that key is wrapped as well. One meaning each way.

/** Rough size of a message in bytes as a clone would copy it; stops counting at `enough`. */
export function weightOf(value: unknown, enough: number): number {
  if (typeof value === 'string') return 8 + value.length;
  if (typeof value !== 'object' || value === null) return 8;
  if (ArrayBuffer.isView(value)) return 8 + value.byteLength;
  let weight = 8;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && weight < enough; i++) weight += weightOf(value[i], enough - weight);
    return weight;
  }
  for (const key in value) {
    if (weight >= enough) break;
    weight += key.length + weightOf((value as Record<string, unknown>)[key], enough - weight);
  }
  return weight;
}

export const cut = (value: unknown, lengthMax: number): string[] => {
  const text = JSON.stringify(toPlain(value));
  const pieces: string[] = [];
  for (let at = 0; at < text.length; at += lengthMax) pieces.push(text.slice(at, at + lengthMax));
  return pieces;
};

export const join = (pieces: readonly string[]): unknown => fromPlain(JSON.parse(pieces.join('')));

function toPlain(value: unknown): unknown {
  switch (typeof value) {
    case 'bigint':
      return { $: ['bigint', value.toString()] };
    case 'undefined':
      return { $: ['undefined'] };
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0) ? value : { $: ['number', Object.is(value, -0) ? '-0' : String(value)] };
    case 'object':
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (value instanceof Uint8Array) return { $: ['bytes', bytesToText(value)] };
  if (Array.isArray(value)) return value.map(toPlain);
  const plain = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toPlain(item)]));
  return Object.hasOwn(plain, '$') ? { $: ['object', plain] } : plain;
}

function fromPlain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(fromPlain);
  const { $: tagged } = value as { readonly $?: readonly [string, unknown?] };
  if (!Array.isArray(tagged)) return fieldsFrom(value);
  const [tag, held] = tagged;
  switch (tag) {
    case 'bigint':
      return BigInt(held as string);
    case 'number':
      return Number(held);
    case 'bytes':
      return textToBytes(held as string);
    case 'object':
      return fieldsFrom(held as object);
    default:
      return undefined;
  }
}

const fieldsFrom = (value: object): unknown => Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromPlain(item)]));

/** In steps: a call takes only so many arguments. */
const stepBytes = 8_192;

function bytesToText(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += stepBytes) text += String.fromCharCode(...bytes.subarray(at, at + stepBytes));
  return btoa(text);
}

const textToBytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
