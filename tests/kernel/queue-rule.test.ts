// When a queue is long and when there is no room: at each edge, and that neither is the other.
import { describe, expect, test } from 'vitest';
import { queueAgeMsMax, queueBytesMax } from '../../kernel/limits.ts';
import { judgeQueue, judgeRoom } from '../../kernel/queue-rule.ts';

describe('queue', () => {
  test.each([
    ['empty', 0, 0, { kind: 'short' }],
    ['at its bounds', queueBytesMax, queueAgeMsMax, { kind: 'short' }],
    ['a byte too long', queueBytesMax + 1, 0, { kind: 'long', by: 'bytes' }],
    ['a week old', 1, queueAgeMsMax + 1, { kind: 'long', by: 'age' }],
    ['both', queueBytesMax + 1, queueAgeMsMax + 1, { kind: 'long', by: 'bytes' }],
    ['from a clock that was set back since', 1, -queueAgeMsMax, { kind: 'short' }],
  ])('%s', (_, bytes, ageMs, expected) => {
    expect(judgeQueue({ bytes, ageMs })).toEqual(expected);
  });

  test('a day of one op a second is far from long', () => {
    expect(judgeQueue({ bytes: 86_400 * 180, ageMs: 24 * 3600 * 1000 })).toEqual({ kind: 'short' });
  });
});

describe('room', () => {
  test.each([
    ['nobody says anything', 1e15, undefined, undefined, { kind: 'room' }],
    ['below 80 % of the grant', 799, 1_000, undefined, { kind: 'room' }],
    ['at 80 % of the grant', 800, 1_000, undefined, { kind: 'near', limitBytes: 800, by: 'host' }],
    ['below the setting', 499, 1_000, 500, { kind: 'room' }],
    ['at the setting', 500, 1_000, 500, { kind: 'near', limitBytes: 500, by: 'setting' }],
    ['a setting beyond the grant does not lift it', 800, 1_000, 5_000, { kind: 'near', limitBytes: 800, by: 'host' }],
    ['a setting alone', 500, undefined, 500, { kind: 'near', limitBytes: 500, by: 'setting' }],
    ['a grant of nothing', 0, 0, undefined, { kind: 'near', limitBytes: 0, by: 'host' }],
  ])('%s', (_, usedBytes, grantedBytes, settingBytes, expected) => {
    expect(judgeRoom({ usedBytes, grantedBytes, settingBytes })).toEqual(expected);
  });
});
