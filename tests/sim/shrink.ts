// Makes the plan of a failing run smaller while the same invariant still fails: rates first, then incidents, then actions, then devices.

import type { Violation } from './ledger.ts';
import type { Plan, Step } from './plan.ts';

type Rates = Plan['net'] & Plan['store'];

/** @param isFailing whether a plan still breaks the invariant; asked at most `triesMax` times */
export async function shrink(plan: Plan, isFailing: (plan: Plan) => Promise<boolean>, triesMax: number): Promise<Plan> {
  let best = plan;
  let tries = 0;
  const attempt = async (candidate: Plan): Promise<boolean> => {
    if (tries >= triesMax) return false;
    tries++;
    if (!(await isFailing(candidate))) return false;
    best = candidate;
    return true;
  };
  for (const side of ['net', 'store'] as const) {
    const off = (rates: Partial<Rates>) => ({ ...best, [side]: { ...best[side], ...rates } }) as Plan;
    const names = Object.keys(best[side]).filter((name) => best[side][name as keyof (typeof best)[typeof side]] > 0);
    if (names.length > 0 && (await attempt(off(Object.fromEntries(names.map((name) => [name, 0])))))) continue;
    for (const name of names) await attempt(off({ [name]: 0 }));
  }
  for (const list of ['incidents', 'actions'] as const) {
    await halve(best[list], (steps) => attempt({ ...best, [list]: steps }));
  }
  while (best.devices.length > 1) {
    const count = best.devices.length - 1;
    const stays = ({ device }: Step): boolean => device < count;
    const smaller = { devices: best.devices.slice(0, count), incidents: best.incidents.filter(stays), actions: best.actions.filter(stays) };
    if (!(await attempt({ ...best, ...smaller }))) break;
  }
  return best;
}

/** Takes ever smaller parts out of a list, as long as `isEnough` holds for the rest. */
async function halve(list: readonly Step[], isEnough: (rest: readonly Step[]) => Promise<boolean>): Promise<void> {
  let left = list;
  for (let size = Math.ceil(left.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < left.length; ) {
      const rest = [...left.slice(0, at), ...left.slice(at + size)];
      if (await isEnough(rest)) left = rest;
      else at += size;
    }
  }
}

export const breaks = (violations: readonly Violation[], invariant: string): boolean =>
  violations.some((found) => found.invariant === invariant);
