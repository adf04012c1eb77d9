// What the till says to a person: errors in the shop's language, and the state of syncing in one line. Pure.

import { FoldlogError } from 'foldlog/schema';
import { count } from './money.ts';

export interface Said {
  readonly title: string;
  readonly todo: string;
  /** The engine's own sentence, for whoever is called to help. */
  readonly detail: string;
}

/** The cases a shopkeeper can meet, by `reason`; everything else is said by its kind. */
const byReason: Readonly<Record<string, readonly [title: string, todo: string]>> = {
  emptyBasket: ['The basket is empty', 'Tap a product first.'],
  unknownProduct: ['A product in the basket is no longer sold', 'Take it out and try again.'],
  priceChanged: ['A price has just changed', 'Look at the new total, then take the payment again.'],
  notEnoughMoney: ['That is less than the total', 'Enter what the customer hands over.'],
  saleKnown: ['This sale is already in the books', 'Find it in the list of sales.'],
  saleVoided: ['This sale is undone already', 'Nothing is left to do.'],
  unknownSale: ['This till does not know that sale', 'Undo it on the till that made it.'],
  badInvite: ['This link is not complete', 'Copy the whole link again, or ask for a new one.'],
  inviteExpired: ['This link has expired', 'Ask for a new one: on the first till, Tills, then “Add a device”.'],
  inviteSpent: ['This link has been used already', 'Each link lets one device in. Ask for a new one.'],
  unknownInvite: ['The shop does not know this link', 'Ask for a new one: on the first till, Tills, then “Add a device”.'],
  unknownDevice: [
    'The shop does not know this device',
    'The link was used already or has expired. Ask for a new one: on the first till, Tills, then “Add a device”.',
  ],
  tooManyInvites: ['Too many links are open', 'Use one of them, or wait until they expire.'],
  alreadyMember: ['This till belongs to a shop already', 'Use another browser profile for another shop.'],
  badName: ['This name cannot be used', 'Use letters, digits, spaces, dots, dashes and underscores.'],
  relayUnreachable: ["The shop's relay cannot be reached", 'Check the connection and try again.'],
  notSynced: ['The relay has not seen this shop yet', 'Connect once, wait for “All committed”, then add a device.'],
  missingFile: [
    "Part of this till's data is missing",
    'Nothing was overwritten. What was committed is safe at the relay: join again in another browser profile.',
  ],
  rolledBack: ['The relay has lost sales it had acknowledged', 'Keep this till as it is: it still has them. Call whoever runs the relay.'],
  fork: ['A copy of this till has been selling too', 'Stop using one of them. Both histories are kept.'],
  clockSkew: ["This device's clock is wrong", 'Set date and time, then try again.'],
  noDurableStorage: ['This window would keep nothing', 'Open the till in an ordinary window, not a private one.'],
  noWebLocks: ['The till needs a secure address', 'Open it over https, or on localhost.'],
  workerStart: ['The till did not start', 'Reload this page. What was saved is kept.'],
  workerEnded: ['The till stopped', 'Reload this page. What was saved is kept.'],
  ownerStuck: ['Another tab of this till does not answer', 'Close that tab, then look at the list before you do it again.'],
  otherRelay: ['This relay does not hold your shop', 'Open the till at the address it was opened at before.'],
};

const byKind: Readonly<Record<FoldlogError['kind'], readonly [title: string, todo: string]>> = {
  unavailable: ['That did not work just now', 'Nothing was lost. Try again in a moment.'],
  unknown: ['It is not certain whether that was done', 'Look at the list before you do it again.'],
  fenced: ['Another device has taken over this till', 'Stop selling here. Everything sold is kept.'],
  locked: ['Another tab of this till does not answer', 'Close the other tabs of this till, then try again.'],
  storageFull: ['This device is out of space', 'Free some space, or let the till commit its sales. Nothing was overwritten.'],
  reloadNeeded: ['A newer till has been loaded', 'Reload this page.'],
  upgradeNeeded: ['The shop uses a newer till than this one', 'Reload this page to update.'],
  corrupt: ["This till's data does not check out", 'Leave it as it is and call for help. Nothing was overwritten.'],
  misuse: ['That was refused', 'See the details below.'],
};

export function sayError(error: unknown): Said {
  if (error instanceof FoldlogError) {
    const [title, todo] = (Object.hasOwn(byReason, error.reason) ? byReason[error.reason] : undefined) ?? byKind[error.kind];
    return { title, todo, detail: `${error.message} (${error.kind}, ${error.reason})` };
  }
  const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return { title: 'Something went wrong in the till', todo: 'Reload this page. What was saved is kept.', detail };
}

/** Gone by itself when the network or the relay is back: no news for a person. */
export const isPassing = (error: FoldlogError): boolean =>
  error.kind === 'unavailable' || error.kind === 'unknown' || youngReasons.includes(error.reason);

/** A relay may not know a device or a shard of the last seconds yet. */
const youngReasons = ['unknownDevice', 'unknownShard', 'unknownWorkspace'];

export interface SyncFacts {
  readonly link: 'none' | 'online' | 'offline' | 'refused';
  /** Sales of this till without a receipt. */
  readonly salesPending: number;
  /** Anything else that waits: a price list, a name. */
  readonly isMorePending: boolean;
  /** The first thing that will not go on by itself. */
  readonly trouble: FoldlogError | undefined;
}

export interface SyncWords {
  readonly tone: 'good' | 'busy' | 'away' | 'bad';
  readonly text: string;
}

export function saySync(facts: SyncFacts): SyncWords {
  const n = facts.salesPending;
  const pending = `${count(n, 'sale')} not yet committed`;
  if (facts.trouble !== undefined) {
    const { title } = sayError(facts.trouble);
    return { tone: 'bad', text: n === 0 ? title : `${title} · ${pending}` };
  }
  if (facts.link === 'offline') {
    // Shorter than the others: with both halves in full it would not fit a phone's line.
    return { tone: 'away', text: n === 0 ? 'Offline — selling goes on' : `Offline — selling goes on · ${n} not committed` };
  }
  if (n > 0) return { tone: 'busy', text: `Saved on this till · ${pending}` };
  if (facts.isMorePending || facts.link === 'none') return { tone: 'busy', text: 'Saved on this till · committing' };
  return { tone: 'good', text: 'All committed' };
}
