// What the relay takes for granted of workerd and R2, asked of the very runtime the other workerd tests boot.
import { Miniflare } from 'miniflare';
import { afterAll, beforeAll, expect, test } from 'vitest';

let runtime: Miniflare;

beforeAll(async () => {
  runtime = new Miniflare({
    modules: true,
    script: 'export default { fetch() { return new Response("up"); } };',
    compatibilityDate: '2026-04-01',
    r2Buckets: ['BUCKET'],
  });
  await runtime.ready;
});

afterAll(() => runtime.dispose());

test('a create-only put on R2 has one winner among eight', async () => {
  const bucket = await runtime.getR2Bucket('BUCKET');
  const onlyIf = { etagDoesNotMatch: '*' };
  const racers = Array.from({ length: 8 }, (_, index) => bucket.put('slot', `racer ${index}`, { onlyIf }));
  const winners = (await Promise.all(racers)).filter((object) => object !== null);
  expect(winners).toHaveLength(1);
  expect((await bucket.head('slot'))?.etag).toBe(winners[0]?.etag);
});

test('a put on R2 that expects another etag changes nothing', async () => {
  const bucket = await runtime.getR2Bucket('BUCKET');
  const first = await bucket.put('register', 'first');
  const stale = await bucket.put('register', 'stale', { onlyIf: { etagMatches: '0'.repeat(32) } });
  expect(stale).toBeNull();
  const next = await bucket.put('register', 'next', { onlyIf: { etagMatches: first.etag } });
  expect(next?.etag).not.toBe(first.etag);
  expect(await (await bucket.get('register'))?.text()).toBe('next');
});
