// An object store in memory: strongly consistent, for tests and the simulator. Faults are added around it, never in here.

import type { Bytes } from '../../kernel/bytes.ts';
import { sha256 } from '../../kernel/digest.ts';
import type { Hash } from '../../kernel/units.ts';
import { type CasOutcome, type Etag, etag, isObjectKey, type ObjectStore, type PutCondition } from '../object-store.ts';

interface Entry {
  readonly bytes: Bytes;
  readonly etag: Etag;
  readonly digest: Hash;
}

export function memoryStore(): ObjectStore {
  const entries = new Map<string, Entry>();
  let version = 0;

  const isMet = (current: Entry | undefined, condition: PutCondition): boolean =>
    condition.kind === 'absent' ? current === undefined : current?.etag === condition.etag;

  return {
    async put(key, bytes, condition): Promise<CasOutcome> {
      if (!isObjectKey(key)) return { kind: 'unknown', cause: new TypeError(`not an object key: ${key}`) };
      if (!isMet(entries.get(key), condition)) return { kind: 'lost' };
      version += 1;
      const entry = { bytes: bytes.slice(), etag: etag(`m${version}`), digest: sha256(bytes) };
      entries.set(key, entry);
      return { kind: 'written', etag: entry.etag };
    },
    async get(key) {
      const entry = entries.get(key);
      return entry === undefined ? { kind: 'absent' } : { kind: 'found', bytes: entry.bytes.slice(), etag: entry.etag };
    },
    async head(key) {
      const entry = entries.get(key);
      if (entry === undefined) return { kind: 'absent' };
      return { kind: 'found', size: entry.bytes.length, digest: entry.digest, etag: entry.etag };
    },
    async delete(key) {
      entries.delete(key);
      return { kind: 'deleted' };
    },
    async list(prefix, after, limit) {
      const keys = [...entries.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
      return { kind: 'listed', keys: keys.slice(0, limit), isMore: keys.length > limit };
    },
  };
}
