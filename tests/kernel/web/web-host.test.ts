import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Http, HttpOutcome } from '../../../kernel/ports.ts';
import { webClock, webHttp, webRandom, webScheduler } from '../../../kernel/web/web-host.ts';

let server: Server;
let http: Http;
const bounds = { timeoutMs: 5_000, bytesMax: 100 };

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === '/hang') return;
    if (request.url === '/cut') return void response.writeHead(200, { 'content-length': '10' }).write('x', () => response.destroy());
    if (request.url === '/none') return void response.writeHead(204).end();
    if (request.url === '/large') return void response.end(Buffer.alloc(101));
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      response.setHeader('x-method', request.method ?? '');
      response.statusCode = request.url === '/refused' ? 409 : 200;
      response.end(Buffer.concat([Buffer.from(String(request.headers['x-a'] ?? '')), ...parts]));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  http = webHttp(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const textOf = (outcome: HttpOutcome): string => (outcome.kind === 'answered' ? new TextDecoder().decode(outcome.body) : outcome.kind);

describe('HTTP', () => {
  test('a request goes out with method, headers and body, and its answer comes back whole', async () => {
    const body = new TextEncoder().encode('body');
    const outcome = await http.send({ method: 'POST', path: '/', headers: { 'x-a': 'b' }, body }, bounds);
    expect(outcome).toMatchObject({ kind: 'answered', status: 200, headers: { 'x-method': 'POST' } });
    expect(textOf(outcome)).toBe('bbody');
  });

  test('a refusal is an answer, and so is one without a body', async () => {
    expect(await http.send({ method: 'GET', path: '/refused', headers: {} }, bounds)).toMatchObject({ kind: 'answered', status: 409 });
    const none = await http.send({ method: 'GET', path: '/none', headers: {} }, bounds);
    expect(none).toMatchObject({ kind: 'answered', status: 204, body: new Uint8Array(0) });
  });

  test.each([
    ['no server', 'http://127.0.0.1:1', '/', bounds],
    ['an answer cut short', undefined, '/cut', bounds],
    ['an answer beyond the bound', undefined, '/large', bounds],
    ['no answer in time', undefined, '/hang', { ...bounds, timeoutMs: 50 }],
  ])('%s is unreachable, never a throw', async (_what, base, path, limits) => {
    const through = base === undefined ? http : webHttp(base);
    expect(await through.send({ method: 'GET', path, headers: {} }, limits)).toMatchObject({ kind: 'unreachable' });
  });
});

describe('clock, random, scheduler', () => {
  test('the clock tells milliseconds, and ticks only grow', () => {
    expect(Math.abs(webClock.now() - Date.now())).toBeLessThan(1_000);
    const before = webClock.ticks();
    expect(webClock.ticks()).toBeGreaterThanOrEqual(before);
  });

  test('random bytes are of the length asked for, and differ', () => {
    expect(webRandom.bytes(0)).toHaveLength(0);
    expect(webRandom.bytes(32)).not.toEqual(webRandom.bytes(32));
  });

  test('a task runs once after its delay, unless it is cancelled', async () => {
    const ran: string[] = [];
    const cancel = webScheduler.after(1, () => ran.push('cancelled'));
    cancel();
    await new Promise<void>((resolve) => {
      webScheduler.after(5, () => {
        ran.push('task');
        resolve();
      });
    });
    expect(ran).toEqual(['task']);
  });

  test('a yield ends in a later turn, after what was waiting', async () => {
    const order: string[] = [];
    const waiting = new Promise<void>((resolve) => {
      setImmediate(() => {
        order.push('waiting');
        resolve();
      });
    });
    queueMicrotask(() => order.push('microtask'));
    await webScheduler.yield();
    order.push('yielded');
    await waiting;
    expect(order.indexOf('microtask')).toBeLessThan(order.indexOf('yielded'));
  });
});
