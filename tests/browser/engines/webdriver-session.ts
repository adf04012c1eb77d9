// One session of the W3C WebDriver protocol over fetch: the dozen commands the tests need, and no client library.
import { type Body, pause, type Tab } from './engine.ts';

const scriptMsMax = 120_000;
const driverStartMs = 10_000;

/** Runs in the page: calls the body, and answers whether it returned or threw; the protocol has no promises of its own. */
const asyncScript = (body: string): string => `
  const done = arguments[arguments.length - 1];
  const given = Array.prototype.slice.call(arguments, 0, -1);
  (async () => (${body})(...given))().then(
    (value) => done({ kind: 'value', value }),
    (error) => done({ kind: 'thrown', words: String(error) + '\\n' + (error && error.stack) }),
  );`;

type Answer<Result> = { readonly kind: 'value'; readonly value: Result } | { readonly kind: 'thrown'; readonly words: string };

export class WebDriverSession {
  readonly #session: string;
  readonly version: string;
  /** A session has one current window: commands that name a window go one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  #isFirstWindowTaken = false;

  private constructor(session: string, version: string) {
    this.#session = session;
    this.version = version;
  }

  /** Waits for the driver to listen, then starts the browser that `capabilities` describe. */
  static async start(driver: string, capabilities: object): Promise<WebDriverSession> {
    for (const until = Date.now() + driverStartMs; ; await pause(30)) {
      const isReady = await send('GET', `${driver}/status`).then(
        () => true,
        () => false,
      );
      if (isReady) break;
      if (Date.now() > until) throw new Error(`no WebDriver at ${driver}`);
    }
    const made = await send<{ sessionId: string; capabilities: { browserVersion: string } }>('POST', `${driver}/session`, {
      capabilities: { alwaysMatch: capabilities },
    });
    const session = `${driver}/session/${made.sessionId}`;
    await send('POST', `${session}/timeouts`, { script: scriptMsMax, pageLoad: scriptMsMax });
    return new WebDriverSession(session, made.capabilities.browserVersion);
  }

  async open(url: string): Promise<Tab> {
    const handle = this.#isFirstWindowTaken
      ? (await this.#command<{ handle: string }>('POST', '/window/new', { type: 'tab' })).handle
      : await this.#command<string>('GET', '/window');
    this.#isFirstWindowTaken = true;
    const tab = new WebDriverTab((method, path, body) => this.#inWindow(handle, method, path, body));
    await tab.goto(url);
    return tab;
  }

  async end(): Promise<void> {
    await send('DELETE', this.#session);
  }

  #inWindow<Result>(handle: string, method: string, path: string, body?: object): Promise<Result> {
    const mine = this.#turn.then(async () => {
      await this.#command('POST', '/window', { handle });
      return this.#command<Result>(method, path, body);
    });
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  #command<Result>(method: string, path: string, body?: object): Promise<Result> {
    return send(method, `${this.#session}${path}`, body);
  }
}

type Command = <Result>(method: string, path: string, body?: object) => Promise<Result>;

class WebDriverTab implements Tab {
  readonly #command: Command;

  constructor(command: Command) {
    this.#command = command;
  }

  async evaluate<Result, Arg = undefined>(body: Body<Arg, Result>, arg?: Arg): Promise<Result> {
    const text = typeof body === 'string' ? `() => (${body})` : String(body);
    const args = arg === undefined ? [] : [arg];
    const answer = await this.#command<Answer<Result>>('POST', '/execute/async', { script: asyncScript(text), args });
    if (answer.kind === 'thrown') throw new Error(answer.words);
    return answer.value;
  }

  goto(url: string): Promise<void> {
    return this.#command('POST', '/url', { url });
  }

  reload(): Promise<void> {
    return this.#command('POST', '/refresh', {});
  }

  close(): Promise<void> {
    return this.#command('DELETE', '/window');
  }
}

async function send<Result>(method: string, url: string, body?: object): Promise<Result> {
  const response = await fetch(url, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const { value } = (await response.json()) as { readonly value: Result & { readonly error?: string; readonly message?: string } };
  if (!response.ok) throw new Error(`WebDriver ${method} ${new URL(url).pathname}: ${value?.error}: ${value?.message}`);
  return value;
}
