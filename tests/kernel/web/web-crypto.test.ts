import { createHash } from 'node:crypto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { bytesToHex, utf8 } from '../../../kernel/bytes.ts';
import { portableSigner, portableVerifier } from '../../../kernel/ed25519.ts';
import { type PublicKey, publicKey } from '../../../kernel/units.ts';
import {
  bestVerifier,
  generateWebKeyPair,
  hasWebEd25519,
  rulePartings,
  webBulkDigest,
  webSigner,
  webVerifier,
} from '../../../kernel/web/web-crypto.ts';
import { fill } from '../../vectors/cast.ts';
import { readJson } from '../../vectors/fixtures.ts';
import type { SignatureVector } from '../../vectors/run-signature-vectors.ts';

const message = utf8('message');
afterEach(() => vi.restoreAllMocks());

describe('WebCrypto', () => {
  test('a pair made here signs, and both verifiers take it', async () => {
    const signer = await webSigner(await generateWebKeyPair());
    const signature = await signer.sign(message);
    expect(signer.hold).toBe('sealed');
    expect(await webVerifier().verify(signer.publicKey, message, signature)).toBe(true);
    expect(await portableVerifier.verify(signer.publicKey, message, signature)).toBe(true);
  });

  test('its private key cannot be taken out, and one that can is called software', async () => {
    const pair = await generateWebKeyPair();
    await expect(crypto.subtle.exportKey('pkcs8', pair.privateKey)).rejects.toThrow();
    const open = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
    expect((await webSigner(open)).hold).toBe('software');
  });

  test('more keys than are kept imported verify all the same', async () => {
    const verifier = webVerifier();
    const imports = vi.spyOn(crypto.subtle, 'importKey');
    const signers = Array.from({ length: 300 }, (_, i) =>
      portableSigner(Uint8Array.from({ length: 32 }, (_byte, at) => (at === 0 ? i >> 8 : i & 255))),
    );
    const distinct = new Set(signers.map(({ publicKey: key }) => bytesToHex(key))).size;
    for (const signer of signers) expect(await verifier.verify(signer.publicKey, message, await signer.sign(message))).toBe(true);
    expect(imports.mock.calls.length).toBeGreaterThanOrEqual(distinct);
    const again = signers.at(-1) as (typeof signers)[number];
    const before = imports.mock.calls.length;
    expect(await verifier.verify(again.publicKey, message, await again.sign(message))).toBe(true);
    expect(imports.mock.calls.length).toBe(before);
  });

  test('a key that is no point is refused, also the second time', async () => {
    const verifier = webVerifier();
    const noPoint = publicKey(Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 2 : 0))) as PublicKey;
    const signature = await portableSigner(fill(1, 32)).sign(message);
    expect(await verifier.verify(noPoint, message, signature)).toBe(false);
    expect(await verifier.verify(noPoint, message, signature)).toBe(false);
  });

  test('a host that will not import a key says no, it does not throw', async () => {
    const signer = portableSigner(fill(1, 32));
    const signature = await signer.sign(message);
    vi.spyOn(crypto.subtle, 'importKey').mockRejectedValue(new DOMException('DataError'));
    expect(await webVerifier().verify(signer.publicKey, message, signature)).toBe(false);
  });

  test('it is the best verifier where it works, and is not used where it does not', async () => {
    expect(await hasWebEd25519()).toBe(true);
    expect(await bestVerifier()).not.toBe(portableVerifier);
    vi.spyOn(crypto.subtle, 'generateKey').mockRejectedValue(new Error('NotSupportedError'));
    expect(await hasWebEd25519()).toBe(false);
    expect(await bestVerifier()).toBe(portableVerifier);
  });

  test.each(rulePartings.cases)('it is not used on a host with another rule: $name', async ({ message: of, valid }) => {
    const verify = crypto.subtle.verify.bind(crypto.subtle);
    vi.spyOn(crypto.subtle, 'verify').mockImplementation(async (...args) => {
      const isParting = bytesToHex(args[3] as Uint8Array) === of;
      return isParting ? !valid : verify(...args);
    });
    expect(await bestVerifier()).toBe(portableVerifier);
  });

  test('the signatures that tell hosts apart are of the vectors, and verifiers with other equations part on them', () => {
    const vectors = readJson<readonly SignatureVector[]>('tests/vectors/signatures.json');
    for (const { name, ...parting } of rulePartings.cases) {
      expect(vectors.find((vector) => vector.name === name)).toMatchObject({ key: rulePartings.key, ...parting });
    }
    expect(rulePartings.cases.map(({ valid }) => valid)).toEqual([true, false]);
  });

  test('the bulk digest is SHA-256', async () => {
    const bytes = fill(7, 100_000);
    expect(bytesToHex(await webBulkDigest(bytes))).toBe(createHash('sha256').update(bytes).digest('hex'));
  });
});
