// Ed25519 and SHA-256 by WebCrypto: the fast path where the host has it, and the only one whose private key cannot be taken out.
// The strict byte checks of kernel/ed25519.ts run first, so this verifier and the portable one accept the same signatures.

import { type Bytes, bytesToHex } from '../bytes.ts';
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

export async function bestVerifier(): Promise<Verifier> {
  return (await hasWebEd25519()) ? webVerifier() : portableVerifier;
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
