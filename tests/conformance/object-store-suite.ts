// What every object store must do, as one suite that each adapter runs (relay/object-store.ts).

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { concatBytes, utf8 } from '../../kernel/bytes.ts';
import { sha256 } from '../../kernel/digest.ts';
import { type Etag, etag, ifAbsent, ifMatch, type ObjectStore } from '../../relay/object-store.ts';
import { seededRandom } from '../relay/fixtures.ts';

export interface OpenedStore {
  readonly store: ObjectStore;
  /** Further instances over the same objects, as other processes would open them. */
  readonly others?: readonly ObjectStore[];
  close(): Promise<void>;
}

const racers = 16;
const body = (text: string) => utf8(text);

export function describeObjectStore(name: string, open: () => Promise<OpenedStore>): void {
  describe(`object store: ${name}`, () => {
    let opened: OpenedStore;
    let store: ObjectStore;
    /** The instances races are spread over. */
    let stores: readonly ObjectStore[];
    let keys = 0;
    const freshKey = () => `w/test-${++keys}/log/0000000000000001`;

    beforeAll(async () => {
      opened = await open();
      store = opened.store;
      stores = [store, ...(opened.others ?? [])];
    });
    afterAll(async () => {
      await opened.close();
    });

    const writtenEtag = async (key: string, text: string): Promise<Etag> => {
      const put = await store.put(key, body(text), ifAbsent);
      if (put.kind !== 'written') throw new Error(`expected written, found ${put.kind}`);
      return put.etag;
    };

    const raceOf = (key: string, make: (i: number) => Parameters<ObjectStore['put']>) =>
      Promise.all(Array.from({ length: racers }, (_, i) => (stores[i % stores.length] ?? store).put(...make(i)))).then((outcomes) => ({
        winners: outcomes.flatMap((outcome, i) => (outcome.kind === 'written' ? [i] : [])),
        losers: outcomes.filter((outcome) => outcome.kind === 'lost').length,
        key,
      }));

    it('an absent key is absent to get and head', async () => {
      const key = freshKey();
      expect((await store.get(key)).kind).toBe('absent');
      expect((await store.head(key)).kind).toBe('absent');
    });

    it('a read sees the last write, its size, its SHA-256 and one ETag', async () => {
      const key = freshKey();
      const bytes = concatBytes(body('FOLD'), seededRandom('binary').bytes(70_000), Uint8Array.of(0, 255, 10, 13, 0));
      const put = await store.put(key, bytes, ifAbsent);
      const got = await store.get(key);
      const head = await store.head(key);
      if (put.kind !== 'written' || got.kind !== 'found' || head.kind !== 'found')
        throw new Error(`${put.kind}, ${got.kind}, ${head.kind}`);
      expect(got.bytes).toEqual(bytes);
      expect(head.size).toBe(bytes.length);
      expect(head.digest).toEqual(sha256(bytes));
      expect([got.etag, head.etag]).toEqual([put.etag, put.etag]);
    });

    it('a 1-byte and a 9 MiB object come back whole', async () => {
      for (const bytes of [Uint8Array.of(7), new Uint8Array(9 * 1024 * 1024).fill(7)]) {
        const key = freshKey();
        expect((await store.put(key, bytes, ifAbsent)).kind).toBe('written');
        const head = await store.head(key);
        expect(head.kind === 'found' && head.size).toBe(bytes.length);
        const got = await store.get(key);
        expect(got.kind === 'found' && sha256(got.bytes)).toEqual(sha256(bytes));
      }
    });

    it('create-only loses on a taken key and leaves it as it was, also for the same bytes', async () => {
      const key = freshKey();
      await writtenEtag(key, 'first');
      expect((await store.put(key, body('second'), ifAbsent)).kind).toBe('lost');
      expect((await store.put(key, body('first'), ifAbsent)).kind).toBe('lost');
      const got = await store.get(key);
      expect(got.kind === 'found' && got.bytes).toEqual(body('first'));
    });

    it(`one of ${racers} create-only racers wins, and its bytes stand`, async () => {
      for (let round = 0; round < 5; round++) {
        const key = freshKey();
        const race = await raceOf(key, (i) => [key, body(`round ${round} racer ${i}`), ifAbsent]);
        expect(race.winners).toHaveLength(1);
        expect(race.losers).toBe(racers - 1);
        for (const reader of stores) {
          const got = await reader.get(key);
          expect(got.kind === 'found' && got.bytes).toEqual(body(`round ${round} racer ${race.winners[0]}`));
        }
      }
    });

    it('If-Match replaces exactly the state it names', async () => {
      const key = freshKey();
      const first = await writtenEtag(key, 'one');
      const second = await store.put(key, body('two'), ifMatch(first));
      if (second.kind !== 'written') throw new Error(second.kind);
      expect(second.etag).not.toBe(first);
      expect((await store.put(key, body('three'), ifMatch(first))).kind).toBe('lost');
      expect((await store.put(key, body('three'), ifAbsent)).kind).toBe('lost');
      expect((await store.put(key, body('three'), ifMatch(second.etag))).kind).toBe('written');
      const got = await store.get(key);
      const head = await store.head(key);
      expect(got.kind === 'found' && got.bytes).toEqual(body('three'));
      expect(head.kind === 'found' && head.digest).toEqual(sha256(body('three')));
    });

    it('If-Match on a missing key loses', async () => {
      const other = await writtenEtag(freshKey(), 'other');
      const key = freshKey();
      expect((await store.put(key, body('x'), ifMatch(other))).kind).toBe('lost');
      expect((await store.get(key)).kind).toBe('absent');
    });

    it(`one of ${racers} If-Match racers wins each round, over 10 rounds`, async () => {
      const key = freshKey();
      let current = await writtenEtag(key, 'start');
      for (let round = 0; round < 10; round++) {
        const race = await raceOf(key, (i) => [key, body(`round ${round} racer ${i}`), ifMatch(current)]);
        expect(race.winners).toHaveLength(1);
        expect(race.losers).toBe(racers - 1);
        const got = await store.get(key);
        if (got.kind !== 'found') throw new Error(got.kind);
        expect(got.bytes).toEqual(body(`round ${round} racer ${race.winners[0]}`));
        current = got.etag;
      }
    });

    it('no update is lost by 6 read-and-replace loops on one key', async () => {
      const key = freshKey();
      await writtenEtag(key, '0');
      const incrementOnce = async (instance: ObjectStore): Promise<void> => {
        for (;;) {
          const got = await instance.get(key);
          if (got.kind !== 'found') throw new Error(got.kind);
          const next = Number(new TextDecoder().decode(got.bytes)) + 1;
          if ((await instance.put(key, body(String(next)), ifMatch(got.etag))).kind === 'written') return;
        }
      };
      await Promise.all(
        Array.from({ length: 6 }, async (_, i) => {
          for (let n = 0; n < 5; n++) await incrementOnce(stores[i % stores.length] ?? store);
        }),
      );
      const got = await store.get(key);
      expect(got.kind === 'found' && new TextDecoder().decode(got.bytes)).toBe('30');
    });

    it('delete removes any state, and deleting nothing is deleted too', async () => {
      const key = freshKey();
      const first = await writtenEtag(key, 'one');
      await store.put(key, body('two'), ifMatch(first));
      expect((await store.delete(key)).kind).toBe('deleted');
      expect((await store.get(key)).kind).toBe('absent');
      expect((await store.delete(key)).kind).toBe('deleted');
      await writtenEtag(key, 'again');
      const got = await store.get(key);
      expect(got.kind === 'found' && got.bytes).toEqual(body('again'));
    });

    it('list gives keys in byte order, after a key, page by page', async () => {
      for (const i of [3, 1, 2, 10]) await writtenEtag(`list/a/${String(i).padStart(4, '0')}`, `${i}`);
      await writtenEtag('list/b/0001', 'b');
      const keysAfter = async (prefix: string, after: string, limit: number) => {
        const page = await store.list(prefix, after, limit);
        if (page.kind !== 'listed') throw new Error(page.kind);
        return [page.keys, page.isMore];
      };
      expect(await keysAfter('list/a/', '', 2)).toEqual([['list/a/0001', 'list/a/0002'], true]);
      expect(await keysAfter('list/a/', 'list/a/0002', 10)).toEqual([['list/a/0003', 'list/a/0010'], false]);
      expect(await keysAfter('list/none/', '', 10)).toEqual([[], false]);
    });

    it.each(['', '/', 'a//b', '../a', 'a/../b', 'a/./b', '/a', 'a/', 'A', 'a b', 'a\\b', 'a\0b', 'é', `${'a'.repeat(513)}`])(
      'the key %j is refused as it is',
      async (key) => {
        const put = await store.put(key, body('x'), ifAbsent);
        expect(put.kind).toBe('unknown');
        expect((await store.put(key, body('x'), ifMatch(etag('x')))).kind).toBe('unknown');
      },
    );
  });
}
