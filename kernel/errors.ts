// The one error family. `kind` tells the caller what to do next, `reason` names the exact case for code and tests,
// and found / expected / todo make the message a sentence. No secrets and no payloads in any of them.
// postMessage drops class and fields, so an error has a plain form that crosses the port (docs/errors.md).

export type ErrorKind =
  | 'unavailable' // retry the same bytes
  | 'unknown' // the outcome is not known: ask again by id
  | 'fenced' // this writer may not go on: stop and rebase
  | 'locked' // another owner holds it
  | 'storageFull'
  | 'reloadNeeded' // the page is older than the worker
  | 'upgradeNeeded' // the data is newer than this code
  | 'corrupt' // stop and keep the evidence
  | 'misuse'; // fix the calling code

export type Retry = 'same' | 'later' | 'never';

export interface ErrorFacts {
  /** Where it happened: the object or call, e.g. `segment 12 of till-1`. */
  readonly where: string;
  /** Stable machine-readable case, e.g. `brokenLink`. */
  readonly reason: string;
  readonly found: string;
  readonly expected: string;
  /** What the reader of the message should do. Each kind has a default. */
  readonly todo?: string;
  readonly retry?: Retry;
  readonly cause?: unknown;
}

export interface PlainError {
  readonly foldlogError: 1;
  readonly kind: ErrorKind;
  readonly reason: string;
  readonly retry: Retry;
  readonly where: string;
  readonly found: string;
  readonly expected: string;
  readonly todo: string;
}

const defaults: Record<ErrorKind, { readonly retry: Retry; readonly todo: string }> = {
  unavailable: { retry: 'same', todo: 'try the same call again' },
  unknown: { retry: 'same', todo: 'ask again with the same id' },
  fenced: { retry: 'never', todo: 'stop writing here and rebase what is not committed' },
  locked: { retry: 'later', todo: 'use the tab that holds it, or close it and try again' },
  storageFull: { retry: 'later', todo: 'free space or let the queue drain, then try again' },
  reloadNeeded: { retry: 'never', todo: 'reload this page' },
  upgradeNeeded: { retry: 'never', todo: 'update the app' },
  corrupt: { retry: 'never', todo: 'keep the data as it is and look at it with foldlog verify' },
  misuse: { retry: 'never', todo: 'fix the calling code' },
};

/**
 * The error every Foldlog call throws or rejects with.
 * The message reads: where: found …, expected …; todo.
 */
export class FoldlogError extends Error {
  override readonly name = 'FoldlogError';
  readonly kind: ErrorKind;
  readonly reason: string;
  readonly retry: Retry;
  readonly where: string;
  readonly found: string;
  readonly expected: string;
  readonly todo: string;

  constructor(kind: ErrorKind, facts: ErrorFacts) {
    const todo = facts.todo ?? defaults[kind].todo;
    super(
      `${facts.where}: found ${facts.found}, expected ${facts.expected}; ${todo}`,
      facts.cause === undefined ? undefined : { cause: facts.cause },
    );
    this.kind = kind;
    this.reason = facts.reason;
    this.retry = facts.retry ?? defaults[kind].retry;
    this.where = facts.where;
    this.found = facts.found;
    this.expected = facts.expected;
    this.todo = todo;
  }

  static corrupt(facts: ErrorFacts): FoldlogError {
    return new FoldlogError('corrupt', facts);
  }

  static misuse(facts: ErrorFacts): FoldlogError {
    return new FoldlogError('misuse', facts);
  }
}

export function errorToPlain(error: unknown): PlainError {
  if (error instanceof FoldlogError) {
    const { kind, reason, retry, where, found, expected, todo } = error;
    return { foldlogError: 1, kind, reason, retry, where, found, expected, todo };
  }
  return {
    foldlogError: 1,
    kind: 'unavailable',
    reason: 'hostFailed',
    retry: 'later',
    where: 'host',
    found: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
    expected: 'no failure outside Foldlog',
    todo: 'look at the cause; nothing was acknowledged',
  };
}

export function plainToError(plain: PlainError): FoldlogError {
  return new FoldlogError(plain.kind, plain);
}

/** Whether a value from outside (a port, a relay's answer) is a whole plain error of a kind this version knows. */
export function isPlainError(value: unknown): value is PlainError {
  if (typeof value !== 'object' || value === null) return false;
  const plain = value as Readonly<Record<string, unknown>>;
  return (
    plain.foldlogError === 1 &&
    typeof plain.kind === 'string' &&
    Object.hasOwn(defaults, plain.kind) &&
    ['same', 'later', 'never'].includes(plain.retry as string) &&
    ['reason', 'where', 'found', 'expected', 'todo'].every((field) => typeof plain[field] === 'string')
  );
}

/** Closes a switch over a union: a new member becomes a compile error here. */
export function assertNever(value: never): never {
  throw FoldlogError.misuse({ where: 'assertNever', reason: 'unreachable', found: JSON.stringify(value), expected: 'a known kind' });
}
