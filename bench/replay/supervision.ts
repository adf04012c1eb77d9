// Says what the replay is doing while it does it, and ends it when it hangs, is interrupted, or a part of it breaks outside of a call.

/** A stage that shows no sign of life this long is broken: the longest step between two signs is a build or one upload. */
const stallMsMax = 120_000;
/** Whatever a run does, it is over after this; the slowest machine tried needs a tenth. */
const runMsMax = (lines: number): number => 600_000 + 10 * lines;
/** Progress within a stage is told at most this often. */
const detailMsMin = 1_000;
/** A browser or runtime that does not close by then is left to its own end. */
const closeMsMax = 20_000;
/** Work whose browser or runtime was just closed fails within moments, or never. */
const settleMsMax = 3_000;

export class Supervision {
  readonly #log: (text: string) => void;
  readonly #start = performance.now();
  readonly #ended: Promise<never>;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #closers: { readonly what: string; readonly close: () => Promise<unknown> }[] = [];
  /** What is under way; it may outlive the stage when the run ends first. */
  readonly #running = new Set<Promise<unknown>>();
  #end: (error: Error) => void = () => undefined;
  #stage = 'start';
  #isClosed = false;
  #lastSign = performance.now();
  #lastDetail = 0;

  constructor(options: { readonly log: (text: string) => void; readonly signal: AbortSignal; readonly lines: number }) {
    this.#log = options.log;
    this.#ended = new Promise<never>((_, reject) => {
      this.#end = reject;
    });
    this.#ended.catch(() => undefined); // heard by whichever stage runs
    options.signal.addEventListener('abort', () => this.fail(new Error('interrupted')), { once: true });
    const lastMs = runMsMax(options.lines);
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (now - this.#lastSign > stallMsMax) this.fail(new Error(`${this.#stage}: no progress within ${stallMsMax / 1000} s`));
      if (now - this.#start > lastMs) this.fail(new Error(`${this.#stage}: not over within ${Math.round(lastMs / 1000)} s`));
    }, 1_000);
  }

  /** Ends the run; the stage that runs rejects. */
  readonly fail = (error: Error): void => this.#end(error);

  /** Runs one stage and says so. */
  async stage<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.#stage = name;
    this.#tell(name);
    return await Promise.race([this.#track(work()), this.#ended]);
  }

  /** Resolves when nothing is under way any more; what hangs because its browser is gone is not waited for. */
  async settled(): Promise<void> {
    await within(settleMsMax, Promise.allSettled(this.#running)).catch(() => undefined);
  }

  /** A sign of life, told now and then. */
  sign(detail: () => string): void {
    this.#lastSign = performance.now();
    if (this.#lastSign - this.#lastDetail < detailMsMin) return;
    this.#lastDetail = this.#lastSign;
    this.#log(`           ${detail()}`);
  }

  /** Closed at the end, last opened first, however the run ends; at once when it has ended while this was being opened. */
  closes(what: string, close: () => Promise<unknown>): void {
    this.#closers.push({ what, close });
    if (this.#isClosed) this.#track(this.close());
  }

  /** Closes everything that is open. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { what, close } of this.#closers.splice(0).reverse()) {
      await within(closeMsMax, close()).catch((error: unknown) => this.#tell(`closing ${what}: ${String(error)}`));
    }
    clearInterval(this.#timer);
  }

  /** Its failure is heard by whoever waits for it, if anybody still does. */
  #track<T>(work: Promise<T>): Promise<T> {
    const done = (): void => void this.#running.delete(work);
    this.#running.add(work);
    work.then(done, done);
    return work;
  }

  #tell(text: string): void {
    this.#lastSign = performance.now();
    this.#log(`${((this.#lastSign - this.#start) / 1000).toFixed(1).padStart(7)} s  ${text}`);
  }
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
