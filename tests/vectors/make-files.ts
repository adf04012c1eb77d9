// Every generated file of the format's evidence, as path and bytes: the vectors, the fixture folder, and the worked hex inside
// docs/format.md. scripts/make-vectors.mjs writes them; vectors.test.ts makes them again and compares.
import { utf8 } from '../../kernel/bytes.ts';
import { makeBodyVectors } from './make-bodies.ts';
import { type FormatVector, makeWorkedExample } from './make-format.ts';
import { makeSignatureVectors } from './make-signatures.ts';

/** What has to be read first. Paths are relative to the repository's root. */
export interface VectorInputs {
  readonly image: Uint8Array;
  readonly formatText: string;
}

export const inputPaths = { image: 'tests/fixtures/format/1/image.db', formatText: 'docs/format.md' } as const;

export async function makeFiles(inputs: VectorInputs): Promise<ReadonlyMap<string, Uint8Array>> {
  const example = await makeWorkedExample(inputs.image);
  const files = new Map<string, Uint8Array>([
    ['tests/vectors/signatures.json', jsonLines(makeSignatureVectors())],
    ['tests/vectors/bodies.json', jsonLines(makeBodyVectors())],
    ['tests/vectors/format.json', jsonLines(example.vectors)],
    ['docs/format.md', utf8(withBlocks(inputs.formatText, example.vectors))],
  ]);
  for (const [key, bytes] of example.objects) files.set(`tests/fixtures/format/1/objects/${key}`, bytes);
  return files;
}

/** One vector per line: small to read in a diff. */
const jsonLines = (vectors: readonly unknown[]): Uint8Array =>
  utf8(`[\n${vectors.map((vector) => JSON.stringify(vector)).join(',\n')}\n]\n`);

/** A fenced block of the document that shows a vector: ```hex name=<vector> or ```text name=<vector>. */
export const blockPattern = /^```(hex|text) name=([a-z0-9-]+)\n([\s\S]*?)^```$/gm;

function withBlocks(text: string, vectors: readonly FormatVector[]): string {
  return text.replace(blockPattern, (_whole, kind: string, name: string) => {
    const vector = vectors.find((known) => known.name === name);
    if (vector === undefined) throw new Error(`docs/format.md shows an unknown vector: ${name}`);
    return `\`\`\`${kind} name=${name}\n${linesOf(vector).join('\n')}\n\`\`\``;
  });
}

const bytesPerLine = 32;

function linesOf(vector: FormatVector): readonly string[] {
  if (vector.hex === undefined) return [vector.text ?? ''];
  const hex = vector.hex;
  let at = 0;
  const fields = vector.fields ?? [['', hex.length / 2] as const];
  return fields.flatMap(([field, length]) => {
    const part = hex.slice(2 * at, 2 * (at + length));
    at += length;
    const lines = part.match(new RegExp(`.{1,${2 * bytesPerLine}}`, 'g')) ?? [''];
    return lines.map((line, i) => (i === 0 && field !== '' ? `${line.padEnd(2 * bytesPerLine)}  # ${field}` : line));
  });
}

/** The vector a block spells: hex without spaces and labels, or the text as it stands. */
export const blockContent = (kind: string, body: string): string =>
  kind === 'text' ? body.replace(/\n$/, '') : body.replaceAll(/#.*$/gm, '').replaceAll(/\s/g, '');
