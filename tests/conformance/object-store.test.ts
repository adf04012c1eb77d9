// The object-store suite on every adapter that keeps its contract, and the probe against one that does not.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Miniflare } from 'miniflare';
import S3rver from 's3rver';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256 } from '../../kernel/digest.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import { etag, ifAbsent, ifMatch, type ObjectStore } from '../../relay/object-store.ts';
import { probeStore } from '../../relay/probe.ts';
import { openFolderStore } from '../../relay/stores/folder.ts';
import { memoryStore } from '../../relay/stores/memory.ts';
import { r2Store } from '../../relay/stores/r2.ts';
import { s3Store } from '../../relay/stores/s3.ts';
import { seededRandom, TestTime } from '../relay/fixtures.ts';
import { faultyStore, seededFaults } from './faulty-store.ts';
import { describeObjectStore } from './object-store-suite.ts';
import { s3Double } from './s3-double.ts';

const temporaryFolder = () => mkdtemp(join(tmpdir(), 'foldlog-store-'));
const removeFolder = (folder: string) => rm(folder, { recursive: true, force: true });

const probe = (store: ObjectStore): Promise<void> => {
  const time = new TestTime();
  return probeStore({ store, clock: time, scheduler: time, random: seededRandom('probe') });
};

describeObjectStore('memory', async () => ({ store: memoryStore(), close: async () => undefined }));

describeObjectStore('folder, three instances over it', async () => {
  const folder = await temporaryFolder();
  const [store, ...others] = await Promise.all([openFolderStore(folder), openFolderStore(folder), openFolderStore(folder)]);
  return { store, others, close: () => removeFolder(folder) };
});

describeObjectStore('R2 in miniflare, on disk', async () => {
  const folder = await temporaryFolder();
  const miniflare = new Miniflare({ modules: true, script: 'export default {}', r2Buckets: { LOG: 'log' }, r2Persist: folder });
  const store = r2Store((await miniflare.getR2Bucket('LOG')) as unknown as Parameters<typeof r2Store>[0]);
  return {
    store,
    async close() {
      await miniflare.dispose();
      await removeFolder(folder);
    },
  };
});

const bucket = { bucketUrl: 'http://s3.test/bucket', region: 'eu-test-1', accessKeyId: 'test', secretAccessKey: 'secret' };

describeObjectStore('S3 adapter, quoted ETags', async () => ({
  store: s3Store({ fetch: s3Double({ etagForm: 'quoted' }) }, bucket),
  close: async () => undefined,
}));

describeObjectStore('S3 adapter, bare ETags as on Ceph', async () => ({
  store: s3Store({ fetch: s3Double({ etagForm: 'bare' }) }, { ...bucket, etagForm: 'bare' }),
  close: async () => undefined,
}));

describe('S3 adapter', () => {
  const answering = (status: number, code: string) =>
    s3Store({ fetch: async () => new Response(`<Error><Code>${code}</Code></Error>`, { status }) }, bucket);

  it.each([
    [409, 'ConditionalRequestConflict'],
    [429, 'TooManyRequests'],
    [500, 'InternalError'],
    [503, 'SlowDown'],
    [403, 'AccessDenied'],
    [404, 'NoSuchBucket'],
  ])('status %d %s is unknown for every call, never lost and never absent', async (status, code) => {
    const store = answering(status, code);
    expect((await store.put('a', Uint8Array.of(1), ifAbsent)).kind).toBe('unknown');
    expect((await store.put('a', Uint8Array.of(1), ifMatch(etag('x')))).kind).toBe('unknown');
    expect((await store.get('a')).kind).toBe('unknown');
    expect((await store.list('a', '', 1)).kind).toBe('unknown');
  });

  it('a server that never answers is unknown', async () => {
    const fetch = (request: Request) =>
      new Promise<Response>((_, reject) => request.signal.addEventListener('abort', () => reject(request.signal.reason)));
    const store = s3Store({ fetch }, { ...bucket, requestMsMax: 1 });
    expect((await store.put('a', Uint8Array.of(1), ifAbsent)).kind).toBe('unknown');
  });

  it('an object without our digest is read to know it', async () => {
    const inner = s3Double({ etagForm: 'quoted' });
    const fetch = async (request: Request) => {
      const response = await inner(request);
      response.headers.delete('x-amz-meta-foldlog-sha256');
      return response;
    };
    const store = s3Store({ fetch }, bucket);
    await store.put('a', Uint8Array.of(1, 2), ifAbsent);
    expect(await store.head('a')).toMatchObject({ kind: 'found', size: 2, digest: sha256(Uint8Array.of(1, 2)) });
  });
});

