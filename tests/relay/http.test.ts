// The HTTP face of the core: routes, methods, CORS, bodies read away, unexpected failures, and the probe before the first answer.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { base64urlToBytes } from '../../kernel/bytes.ts';
import { type ErrorKind, FoldlogError, isPlainError } from '../../kernel/errors.ts';
import { runBytesMax } from '../../kernel/limits.ts';
import type { RelayInfo } from '../../kernel/relay-api.ts';
import { etag, type ObjectStore } from '../../relay/object-store.ts';
import { statusOf, statusOfKind, statusOfReason } from '../../relay/refusals.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { foundedShop, readAnswer, sendTo, testHost } from './fixtures.ts';

const at = (path: string, init: RequestInit = {}) => new Request(`http://relay${path}`, init);

describe('GET /v1/relay', () => {
  it('gives key, format and bounds, after the store passed the probe', async () => {
    const host = testHost({ settings: { runBytesMax: 262_144 } });
    const response = await host.relay.fetch(at('/v1/relay'));
    const info = (await response.json()) as RelayInfo;
    expect(response.status).toBe(200);
    expect(base64urlToBytes(info.key)).toEqual(host.signer.publicKey);
    expect(info).toEqual({ key: expect.any(String), format: 1, suite: 1, runBytesMax: 262_144 });
    expect(
      (await testHost()
        .relay.fetch(at('/v1/relay'))
        .then((answer) => answer.json())) as RelayInfo,
    ).toMatchObject({ runBytesMax });
  });

  const lying = (): ObjectStore => ({ ...memoryStore(), put: async () => ({ kind: 'written', etag: etag('x') }) });

  it('on a store that breaks its contract serves nobody from then on, and says why', async () => {
    const host = testHost({ store: lying() });
    await expect(host.relay.ready()).rejects.toMatchObject({ kind: 'misuse', reason: 'storeContract' });
    for (const path of ['/v1/relay', `/v1/workspaces/${'ab'.repeat(32)}/control`, '/anything']) {
      const answer = await readAnswer(await host.relay.fetch(at(path)));
      expect(answer).toMatchObject({ status: 503, error: { reason: 'storeContract', where: 'store contract: create-only' } });
    }
  });

  it('on a store that is away says unavailable, and asks again next time', async () => {
    let isAway = true;
    const inner = memoryStore();
    const store: ObjectStore = { ...inner, put: async (...put) => (isAway ? { kind: 'unknown', cause: 'away' } : inner.put(...put)) };
    const host = testHost({ store });
    expect(await readAnswer(await host.relay.fetch(at('/v1/relay')))).toMatchObject({ status: 503, error: { reason: 'storeUnavailable' } });
    isAway = false;
    expect((await host.relay.fetch(at('/v1/relay'))).status).toBe(200);
  });

  it('probes once', async () => {
    const host = testHost();
    let puts = 0;
    const counting: ObjectStore = {
      ...host.store,
      async put(...put) {
        puts += 1;
        return host.store.put(...put);
      },
    };
    const { relay } = testHost({ store: counting });
    await relay.ready();
    const once = puts;
    await relay.ready();
    await relay.fetch(at('/v1/relay'));
    expect(puts).toBe(once);
  });
});

describe('routes', () => {
  const workspace = `/v1/workspaces/${'ab'.repeat(32)}`;
  const shard = `${workspace}/shards/${'cd'.repeat(16)}`;

  it.each(['/', '/v1', '/v1/relay/', '/v2/relay', `${workspace}`, `${shard}`, `${shard}/log/1`, '/v1/workspaces//control'])(
    '%s is no route',
    async (path) => {
      expect(await readAnswer(await testHost().relay.fetch(at(path)))).toMatchObject({ status: 404, error: { reason: 'unknownRoute' } });
    },
  );

  it.each([
    ['DELETE', '/v1/relay', 'GET'],
    ['PUT', `${workspace}/control`, 'GET, POST'],
    ['GET', `${shard}/push`, 'POST'],
    ['POST', `${shard}/log`, 'GET'],
    ['GET', `${shard}/checkpoints`, 'POST'],
    ['DELETE', `${shard}/checkpoints/newest`, 'GET'],
    ['POST', `${shard}/chunks/${'ef'.repeat(32)}`, 'GET, PUT'],
  ])('%s %s is 405 and names what is allowed', async (method, path, allow) => {
    const response = await testHost().relay.fetch(at(path, { method }));
    expect(response.headers.get('allow')).toBe(allow);
    expect(await readAnswer(response)).toMatchObject({ status: 405, error: { kind: 'misuse', reason: 'wrongMethod' } });
  });

  it('a body nobody wants is read away', async () => {
    const { host } = await foundedShop();
    for (const [method, path] of [
      ['POST', '/nowhere'],
      ['DELETE', '/v1/relay'],
      ['POST', `${shard}/checkpoints`],
    ] as const) {
      const request = at(path, { method, body: new Uint8Array(100_000) });
      expect((await host.relay.fetch(request)).ok).toBe(false);
      expect(request.bodyUsed).toBe(true);
    }
  });

  it('no answer is cached or sniffed', async () => {
    const { headers } = await testHost().relay.fetch(at('/v1/relay'));
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  });
});

