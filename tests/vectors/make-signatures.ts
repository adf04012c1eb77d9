// Makes tests/vectors/signatures.json: Ed25519 signatures on every edge where verifiers are known to differ, each with the verdict of
// the strict rule (docs/format.md#ed25519). Crafted with point arithmetic from fixed seeds; nothing here asks a verifier of ours.
import { etc, getPublicKey, Point, utils } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8 } from '../../kernel/bytes.ts';
import { signPortable } from '../../kernel/ed25519.ts';
import { rfc8032 } from './rfc8032.ts';
import type { SignatureVector } from './run-signature-vectors.ts';

const order = Point.CURVE().n;
const prime = Point.CURVE().p;
const seed = new Uint8Array(32).fill(0x42);
const key = getPublicKey(seed);
const { scalar } = utils.getExtendedPublicKey(seed);

/** The eight points of small order, as multiples of one of order 8. */
const torsion: readonly Point[] = (() => {
  const t = Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05');
  const points = [Point.ZERO];
  for (let i = 1; i < 8; i++) points.push((points[i - 1] as Point).add(t));
  return points;
})();

export function makeSignatureVectors(): readonly SignatureVector[] {
  return [...honest(), ...scalars(), ...encodings(), ...smallOrder(), ...mixedOrder(), ...damage()];
}

function honest(): SignatureVector[] {
  const made = rfc8032.map((v) => {
    if (bytesToHex(signPortable(hexToBytes(v.seed), hexToBytes(v.message))) !== v.signature) throw new Error(v.name);
    return vectorOf(`RFC 8032 ${v.name}`, hexToBytes(v.key), hexToBytes(v.message), hexToBytes(v.signature), {
      valid: true,
    });
  });
  for (const length of [0, 1, 31, 32, 111, 112, 127, 128, 4096]) {
    const message = Uint8Array.from({ length }, (_, i) => i & 255);
    made.push(
      vectorOf(`honest, message of ${length} bytes`, key, message, signPortable(seed, message), {
        valid: true,
      }),
    );
  }
  return made;
}

/** S must be below the group order; other values give the same point and would make a second signature. */
function scalars(): SignatureVector[] {
  const message = utf8('scalar');
  const sig = signPortable(seed, message);
  const [r, s] = [sig.subarray(0, 32), littleEndian(sig.subarray(32))];
  const withS = (name: string, value: bigint) => vectorOf(name, key, message, concatBytes(r, bytesOf(value)), { valid: false });
  const found = [
    withS('S = 0', 0n),
    withS('S = L', order),
    withS('S = L - 1', order - 1n),
    withS('S = 2^253', 2n ** 253n),
    withS('S = 2^256 - 1', 2n ** 256n - 1n),
  ];
  for (let times = 1n; s + times * order < 2n ** 256n; times++) found.push(withS(`S + ${times}L`, s + times * order));
  return found;
}

/** Points that do not decode, and y from p up: an encoding that a lax reader reduces. */
function encodings(): SignatureVector[] {
  const message = utf8('encoding');
  const sig = signPortable(seed, message);
  const found: SignatureVector[] = [];
  for (let rest = 0n; rest < 19n; rest++) {
    for (const sign of [0n, 1n]) {
      const encoded = bytesOf(prime + rest + (sign << 255n));
      const name = `y = p + ${rest}, sign ${sign}`;
      found.push(vectorOf(`A not canonical: ${name}`, encoded, message, sig, { valid: false }));
      found.push(
        vectorOf(`R not canonical: ${name}`, key, message, concatBytes(encoded, sig.subarray(32)), {
          valid: false,
        }),
      );
    }
  }
  for (const y of [2n, 7n, 8n]) {
    const encoded = bytesOf(y);
    if (decodePoint(encoded) !== undefined) throw new Error(`y = ${y} is on the curve`);
    found.push(vectorOf(`A not on the curve: y = ${y}`, encoded, message, sig, { valid: false }));
    found.push(vectorOf(`R not on the curve: y = ${y}`, key, message, concatBytes(encoded, sig.subarray(32)), { valid: false }));
  }
  return found;
}

/** Every encoding of the eight points of small order: canonical, with the sign bit of x = 0 set, and with y from p up. */
function smallOrderEncodings(): readonly (readonly [name: string, encoded: Uint8Array])[] {
  const made: [string, Uint8Array][] = [];
  torsion.forEach((point, i) => {
    made.push([`${i}T`, point.toBytes()]);
    const { x, y } = point.toAffine();
    const sign = (x & 1n) << 255n;
    const other = (1n << 255n) - sign;
    if (x === 0n) made.push([`${i}T, sign bit set`, bytesOf(y + other)]);
    if (y + prime < 2n ** 255n) {
      made.push([`${i}T, y + p`, bytesOf(y + prime + sign)]);
      if (x === 0n) made.push([`${i}T, y + p, sign bit set`, bytesOf(y + prime + other)]);
    }
  });
  return made;
}

