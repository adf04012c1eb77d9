// Which durable backend the files of a store are in, and whether they move: the best one that works, tried in an order; where the files are already, by
// the vault's word; and the way from one to the other (move-house.ts). How a backend is tried is the host's.

import { FoldlogError } from '../../kernel/errors.ts';
import { sqliteFailure } from './database.ts';
import { leaveHouse, moveHouse } from './move-house.ts';
import type { Backend, DurablePool } from './storage-pool.ts';
import type { House, Vault } from './vault.ts';

export interface Houses {
  readonly order: readonly Backend[];
  /** Opens a backend after it has shown that it keeps what is written; never throws. */
  readonly open: (backend: Backend) => Promise<DurablePool | FoldlogError>;
  readonly vault: Vault;
}

/** `stayed`: a better place works, but the files could not be moved there. */
export type Moved =
  | { readonly kind: 'no' }
  | { readonly kind: 'moved'; readonly from: Backend }
  | { readonly kind: 'stayed'; readonly better: Backend; readonly why: FoldlogError };

export interface Housed {
  readonly pool: DurablePool;
  readonly moved: Moved;
  /** Why the backends before it in the order were not taken. */
  readonly refused: readonly FoldlogError[];
}

/** The pool that holds the files when this resolves; others that were opened on the way are closed. A failure says why there is none. */
export async function chooseHouse(houses: Houses, house: House | undefined): Promise<Housed | FoldlogError> {
  const tried = new Map<Backend, DurablePool | FoldlogError>();
  const open = async (backend: Backend): Promise<DurablePool | FoldlogError> => {
    const pool = tried.get(backend) ?? (await houses.open(backend));
    tried.set(backend, pool);
    return pool;
  };
  const best = await firstWorking(houses.order, open);
  const home = house === undefined ? await findFiles(houses.order, open, best) : await open(house.at);
  if (home instanceof FoldlogError) return home;
  if (house === undefined) await houses.vault.settle({ at: home.backend, leaving: undefined });
  const isHome = best instanceof FoldlogError || best === home;
  const { pool, moved } = isHome ? { pool: home, moved: { kind: 'no' } as const } : await move(home, best, houses.vault);
  if (isHome && house?.leaving !== undefined) await leave(await open(house.leaving), pool, houses.vault);
  for (const other of tried.values()) if (!(other instanceof FoldlogError) && other !== pool) await other.close();
  const before = houses.order.slice(0, houses.order.indexOf(pool.backend));
  const refused = before.flatMap((backend) => tried.get(backend) ?? []).filter((one) => one instanceof FoldlogError);
  return { pool, moved, refused };
}

type Open = Houses['open'];

/** Else why none works, the most telling reason first. */
async function firstWorking(order: readonly Backend[], open: Open): Promise<DurablePool | FoldlogError> {
  const failures: FoldlogError[] = [];
  for (const backend of order) {
    const pool = await open(backend);
    if (!(pool instanceof FoldlogError)) return pool;
    failures.push(pool);
  }
  const none = FoldlogError.misuse({ where: 'backends', reason: 'noBackends', found: 'an empty list', expected: 'one or more' });
  return failures.find(({ kind }) => kind !== 'unavailable') ?? failures[0] ?? none;
}

/** A vault that remembers nothing is new, or was evicted alone: then files may stand somewhere, also where they cannot be opened. */
async function findFiles(order: readonly Backend[], open: Open, best: DurablePool | FoldlogError): Promise<DurablePool | FoldlogError> {
  for (const backend of order) {
    const pool = await open(backend);
    const holdsFiles = pool instanceof FoldlogError ? pool.kind === 'corrupt' : pool.files().length > 0;
    if (holdsFiles) return pool;
  }
  return best;
}

async function move(home: DurablePool, best: DurablePool, vault: Vault): Promise<{ readonly pool: DurablePool; readonly moved: Moved }> {
  try {
    await moveHouse(home, best, vault);
  } catch (cause) {
    return { pool: home, moved: { kind: 'stayed', better: best.backend, why: sqliteFailure(cause, `move to ${best.backend}`) } };
  }
  await leave(home, best, vault);
  return { pool: best, moved: { kind: 'moved', from: home.backend } };
}

/** What cannot be removed now is at the next start. */
async function leave(old: DurablePool | FoldlogError, pool: DurablePool, vault: Vault): Promise<void> {
  if (old instanceof FoldlogError) return;
  await leaveHouse(old, vault, pool.backend).catch(() => undefined);
}
