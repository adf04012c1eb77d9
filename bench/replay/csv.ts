// Records of a CSV text (RFC 4180) with the line each begins on. Takes LF and CRLF, a byte order mark, and newlines inside quotes. A quote counts only
// where a field begins: real files write 12" RULER without quoting the field. What follows a closing quote must be a comma or the line's end.

export type CsvRecord =
  | { readonly kind: 'record'; readonly line: number; readonly fields: readonly string[] }
  | { readonly kind: 'bad'; readonly line: number; readonly found: string; readonly expected: string };

type Field = { readonly text: string; readonly end: number } | { readonly found: string; readonly expected: string };

/** Goes on with the next line after a bad record; a quote that is never closed ends the reading, since nothing after it has a meaning. */
export function* readCsv(text: string): Generator<CsvRecord> {
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  let line = 1;
  while (at < text.length) {
    const fields: string[] = [];
    let fault: Exclude<Field, { readonly text: string }> | undefined;
    let end = at;
    for (;;) {
      const field = text[end] === '"' ? quotedField(text, end) : plainField(text, end);
      if (!('text' in field)) {
        fault = field;
        break;
      }
      fields.push(field.text);
      end = field.end;
      if (text[end] !== ',') break;
      end++;
    }
    if (fault === unclosed) {
      yield { kind: 'bad', line, ...fault };
      return;
    }
    if (fault !== undefined) end = indexOrEnd(text, '\n', end);
    const next = end + (text[end] === '\r' ? 2 : 1);
    const isBlankEnd = fields.length === 1 && end === at && next >= text.length;
    if (fault !== undefined) yield { kind: 'bad', line, ...fault };
    else if (!isBlankEnd) yield { kind: 'record', line, fields };
    for (let i = text.indexOf('\n', at); i >= 0 && i < next; i = text.indexOf('\n', i + 1)) line++;
    at = next;
  }
}

const unclosed = { found: 'a quote that is never closed; nothing after it was read', expected: 'a closing quote' };

function quotedField(text: string, from: number): Field {
  let close = text.indexOf('"', from + 1);
  while (close >= 0 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
  if (close < 0) return unclosed;
  const end = close + 1;
  if (end < text.length && text[end] !== ',' && !isLineEnd(text, end)) {
    return { found: `${JSON.stringify(text[end])} after a closing quote`, expected: 'a comma or the end of the line' };
  }
  return { text: text.slice(from + 1, close).replaceAll('""', '"'), end };
}

function plainField(text: string, from: number): Field {
  let end = from;
  while (end < text.length && text[end] !== ',' && !isLineEnd(text, end)) end++;
  return { text: text.slice(from, end), end };
}

const isLineEnd = (text: string, at: number): boolean => text[at] === '\n' || (text[at] === '\r' && text[at + 1] === '\n');

function indexOrEnd(text: string, what: string, from: number): number {
  const found = text.indexOf(what, from);
  return found < 0 ? text.length : found;
}
