import { describe, expect, test } from 'vitest';
import { hash, incarnation, shardId, slot, workspaceId } from '../../kernel/units.ts';
import { followRule } from '../../shards/follow-rule.ts';
import { objectKeys } from '../../shards/object-keys.ts';
import { planPublish, planUpkeep, type UpkeepFacts } from '../../shards/publish-plan.ts';
import { sql } from '../../shards/sql.ts';

describe('follow rule', () => {
  test.each([
    ['till/*', 'till', 'till-1', true],
    ['till/*', 'till', '', true],
    ['till/*', 'catalogue', 'main', false],
    ['till/till-1', 'till', 'till-1', true],
    ['till/till-1', 'till', 'till-10', false],
    ['till/*-1', 'till', 'north-1', true],
    ['till/n*h-*', 'till', 'north-1', true],
    ['till/n*h-*', 'till', 'nord-1', false],
    ['till/a*a', 'till', 'a', false],
    ['till/*a*a*a*', 'till', 'bababa', true],
  ])('%s, %s/%s: %s', (pattern, kind, name, isMatch) => {
    expect(followRule(pattern).matches({ kind, name })).toBe(isMatch);
  });

  test.each(['', 'till', 'till/', '/x', 'a/b/c', `till/${'x'.repeat(300)}`])('%s is refused', (pattern) => {
    expect(() => followRule(pattern)).toThrowError(expect.objectContaining({ kind: 'misuse', reason: 'badFollowRule' }));
  });

  test('a pattern of many stars is answered at once', () => {
    expect(followRule(`till/${'a*'.repeat(90)}b`).matches({ kind: 'till', name: 'a'.repeat(5_000) })).toBe(false);
  });
});

describe('object keys', () => {
  test('numbers sort as they count, and shard objects lie under the incarnation', () => {
    const place = {
      workspace: workspaceId(new Uint8Array(32).fill(1)),
      incarnation: incarnation(new Uint8Array(16).fill(2)),
      shard: shardId(new Uint8Array(16).fill(3)),
    };
    const keys = [2, 10, 1_000_000].map((number) => objectKeys.logSlot(place, slot(number)));
    expect([...keys].sort()).toEqual(keys);
    expect(keys[0]).toBe(`w/${'01'.repeat(32)}/${'02'.repeat(16)}/s/${'03'.repeat(16)}/log/0000000000000002`);
    expect(objectKeys.controlSlot(place.workspace, slot(1))).toBe(`w/${'01'.repeat(32)}/control/0000000000000001`);
    expect(objectKeys.chunk(place, hash(new Uint8Array(32)))).toMatch(/\/chunk\/0{64}$/);
  });
});

describe('publish plan', () => {
  test.each([
    [100, 0, 'wait'],
    [16_000, 0, 'wait'],
    [17_000, 0, 'publish'],
    [1_000_000, 980_000, 'wait'], // two percent new, a second and a bit to fold
    [1_000_000, 900_000, 'publish'], // over five seconds
  ])('committed %i, checkpoint at %i: %s', (committedSeq, checkpointSeq, kind) => {
    expect(planPublish({ committedSeq, checkpointSeq, movedSeq: 0 }).kind).toBe(kind);
  });

  test.each([
    [10, 0, 10, 'publish'],
    [9, 0, 10, 'wait'], // the move itself is not committed yet
    [10, 10, 10, 'wait'],
    [12, 5, 10, 'publish'],
  ])('committed %i, checkpoint at %i, schema moved at %i: %s', (committedSeq, checkpointSeq, movedSeq, kind) => {
    expect(planPublish({ committedSeq, checkpointSeq, movedSeq }).kind).toBe(kind);
  });
});

describe('upkeep plan', () => {
  const mb = 1024 * 1024;
  const quiet: UpkeepFacts = {
    ...{ committedSeq: 20_000, checkpointSeq: 19_000, movedSeq: 0, baseSeq: 19_000, truncatableSeq: 19_000 },
    ...{ logBytes: mb, freeBytes: 0, fileBytes: 20 * mb },
  };
  test.each<readonly [string, Partial<UpkeepFacts>, string]>([
    ['little log behind a young checkpoint', {}, 'wait'],
    ['16 MB of log that may go', { baseSeq: 0, logBytes: 16 * mb }, 'truncate'],
    ['just below', { baseSeq: 0, logBytes: 16 * mb - 1 }, 'wait'],
    ['log and free pages together', { baseSeq: 0, logBytes: 10 * mb, freeBytes: 6 * mb }, 'truncate'],
    ['free pages alone', { freeBytes: 16 * mb, logBytes: 0 }, 'vacuum'],
    ['a quarter of a large file', { baseSeq: 0, logBytes: 24 * mb, fileBytes: 100 * mb }, 'wait'],
    ['more than that', { baseSeq: 0, logBytes: 25 * mb, fileBytes: 100 * mb }, 'truncate'],
    ['16 MB of log that no checkpoint covers', { logBytes: 16 * mb }, 'publish'],
    ['the same, all of it published: the newest group is as large as that', { logBytes: 16 * mb, checkpointSeq: 20_000 }, 'wait'],
    ['300,000 ops', { committedSeq: 300_000, baseSeq: 0, truncatableSeq: 290_000, checkpointSeq: 290_000 }, 'wait'],
    ['one more', { committedSeq: 300_001, baseSeq: 0, truncatableSeq: 290_000, checkpointSeq: 290_000 }, 'truncate'],
    ['a move that no checkpoint stands above', { movedSeq: 19_500 }, 'publish'],
    ['a move below the checkpoint', { movedSeq: 18_500 }, 'wait'],
    ['a long residual', { checkpointSeq: 0, baseSeq: 0, truncatableSeq: 0 }, 'publish'],
  ])('%s: %s', (_, facts, kind) => {
    expect(planUpkeep({ ...quiet, ...facts }).kind).toBe(kind);
  });

  test('each job, once done, is due no more', () => {
    let facts: UpkeepFacts = { ...quiet, checkpointSeq: 100, baseSeq: 0, truncatableSeq: 0, logBytes: 30 * mb };
    const done: string[] = [];
    for (let plan = planUpkeep(facts); plan.kind !== 'wait'; plan = planUpkeep(facts)) {
      done.push(plan.kind);
      expect(done.length).toBeLessThan(5);
      if (plan.kind === 'publish') facts = { ...facts, checkpointSeq: facts.committedSeq, truncatableSeq: facts.committedSeq - 1 };
      if (plan.kind === 'truncate') facts = { ...facts, baseSeq: facts.truncatableSeq, logBytes: mb / 8, freeBytes: 0 };
    }
    expect(done).toEqual(['publish', 'truncate']);
  });
});

describe('sql', () => {
  test('values are bound, never spliced', () => {
    const evil = `'; DROP TABLE sale; --`;
    expect(sql`SELECT * FROM sale WHERE id = ${evil} AND n > ${3}`).toEqual({
      text: 'SELECT * FROM sale WHERE id = ? AND n > ?',
      params: [evil, 3],
    });
  });
});
