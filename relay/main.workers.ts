// Composition root for Cloudflare Workers: binding LOG (an R2 bucket), secret RELAY_SEED (32 random bytes, base64url), optional
// ORIGINS (other origins allowed, separated by spaces) and RUN_BYTES_MAX. Deployed with wrangler.jsonc.

import { base64urlToBytes } from '../kernel/bytes.ts';
import { portableSigner } from '../kernel/ed25519.ts';
import { webVerifier } from '../kernel/web/web-crypto.ts';
import { webDeflate } from '../kernel/web/web-deflate.ts';
import { webClock, webRandom, webScheduler } from '../kernel/web/web-host.ts';
import { createRelay, type Relay } from './core.ts';
import { r2Store } from './stores/r2.ts';

export interface RelayEnv {
  readonly LOG: R2Bucket;
  readonly RELAY_SEED: string;
  readonly ORIGINS?: string;
  readonly RUN_BYTES_MAX?: string;
}

/** One per isolate: it holds caches only. */
let relay: Relay | undefined;

function build(env: RelayEnv): Relay {
  const signer = portableSigner(base64urlToBytes(env.RELAY_SEED, 'RELAY_SEED'));
  const host = { clock: webClock, scheduler: webScheduler, random: webRandom, deflate: webDeflate };
  const origins = env.ORIGINS?.split(' ').filter((origin) => origin !== '') ?? [];
  const bounds = env.RUN_BYTES_MAX === undefined ? {} : { runBytesMax: Number(env.RUN_BYTES_MAX) };
  // biome-ignore lint/suspicious/noConsole: a Worker's log is its console.
  const report = (failure: unknown) => console.error('foldlog relay:', failure);
  return createRelay({ ...host, store: r2Store(env.LOG), signer, verifier: webVerifier(), report }, { origins, ...bounds });
}

export default {
  fetch(request, env, context) {
    relay ??= build(env);
    const answer = relay.fetch(request);
    // A device that hangs up must not stop a put half settled, nor keep what its push had reserved.
    context.waitUntil(answer.catch(() => undefined));
    return answer;
  },
} satisfies ExportedHandler<RelayEnv>;
