// An object store in an R2 bucket, through the Workers binding. R2 reads its own writes everywhere; a failed condition is `null`,
// everything thrown is an unknown outcome (connection lost, internal error, 429 above one write a second per key).
// R2's ETag is the MD5 of the bytes: whoever replaces objects by it must never write the same bytes twice.

import { sha256 } from '../../kernel/digest.ts';
import { hash } from '../../kernel/units.ts';
import { etag, isObjectKey, type ObjectStore } from '../object-store.ts';

export function r2Store(bucket: R2Bucket): ObjectStore {
  return {
    put: (key, bytes, condition) =>
      orUnknown(async () => {
        requireKey(key);
        const onlyIf = condition.kind === 'absent' ? { etagDoesNotMatch: '*' } : { etagMatches: condition.etag };
        // R2 checks the digest on arrival, keeps it, and `head` gives it back.
        const put = await bucket.put(key, bytes, { onlyIf, sha256: sha256(bytes) });
        return put === null ? { kind: 'lost' } : { kind: 'written', etag: etag(put.etag) };
      }),
    get: (key) =>
      orUnknown(async () => {
        const object = await bucket.get(key);
        if (object === null) return { kind: 'absent' };
        return { kind: 'found', bytes: new Uint8Array(await object.arrayBuffer()), etag: etag(object.etag) };
      }),
    head: (key) =>
      orUnknown(async () => {
        const object = await bucket.head(key);
        if (object === null) return { kind: 'absent' };
        const kept = object.checksums.sha256;
        if (kept !== undefined) {
          return { kind: 'found', size: object.size, digest: hash(new Uint8Array(kept)), etag: etag(object.etag) };
        }
        // An object that some other tool put back into the bucket has no digest: read it.
        const whole = await bucket.get(key);
        if (whole === null) return { kind: 'absent' };
        const bytes = new Uint8Array(await whole.arrayBuffer());
        return { kind: 'found', size: bytes.length, digest: sha256(bytes), etag: etag(whole.etag) };
      }),
    delete: (key) =>
      orUnknown(async () => {
        await bucket.delete(key);
        return { kind: 'deleted' };
      }),
    list: (prefix, after, limit) =>
      orUnknown(async () => {
        const page = await bucket.list({ prefix, limit, ...(after === '' ? {} : { startAfter: after }) });
        return { kind: 'listed', keys: page.objects.map((object) => object.key), isMore: page.truncated };
      }),
  };
}

async function orUnknown<T>(call: () => Promise<T>): Promise<T | { readonly kind: 'unknown'; readonly cause: unknown }> {
  try {
    return await call();
  } catch (cause) {
    return { kind: 'unknown', cause };
  }
}

function requireKey(key: string): void {
  if (!isObjectKey(key)) throw new TypeError(`not an object key: ${key.slice(0, 80)}`);
}
