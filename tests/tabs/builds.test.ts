// How two builds of an app stand to each other: decides who attaches, who hands over and who must reload.
import { describe, expect, test } from 'vitest';
import { type Build, requireSameBuild, standingOf } from '../../worker/browser/builds.ts';

const build = (definitions: Readonly<Record<string, readonly [version: number, foldId: string]>>, protocol = 2): Build => ({
  protocol,
  definitions: Object.entries(definitions).map(([kind, [version, foldId]]) => ({ kind, version, foldId })),
});

const mine = build({ till: [2, 'aa'], catalogue: [3, 'bb'] });

describe('another build', () => {
  test.each([
    ['the same', build({ till: [2, 'aa'], catalogue: [3, 'bb'] }), 'same'],
    ['in another order', build({ catalogue: [3, 'bb'], till: [2, 'aa'] }), 'same'],
    ['of an older protocol', build({ till: [9, 'xx'] }, 1), 'older'],
    ['of a newer protocol', build({ till: [1, 'xx'] }, 3), 'newer'],
    ['with an older definition', build({ till: [1, 'a0'], catalogue: [3, 'bb'] }), 'older'],
    ['with a newer definition', build({ till: [3, 'a3'], catalogue: [3, 'bb'] }), 'newer'],
    ['with two older ones', build({ till: [1, 'a0'], catalogue: [2, 'b2'] }), 'older'],
    ['without a kind of mine', build({ till: [2, 'aa'] }), 'older'],
    ['with a kind of its own', build({ till: [2, 'aa'], catalogue: [3, 'bb'], note: [1, 'cc'] }), 'newer'],
    ['of one version and another fold', build({ till: [2, 'ax'], catalogue: [3, 'bb'] }), 'unclear'],
    ['older here and newer there', build({ till: [1, 'a0'], catalogue: [4, 'b4'] }), 'unclear'],
    ['newer here and of another fold there', build({ till: [3, 'a3'], catalogue: [3, 'bx'] }), 'unclear'],
  ] as const)('%s', (_, theirs, kind) => {
    expect(standingOf(theirs, mine).kind).toBe(kind);
  });

  test('is refused by name, with what each side has', () => {
    const who = { theirs: 'the page', mine: 'its worker' };
    expect(() => requireSameBuild(mine, mine, who)).not.toThrow();
    expect(() => requireSameBuild(build({ till: [2, 'ax'], catalogue: [3, 'bb'] }), mine, who)).toThrow(
      expect.objectContaining({
        kind: 'reloadNeeded',
        reason: 'otherSchema',
        where: 'shard definition till',
        found: 'version 2 (fold ax) in the page',
      }),
    );
    expect(() => requireSameBuild(build({}, 1), mine, who)).toThrow(expect.objectContaining({ reason: 'otherProtocol' }));
  });
});
