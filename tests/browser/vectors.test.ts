// The signature vectors in this browser: WebCrypto behind our byte checks, and the portable verifier, must both keep the one strict rule.
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SignatureVector } from '../vectors/run-signature-vectors.ts';
import { Device, type Site, serveLab } from './harness.ts';

let site: Site;
let device: Device;

beforeAll(async () => {
  site = await serveLab();
  device = await Device.make();
});

afterAll(async () => {
  await device?.remove();
  await site?.close();
});

test('both verifiers answer every signature vector alike', async () => {
  const file: unknown = JSON.parse(await readFile(new URL('../vectors/signatures.json', import.meta.url), 'utf8'));
  const vectors = (Array.isArray(file) ? file : (file as { vectors: unknown }).vectors) as readonly SignatureVector[];
  expect(vectors.length).toBeGreaterThan(10);
  const page = await device.page(site.origin);
  const found = await page.evaluate((given) => lab.signatureVectors(given), vectors);
  expect(found).toEqual({ web: [], portable: [] });
});
