// What the canary left in a shard's file: nothing before any move, that it is due after one, then what it found.

import type { Meta } from './meta.ts';

/** `differs`: the present code makes other rows of the same chain than stand here, or cannot fold it. Told, never acted upon. */
export interface CanaryReport {
  readonly kind: 'same' | 'differs';
  readonly atSeq: number;
  /** Seq of the checkpoint it began at; 0: from genesis. */
  readonly fromSeq: number;
  /** In hex: the code that made what lies below the move, and the present one. */
  readonly fromFold: string;
  readonly toFold: string;
  /** Why it could not fold to the end, if it could not. */
  readonly found: string | undefined;
}

export const isCanaryDue = (meta: Meta): boolean => meta.text('canary') === 'due';

export const setCanary = (meta: Meta, report: CanaryReport | 'due'): void =>
  meta.set('canary', report === 'due' ? report : JSON.stringify(report));

export function readCanary(meta: Meta): CanaryReport | undefined {
  const text = meta.text('canary');
  return text === undefined || text === 'due' ? undefined : (JSON.parse(text) as CanaryReport);
}

/** Whether folding the chain again from its beginning must give the present tables. */
export const isFoldOfPresent = (meta: Meta): boolean => meta.number('movedSeq') === undefined || readCanary(meta)?.kind === 'same';
