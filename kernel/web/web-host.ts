// Clock, random, scheduler and HTTP of a host with Web-standard globals. The only place that touches them for the shared layers.

import { type Bytes, concatBytes } from '../bytes.ts';
import type { Clock, Http, HttpOutcome, Random, Scheduler } from '../ports.ts';
import { timeMs } from '../units.ts';

export const webClock: Clock = {
  now: () => timeMs(Date.now()),
  ticks: () => performance.now(),
};

export const webRandom: Random = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
};

/** A message to oneself is a later turn that hidden tabs do not throttle, unlike a timer. */
export const webScheduler: Scheduler = {
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
  yield: () =>
    new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port2.onmessage = () => {
        port1.close();
        resolve();
      };
      port1.postMessage(null);
    }),
};

/** HTTP to one relay. `base` is its URL without a trailing slash, e.g. `https://relay.example/relay`. */
export function webHttp(base: string): Http {
  return {
    async send(request, bounds): Promise<HttpOutcome> {
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), bounds.timeoutMs);
      try {
        const response = await fetch(base + request.path, {
          method: request.method,
          headers: request.headers,
          signal: abort.signal,
          cache: 'no-store',
          credentials: 'omit',
          ...(request.body === undefined ? {} : { body: request.body }),
        });
        const body = await readBounded(response, bounds.bytesMax);
        if (body === undefined) return { kind: 'unreachable', cause: `an answer beyond ${bounds.bytesMax} bytes` };
        return { kind: 'answered', status: response.status, headers: Object.fromEntries(response.headers), body };
      } catch (cause) {
        return { kind: 'unreachable', cause };
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

async function readBounded(response: Response, bytesMax: number): Promise<Bytes | undefined> {
  if (response.body === null) return new Uint8Array(0);
  const reader = response.body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const step = await reader.read();
    if (step.done) return concatBytes(...parts);
    length += step.value.length;
    if (length > bytesMax) {
      await reader.cancel();
      return undefined;
    }
    parts.push(step.value);
  }
}