describe('CORS', () => {
  const shopOrigin = 'https://shop.example';
  const preflight = (origin: string) =>
    at('/v1/relay', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
  const corsOf = (response: Response) => [...response.headers.keys()].filter((name) => name.startsWith('access-control'));

  it('is off unless origins are named', async () => {
    const { relay } = testHost();
    expect(corsOf(await relay.fetch(at('/v1/relay', { headers: { origin: shopOrigin } })))).toEqual([]);
    const answer = await relay.fetch(preflight(shopOrigin));
    expect(answer.status).toBe(204);
    expect(corsOf(answer)).toEqual([]);
  });

  it('lets in the origins named, and no other', async () => {
    const { relay } = testHost({ settings: { origins: [shopOrigin] } });
    const allowed = await relay.fetch(preflight(shopOrigin));
    expect(Object.fromEntries(allowed.headers)).toMatchObject({
      'access-control-allow-origin': shopOrigin,
      'access-control-allow-methods': 'GET, POST, PUT',
      'access-control-allow-headers': 'authorization, content-type',
      'access-control-max-age': '7200',
      vary: 'origin',
    });
    expect(allowed.headers.get('access-control-allow-credentials')).toBe(null);
    for (const origin of ['https://evil.example', 'https://shop.example.evil.example', 'null', 'HTTPS://SHOP.EXAMPLE']) {
      expect(corsOf(await relay.fetch(preflight(origin)))).toEqual([]);
      expect((await relay.fetch(at('/v1/relay', { headers: { origin } }))).headers.get('vary')).toBe('origin');
    }
  });

  it('is on refusals too, so that a page can read why', async () => {
    const { relay } = testHost({ settings: { origins: [shopOrigin] } });
    const answer = await relay.fetch(at('/nowhere', { headers: { origin: shopOrigin } }));
    expect(answer.headers.get('access-control-allow-origin')).toBe(shopOrigin);
  });
});

describe('a failure no rule foresaw', () => {
  it('is a typed 500 without its text, and is reported whole', async () => {
    const secret = new RangeError('secret at /home/somebody');
    const { host, shard } = await foundedShop();
    const verifier = {
      verify: () => {
        throw secret;
      },
    };
    const broken = testHost({ store: host.store, time: host.time, verifier });
    const answer = await shard.send(sendTo(broken), await shard.nextRun());
    expect(answer).toMatchObject({ status: 500, error: { kind: 'unavailable', reason: 'hostFailed' } });
    expect(JSON.stringify(answer)).not.toContain('secret');
    expect(broken.reported).toEqual([secret]);
  });
});

describe('statuses', () => {
  const facts = { where: 'here', found: 'this', expected: 'that' };
  const rows = (pattern: RegExp) => [...readFileSync(new URL('../../docs/relay-api.md', import.meta.url), 'utf8').matchAll(pattern)];

  it('are those of docs/relay-api.md, and every one of the code is there', () => {
    const reasons = rows(/^\| `(\w+)` \| `(\w+)` \| (\d{3}) \|/gm);
    for (const [, reason = '', kind, status] of reasons) {
      expect([reason, statusOf(new FoldlogError(kind as ErrorKind, { ...facts, reason }))]).toEqual([reason, Number(status)]);
    }
    expect(reasons.map(([, reason]) => reason)).toEqual(Object.keys(statusOfReason));
    const kinds = rows(/^\| `(\w+)` \| (\d{3}) \|$/gm).map(([, kind, status]) => [kind, Number(status)]);
    expect(Object.fromEntries(kinds)).toEqual(statusOfKind);
  });

  it('a reason named like something every object has is no special case', () => {
    expect(statusOf(new FoldlogError('corrupt', { ...facts, reason: 'constructor' }))).toBe(422);
  });

  it('every refusal is a plain error', async () => {
    const response = await testHost().relay.fetch(at('/nowhere'));
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(isPlainError(await response.json())).toBe(true);
  });
});

describe('settings', () => {
  it.each([Number.NaN, 0, -1, 1.5, Number.POSITIVE_INFINITY])('a bound of %s is refused: it would bound nothing', (runBytesMax) => {
    expect(() => testHost({ settings: { runBytesMax } })).toThrow('relay setting runBytesMax');
  });
});
