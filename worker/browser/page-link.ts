// The page's line to its worker: starts it, calls it, hears its news, and notices when it ends, so that no call waits for ever.

import { type Remote, transfer, wrap } from 'comlink';
import { FoldlogError, plainToError } from '../../kernel/errors.ts';
import type { ShardDefinition } from '../../shards/define.ts';
import { workerStartMs } from './bounds.ts';
import { within } from './deadline.ts';
import { type EngineCalls, type News, type Outcome, protocolVersion, type StoreSettings, stampOf } from './protocol.ts';

type Reject = (error: FoldlogError) => void;

export class EngineLink {
  readonly #worker: Worker;
  readonly #remote: Remote<EngineCalls>;
  /** Looked up once: every property of a Comlink proxy is a new proxy. */
  readonly #save: Remote<EngineCalls>['save'];
  readonly #pending = new Set<Reject>();
  readonly #watch = new AbortController();
  #ended: FoldlogError | undefined;
  #onEnd: Reject | undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    this.#remote = wrap<EngineCalls>(worker);
    this.#save = this.#remote.save;
  }

  /**
   * Starts the app's worker and opens the store in it.
   * @throws {FoldlogError} `unavailable` `workerStart`, `reloadNeeded`, and what opening throws; the worker is ended then
   */
  static async open(
    start: () => Worker,
    definitions: readonly ShardDefinition[],
    settings: Omit<StoreSettings, 'session'>,
    onNews: (news: News) => void,
  ): Promise<EngineLink> {
    let worker: Worker;
    try {
      worker = start();
    } catch (cause) {
      throw startFailure(describe(cause), cause);
    }
    const link = new EngineLink(worker);
    try {
      await link.#greet(definitions);
      await link.#open(settings, onNews);
      return link;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  call<T>(run: (remote: Remote<EngineCalls>) => Promise<Outcome<T>>): Promise<T> {
    return this.#settled(() => run(this.#remote));
  }

  save(...args: Parameters<EngineCalls['save']>) {
    return this.#settled(() => this.#save(...args));
  }

  /** Told once, when this line ends: closed by the page, or the worker is gone. */
  onEnd(listener: Reject): void {
    this.#onEnd = listener;
    if (this.#ended !== undefined) listener(this.#ended);
  }

  /** Lets the worker finish what runs, then ends it. */
  async close(): Promise<void> {
    this.#watch.abort();
    try {
      await this.call((remote) => remote.close());
    } finally {
      this.#end(
        new FoldlogError('unavailable', { where: 'workspace', reason: 'closed', found: 'a closed store', expected: 'an open one' }),
      );
    }
  }

  async #greet(definitions: readonly ShardDefinition[]): Promise<void> {
    const hello = this.call((remote) => remote.hello({ protocol: protocolVersion, definitions: definitions.map(stampOf) }));
    let fail: Reject = () => undefined;
    const broken = new Promise<never>((_, reject) => {
      fail = reject;
    });
    // A script that is missing, refused by the page's policy, or throws while it loads. Without details when the browser withholds them.
    const onError = (event: ErrorEvent): void =>
      fail(startFailure(event.message ? `${event.message} (${event.filename}:${event.lineno})` : 'a script that did not load'));
    this.#worker.addEventListener('error', onError);
    try {
      await within(workerStartMs, Promise.race([hello, broken]), () => startFailure(`no answer within ${workerStartMs} ms`));
    } finally {
      this.#worker.removeEventListener('error', onError);
    }
  }

  async #open(settings: Omit<StoreSettings, 'session'>, onNews: (news: News) => void): Promise<void> {
    const session = `foldlog-session/${crypto.randomUUID()}`;
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }: MessageEvent<News>) => onNews(data);
    await this.call((remote) => remote.open({ ...settings, session }, transfer(port2, [port2])));
    // Granted when the worker is gone, whatever ended it.
    navigator.locks.request(session, { signal: this.#watch.signal }, () => this.#end(workerEnded())).catch(() => undefined);
  }

  #settled<T>(run: () => Promise<Outcome<T>>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(this.#ended);
      this.#pending.add(reject);
      run().then(
        (outcome) => {
          this.#pending.delete(reject);
          if (outcome.kind === 'ok') resolve(outcome.value);
          else reject(plainToError(outcome.error));
        },
        (cause: unknown) => {
          this.#pending.delete(reject);
          reject(sendFailure(cause));
        },
      );
    });
  }

  #end(error: FoldlogError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#watch.abort();
    this.#worker.terminate();
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
    this.#onEnd?.(error);
  }
}

const describe = (cause: unknown): string => (cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause));

const startFailure = (found: string, cause?: unknown): FoldlogError =>
  new FoldlogError('unavailable', {
    where: 'worker',
    reason: 'workerStart',
    retry: 'later',
    found,
    expected: 'a worker that calls serveEngine()',
    todo: "check the worker's URL and the page's Content-Security-Policy (worker-src, script-src), then reload",
    cause,
  });

const sendFailure = (cause: unknown): FoldlogError =>
  FoldlogError.misuse({
    where: 'call to the worker',
    reason: 'notCloneable',
    found: describe(cause),
    expected: 'plain values: no functions, no DOM objects',
    cause,
  });

/** A save that was under way may have landed: the same id, asked after reopening, says whether. */
const workerEnded = (): FoldlogError =>
  new FoldlogError('unknown', {
    where: 'worker',
    reason: 'workerEnded',
    found: 'a worker that ended',
    expected: 'one that answers',
    todo: 'open the workspace again and ask with the same id',
  });
