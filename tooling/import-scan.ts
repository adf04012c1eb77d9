// Which modules a source names: static and dynamic imports and re-exports, out of TypeScript or JavaScript text as it stands on disk. Reads tokens, not a
// grammar, so that it needs no parser of its own version; it may name an import that types alone need, but leaves none out. Pure.

/** Specifiers in the order they are written, each once. */
export function importsOf(source: string): readonly string[] {
  const found = new Set<string>();
  let [before, last] = ['', ''];
  for (const token of tokensOf(source)) {
    if (token.kind === 'text') {
      // `import 'x'`, `import … from 'x'`, `export … from 'x'`, `import('x')`; as a type, too.
      if (last === 'from' || last === 'import' || (last === '(' && before === 'import')) found.add(token.value);
    }
    [before, last] = [last, token.kind === 'text' ? '' : token.value];
  }
  return [...found];
}

type Token = { readonly kind: 'word' | 'mark'; readonly value: string } | { readonly kind: 'text'; readonly value: string };

/** After these a slash begins a regular expression; after any other word, a number or a closing bracket it divides. */
const beforeRegex = new Set([
  'return',
  'typeof',
  'case',
  'in',
  'of',
  'delete',
  'void',
  'throw',
  'new',
  'else',
  'do',
  'await',
  'yield',
  'instanceof',
]);
const wordPattern = /[\p{L}\p{N}_$#]+/uy;
const spacePattern = /\s+/y;

function* tokensOf(source: string): Generator<Token> {
  /** Depths of braces at which a template goes on. */
  const templates: number[] = [];
  let braces = 0;
  let at = 0;
  let last = '';
  const skip = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  while (at < source.length) {
    if (skip(spacePattern) !== undefined) continue;
    const mark = source[at] as string;
    if (mark === '/' && source[at + 1] === '/') {
      at = lineEnd(source, at);
    } else if (mark === '/' && source[at + 1] === '*') {
      const end = source.indexOf('*/', at + 2);
      at = end < 0 ? source.length : end + 2;
    } else if (mark === '"' || mark === "'") {
      const end = textEnd(source, at);
      yield { kind: 'text', value: unescaped(source.slice(at + 1, end)) };
      at = end + 1;
      last = 'x';
    } else if (mark === '`' || (mark === '}' && templates.at(-1) === braces)) {
      if (mark === '}') templates.pop();
      const begin = at + 1;
      const end = templateEnd(source, begin);
      const isWhole = mark === '`' && source[end] === '`';
      if (isWhole) yield { kind: 'text', value: unescaped(source.slice(begin, end)) };
      if (source[end] === '$') templates.push(braces);
      at = source[end] === '$' ? end + 2 : end + 1;
      last = source[end] === '$' ? '{' : 'x';
    } else if (mark === '/' && (last === '' || beforeRegex.has(last) || /^[([{,;=:?!&|+\-*%<>~^]$/.test(last))) {
      at = regexEnd(source, at);
      last = 'x';
    } else {
      const word = skip(wordPattern);
      if (word === undefined) {
        at += mark.length;
        if (mark === '{') braces++;
        if (mark === '}') braces--;
      }
      last = word ?? mark;
      yield { kind: word === undefined ? 'mark' : 'word', value: last };
    }
  }
}

function lineEnd(source: string, from: number): number {
  const end = source.indexOf('\n', from);
  return end < 0 ? source.length : end;
}

/** Of the closing quote. A text never spans lines, so that a wrong guess about a regular expression ends with its line. */
function textEnd(source: string, from: number): number {
  const quote = source[from];
  let at = from + 1;
  while (at < source.length && source[at] !== quote && source[at] !== '\n') at += source[at] === '\\' ? 2 : 1;
  return at;
}

/** Of the closing backtick, or of the dollar that begins an expression. */
function templateEnd(source: string, from: number): number {
  let at = from;
  while (at < source.length && source[at] !== '`' && !(source[at] === '$' && source[at + 1] === '{')) at += source[at] === '\\' ? 2 : 1;
  return at;
}

/** Behind the closing slash, or at the end of the line. */
function regexEnd(source: string, from: number): number {
  let isInClass = false;
  let at = from + 1;
  while (at < source.length && source[at] !== '\n' && (isInClass || source[at] !== '/')) {
    if (source[at] === '[') isInClass = true;
    if (source[at] === ']') isInClass = false;
    at += source[at] === '\\' ? 2 : 1;
  }
  return at + 1;
}

const unescaped = (text: string): string => text.replaceAll(/\\(.)/gs, '$1');
