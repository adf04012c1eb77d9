// An S3 server in a function, honouring conditions as S3 does: for the S3 adapter's part of the contract, since no S3-compatible
// server that keeps conditions can be installed from the package registry. MD5 ETags, XML errors, 412, 404 and 409 as documented.

import { createHash } from 'node:crypto';

export interface S3DoubleSettings {
  /** Ceph's gateway compares If-Match with the bare ETag and answers 412 to a quoted one. */
  readonly etagForm: 'quoted' | 'bare';
}

interface S3Object {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
  readonly metadata: readonly (readonly [string, string])[];
}

/** A `fetch` that answers for one bucket, `http://s3.test/bucket`. */
export function s3Double(settings: S3DoubleSettings): (request: Request) => Promise<Response> {
  const objects = new Map<string, S3Object>();

  const isMet = (current: S3Object | undefined, headers: Headers): 'met' | 'failed' | 'missing' => {
    const match = headers.get('if-match');
    if (headers.get('if-none-match') === '*') return current === undefined ? 'met' : 'failed';
    if (match === null) return 'met';
    if (current === undefined) return 'missing';
    return match === (settings.etagForm === 'bare' ? current.etag : `"${current.etag}"`) ? 'met' : 'failed';
  };

  return async (request) => {
    const url = new URL(request.url);
    if (!/^AWS4-HMAC-SHA256 Credential=.+SignedHeaders=.+Signature=[0-9a-f]{64}$/.test(request.headers.get('authorization') ?? '')) {
      return xmlError(403, 'AccessDenied');
    }
    if (url.pathname !== '/bucket' && !url.pathname.startsWith('/bucket/')) return xmlError(404, 'NoSuchBucket');
    const key = url.pathname.slice('/bucket/'.length);
    const current = objects.get(key);
    switch (request.method) {
      case 'PUT': {
        const bytes = new Uint8Array(await request.arrayBuffer());
        const declared = request.headers.get('x-amz-content-sha256');
        if (declared !== createHash('sha256').update(bytes).digest('hex')) return xmlError(400, 'XAmzContentSHA256Mismatch');
        const condition = isMet(objects.get(key), request.headers);
        if (condition === 'failed') return xmlError(412, 'PreconditionFailed');
        if (condition === 'missing') return xmlError(404, 'NoSuchKey');
        const metadata = [...request.headers].filter(([name]) => name.startsWith('x-amz-meta-'));
        const etag = createHash('md5').update(bytes).digest('hex');
        objects.set(key, { bytes, etag, metadata });
        return new Response(null, { status: 200, headers: { etag: `"${etag}"` } });
      }
      case 'DELETE':
        objects.delete(key);
        return new Response(null, { status: 204 });
      case 'HEAD':
        return current === undefined ? new Response(null, { status: 404 }) : new Response(null, { headers: headersOf(current) });
      default:
        if (url.searchParams.has('list-type')) return listing(objects, url.searchParams);
        return current === undefined ? xmlError(404, 'NoSuchKey') : new Response(current.bytes, { headers: headersOf(current) });
    }
  };
}

const headersOf = (object: S3Object): [string, string][] => [
  ['etag', `"${object.etag}"`],
  ['content-length', String(object.bytes.length)],
  ...object.metadata.map(([name, value]): [string, string] => [name, value]),
];

function listing(objects: ReadonlyMap<string, S3Object>, query: URLSearchParams): Response {
  const prefix = query.get('prefix') ?? '';
  const after = query.get('start-after') ?? '';
  const limit = Number(query.get('max-keys') ?? 1_000);
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
  const contents = keys.slice(0, limit).map((key) => `<Contents><Key>${key}</Key></Contents>`);
  return new Response(`<ListBucketResult><IsTruncated>${keys.length > limit}</IsTruncated>${contents.join('')}</ListBucketResult>`);
}

const xmlError = (status: number, code: string): Response => new Response(`<Error><Code>${code}</Code></Error>`, { status });
