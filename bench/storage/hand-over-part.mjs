// Storage bench, hand-over: two tabs on one store; the owner's worker is ended, or its tab closed, and the other tab's worker, which has SQLite compiled
// and waits for the lock, opens the store and saves. Beside it bare workers that do the same: lock, pool, one INSERT.
import { percentile, ratio, round1 } from '../figures.mjs';
import { middles } from './start-part.mjs';

const asked = { store: 'hand-over', backends: /** @type {const} */ (['opfs-pool']) };

/**
 * @typedef {import('../browsers.mjs').Tab} Tab
 * @param {() => Promise<Tab>} open a tab that is ready
 * @param {{ rounds: number, ready: (tab: Tab) => Promise<void>, onLine: (line: string) => void }} options
 */
export async function handOverPart(open, { rounds, ready, onLine }) {
  const stand = (/** @type {Tab} */ tab) => tab.evaluate((asked) => globalThis.storageBench.stand(asked), asked);
  /** Ends the owner; the other tab of the two is it now. @type {Record<string, (owner: Tab) => Promise<{ endAt: number, standby: () => Promise<Tab> }>>} */
  const means = {
    ended: async (owner) => ({
      endAt: await owner.evaluate(() => globalThis.storageBench.endOwner(), undefined),
      standby: async () => {
        await owner.reload();
        await ready(owner);
        return owner;
      },
    }),
    closed: async (owner) => {
      const endAt = performance.timeOrigin + performance.now();
      await owner.close();
      return { endAt, standby: open };
    },
  };
  let owner = await open();
  await stand(owner);
  let standby = await open();
  await stand(standby);
  const kinds = [];
  for (const [name, end] of Object.entries(means)) {
    /** @type {Readonly<Record<string, number>>[]} */
    const times = [];
    for (let round = 0; round < rounds; round++) {
      await standby.evaluate((store) => globalThis.storageBench.expectTakeOver(store), asked.store);
      const ended = await end(owner);
      times.push({ endAt: ended.endAt, ...(await standby.evaluate(() => globalThis.storageBench.tookOver(), undefined)) });
      owner = standby;
      standby = await ended.standby();
      await stand(standby);
    }
    kinds.push({ owner: name, ...figures(times) });
  }
  const bare = await owner.evaluate((given) => globalThis.storageBench.bareHandOvers(given), { store: 'bare-hand-over', rounds });
  const floor = figures(bare);
  for (const { owner: how, lockToSaved } of kinds) {
    onLine(
      `handover owner ${how}: lock to saved p50 ${lockToSaved.p50Ms} ms, p95 ${lockToSaved.p95Ms} ms; bare ${floor.lockToSaved.p50Ms} ms`,
    );
  }
  await standby.close();
  return { rounds, kinds: kinds.map((kind) => ({ ...kind, ratio: ratio(kind.lockToSaved.p50Ms, floor.lockToSaved.p50Ms) })), floor };
}

/** @param {readonly Readonly<Record<string, number>>[]} times */
function figures(times) {
  const between = (/** @type {string} */ from, /** @type {string} */ to) => {
    const ms = times.map((time) => (time[to] ?? 0) - (time[from] ?? 0));
    return { p50Ms: round1(percentile(ms, 0.5)), p95Ms: round1(percentile(ms, 0.95)) };
  };
  const { endAt: _end, lockAt: _lock, hereAt: _here, savedAt: _saved, ...parts } = middles(times);
  return {
    endToLock: between('endAt', 'lockAt'),
    lockToHere: between('lockAt', 'hereAt'),
    lockToSaved: between('lockAt', 'savedAt'),
    endToSaved: between('endAt', 'savedAt'),
    parts,
  };
}
