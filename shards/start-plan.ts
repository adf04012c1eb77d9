// Where a followed shard without a file begins (decision 0013). Decides, does not do.

import { type FormFactor, genesisOpsMax } from '../kernel/limits.ts';

export interface StartFacts {
  readonly hasCheckpoint: boolean;
  /** Ops the relay says the log has. */
  readonly committedOps: number;
  /** A person asked for the fold of the whole chain. */
  readonly isGenesisAsked: boolean;
  readonly formFactor: FormFactor;
}

export type StartPlan =
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'genesis' }
  /** Too much history to fold unasked. */
  | { readonly kind: 'refuse'; readonly opsMax: number };

export function planStart(facts: StartFacts): StartPlan {
  if (facts.isGenesisAsked) return { kind: 'genesis' };
  if (facts.hasCheckpoint) return { kind: 'checkpoint' };
  const opsMax = genesisOpsMax[facts.formFactor];
  return facts.committedOps <= opsMax ? { kind: 'genesis' } : { kind: 'refuse', opsMax };
}
