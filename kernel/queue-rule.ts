// When the queue of what is saved and not committed is long, and when there is no room left to save more. Decides, does not do. Apart because the
// two must not be mixed up: a long or an old queue asks for attention and for truncation, and never refuses a sale; only missing room does, and
// early enough that everything saved so far can still be sent. docs/metrics.md#queue

import { grantedPartMax, queueAgeMsMax, queueBytesMax } from './limits.ts';

export interface QueueFacts {
  readonly bytes: number;
  /** Since the oldest pending group was saved, by the wall clock; negative when that was set back meanwhile. */
  readonly ageMs: number;
}

/** `long`: tell, and truncate what can be. Nothing is refused. */
export type QueueVerdict = { readonly kind: 'short' } | { readonly kind: 'long'; readonly by: 'bytes' | 'age' };

export function judgeQueue({ bytes, ageMs }: QueueFacts): QueueVerdict {
  if (bytes > queueBytesMax) return { kind: 'long', by: 'bytes' };
  return ageMs > queueAgeMsMax ? { kind: 'long', by: 'age' } : { kind: 'short' };
}

export interface RoomFacts {
  readonly usedBytes: number;
  /** What the host would let it grow to; undefined where it does not say. */
  readonly grantedBytes: number | undefined;
  /** The app's own bound. */
  readonly settingBytes: number | undefined;
}

export type RoomVerdict =
  | { readonly kind: 'room' }
  | { readonly kind: 'near'; readonly limitBytes: number; readonly by: 'setting' | 'host' };

/** `near`: a save that is new is refused; what is left is for sending, receipts and truncation. Where nobody says anything there is room. */
export function judgeRoom({ usedBytes, grantedBytes, settingBytes }: RoomFacts): RoomVerdict {
  const granted = grantedBytes === undefined ? Number.POSITIVE_INFINITY : Math.floor(grantedBytes * grantedPartMax);
  const setting = settingBytes ?? Number.POSITIVE_INFINITY;
  const limitBytes = Math.min(setting, granted);
  return usedBytes < limitBytes ? { kind: 'room' } : { kind: 'near', limitBytes, by: setting <= granted ? 'setting' : 'host' };
}
