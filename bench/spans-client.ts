// Asks a worker that was built with spans (spans.mjs) for them, over a channel of its own that product code does not know.

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Spans {
  /** Ms spent in each since it was asked last. */
  readonly totals: Readonly<Record<string, number>>;
  /** When each was run for the first time, ms of the epoch. */
  readonly first: Readonly<Record<string, Span>>;
}

/** What `performance.now()` is in every tab and worker alike: ms of the epoch, in the fine steps an isolated page has. */
export const epochMs = (): number => performance.timeOrigin + performance.now();

/** @param worker the name it was started under */
export const takeSpans = (worker: string): Promise<Spans> =>
  new Promise((resolve) => {
    const channel = new BroadcastChannel('bench-spans');
    channel.onmessage = ({ data }: MessageEvent<Partial<Spans> & { readonly of?: string }>) => {
      const { of, totals, first } = data;
      if (of !== worker || totals === undefined || first === undefined) return;
      channel.close();
      resolve({ totals, first });
    };
    channel.postMessage({ take: worker });
  });
