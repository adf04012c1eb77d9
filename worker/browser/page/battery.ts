// The battery of the device, where the browser says (Chromium; pages only): the worker that owns the store throttles by it.

import type { PowerUse } from '../../../kernel/ports.ts';

/** The part of the Battery Status API used here. */
interface Battery extends EventTarget {
  /** 0 to 1. */
  readonly level: number;
  readonly charging: boolean;
}

/** Calls back with what holds now and with every change; never where the browser does not say. The returned function ends it. */
export function watchBattery(onChange: (power: PowerUse) => void): () => void {
  const listening = new AbortController();
  const { signal } = listening;
  const begin = async (): Promise<void> => {
    const battery = await (navigator as { readonly getBattery?: () => Promise<Battery> }).getBattery?.();
    if (battery === undefined || signal.aborted) return;
    const tell = (): void => onChange({ pct: Math.round(battery.level * 100), isDischarging: !battery.charging });
    for (const name of ['levelchange', 'chargingchange']) battery.addEventListener(name, tell, { signal });
    tell();
  };
  begin().catch(() => undefined); // refused by a policy: as where there is none
  return () => listening.abort();
}