function smallOrder(): SignatureVector[] {
  const found: SignatureVector[] = [];
  for (const [name, encoded] of smallOrderEncodings()) {
    const point = Point.fromBytes(encoded, true);
    // A small: with R = S·B - kA the plain equation holds, so only the byte checks refuse it. k is guessed modulo 8, the message varied.
    const s = 1234567n;
    const forged = search((message) => {
      for (let guess = 0n; guess < 8n; guess++) {
        const r = Point.BASE.multiply(s).subtract(point.multiply(guess, false)).toBytes();
        if (challenge(r, encoded, message) % 8n === guess) return concatBytes(r, bytesOf(s));
      }
      return undefined;
    }, `small A ${name}`);
    found.push(vectorOf(`A of small order: ${name}`, encoded, forged.message, forged.signature, { valid: false }));
    // R small: S = k·a satisfies the cofactored equation for every such R, the plain one for the neutral element.
    const message = utf8(`small R ${name}`);
    const answer = etc.mod(challenge(encoded, key, message) * scalar, order);
    found.push(vectorOf(`R of small order: ${name}`, key, message, concatBytes(encoded, bytesOf(answer)), { valid: false }));
    // Both small, S = 0: one signature for a share of all messages.
    const neutral = Point.ZERO.toBytes();
    const empty = concatBytes(neutral, new Uint8Array(32));
    const both = search(
      (text) => (point.multiply(challenge(neutral, encoded, text), false).is0() ? empty : undefined),
      `small both ${name}`,
    );
    found.push(vectorOf(`A of small order, R neutral, S = 0: ${name}`, encoded, both.message, empty, { valid: false }));
  }
  return found;
}

/** Keys and nonces with a torsion component: legal by the byte checks; here the two equations part ways. */
function mixedOrder(): SignatureVector[] {
  const found: SignatureVector[] = [];
  const nonce = 7654321n;
  for (let i = 1; i < 8; i++) {
    const t = torsion[i] as Point;
    const mixed = Point.BASE.multiply(scalar).add(t);
    const a = mixed.toBytes();
    const r = Point.BASE.multiply(nonce).toBytes();
    const answer = (nonceBytes: Uint8Array, message: Uint8Array) =>
      concatBytes(nonceBytes, bytesOf(etc.mod(nonce + challenge(nonceBytes, a, message) * scalar, order)));
    const vanishes = (message: Uint8Array) => t.multiply(challenge(r, a, message), false).is0();
    const holds = search((m) => (vanishes(m) ? answer(r, m) : undefined), `mixed A ${i} holds`);
    const fails = search((m) => (vanishes(m) ? undefined : answer(r, m)), `mixed A ${i} fails`);
    found.push(vectorOf(`A mixed (+${i}T), kT vanishes`, a, holds.message, holds.signature, { valid: true }));
    found.push(vectorOf(`A mixed (+${i}T), kT remains`, a, fails.message, fails.signature, { valid: false }));

    // R mixed under an honest key: only the cofactored equation holds.
    const mixedR = Point.BASE.multiply(nonce).add(t).toBytes();
    const message = utf8(`mixed R ${i}`);
    const s = etc.mod(nonce + challenge(mixedR, key, message) * scalar, order);
    found.push(vectorOf(`R mixed (+${i}T)`, key, message, concatBytes(mixedR, bytesOf(s)), { valid: false }));

    // Both mixed so that the torsion cancels: the plain equation holds.
    const cancel = search((m) => {
      for (let guess = 0n; guess < 8n; guess++) {
        const both = Point.BASE.multiply(nonce).subtract(t.multiply(guess, false)).toBytes();
        if (challenge(both, a, m) % 8n === guess && guess % 2n === 1n) return answer(both, m);
      }
      return undefined;
    }, `mixed both ${i}`);
    found.push(vectorOf(`A and R mixed (${i}T), torsion cancels`, a, cancel.message, cancel.signature, { valid: true }));

    // k as a number of 512 bits and k modulo L differ modulo 8: the rule reduces first, as every library tried does.
    const parts = (m: Uint8Array): readonly [reduced: boolean, whole: boolean] => [
      vanishes(m),
      t.multiply(wideChallenge(r, a, m) % 8n, false).is0(),
    ];
    const reducedOnly = search((m) => (parts(m)[0] && !parts(m)[1] ? answer(r, m) : undefined), `reduced ${i}`);
    const wholeOnly = search((m) => (!parts(m)[0] && parts(m)[1] ? answer(r, m) : undefined), `whole ${i}`);
    found.push(
      vectorOf(`A mixed (+${i}T), holds only with k modulo L`, a, reducedOnly.message, reducedOnly.signature, {
        valid: true,
      }),
    );
    found.push(
      vectorOf(`A mixed (+${i}T), holds only with k of 512 bits`, a, wholeOnly.message, wholeOnly.signature, {
        valid: false,
      }),
    );
  }
  return found;
}

