// What the tabs of one store say to all others, over one BroadcastChannel: who owns it, who wants it, who lets go. These words are frozen: builds
// that cannot talk otherwise must still understand them, so that an old tab can hand over and a new one can say what is wrong (decision 0010).

import type { Build } from '../builds.ts';

/** The worker that owns the store: a random id per worker start, its build, and its tab's title for people. */
export interface OwnerCard {
  readonly owner: string;
  readonly build: Build;
  readonly title: string;
}

export type Presence =
  /** A page asks who owns the store. */
  | { readonly say: 'who' }
  /** Whoever holds the lock and is not ready yet: there will be an owner, or a failure. */
  | { readonly say: 'opening'; readonly owner: string }
  /** The owner's answer; also told once when the store was opened. */
  | ({ readonly say: 'here' } & OwnerCard)
  /** A page opens a line to the owner: its private channel is there already. */
  | { readonly say: 'attach'; readonly owner: string; readonly client: string }
  /** A visible page would rather own the store than a hidden one. */
  | { readonly say: 'wanted'; readonly owner: string }
  /** A newer build asks the owner to let go for good. */
  | { readonly say: 'handOver'; readonly owner: string }
  /** The owner closed the store in good order. */
  | { readonly say: 'gone'; readonly owner: string };

export class PresenceChannel {
  readonly #channel: BroadcastChannel;

  constructor(store: string, onWord: (word: Presence) => void) {
    this.#channel = new BroadcastChannel(`foldlog/${store}`);
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (isWord(data)) onWord(data);
    };
  }

  say(word: Presence): void {
    this.#channel.postMessage(word);
  }

  close(): void {
    this.#channel.close();
  }
}

/** Name of the channel that belongs to one page and one owner. */
export const lineName = (store: string, client: string, owner: string): string => `foldlog/${store}/${client}/${owner}`;

/** Name of the Web Lock a page holds while it lives: how an owner learns that a client is gone. */
export const clientLockName = (client: string): string => `foldlog-client/${client}`;

/** Any page of the origin may write to the channel; what is not one of the words is not heard. */
function isWord(data: unknown): data is Presence {
  if (typeof data !== 'object' || data === null) return false;
  const word = data as { readonly [field: string]: unknown };
  switch (word.say) {
    case 'who':
      return true;
    case 'here':
      return typeof word.owner === 'string' && typeof word.title === 'string' && isBuild(word.build);
    case 'attach':
      return typeof word.owner === 'string' && typeof word.client === 'string';
    case 'opening':
    case 'wanted':
    case 'handOver':
    case 'gone':
      return typeof word.owner === 'string';
    default:
      return false;
  }
}

function isBuild(value: unknown): value is Build {
  if (typeof value !== 'object' || value === null) return false;
  const { protocol, definitions } = value as { readonly [field: string]: unknown };
  return (
    typeof protocol === 'number' &&
    Array.isArray(definitions) &&
    definitions.every(
      (stamp: { readonly [field: string]: unknown } | null) => typeof stamp?.kind === 'string' && typeof stamp.foldId === 'string',
    )
  );
}
