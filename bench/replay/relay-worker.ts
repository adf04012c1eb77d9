// The relay's Worker as deployed, over a bucket that counts its calls. Counting stands here and nowhere in the product.
import relay from '../../relay/main.workers.ts';

/** The calls of an R2 bucket that a relay makes. */
const methods = ['put', 'get', 'head', 'list', 'delete'] as const;
type Method = (typeof methods)[number];
type Bucket = Readonly<Record<Method, (...args: readonly unknown[]) => unknown>>;

export type StoreCalls = Readonly<Record<Method, number>>;

interface Env {
  readonly LOG: Bucket;
}

type Handler = { fetch(request: Request, env: Env, context: unknown): Promise<Response> };

/** Asked from outside the relay's own paths. */
const callsPath = '/replay/store-calls';
const calls: Record<Method, number> = { put: 0, get: 0, head: 0, list: 0, delete: 0 };

const counted = (bucket: Bucket): Bucket =>
  Object.fromEntries(
    methods.map((method) => [
      method,
      (...args: readonly unknown[]) => {
        calls[method]++;
        return bucket[method](...args);
      },
    ]),
  ) as Bucket;

const handler: Handler = {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === callsPath) return Response.json(calls);
    return (relay as unknown as Handler).fetch(request, { ...env, LOG: counted(env.LOG) }, context);
  },
};

// biome-ignore lint/style/noDefaultExport: workerd takes a Worker's default export.
export default handler;
