// The battery as the worker knows it: browsers tell pages alone, so pages tell the owner of the store (page/battery.ts).

import type { PowerMeter, PowerUse } from '../../kernel/ports.ts';

export class ToldPower implements PowerMeter {
  #use: PowerUse | undefined;
  readonly #listeners: (() => void)[] = [];

  /** By any page: they stand on the same battery. What a page sends is checked here, once. */
  tell(use: PowerUse | undefined): void {
    const isSound = use !== undefined && Number.isFinite(use.pct) && use.pct >= 0 && use.pct <= 100;
    this.#use = isSound ? { pct: use.pct, isDischarging: use.isDischarging === true } : undefined;
    for (const listener of this.#listeners) listener();
  }

  now(): PowerUse | undefined {
    return this.#use;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }
}
