// The replay's CSV reader: fields as they are written, and the line each record begins on.
import { describe, expect, test } from 'vitest';
import { readCsv } from '../../bench/replay/csv.ts';

const records = (text: string): readonly (readonly string[])[] =>
  [...readCsv(text)].flatMap((record) => (record.kind === 'record' ? [record.fields] : []));
const faults = (text: string) => [...readCsv(text)].flatMap(({ kind, line }) => (kind === 'bad' ? [line] : []));

describe('CSV', () => {
  const read: readonly (readonly [what: string, text: string, fields: readonly (readonly string[])[]])[] = [
    [
      'plain fields',
      'a,b\nc,d\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'no newline at the end',
      'a,b\nc,d',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'CRLF',
      'a,b\r\nc,d\r\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    ['a byte order mark', '\uFEFFa,b\n', [['a', 'b']]],
    [
      'empty fields',
      ',\n,,\n',
      [
        ['', ''],
        ['', '', ''],
      ],
    ],
    ['an empty last field at the end of the text', 'a,', [['a', '']]],
    ['a comma, a quote and newlines inside quotes', '"a,b","c""d","e\nf\r\ng"\n', [['a,b', 'c"d', 'e\nf\r\ng']]],
    ['nothing but quotes', '"",""""\n', [['', '"']]],
    ['a quote inside an unquoted field', '7" FRAME,"x"\n', [['7" FRAME', 'x']]],
    ['spaces kept', ' a , b \n', [[' a ', ' b ']]],
    ['a carriage return inside a field kept', 'a\rb,c\n', [['a\rb', 'c']]],
    ['one blank line at the end ignored', 'a,b\n\n', [['a', 'b']]],
    ['a blank line between records kept', 'a\n\nb\n', [['a'], [''], ['b']]],
    ['an empty text', '', []],
  ];
  test.each(read)('reads %s', (_what, text, fields) => {
    expect(records(text)).toEqual(fields);
    expect(faults(text)).toEqual([]);
  });

  test('each record knows the line it begins on, newlines inside quotes counted', () => {
    expect([...readCsv('a\n"b\nb\r\nb",c\nd\n"e')].map(({ line }) => line)).toEqual([1, 2, 5, 6]);
  });

  test('a text after a closing quote is bad, and the next line is read', () => {
    expect(faults('a,b\n"c"x,d\ne,f\n')).toEqual([2]);
    expect(records('a,b\n"c"x,d\ne,f\n')).toEqual([
      ['a', 'b'],
      ['e', 'f'],
    ]);
  });

  test('a quote that is never closed is bad on the line where it opens, and ends the reading', () => {
    expect(faults('a,b\nc,"d\ne,f\ng,h\n')).toEqual([2]);
    expect(records('a,b\nc,"d\ne,f\ng,h\n')).toEqual([['a', 'b']]);
  });
});
