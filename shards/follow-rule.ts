// Which shards a device follows: `kind/name` with `*` for any run of characters in a name. Pure.

import { FoldlogError } from '../kernel/errors.ts';

export interface FollowRule {
  readonly pattern: string;
  matches(shard: { readonly kind: string; readonly name: string }): boolean;
}

/** @throws {FoldlogError} `misuse` `badFollowRule` */
export function followRule(pattern: string): FollowRule {
  const [kind, name, ...rest] = pattern.split('/');
  if (kind === undefined || name === undefined || kind === '' || name === '' || rest.length > 0 || pattern.length > 200) {
    throw FoldlogError.misuse({
      where: 'follow',
      reason: 'badFollowRule',
      found: JSON.stringify(pattern.slice(0, 80)),
      expected: 'kind/name, for example till/* or catalogue/main',
    });
  }
  const parts = name.split('*');
  return { pattern, matches: (shard) => shard.kind === kind && matchesParts(shard.name, parts) };
}

/** `*` matching without a regular expression: linear, whatever the pattern. */
function matchesParts(name: string, parts: readonly string[]): boolean {
  const [first = '', ...others] = parts;
  const last = others.pop();
  if (last === undefined) return name === first;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of others) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
