// Ed25519 and SHA-256 by WebCrypto: the fast path where the host has it, and the only one whose private key cannot be taken out.
// The strict byte checks of kernel/ed25519.ts run first, so this verifier and the portable one accept the same signatures.

import { type Bytes, bytesToHex, hexToBytes } from '../bytes.ts';
import { isWellFormed, portableVerifier } from '../ed25519.ts';
import type { BulkDigest, Signer, Verifier } from '../ports.ts';
import { type PublicKey, publicKey, signature } from '../units.ts';

const algorithm = 'Ed25519';
/** Imported public keys kept: more than the writers of any workspace in use at once. */
const importedKeysMax = 256;

/** Whether this host's WebCrypto signs and verifies Ed25519, found by doing it. */
export async function hasWebEd25519(): Promise<boolean> {
  try {
    const pair = (await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])) as CryptoKeyPair;
    const message = Uint8Array.of(1, 2, 3);
    const made = await crypto.subtle.sign(algorithm, pair.privateKey, message);
    return await crypto.subtle.verify(algorithm, pair.publicKey, made, message);
  } catch {
    return false;
  }
}

/** A verifier on WebCrypto; keys it has seen stay imported. */
export function webVerifier(): Verifier {
  const imported = new Map<string, Promise<CryptoKey>>();
  const importKey = (key: PublicKey): Promise<CryptoKey> => {
    const name = bytesToHex(key);
    let entry = imported.get(name);
    if (entry === undefined) {
      if (imported.size >= importedKeysMax) imported.clear();
      entry = crypto.subtle.importKey('raw', key, algorithm, false, ['verify']);
      imported.set(name, entry);
    }
    return entry;
  };
  return {
    async verify(key, message, sig) {
      if (!isWellFormed(key, sig)) return false;
      try {
        return await crypto.subtle.verify(algorithm, await importKey(key), sig as Bytes, message as Bytes);
      } catch {
        return false; // not a point on the curve
      }
    },
  };
}

/** WebCrypto where it keeps our rule, else the portable verifier. */
export async function bestVerifier(): Promise<Verifier> {
  const web = webVerifier();
  return (await hasWebEd25519()) && (await keepsRule(web)) ? web : portableVerifier;
}

/**
 * Signatures over which verifiers part that all pass the byte checks: of a key with a torsion component, out of tests/vectors/signatures.json.
 * WebKitGTK does not reduce k before it multiplies, so it answers otherwise than every other engine; and it dies of a key that is no point
 * on the curve, which any peer could send. That cannot be probed, but this can, and tells that engine from the others.
 */
export const rulePartings = {
  key: '45b39b480ec147cd8806438e74ee15fd03b831c2eb61809dc2153f1dbe3e8810',
  cases: [
    {
      name: 'A mixed (+1T), holds only with k modulo L',
      message: '7265647563656420312031',
      signature:
        'f0e92dbede6e0d80fbf877969f41e82ac9f3421d3083d77aea45cf93d13854847abd7a76d1a0f23e15f8014bb1acc06276cd56ebdb8e8ada641c2a33b1f01908',
      valid: true,
    },
    {
      name: 'A mixed (+1T), kT remains',
      message: '6d6978656420412031206661696c732030',
      signature:
        'f0e92dbede6e0d80fbf877969f41e82ac9f3421d3083d77aea45cf93d1385484a8960ff57445e8be3385ead1f8f724e532a42ee1cb0e311ccc18e72545a4ba0e',
      valid: false,
    },
  ],
} as const;

async function keepsRule(verifier: Verifier): Promise<boolean> {
  const key = publicKey(hexToBytes(rulePartings.key));
  const verdicts = rulePartings.cases.map((part) => verifier.verify(key, hexToBytes(part.message), signature(hexToBytes(part.signature))));
  return (await Promise.all(verdicts)).every((verdict, i) => verdict === rulePartings.cases[i]?.valid);
}

/** A key pair whose private half cannot be exported. The pair may be stored by structured clone (IndexedDB). */
export async function generateWebKeyPair(): Promise<CryptoKeyPair> {
  return (await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify'])) as CryptoKeyPair;
}

export async function webSigner(pair: CryptoKeyPair): Promise<Signer> {
  const raw = await crypto.subtle.exportKey('raw', pair.publicKey);
  return {
    publicKey: publicKey(new Uint8Array(raw)),
    hold: pair.privateKey.extractable ? 'software' : 'sealed',
    sign: async (message) => signature(new Uint8Array(await crypto.subtle.sign(algorithm, pair.privateKey, message as Bytes))),
  };
}

export const webBulkDigest: BulkDigest = async (bytes) => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as Bytes));
