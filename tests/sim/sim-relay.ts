// The real relay core in the simulated world, reached by an Http port that can lose requests and replies.

import { portableSigner, portableVerifier } from '../../kernel/ed25519.ts';
import type { Http } from '../../kernel/ports.ts';
import { createRelay, type ObjectStore, type Relay } from '../../relay/index.ts';
import { type SimWorld, syncDeflate } from './sim-world.ts';

export interface NetworkFaults {
  /** Parts of 1. */
  requestLost: number;
  replyLost: number;
}

export const calm = (): NetworkFaults => ({ requestLost: 0, replyLost: 0 });

export function simRelay(world: SimWorld, store: ObjectStore): Relay {
  return createRelay({
    store,
    signer: portableSigner(world.random('relay/key').bytes(32)),
    verifier: portableVerifier,
    clock: world.clock,
    scheduler: world.scheduler,
    random: world.random('relay'),
    deflate: syncDeflate,
    report: (failure) => {
      throw failure;
    },
  });
}

/** The relay as one device reaches it. */
export function simHttp(world: SimWorld, relay: Relay, device: string, faults: NetworkFaults): Http {
  const chance = world.stream(`${device}/network`);
  return {
    async send(request) {
      const line = `${device} ${request.method} ${request.path.replace(/[0-9a-f]{32,}/g, (id) => id.slice(0, 6))}`;
      if (chance() < faults.requestLost) {
        world.note(`${line} request lost`);
        return { kind: 'unreachable', cause: new Error('request lost') };
      }
      const response = await relay.fetch(
        new Request(`http://relay.test${request.path}`, {
          method: request.method,
          headers: request.headers,
          ...(request.body === undefined ? {} : { body: request.body }),
        }),
      );
      const body = new Uint8Array(await response.arrayBuffer());
      const isLost = chance() < faults.replyLost;
      world.note(`${line} ${response.status} ${body.length}${isLost ? ' reply lost' : ''}`);
      if (isLost) return { kind: 'unreachable', cause: new Error('reply lost') };
      return { kind: 'answered', status: response.status, headers: Object.fromEntries(response.headers), body };
    },
  };
}
