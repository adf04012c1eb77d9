// Makes tests/vectors/bodies.json: bodies on every edge of the body rule (docs/format.md#body), with the verdict every reader must give.
// Written by hand as text; the verdicts do not come from a reader of ours.
import { bytesToHex, hexToBytes, utf8 } from '../../kernel/bytes.ts';

export interface BodyVector {
  readonly name: string;
  /** The body's bytes. */
  readonly hex: string;
  readonly opCount: number;
  readonly valid: boolean;
}

const op = (payload: string): string => `[["a",1,${payload}]]`;
const nested = (depth: number): string => op('['.repeat(depth) + ']'.repeat(depth));

/** Bodies of one op that are taken. */
const good: Readonly<Record<string, string>> = {
  null: op('null'),
  'true and false': op('[true,false]'),
  'empty object': op('{}'),
  'empty text': op('""'),
  'a name of the caller': '[["a",1,0,"x"]]',
  'a name of 256 characters': `[["a",1,0,"${'x'.repeat(256)}"]]`,
  'the highest version': '[["a",65535,0]]',
  'a class of the engine': '[["foldlog.headsSeen",1,{}]]',
  'a class of 64 characters': `[["${'c'.repeat(64)}",1,0]]`,
  'a class with digits, dash and underscore': '[["A9_-.0-_",1,0]]',
  'the largest safe integer': op('9007199254740991'),
  'the smallest safe integer': op('-9007199254740991'),
  'a small number in exponent form': op('1e-7'),
  'a small number in plain form': op('0.000001'),
  'the smallest number': op('5e-324'),
  'shortest digits': op('0.1'),
  'seventeen digits': op('0.30000000000000004'),
  'the largest with a fraction': op('4503599627370495.5'),
  'a negative fraction': op('-1.5'),
  'short escapes': op('"\\b\\t\\n\\f\\r\\"\\\\"'),
  'control characters as lower-case escapes': op('"\\u0000\\u001f"'),
  'delete and separators as they are': op('"\u007f\u0080\u2028\u2029"'),
  'a pair of surrogates as one character': op('"😀"'),
  'a slash as it is': op('"/"'),
  'index keys first, in order': op('{"0":0,"2":0,"10":0,"b":0,"a":0}'),
  'a key with a leading zero is no index': op('{"b":0,"01":0}'),
  'the largest index key': op('{"4294967294":0,"4294967295":0}'),
  'beyond the largest index key': op('{"b":0,"4294967295":0}'),
  'an empty key': op('{"":0}'),
  'keys of Object.prototype that are not forbidden': op('{"toString":0,"hasOwnProperty":0,"toJSON":0}'),
  'depth 64': nested(64),
};

