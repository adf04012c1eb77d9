// A seal that the save path waits for: bounded, because a key holder that never answers must not hold a shard for ever, and never unhandled, because what
// waits for it may fail first. Nothing is kept of the calls that waited.

import { FoldlogError } from '../../kernel/errors.ts';
import { signMsMax } from '../../kernel/limits.ts';
import type { Scheduler, Signer } from '../../kernel/ports.ts';
import { makeSeal, type Seal, type SealedPosition } from '../../kernel/seal.ts';
import type { Hash } from '../../kernel/units.ts';

/**
 * Begins to sign; awaited before COMMIT.
 * @throws {FoldlogError} `unavailable` `signerSilent`, by the promise
 */
export function beginSeal(
  ports: { readonly signer: Signer; readonly scheduler: Scheduler },
  position: SealedPosition,
  believed: { readonly controlHead: Hash; readonly headsSeen: Hash },
): Promise<Seal> {
  const sealing = new Promise<Seal>((resolve, reject) => {
    const cancel = ports.scheduler.after(signMsMax, () => reject(signerSilent()));
    makeSeal(ports.signer, position, believed).then(resolve, reject).finally(cancel);
  });
  sealing.catch(() => undefined); // what throws first must not leave it unhandled
  return sealing;
}

const signerSilent = (): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'seal',
    reason: 'signerSilent',
    found: 'no signature by this device',
    expected: `one within ${signMsMax} ms`,
    todo: 'try again; if it stays so, reload the page',
  });
