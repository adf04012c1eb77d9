// One end of a line between a page and the worker of another tab: a BroadcastChannel with exactly two ends, behind the interface a worker or a
// message port has. A channel copies to whoever listens and never pushes back, so a large message goes in pieces, few of them under way at a time.
// Messages leave in the order they were posted, small ones behind a large one.

import type { Endpoint } from 'comlink';
import { cut, join, weightOf } from './pieces.ts';

/** Above this a message is cut, into pieces of this length. */
const pieceLength = 256 * 1024;
/** Pieces sent and not yet taken by the other end: what a slow reader can make pile up is 2 MiB. */
const creditMax = 8;

type Frame =
  | { readonly whole: unknown }
  /** `left`: how many pieces of this message follow. */
  | { readonly piece: string; readonly left: number }
  | { readonly credit: number };

type Listener = Parameters<Endpoint['addEventListener']>[1];

export class ChannelEndpoint implements Endpoint {
  readonly #channel: BroadcastChannel;
  readonly #listeners = new Set<Listener>();
  readonly #waiting: Frame[] = [];
  #credit = creditMax;
  #isClosed = false;
  #parts: string[] = [];

  constructor(name: string) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<Frame>) => this.#take(data);
  }

  /** Nothing can be transferred over a channel; every message is copied. What is said after the end goes nowhere: an answer may come later than it. */
  postMessage(message: unknown): void {
    if (this.#isClosed) return;
    if (weightOf(message, pieceLength) < pieceLength) this.#waiting.push({ whole: message });
    else {
      const pieces = cut(message, pieceLength);
      pieces.forEach((piece, i) => {
        this.#waiting.push({ piece, left: pieces.length - 1 - i });
      });
    }
    this.#send();
  }

  addEventListener(_type: string, listener: Listener): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: string, listener: Listener): void {
    this.#listeners.delete(listener);
  }

  close(): void {
    this.#isClosed = true;
    this.#channel.close();
    this.#listeners.clear();
    this.#waiting.length = 0;
  }

  #send(): void {
    for (;;) {
      const next = this.#waiting[0];
      if (next === undefined) return;
      if ('piece' in next && this.#credit === 0) return;
      if ('piece' in next) this.#credit--;
      this.#waiting.shift();
      this.#channel.postMessage(next);
    }
  }

  #take(frame: Frame): void {
    if ('credit' in frame) {
      this.#credit += frame.credit;
      this.#send();
    } else if ('whole' in frame) this.#tell(frame.whole);
    else this.#takePiece(frame.piece, frame.left);
  }

  #takePiece(piece: string, left: number): void {
    this.#parts.push(piece);
    this.#channel.postMessage({ credit: 1 } satisfies Frame);
    if (left > 0) return;
    const message = join(this.#parts);
    this.#parts = [];
    this.#tell(message);
  }

  #tell(data: unknown): void {
    const event = new MessageEvent('message', { data });
    for (const listener of [...this.#listeners]) {
      if (typeof listener === 'function') listener(event);
      else listener.handleEvent(event);
    }
  }
}