/** Bodies of one op that are void. */
const bad: Readonly<Record<string, string>> = {
  'no bytes': '',
  'no JSON': '[["a",1,',
  'bytes after the end': `${op('0')} `,
  'a newline before': `\n${op('0')}`,
  'a byte order mark': `\ufeff${op('0')}`,
  'a space': '[["a", 1,0]]',
  'an object': '{"0":["a",1,0]}',
  'no ops': '[]',
  'an op that is an object': '[{"a":1}]',
  'an op of two': '[["a",1]]',
  'an op of five': '[["a",1,0,"x",0]]',
  'a class that is a number': '[[1,1,0]]',
  'an empty class': '[["",1,0]]',
  'a class that begins with a digit': '[["1a",1,0]]',
  'a class that ends with a dot': '[["a.",1,0]]',
  'a class with two dots': '[["a..b",1,0]]',
  'a class with a space': '[["a b",1,0]]',
  'a class with NUL': '[["a\\u0000",1,0]]',
  'a class of 65 characters': `[["${'c'.repeat(65)}",1,0]]`,
  'version 0': '[["a",0,0]]',
  'version 65536': '[["a",65536,0]]',
  'a version with a fraction': '[["a",1.5,0]]',
  'a version that is text': '[["a","1",0]]',
  'an empty name of the caller': '[["a",1,0,""]]',
  'a name of 257 characters': `[["a",1,0,"${'x'.repeat(257)}"]]`,
  'a name that is a number': '[["a",1,0,7]]',
  'a name that is null': '[["a",1,0,null]]',
  'a name with a lone surrogate': '[["a",1,0,"\\ud800"]]',
  'minus zero': op('-0'),
  'a trailing zero': op('1.0'),
  'an exponent where none is needed': op('1e3'),
  'a capital E': op('1E-7'),
  'an exponent with a zero': op('1e-07'),
  'a small number in long form': op('0.0000001'),
  'a leading zero': op('01'),
  'a leading plus': op('+1'),
  'more digits than needed': op('0.10000000000000001'),
  'fewer digits than needed': op('0.3000000000000000'),
  NaN: op('NaN'),
  Infinity: op('Infinity'),
  '1e309': op('1e309'),
  '2^53': op('9007199254740992'),
  '2^53 + 1': op('9007199254740993'),
  '-2^53': op('-9007199254740992'),
  '1e21': op('1e+21'),
  'the largest number': op('1.7976931348623157e+308'),
  'a key twice': op('{"a":0,"a":0}'),
  'index keys out of order': op('{"2":0,"1":0}'),
  'an index key after another key': op('{"b":0,"1":0}'),
  'the largest index key after another key': op('{"b":0,"4294967294":0}'),
  'the key __proto__': op('{"__proto__":0}'),
  'the key constructor, inside': op('[{"x":{"constructor":0}}]'),
  'the key prototype': op('{"prototype":0}'),
  'a lone high surrogate': op('"\\ud800"'),
  'a lone low surrogate': op('"\\udc00x"'),
  'surrogates in the wrong order': op('"\\udc00\\ud800"'),
  'a key with a lone surrogate': op('{"\\ud800":0}'),
  'a pair of surrogates as escapes': op('"\\ud83d\\ude00"'),
  'an escape that is not needed': op('"\\u0041"'),
  'an escaped slash': op('"\\/"'),
  'an escape in capitals': op('"\\u001F"'),
  'a long escape for a short one': op('"\\u000a"'),
  'a raw control character': op('"\u0001"'),
  'a comment': op('0/**/'),
  'a trailing comma': '[["a",1,0],]',
  'depth 65': nested(65),
  'depth 10,000': nested(10_000),
};

const bytes: Readonly<Record<string, string>> = {
  'a surrogate in UTF-8': `${bytesToHex(utf8('[["a",1,"'))}eda080${bytesToHex(utf8('"]]'))}`,
  'an overlong NUL': `${bytesToHex(utf8('[["a",1,"'))}c080${bytesToHex(utf8('"]]'))}`,
  'a cut character': `${bytesToHex(utf8('[["a",1,"'))}f09f98${bytesToHex(utf8('"]]'))}`,
  'bytes above all Unicode': `${bytesToHex(utf8('[["a",1,"'))}f4908080${bytesToHex(utf8('"]]'))}`,
};

export function makeBodyVectors(): readonly BodyVector[] {
  const one = (valid: boolean) => (entry: readonly [string, string]) => ({
    name: entry[0],
    hex: bytesToHex(utf8(entry[1])),
    opCount: 1,
    valid,
  });
  return [
    ...Object.entries(good).map(one(true)),
    { name: 'two ops', hex: bytesToHex(utf8('[["a",1,0],["b",2,{"c":"d"}]]')), opCount: 2, valid: true },
    { name: 'fewer ops than the header says', hex: bytesToHex(utf8(op('0'))), opCount: 2, valid: false },
    { name: 'more ops than the header says', hex: bytesToHex(utf8('[["a",1,0],["b",2,0]]')), opCount: 1, valid: false },
    ...Object.entries(bad).map(one(false)),
    ...Object.entries(bytes).map(([name, hex]) => ({ name, hex: bytesToHex(hexToBytes(hex)), opCount: 1, valid: false })),
  ];
}
