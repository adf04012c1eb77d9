// A line over a real BroadcastChannel: order is kept, large messages are whole, and a slow reader makes no more pile up than its credit.
import { expect, test } from 'vitest';
import { ChannelEndpoint } from '../../worker/browser/tabs/channel-endpoint.ts';

const heardBy = (endpoint: ChannelEndpoint) => {
  const heard: unknown[] = [];
  endpoint.addEventListener('message', ((event: MessageEvent<unknown>) => heard.push(event.data)) as unknown as EventListener);
  return heard;
};

test('small and large messages arrive whole and in the order they were posted', async () => {
  const [a, b] = [new ChannelEndpoint('order'), new ChannelEndpoint('order')];
  const heard = heardBy(b);
  const large = { text: 'x'.repeat(5_000_000), bytes: new Uint8Array(3_000).fill(7) };
  for (const message of ['first', large, 'second', large, 'third']) a.postMessage(message);
  await expect.poll(() => heard.length, { timeout: 10_000 }).toBe(5);
  expect(heard).toEqual(['first', large, 'second', large, 'third']);
  a.close();
  b.close();
});

test('no more pieces are under way than the other end gave credit for', async () => {
  const sender = new ChannelEndpoint('credit');
  const frames: { readonly piece?: string }[] = [];
  const deaf = new BroadcastChannel('credit');
  deaf.onmessage = (event) => frames.push((event as MessageEvent<{ readonly piece?: string }>).data);
  sender.postMessage('x'.repeat(20_000_000));
  sender.postMessage('behind');
  await expect.poll(() => frames.length).toBe(8);
  await new Promise((resolve) => setImmediate(resolve));
  expect(frames.every(({ piece }) => piece !== undefined)).toBe(true);
  deaf.postMessage({ credit: 2 });
  await expect.poll(() => frames.length).toBe(10);
  sender.close();
  deaf.close();
});

test('an end that was closed hears and says nothing more', async () => {
  const [a, b] = [new ChannelEndpoint('closed'), new ChannelEndpoint('closed')];
  const heard = heardBy(b);
  a.postMessage(1);
  await expect.poll(() => heard.length).toBe(1);
  b.close();
  a.postMessage(2);
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard).toEqual([1]);
  expect(() => b.postMessage('an answer that comes late')).not.toThrow();
  a.close();
});
