import { describe, expect, test } from 'vitest';
import { utf8 } from '../../kernel/bytes.ts';
import { keyIdOf } from '../../kernel/digest.ts';
import { portableVerifier } from '../../kernel/ed25519.ts';
import { decodeCredential, isRequestBy, type SignedRequest, signRequest } from '../../kernel/request-signature.ts';
import { integerMax, timeMs, workspaceId } from '../../kernel/units.ts';
import { fill, owner, till, workspace } from '../vectors/cast.ts';

const request: SignedRequest = { workspace, method: 'PUT', path: '/v1/a?b=1', body: utf8('body') };
const time = timeMs(1_763_726_400_000);
const header = await signRequest(till, request, time);
const badCredential = expect.objectContaining({ kind: 'misuse', reason: 'badCredential' });

describe('signed request', () => {
  test('the header says who and when, and verifies over the request', async () => {
    const credential = decodeCredential(header);
    expect(credential).toMatchObject({ key: keyIdOf(till.publicKey), time });
    expect(await isRequestBy(portableVerifier, till.publicKey, request, credential)).toBe(true);
    expect(await isRequestBy(portableVerifier, owner.publicKey, request, credential)).toBe(false);
  });

  test.each<readonly [string, Partial<SignedRequest>]>([
    ['another workspace', { workspace: workspaceId(fill(1, 32)) }],
    ['another method', { method: 'GET' }],
    ['another path', { path: '/v1/a?b=2' }],
    ['another body', { body: utf8('bodi') }],
    ['no body', { body: new Uint8Array(0) }],
  ])('it does not cover %s', async (_what, change) => {
    const credential = decodeCredential(header);
    expect(await isRequestBy(portableVerifier, till.publicKey, { ...request, ...change }, credential)).toBe(false);
  });

  test('it does not cover another time', async () => {
    const credential = { ...decodeCredential(header), time: timeMs(time + 1) };
    expect(await isRequestBy(portableVerifier, till.publicKey, request, credential)).toBe(false);
  });

  test('the longest time there is comes back', async () => {
    const late = await signRequest(till, request, timeMs(integerMax));
    expect(decodeCredential(late).time).toBe(integerMax);
    expect(decodeCredential(await signRequest(till, request, timeMs(0))).time).toBe(0);
  });
});

describe('a header in another form is refused', () => {
  const [scheme = '', rest = ''] = header.split(' ');
  const [key = '', at = '', sig = ''] = rest.split('.');
  const spelled = (k: string, t: string, s: string) => `${scheme} ${k}.${t}.${s}`;

  test('the form itself is taken', () => {
    expect(decodeCredential(spelled(key, at, sig))).toEqual(decodeCredential(header));
  });

  test.each<readonly [string, string | undefined]>([
    ['none', undefined],
    ['empty', ''],
    ['another scheme', `Bearer ${rest}`],
    ['a newer scheme', `Foldlog-2 ${rest}`],
    ['a space in front', ` ${header}`],
    ['a line after it', `${header}\n`],
    ['a part too few', `${scheme} ${key}.${at}`],
    ['a part too many', `${header}.x`],
    ['a short key id', spelled(key.slice(1), at, sig)],
    ['stray bits in the key id', spelled(`${key.slice(0, -1)}B`, at, sig)],
    ['stray bits in the signature', spelled(key, at, `${sig.slice(0, -1)}B`)],
    ['padding', spelled(key, at, `${sig.slice(0, -1)}=`)],
    ['a negative time', spelled(key, '-1', sig)],
    ['a time with a leading zero', spelled(key, `0${at}`, sig)],
    ['a time beyond 2^53-1', spelled(key, '9007199254740992', sig)],
    ['a time of seventeen digits', spelled(key, '10000000000000000', sig)],
    ['a time with a fraction', spelled(key, '1.5', sig)],
    ['no time', spelled(key, '', sig)],
  ])('%s', (_what, value) => {
    expect(() => decodeCredential(value)).toThrow(badCredential);
  });
});
