// The network between devices and relay instances: loss, delay, duplicates, partitions of one way or both, bodies cut short. Every answer of a relay
// passes an observer before chance decides whether it arrives.

import type { Bytes } from '../../kernel/bytes.ts';
import type { Http, HttpOutcome, HttpRequest } from '../../kernel/ports.ts';
import type { Relay } from '../../relay/index.ts';
import type { Dice } from './dice.ts';
import { type Marks, mark } from './marks.ts';
import type { SimWorld } from './sim-world.ts';

/** Parts of 1 of all requests. */
export interface NetRates {
  readonly requestLost: number;
  readonly replyLost: number;
  readonly duplicated: number;
  readonly requestCut: number;
  readonly replyCut: number;
  readonly slow: number;
}

export const noNetFaults: NetRates = { requestLost: 0, replyLost: 0, duplicated: 0, requestCut: 0, replyCut: 0, slow: 0 };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Bytes;
}

export interface NetWatcher {
  sent(device: string, request: HttpRequest): void;
  answered(device: string, request: HttpRequest, answer: Answer): void;
}

/** Relay instances of one deployment. */
export interface Instances {
  readonly count: number;
  /** Undefined while it is down. */
  at(number: number): Relay | undefined;
}

type Way = 'up' | 'down';

export class SimNet {
  rates: NetRates = noNetFaults;
  readonly #world: SimWorld;
  readonly #dice: Dice;
  readonly #marks: Marks;
  readonly #instances: Instances;
  readonly #watcher: NetWatcher;
  readonly #closed = new Set<string>();

  constructor(world: SimWorld, dice: Dice, marks: Marks, instances: Instances, watcher: NetWatcher) {
    this.#world = world;
    this.#dice = dice;
    this.#marks = marks;
    this.#instances = instances;
    this.#watcher = watcher;
  }

  close(device: string, way: Way): void {
    this.#closed.add(`${device} ${way}`);
  }

  open(device: string, way: Way): void {
    this.#closed.delete(`${device} ${way}`);
  }

  openAll(): void {
    this.#closed.clear();
  }

  /** The relay as one process of a device reaches it. */
  connect(device: string, process: { readonly isAlive: () => boolean; nextRequest(): number }): Http {
    return {
      send: async (request, bounds) => {
        if (!process.isAlive()) return never();
        const number = process.nextRequest();
        this.#watcher.sent(device, request);
        const timeOut = new Promise<HttpOutcome>((resolve) => {
          this.#world.scheduler.after(bounds.timeoutMs, () => resolve(gone('no answer in time')));
        });
        const outcome = await Promise.race([this.#carry(device, request, number), timeOut]);
        return process.isAlive() ? outcome : never();
      },
    };
  }

  async #carry(device: string, request: HttpRequest, number: number): Promise<HttpOutcome> {
    const draw = (what: string): number => this.#dice.at('net', `${device}/${what}`, number);
    const isSlow = this.#chance('slow', draw('slow'), 'F-50 request delayed past its time-out');
    await this.#wait((isSlow ? 25_000 : 2) + (isSlow ? 20_000 : 60) * draw('up ms'));
    const { rates } = this;
    if (this.#closed.has(`${device} up`)) return this.#lost(draw('reset'));
    if (this.#chance('requestLost', draw('request'), 'F-50 request lost')) return this.#lost(draw('reset'));
    if (this.#chance('duplicated', draw('again'), 'F-51 request again later')) {
      this.#world.scheduler.after(50 + 60_000 * draw('again ms'), () => void this.#ask(device, request, number + 0.5));
    }
    if (request.body !== undefined && request.body.length > 0 && draw('cut') < rates.requestCut) {
      mark(this.#marks, 'F-53 request body cut short');
      const body = request.body.slice(0, Math.floor(request.body.length * draw('cut at')));
      await this.#ask(device, { ...request, body }, number);
      return this.#lost(draw('reset'));
    }
    const answer = await this.#ask(device, request, number);
    if (answer === undefined) return gone('connection refused');
    await this.#wait(2 + 40 * draw('down ms'));
    if (this.#closed.has(`${device} down`)) return this.#lost(draw('reset'));
    if (this.#chance('replyLost', draw('reply'), 'F-50 reply lost')) return this.#lost(draw('reset'));
    if (answer.body.length > 0 && this.#chance('replyCut', draw('reply cut'), 'F-53 reply cut short')) {
      return { kind: 'answered', ...answer, body: answer.body.slice(0, Math.floor(answer.body.length * draw('reply cut at'))) };
    }
    return { kind: 'answered', ...answer };
  }

  async #ask(device: string, request: HttpRequest, number: number): Promise<Answer | undefined> {
    const relay = this.#instances.at(this.#dice.below(this.#instances.count, 'net', `${device}/instance`, Math.floor(number * 2)));
    if (relay === undefined) return undefined;
    const response = await relay.fetch(
      new Request(`http://relay.test${request.path}`, {
        method: request.method,
        headers: request.headers,
        ...(request.body === undefined ? {} : { body: request.body }),
      }),
    );
    const body = new Uint8Array(await response.arrayBuffer());
    const answer = { status: response.status, headers: Object.fromEntries(response.headers), body };
    const path = request.path.replace(/[0-9a-f]{24,}/g, (id) => id.slice(0, 6));
    this.#world.note(`${device} ${request.method} ${path} ${answer.status} ${body.length}`);
    this.#watcher.answered(device, request, answer);
    return answer;
  }

  #chance(name: keyof NetRates, draw: number, fault: string): boolean {
    if (draw >= this.rates[name]) return false;
    mark(this.#marks, fault);
    return true;
  }

  /** Half of what is lost is told at once, as a reset connection; of the other half nothing is heard. */
  async #lost(draw: number): Promise<HttpOutcome> {
    if (draw < 0.5) return gone('connection reset');
    return never();
  }

  #wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.scheduler.after(delayMs, resolve);
    });
  }
}

const gone = (why: string): HttpOutcome => ({ kind: 'unreachable', cause: new Error(why) });
const never = <T>(): Promise<T> => new Promise(() => undefined);