function damage(): SignatureVector[] {
  const message = utf8('damage');
  const sig = signPortable(seed, message);
  const other = getPublicKey(new Uint8Array(32).fill(0x43));
  const found = [
    vectorOf('another key', other, message, sig, { valid: false }),
    vectorOf('another message', key, utf8('damagf'), sig, { valid: false }),
    vectorOf('R and S swapped', key, message, concatBytes(sig.subarray(32), sig.subarray(0, 32)), {
      valid: false,
    }),
    vectorOf('zeros for a signature', key, message, new Uint8Array(64), { valid: false }),
    vectorOf('zeros for a key', new Uint8Array(32), message, sig, { valid: false }),
  ];
  for (const [part, bytes] of [
    ['key', key],
    ['signature', sig],
  ] as const) {
    const lengths = part === 'key' ? [0, 31, 33, 64] : [0, 32, 63, 65, 128];
    for (const length of lengths) {
      const cut = new Uint8Array(length);
      cut.set(bytes.subarray(0, Math.min(length, bytes.length)));
      const [k, s] = part === 'key' ? [cut, sig] : [key, cut];
      found.push(vectorOf(`${part} of ${length} bytes`, k, message, s, { valid: false }));
    }
    for (let bit = 0; bit < bytes.length * 8; bit += 5) {
      const flipped = flipBit(bytes, bit);
      const [k, s] = part === 'key' ? [flipped, sig] : [key, flipped];
      found.push(vectorOf(`bit ${bit} of the ${part} flipped`, k, message, s, { valid: false }));
    }
  }
  for (let bit = 0; bit < message.length * 8; bit += 7)
    found.push(vectorOf(`bit ${bit} of the message flipped`, key, flipBit(message, bit), sig, { valid: false }));
  return found;
}

function vectorOf(
  name: string,
  a: Uint8Array,
  message: Uint8Array,
  sig: Uint8Array,
  verdict: { readonly valid: boolean },
): SignatureVector {
  return {
    name,
    key: bytesToHex(a),
    message: bytesToHex(message),
    signature: bytesToHex(sig),
    ...verdict,
    ...equations(a, message, sig),
  };
}

/** Both equations on points decoded laxly: they tell why a vector is there. */
function equations(
  a: Uint8Array,
  message: Uint8Array,
  sig: Uint8Array,
): { readonly cofactorless?: boolean; readonly cofactored?: boolean } {
  const keyPoint = decodePoint(a);
  const nonce = decodePoint(sig.subarray(0, 32));
  if (keyPoint === undefined || nonce === undefined || sig.length !== 64) return {};
  const s = etc.mod(littleEndian(sig.subarray(32)), order);
  const k = challenge(sig.subarray(0, 32), a, message);
  const rest = Point.BASE.multiply(s, false).subtract(nonce).subtract(keyPoint.multiply(k, false));
  return { cofactorless: rest.is0(), cofactored: rest.clearCofactor().is0() };
}

function decodePoint(encoded: Uint8Array): Point | undefined {
  try {
    return Point.fromBytes(encoded, true);
  } catch {
    return undefined;
  }
}

/** The first of the messages `<label> 0`, `<label> 1`, … for which `craft` finds a signature. */
function search(
  craft: (message: Uint8Array) => Uint8Array | undefined,
  label: string,
): { readonly message: Uint8Array; readonly signature: Uint8Array } {
  for (let i = 0; i < 1000; i++) {
    const message = utf8(`${label} ${i}`);
    const made = craft(message);
    if (made !== undefined) return { message, signature: made };
  }
  throw new Error(`nothing found for ${label}`);
}

const wideChallenge = (r: Uint8Array, a: Uint8Array, message: Uint8Array): bigint => littleEndian(sha512(concatBytes(r, a, message)));

const challenge = (r: Uint8Array, a: Uint8Array, message: Uint8Array): bigint => etc.mod(wideChallenge(r, a, message), order);

const littleEndian = (bytes: Uint8Array): bigint => BigInt(`0x${bytesToHex(bytes.slice().reverse())}`);

const bytesOf = (value: bigint): Uint8Array => hexToBytes(value.toString(16).padStart(64, '0')).reverse();

function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
  return flipped;
}
