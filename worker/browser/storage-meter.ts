// How much room this origin has and uses, as the browser says, asked rarely and never waited for long.

import type { StorageMeter, StorageUse } from '../../kernel/ports.ts';
import { meterEveryMs, meterMs } from './bounds.ts';
import { pause } from './deadline.ts';

export function storageMeter(): StorageMeter {
  let asked: Promise<StorageUse | undefined> | undefined;
  let askedAt = 0;
  return {
    measure() {
      const now = performance.now();
      if (asked === undefined || now - askedAt > meterEveryMs) {
        askedAt = now;
        asked = Promise.race([ask(), pause(meterMs).then(() => undefined)]).catch(() => undefined);
      }
      return asked;
    },
  };
}

async function ask(): Promise<StorageUse | undefined> {
  const { storage } = navigator as { readonly storage?: Partial<StorageManager> };
  const { usage, quota } = (await storage?.estimate?.()) ?? {};
  if (usage === undefined || quota === undefined) return undefined;
  return { usedBytes: usage, grantedBytes: quota, isPersisted: (await storage?.persisted?.()) ?? false };
}
