// The worker this page started: greeted, told which store it is for, and watched, so that its end is noticed whatever the reason.

import { type Endpoint, type Remote, wrap } from 'comlink';
import { FoldlogError, plainToError } from '../../../kernel/errors.ts';
import { workerStartMs } from '../bounds.ts';
import type { Build } from '../builds.ts';
import { within } from '../deadline.ts';
import type { EngineCalls, HostCalls, Outcome, StoreSettings, TabCard, WorkerCalls } from '../protocol.ts';
import { whenFree } from '../store-lock.ts';

export class OwnWorker {
  /** Names this worker to other tabs, and is the lock it holds while it lives. */
  readonly id = `foldlog-session/${crypto.randomUUID()}`;
  readonly endpoint: Endpoint;
  readonly host: Remote<HostCalls>;
  readonly engine: Remote<EngineCalls>;
  readonly #worker: Worker;
  #unwatch: () => void = () => undefined;

  private constructor(worker: Worker) {
    this.#worker = worker;
    this.endpoint = worker;
    const remote = wrap<WorkerCalls>(worker) as unknown as { readonly host: Remote<HostCalls>; readonly engine: Remote<EngineCalls> };
    this.host = remote.host; // looked up once: every property of a Comlink proxy is a new proxy
    this.engine = remote.engine;
  }

  /**
   * Starts the app's worker and lets it wait for the store.
   * @throws {FoldlogError} `unavailable` `workerStart`; `reloadNeeded` when page and worker are not of one build. The worker is ended then
   */
  static async start(
    start: () => Worker,
    build: Build,
    settings: StoreSettings,
    tab: TabCard,
    onEnd: (worker: OwnWorker) => void,
  ): Promise<OwnWorker> {
    let worker: Worker;
    try {
      worker = start();
    } catch (cause) {
      throw startFailure(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause), cause);
    }
    const own = new OwnWorker(worker);
    try {
      await own.#greet(build);
      resultOf(await own.host.start(settings, tab, own.id));
    } catch (error) {
      worker.terminate();
      throw error;
    }
    own.#unwatch = whenFree(own.id, () => onEnd(own));
    return own;
  }

  end(): void {
    this.#unwatch();
    this.#worker.terminate();
  }

  async #greet(build: Build): Promise<void> {
    let fail: (error: FoldlogError) => void = () => undefined;
    const broken = new Promise<never>((_, reject) => {
      fail = reject;
    });
    // A script that is missing, refused by the page's policy, or throws while it loads. Without details when the browser withholds them.
    const onError = (event: ErrorEvent): void =>
      fail(startFailure(event.message ? `${event.message} (${event.filename}:${event.lineno})` : 'a script that did not load'));
    this.#worker.addEventListener('error', onError);
    try {
      const hello = Promise.race([this.host.hello(build), broken]);
      resultOf(await within(workerStartMs, hello, () => startFailure(`no answer within ${workerStartMs} ms`)));
    } finally {
      this.#worker.removeEventListener('error', onError);
    }
  }
}

function resultOf<T>(outcome: Outcome<T>): T {
  if (outcome.kind === 'ok') return outcome.value;
  throw plainToError(outcome.error);
}

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
