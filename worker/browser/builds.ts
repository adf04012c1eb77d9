// Whether two builds of an app can work on one store together: a page and its worker, or a tab and the tab that owns the store. Compared by
// protocol, kinds, schema versions and folds; a user agent or an app's version number says nothing about any of them.

import { bytesToHex } from '../../kernel/bytes.ts';
import { FoldlogError } from '../../kernel/errors.ts';
import type { ShardDefinition } from '../../shards/define.ts';

export const protocolVersion = 3;

/** Says whether two builds mean the same shard. */
export interface DefinitionStamp {
  readonly kind: string;
  readonly version: number;
  readonly foldId: string;
}

export interface Build {
  readonly protocol: number;
  readonly definitions: readonly DefinitionStamp[];
}

export const buildOf = (definitions: readonly ShardDefinition[]): Build => ({
  protocol: protocolVersion,
  definitions: definitions.map(({ kind, spec, foldId }) => ({ kind, version: spec.version, foldId: bytesToHex(foldId) })),
});

/** How another build stands to this one. `unclear`: newer in one place and older in another, or of one version and yet not the same. */
export type Standing =
  | { readonly kind: 'same' }
  | { readonly kind: 'older' | 'newer' | 'unclear'; readonly where: string; readonly theirs: string; readonly mine: string };

export function standingOf(theirs: Build, mine: Build): Standing {
  if (theirs.protocol !== mine.protocol) {
    const words = { where: 'protocol', theirs: `protocol ${theirs.protocol}`, mine: `protocol ${mine.protocol}` };
    return { kind: theirs.protocol < mine.protocol ? 'older' : 'newer', ...words };
  }
  let standing: Standing = { kind: 'same' };
  for (const kind of new Set([...mine.definitions, ...theirs.definitions].map((stamp) => stamp.kind))) {
    const here = mine.definitions.find((stamp) => stamp.kind === kind);
    const there = theirs.definitions.find((stamp) => stamp.kind === kind);
    if (here?.version === there?.version && here?.foldId === there?.foldId) continue;
    const step = (here?.version ?? 0) - (there?.version ?? 0);
    const found = { where: `shard definition ${kind}`, theirs: words(there), mine: words(here) };
    const isClear = step !== 0 && (standing.kind === 'same' || standing.kind === (step > 0 ? 'older' : 'newer'));
    if (!isClear) return { kind: 'unclear', ...found };
    if (standing.kind === 'same') standing = { kind: step > 0 ? 'older' : 'newer', ...found };
  }
  return standing;
}

/** @throws {FoldlogError} `reloadNeeded` `otherProtocol`, `otherSchema`: `theirs` and `mine` are not of one build */
export function requireSameBuild(theirs: Build, mine: Build, who: { readonly theirs: string; readonly mine: string }): void {
  const standing = standingOf(theirs, mine);
  if (standing.kind !== 'same') throw otherBuild(standing, who);
}

export const otherBuild = (
  standing: Exclude<Standing, { readonly kind: 'same' }>,
  who: { readonly theirs: string; readonly mine: string },
): FoldlogError =>
  new FoldlogError('reloadNeeded', {
    where: standing.where,
    reason: standing.where === 'protocol' ? 'otherProtocol' : 'otherSchema',
    found: `${standing.theirs} in ${who.theirs}`,
    expected: `${standing.mine}, as in ${who.mine}`,
  });

const words = (stamp: DefinitionStamp | undefined): string =>
  stamp === undefined ? 'none' : `version ${stamp.version} (fold ${stamp.foldId.slice(0, 12)})`;
