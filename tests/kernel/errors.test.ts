import { describe, expect, test } from 'vitest';
import { assertNever, type ErrorKind, errorToPlain, FoldlogError, isPlainError, plainToError } from '../../kernel/errors.ts';

const facts = { where: 'slot 3', reason: 'brokenLink', found: 'a', expected: 'b' };
const kinds: readonly ErrorKind[] = [
  'unavailable',
  'unknown',
  'fenced',
  'locked',
  'storageFull',
  'reloadNeeded',
  'upgradeNeeded',
  'corrupt',
  'misuse',
];

describe('FoldlogError', () => {
  test('the message is one sentence: where, found, expected, what to do', () => {
    const error = new FoldlogError('corrupt', { ...facts, todo: 'look' });
    expect(error.message).toBe('slot 3: found a, expected b; look');
    expect(String(error)).toBe('FoldlogError: slot 3: found a, expected b; look');
    expect(error).toBeInstanceOf(Error);
  });

  test.each(kinds)('%s has a default of what to do, and whether to try again', (kind) => {
    const error = new FoldlogError(kind, facts);
    expect(error.todo.length).toBeGreaterThan(3);
    expect(['same', 'later', 'never']).toContain(error.retry);
    expect(new FoldlogError(kind, { ...facts, retry: 'later' }).retry).toBe('later');
  });

  test('it keeps the cause, if there is one', () => {
    const cause = new Error('disk');
    expect(new FoldlogError('unavailable', { ...facts, cause }).cause).toBe(cause);
    expect('cause' in new FoldlogError('unavailable', facts)).toBe(false);
  });

  test('short forms set the kind', () => {
    expect([FoldlogError.corrupt(facts).kind, FoldlogError.misuse(facts).kind]).toEqual(['corrupt', 'misuse']);
  });
});

describe('plain form', () => {
  test.each(kinds)('%s crosses a port and comes back whole', (kind) => {
    const error = new FoldlogError(kind, facts);
    const crossed: unknown = structuredClone(errorToPlain(error));
    if (!isPlainError(crossed)) throw new Error('not plain');
    const back = plainToError(crossed);
    expect(back).toBeInstanceOf(FoldlogError);
    expect({ ...back, message: back.message }).toEqual({ ...error, message: error.message });
  });

  test('a failure of the host becomes unavailable, with its words', () => {
    expect(errorToPlain(new TypeError('x is null'))).toMatchObject({
      kind: 'unavailable',
      reason: 'hostFailed',
      retry: 'later',
      found: 'TypeError: x is null',
    });
    expect(errorToPlain('gone').found).toBe('gone');
  });

  const whole = errorToPlain(new FoldlogError('corrupt', facts));
  test.each([
    ['nothing', null],
    ['text', 'foldlogError'],
    ['another object', {}],
    ['another version', { ...whole, foldlogError: 2 }],
    ['a kind of a newer version', { ...whole, kind: 'melted' }],
    ['a name every object has', { ...whole, kind: 'toString' }],
    ['a kind that is no text', { ...whole, kind: 7 }],
    ['another retry', { ...whole, retry: 'soon' }],
    ['a missing field', { ...whole, todo: undefined }],
    ['a field of another type', { ...whole, found: { html: 1 } }],
  ])('%s is not one', (_what, value) => {
    expect(isPlainError(value)).toBe(false);
  });
});

test('an unknown member of a union is a defect that names itself', () => {
  expect(() => assertNever({ kind: 'new' } as never)).toThrow(
    expect.objectContaining({ kind: 'misuse', reason: 'unreachable', found: '{"kind":"new"}' }),
  );
});
