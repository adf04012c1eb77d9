// What connects a page with the owner of its store while that lasts: calls, saves, news, and signs of life. Ends with the owner.

import type { Endpoint, Remote } from 'comlink';
import type { Durability, SaveSource } from '../../engine/save.ts';
import type { EngineCalls, News, Outcome, PageMessage, SavedPlace, WorkerMessage } from '../protocol.ts';

export interface LineEnds {
  readonly owner: string;
  /** For people, when the owner does not answer. */
  readonly title: string;
  readonly endpoint: Endpoint;
  readonly engine: Remote<EngineCalls>;
  /** How long the owner may say nothing while it is asked. */
  readonly silenceMs: number;
  readonly close: () => void;
}

export class Line {
  readonly ends: LineEnds;
  readonly #onNews: (news: News) => void;
  readonly #saves = new Map<number, (outcome: Outcome<SavedPlace>) => void>();
  readonly #greeted: Promise<void>;
  #onGreeted: () => void = () => undefined;
  #calls = 0;
  #looks = 0;
  #isHeard = true;

  constructor(ends: LineEnds, onNews: (news: News) => void) {
    this.ends = ends;
    this.#onNews = onNews;
    this.#greeted = new Promise((resolve) => {
      this.#onGreeted = resolve;
    });
    ends.endpoint.addEventListener('message', this.#hear as EventListener);
  }

  get engine(): Remote<EngineCalls> {
    return this.ends.engine;
  }

  /** Resolves when the other end said that it is there. */
  get greeted(): Promise<void> {
    return this.#greeted;
  }

  save(handle: string, group: string, source: string | SaveSource, durability: Durability): Promise<Outcome<SavedPlace>> {
    return new Promise((resolve) => {
      const call = this.#calls++;
      this.#send({ save: durability === 'strict' ? [call, handle, group, source] : [call, handle, group, source, durability] }); // throws when it cannot be cloned: nothing is waiting then
      this.#saves.set(call, resolve);
    });
  }

  /** One look, made every `everyMs` while calls wait: asks for a sign of life. True when none came for too long; counted anew after that. */
  isSilent(everyMs: number): boolean {
    this.#looks = this.#isHeard ? 0 : this.#looks + 1;
    this.#isHeard = false;
    this.#send({ ping: 1 });
    if (this.#looks * everyMs < this.ends.silenceMs) return false;
    this.#looks = 0;
    return true;
  }

  close(): void {
    this.ends.endpoint.removeEventListener('message', this.#hear as EventListener);
    this.#saves.clear();
    this.ends.close();
  }

  readonly #hear = ({ data }: MessageEvent<WorkerMessage | null>): void => {
    this.#isHeard = true;
    if (typeof data !== 'object' || data === null) return;
    if ('saved' in data) {
      const [call, epoch, firstSeq, lastSeq, durability] = data.saved;
      this.#settle(call, { kind: 'ok', value: { epoch, firstSeq, lastSeq, isRelaxed: durability === 'relaxed' } });
    } else if ('failed' in data) {
      const [call, error] = data.failed;
      this.#settle(call, { kind: 'failed', error });
    } else if ('news' in data) this.#onNews(data.news);
    else if ('pong' in data) this.#onGreeted();
  };

  #settle(call: number, outcome: Outcome<SavedPlace>): void {
    this.#saves.get(call)?.(outcome);
    this.#saves.delete(call);
  }

  #send(message: PageMessage): void {
    this.ends.endpoint.postMessage(message);
  }
}
