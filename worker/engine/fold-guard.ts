// Shuts the clock and the random generator of JavaScript while reducers run. They are synchronous and this worker is single-threaded,
// so nobody else can see the globals missing. A reducer that reaches for them gets a typed error instead of a value that would
// differ on every device.

import { FoldlogError } from '../../kernel/errors.ts';

interface Ambient {
  Date: DateConstructor;
}

const ambient = globalThis as unknown as Ambient;

function refuse(what: string): never {
  throw FoldlogError.misuse({
    where: 'reducer',
    reason: 'impureReducer',
    found: what,
    expected: 'values from the payload, the rows and the place of the op',
    todo: 'put the time or the random value into the payload when the op is made',
  });
}

const RealDate = ambient.Date;

/** Dates from given values stay possible; "now" does not. */
const GuardedDate = new Proxy(RealDate, {
  apply: () => refuse('Date()'),
  construct: (target, args) => (args.length === 0 ? refuse('new Date()') : Reflect.construct(target, args)),
  get: (target, name) => (name === 'now' ? () => refuse('Date.now()') : Reflect.get(target, name)),
});

let depth = 0;

export function withoutAmbient<T>(work: () => T): T {
  if (depth > 0) return work();
  const realRandom = Math.random;
  depth++;
  ambient.Date = GuardedDate;
  Math.random = () => refuse('Math.random()');
  try {
    return work();
  } finally {
    ambient.Date = RealDate;
    Math.random = realRandom;
    depth--;
  }
}
