// What is particular to the folder store: what a kill leaves, the order of flushes, and late writers (zombies) on versions.
// The file system is the real one; a hook before `link` lets a test hold a writer at its most dangerous moment.

import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ifAbsent, ifMatch, type ObjectStore } from '../../relay/object-store.ts';
import { openFolderStore } from '../../relay/stores/folder.ts';

const hooks = vi.hoisted(() => ({
  beforeLink: undefined as ((target: string) => Promise<void>) | undefined,
  afterLink: undefined as (() => Promise<void>) | undefined,
  trace: [] as string[],
}));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    async link(from: string, to: string) {
      await hooks.beforeLink?.(to);
      await real.link(from, to);
      hooks.trace.push(`link ${to}`);
      await hooks.afterLink?.();
    },
    async open(...args: Parameters<typeof real.open>) {
      const file = await real.open(...args);
      const sync = file.sync.bind(file);
      file.sync = async () => {
        await sync();
        hooks.trace.push(`flush ${String(args[0])}`);
      };
      return file;
    },
  };
});

describe('folder store', () => {
  let folder: string;
  const secondsAgo = async (path: string, seconds: number) => {
    const then = (await stat(path)).mtimeMs / 1000 - seconds;
    await utimes(path, then, then);
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'foldlog-folder-'));
  });
  afterEach(async () => {
    hooks.beforeLink = undefined;
    await rm(folder, { recursive: true, force: true });
  });

  it('temporary files of a killed put are never read nor listed, and go when they are old', async () => {
    const killed = await openFolderStore(folder);
    await killed.put('w/a/log/1', Uint8Array.of(1), ifAbsent);
    await writeFile(join(folder, '.tmp', 'half-written'), Uint8Array.of(9));
    await writeFile(join(folder, '.tmp', 'recent'), Uint8Array.of(9));
    await secondsAgo(join(folder, '.tmp', 'half-written'), 7_200);
    const store = await openFolderStore(folder);
    expect(await store.list('', '', 10)).toEqual({ kind: 'listed', keys: ['w/a/log/1'], isMore: false });
    expect(await readdir(join(folder, '.tmp'))).toEqual(['recent']);
    expect((await store.put('w/a/log/2', Uint8Array.of(2), ifAbsent)).kind).toBe('written');
  });

  it('a put leaves no temporary file, written or lost', async () => {
    const store = await openFolderStore(folder);
    await store.put('a', Uint8Array.of(1), ifAbsent);
    await store.put('a', Uint8Array.of(2), ifAbsent);
    expect(await readdir(join(folder, '.tmp'))).toEqual([]);
  });

  /** Writes version 0, then replaces it `times` times; the ETag of each version. */
  async function replaced(store: ObjectStore, key: string, times: number) {
    const first = await store.put(key, Uint8Array.of(0), ifAbsent);
    if (first.kind !== 'written') throw new Error(first.kind);
    const etags = [first.etag];
    for (let n = 1; n <= times; n++) {
      const put = await store.put(key, Uint8Array.of(n), ifMatch(etags.at(-1) ?? first.etag));
      if (put.kind !== 'written') throw new Error(put.kind);
      etags.push(put.etag);
    }
    return etags;
  }

  /** Holds the next writer at this moment: `arrived` resolves when it is there, `release` lets it go on. */
  function holdOnce(moment: 'beforeLink' | 'afterLink'): { readonly arrived: Promise<void>; readonly release: () => void } {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const arrived = new Promise<void>((isHeld) => {
      hooks[moment] = async () => {
        hooks[moment] = undefined;
        isHeld();
        await held;
      };
    });
    return { arrived, release: () => release() };
  }

  const versionsIn = (key: string) => readdir(join(folder, `${key}.versions`));

  it.each([
    [1, 'lost'],
    [5, 'lost'],
    // Its number has come free again meanwhile, so that it cannot tell whether it was first.
    [30, 'unknown'],
  ] as const)(
    'a writer held before its link while %d others replace the object never wrote it: %s, and nobody reads it',
    async (others, kind) => {
      const store = await openFolderStore(folder);
      const etags = await replaced(store, 'reg/a', 4);
      const { arrived, release } = holdOnce('beforeLink');
      const zombie = (await openFolderStore(folder)).put('reg/a', Uint8Array.of(99), ifMatch(etags.at(-1) ?? (etags[0] as never)));
      await arrived;
      let current = etags.at(-1);
      for (let n = 0; n < others; n++) {
        const put = await store.put('reg/a', Uint8Array.of(100 + n), ifMatch(current as never));
        if (put.kind !== 'written') throw new Error(put.kind);
        current = put.etag;
      }
      release();
      expect((await zombie).kind).toBe(kind);
      expect(await store.get('reg/a')).toMatchObject({ kind: 'found', bytes: Uint8Array.of(99 + others), etag: current });
      expect((await store.put('reg/a', Uint8Array.of(7), ifMatch(current as never))).kind).toBe('written');
      expect(await store.get('reg/a')).toMatchObject({ bytes: Uint8Array.of(7) });
    },
  );

  it.each([1, 5])('a writer held after its link, while %d others replace what it wrote, has written it', async (others) => {
    const store = await openFolderStore(folder);
    const etags = await replaced(store, 'reg/a', 4);
    const { arrived, release } = holdOnce('afterLink');
    const slow = (await openFolderStore(folder)).put('reg/a', Uint8Array.of(99), ifMatch(etags.at(-1) ?? (etags[0] as never)));
    await arrived;
    for (let n = 0; n < others; n++) {
      const found = await store.get('reg/a');
      if (found.kind !== 'found') throw new Error(found.kind);
      if (n === 0) expect(found.bytes).toEqual(Uint8Array.of(99));
      expect((await store.put('reg/a', Uint8Array.of(100 + n), ifMatch(found.etag))).kind).toBe('written');
    }
    release();
    expect((await slow).kind).toBe('written');
    expect(await store.get('reg/a')).toMatchObject({ kind: 'found', bytes: Uint8Array.of(99 + others) });
  });

  it('old versions go, the highest stays', async () => {
    const store = await openFolderStore(folder);
    await replaced(store, 'reg/a', 40);
    const names = await versionsIn('reg/a');
    expect(names.length).toBeLessThan(12);
    expect(Number(names.sort().at(-1))).toBe(40);
  });

  it('a written put has flushed the bytes, then linked, then flushed the name, up to the root', async () => {
    const store = await openFolderStore(folder);
    hooks.trace.length = 0;
    await store.put('w/a/log/1', Uint8Array.of(1), ifAbsent);
    const trace = hooks.trace.map((line) => line.replace(folder, '').replace(/[0-9a-f-]{36}$/, '*'));
    expect(trace).toEqual(['flush /.tmp/*', 'flush ', 'flush /w', 'flush /w/a', 'link /w/a/log/1', 'flush /w/a/log']);
  });

  it('a put that lost has flushed the name it lost to: its caller will acknowledge it', async () => {
    const store = await openFolderStore(folder);
    await store.put('w/1', Uint8Array.of(1), ifAbsent);
    hooks.trace.length = 0;
    expect((await store.put('w/1', Uint8Array.of(2), ifAbsent)).kind).toBe('lost');
    expect(hooks.trace.at(-1)).toBe(`flush ${join(folder, 'w')}`);
  });

  it('the first read in a directory flushes it: a killed process may have linked without', async () => {
    const killed = await openFolderStore(folder);
    await killed.put('w/1', Uint8Array.of(1), ifAbsent);
    const store = await openFolderStore(folder);
    hooks.trace.length = 0;
    expect((await store.head('w/1')).kind).toBe('found');
    expect((await store.get('w/1')).kind).toBe('found');
    expect(hooks.trace.map((line) => basename(line))).toEqual(['w']);
  });

  it('a key cannot reach into the versions of another, nor among the temporary files', async () => {
    const store = await openFolderStore(folder);
    expect((await store.put('reg/a.versions/0000000000000001', Uint8Array.of(1), ifAbsent)).kind).toBe('unknown');
    expect((await store.put('.tmp/a', Uint8Array.of(1), ifAbsent)).kind).toBe('unknown');
  });

  it('a file where a folder should be is unknown to a put and absent to a read, never a throw', async () => {
    const store = await openFolderStore(folder);
    await store.put('a', Uint8Array.of(1), ifAbsent);
    expect((await store.put('a/b', Uint8Array.of(1), ifAbsent)).kind).toBe('unknown');
    expect((await store.get('a/b')).kind).toBe('absent');
  });
});
