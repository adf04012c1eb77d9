// Offline reload: keeps the built files of one release. The page itself is asked of the network first, so that an update arrives; files
// with a hash in their name come from the cache. Requests below /relay and the self-test are never touched. vite.config.ts puts the list of
// files in.

declare const builtFiles: readonly string[];
declare const release: string;

/** What is used of the service worker's globals; the DOM library, which the rest of the demo needs, does not know them. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface ServiceWorker {
  readonly location: Location;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(type: 'install' | 'activate', listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
}

const worker = self as unknown as ServiceWorker;
const cacheName = `till-${release}`;

worker.addEventListener('install', (event) => {
  event.waitUntil(keep().then(() => worker.skipWaiting()));
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(dropOlder().then(() => worker.clients.claim()));
});

/** Not the till: offline it must fail instead of showing the till in its place. */
const untouched = /^\/(?:relay|selftest)/;

worker.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== worker.location.origin || untouched.test(url.pathname)) return;
  event.respondWith(request.mode === 'navigate' ? networkFirst(request) : cacheFirst(request));
});

async function keep(): Promise<void> {
  const cache = await caches.open(cacheName);
  await cache.addAll(['/', ...builtFiles].map((path) => new Request(path, { cache: 'reload' })));
}

async function dropOlder(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith('till-') && name !== cacheName).map((name) => caches.delete(name)));
}

/** A network that neither answers nor fails must not keep a till closed. */
const navigationMsMax = 4_000;

async function networkFirst(request: Request): Promise<Response> {
  try {
    const response = await fetch(request.url, { signal: AbortSignal.timeout(navigationMsMax) });
    if (response.ok) return response;
    return (await caches.match('/')) ?? response;
  } catch (cause) {
    const kept = await caches.match('/');
    if (kept === undefined) throw cause;
    return kept;
  }
}

async function cacheFirst(request: Request): Promise<Response> {
  return (await caches.match(request)) ?? fetch(request);
}