describe('s3rver, which ignores conditions: the negative control', () => {
  let folder: string;
  let server: S3rver;
  let store: ObjectStore;

  beforeAll(async () => {
    folder = await temporaryFolder();
    const configureBuckets = [{ name: 'bucket' }];
    server = new S3rver({ address: '127.0.0.1', port: 0, directory: folder, silent: true, configureBuckets });
    const { address, port } = await server.run();
    const bucketUrl = `http://${address}:${port}/bucket`;
    store = s3Store({ fetch }, { bucketUrl, region: 'us-east-1', accessKeyId: 'S3RVER', secretAccessKey: 'S3RVER' });
  });
  afterAll(async () => {
    await server.close();
    await removeFolder(folder);
  });

  it('understands the adapter otherwise: put, get, head with digest, list, delete', async () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect((await store.put('w/a/1', bytes, ifAbsent)).kind).toBe('written');
    expect(await store.get('w/a/1')).toMatchObject({ kind: 'found', bytes });
    expect(await store.head('w/a/1')).toMatchObject({ kind: 'found', size: 3, digest: sha256(bytes) });
    expect(await store.list('w/', '', 10)).toEqual({ kind: 'listed', keys: ['w/a/1'], isMore: false });
    expect((await store.delete('w/a/1')).kind).toBe('deleted');
    expect((await store.get('w/a/1')).kind).toBe('absent');
  });

  it('is refused by the probe, which names the broken promise', async () => {
    const refusal = await probe(store).catch((failure: unknown) => failure);
    expect(refusal).toBeInstanceOf(FoldlogError);
    expect(refusal).toMatchObject({ kind: 'misuse', reason: 'storeContract', where: 'store contract: create-only' });
  });
});

describe('contract probe', () => {
  it('passes on memory, and leaves nothing behind', async () => {
    const store = memoryStore();
    await probe(store);
    expect(await store.list('', '', 10)).toEqual({ kind: 'listed', keys: [], isMore: false });
  });

  it('passes on a folder', async () => {
    const folder = await temporaryFolder();
    await probe(await openFolderStore(folder));
    await removeFolder(folder);
  });

  it('passes on a store with lost replies and late writes, since these are not lies', async () => {
    const store = faultyStore(memoryStore(), seededFaults(seededRandom('probe faults'), 20));
    await probe(store);
    expect(store.violations).toEqual([]);
  });

  it('says unavailable, not broken, of a store that does not answer', async () => {
    const store = faultyStore(memoryStore(), () => 'refused');
    await expect(probe(store)).rejects.toMatchObject({ kind: 'unavailable', reason: 'storeUnavailable' });
  });

  const lies: readonly (readonly [string, string, (store: ObjectStore) => Partial<ObjectStore>])[] = [
    ['overwrites on create-only', 'create-only', (store) => ({ put: (key, bytes) => overwrite(store, key, bytes) })],
    [
      'ignores If-Match',
      'If-Match',
      (store) => ({ put: (key, bytes, to) => (to.kind === 'match' ? overwrite(store, key, bytes) : store.put(key, bytes, to)) }),
    ],
    ['says written and stores nothing', 'create-only', () => ({ put: async () => ({ kind: 'written', etag: etag('x') }) })],
    [
      'keeps a wrong digest',
      'digest of the last write',
      (store) => ({
        head: async (key) => {
          const head = await store.head(key);
          return head.kind === 'found' ? { ...head, digest: sha256(Uint8Array.of(1)) } : head;
        },
      }),
    ],
    ['reads an old state', 'create-only, then a read', () => ({ get: async () => ({ kind: 'absent' }) })],
    [
      'creates by If-Match where nothing is',
      'If-Match on a missing key',
      (store) => ({
        put: async (key, bytes, to) => {
          const isMissing = (await store.get(key)).kind === 'absent';
          return isMissing ? store.put(key, bytes, ifAbsent) : store.put(key, bytes, to);
        },
      }),
    ],
  ];
  it.each(lies)('refuses a store that %s', async (_, promise, lie) => {
    const store = memoryStore();
    await expect(probe({ ...store, ...lie(store) })).rejects.toMatchObject({
      kind: 'misuse',
      reason: 'storeContract',
      where: `store contract: ${promise}`,
    });
  });
});

/** Puts whatever stands there, as a store that ignores conditions does. */
async function overwrite(store: ObjectStore, key: string, bytes: Uint8Array): ReturnType<ObjectStore['put']> {
  for (;;) {
    await store.delete(key);
    const put = await store.put(key, bytes, ifAbsent);
    if (put.kind === 'written') return put;
  }
}
