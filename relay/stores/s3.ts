// An object store in a bucket of an S3-compatible server. What its answers mean (docs/relay-api.md#stores):
//   200, 201, 204 done · 412, and 404 on If-Match: lost · 409, 429, 5xx, no answer: unknown · 403 and the rest: unknown with the code
// Not every server keeps conditions: the contract probe decides before a relay serves. ETags are opaque but may repeat for the same
// bytes, so whoever replaces objects must never write the same bytes twice. Conditional DELETE is never used.

import { AwsClient } from 'aws4fetch';
import { type Bytes, bytesToHex, hexToBytes } from '../../kernel/bytes.ts';
import { sha256 } from '../../kernel/digest.ts';
import { type Hash, hash } from '../../kernel/units.ts';
import { etag, isObjectKey, type ObjectStore, type PutCondition, type ReadOutcome, type Stored } from '../object-store.ts';

export interface S3Settings {
  /** URL of the bucket without a trailing slash, e.g. `https://s3.eu-central-1.amazonaws.com/my-bucket`. */
  readonly bucketUrl: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** How If-Match wants its ETag. Ceph's gateway, and Hetzner with it, accepts only `bare`; default `quoted`, as HTTP says. */
  readonly etagForm?: 'quoted' | 'bare';
  /** A request without a whole answer by then is given up; default 10 s. */
  readonly requestMsMax?: number;
}

const digestHeader = 'x-amz-meta-foldlog-sha256';

type Unknown = { readonly kind: 'unknown'; readonly cause: unknown };

export function s3Store(ports: { readonly fetch: (request: Request) => Promise<Response> }, settings: S3Settings): ObjectStore {
  return new S3Store(ports.fetch, settings);
}

class S3Store implements ObjectStore {
  readonly #fetch: (request: Request) => Promise<Response>;
  readonly #settings: S3Settings;
  readonly #aws: AwsClient;

  constructor(fetch: (request: Request) => Promise<Response>, settings: S3Settings) {
    const { region, accessKeyId, secretAccessKey } = settings;
    this.#fetch = fetch;
    this.#settings = settings;
    this.#aws = new AwsClient({ service: 's3', region, accessKeyId, secretAccessKey, retries: 0 });
  }

  put(key: string, bytes: Uint8Array, condition: PutCondition): ReturnType<ObjectStore['put']> {
    const digest = bytesToHex(sha256(bytes));
    const headers = {
      ...(condition.kind === 'absent' ? { 'if-none-match': '*' } : { 'if-match': this.#etagToHeader(condition.etag) }),
      [digestHeader]: digest,
      'x-amz-content-sha256': digest, // the server checks what arrived
    };
    return this.#send('PUT', key, { headers, body: bytes as Bytes }, async (response) => {
      const text = await response.text();
      if (response.status === 412) return { kind: 'lost' };
      if (response.status === 404 && condition.kind === 'match' && !text.includes('NoSuchBucket')) return { kind: 'lost' };
      if (!response.ok) return unexpected('PUT', response, text);
      return { kind: 'written', etag: etagOfHeader(response) };
    });
  }

  get(key: string): Promise<ReadOutcome<Stored>> {
    return this.#send('GET', key, {}, async (response) => {
      if (response.ok) return { kind: 'found', bytes: new Uint8Array(await response.arrayBuffer()), etag: etagOfHeader(response) };
      const text = await response.text();
      return response.status === 404 && !text.includes('NoSuchBucket') ? { kind: 'absent' } : unexpected('GET', response, text);
    });
  }

  async head(key: string): ReturnType<ObjectStore['head']> {
    const head = await this.#send('HEAD', key, {}, async (response) => {
      if (response.status === 404) return { kind: 'absent' } as const;
      if (!response.ok) return unexpected('HEAD', response, '');
      const size = Number(response.headers.get('content-length'));
      return { kind: 'found', size, digest: digestOfHeader(response), etag: etagOfHeader(response) } as const;
    });
    if (head.kind !== 'found') return head;
    if (head.digest !== undefined) return { ...head, digest: head.digest };
    // An object that some other tool put back into the bucket has no digest of ours: read it.
    const whole = await this.get(key);
    if (whole.kind !== 'found') return whole;
    return { kind: 'found', size: whole.bytes.length, digest: sha256(whole.bytes), etag: whole.etag };
  }

  delete(key: string): ReturnType<ObjectStore['delete']> {
    return this.#send('DELETE', key, {}, async (response) => {
      const text = await response.text();
      return response.ok || response.status === 404 ? { kind: 'deleted' } : unexpected('DELETE', response, text);
    });
  }

  list(prefix: string, after: string, limit: number): ReturnType<ObjectStore['list']> {
    const query = new URLSearchParams({ 'list-type': '2', prefix, 'max-keys': String(limit) });
    if (after !== '') query.set('start-after', after);
    return this.#request('GET', `${this.#settings.bucketUrl}?${query}`, {}, async (response) => {
      const text = await response.text();
      if (!response.ok) return unexpected('LIST', response, text);
      const keys = [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key as string);
      return { kind: 'listed', keys, isMore: text.includes('<IsTruncated>true</IsTruncated>') };
    });
  }

  #send<T>(method: string, key: string, init: RequestInit, read: (response: Response) => Promise<T>): Promise<T | Unknown> {
    if (!isObjectKey(key)) return Promise.resolve({ kind: 'unknown', cause: new TypeError(`not an object key: ${key.slice(0, 80)}`) });
    return this.#request(method, `${this.#settings.bucketUrl}/${key}`, init, read);
  }

  async #request<T>(method: string, url: string, init: RequestInit, read: (response: Response) => Promise<T>): Promise<T | Unknown> {
    try {
      const signed = await this.#aws.sign(url, { ...init, method });
      const signal = AbortSignal.timeout(this.#settings.requestMsMax ?? 10_000);
      return await read(await this.#fetch(new Request(signed, { signal })));
    } catch (cause) {
      return { kind: 'unknown', cause };
    }
  }

  #etagToHeader(state: string): string {
    return this.#settings.etagForm === 'bare' ? state : `"${state}"`;
  }
}

const etagOfHeader = (response: Response) => etag((response.headers.get('etag') ?? '').replaceAll('"', ''));

function digestOfHeader(response: Response): Hash | undefined {
  const hex = response.headers.get(digestHeader);
  return hex !== null && /^[0-9a-f]{64}$/.test(hex) ? hash(hexToBytes(hex)) : undefined;
}

/** Neither done nor refused by its condition. The code is the server's own word, e.g. SlowDown or AccessDenied. */
function unexpected(what: string, response: Response, text: string): Unknown {
  const code = /<Code>([^<]{1,64})<\/Code>/.exec(text)?.[1];
  return { kind: 'unknown', cause: new Error(`S3 ${what}: status ${response.status}${code === undefined ? '' : `, ${code}`}`) };
}
