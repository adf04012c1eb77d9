// The fixed layouts as tables of names and sizes, written down a second time apart from the code: docs/format.md must have the same
// tables (format-doc.test.ts), and worked examples are cut by them. A size that is a word varies.
export type Layout = readonly (readonly [field: string, size: number | string])[];

const slotBinding: Layout = [
  ['preamble', 8],
  ['shard id', 16],
  ['slot', 8],
  ['prev object hash', 32],
];
const relayPart: Layout = [
  ['commit time', 8],
  ['bytes before', 8],
  ['relay key id', 16],
  ['relay signature', 64],
];
const recordHead: Layout = [
  ['record kind', 1],
  ['codec', 1],
  ['op count', 4],
  ['time', 8],
  ['group id', 16],
  ['body length', 4],
];
const fenceClaim: Layout = [
  ['closed epoch', 4],
  ['new epoch', 4],
  ['head seq', 8],
  ['head group hash', 32],
  ['control head', 32],
  ['author key id', 16],
];

/** Keyed by the anchor and table name of docs/format.md. */
export const layouts = {
  preamble: [
    ['magic', 4],
    ['kind', 1],
    ['format', 1],
    ['suite', 1],
    ['flags', 1],
  ],
  'group-header': [
    ['preamble', 8],
    ['shard id', 16],
    ['epoch', 4],
    ['first seq', 8],
    ['op count', 4],
    ['time', 8],
    ['group id', 16],
    ['prev group hash', 32],
    ['body hash', 32],
    ['body length', 4],
    ['codec', 1],
    ['reserved', 3],
  ],
  'seal-message': [
    ['preamble', 8],
    ['key id', 16],
    ['control head', 32],
    ['heads seen', 32],
    ['shard id', 16],
    ['epoch', 4],
    ['last seq', 8],
    ['group hash', 32],
  ],
  seal: [
    ['key id', 16],
    ['control head', 32],
    ['heads seen', 32],
    ['signature', 64],
  ],
  run: [
    ['epoch', 4],
    ['first seq', 8],
    ['prev group hash', 32],
    ['group count', 4],
    ['packing', 1],
    ['reserved', 3],
    ['records length', 4],
    ['stored length', 4],
    ['records', 'stored length'],
    ['seal', 144],
  ],
  'record-whole': [...recordHead, ['salt', 16], ['body', 'body length']],
  'record-erased': [...recordHead, ['body hash', 32]],
  segment: [...slotBinding, ['run', 'run'], ...relayPart],
  fence: [...slotBinding, ...fenceClaim, ['author signature', 64], ...relayPart],
  push: [
    ['preamble', 8],
    ['shard id', 16],
    ['receipt length', 4],
    ['receipt', 'receipt length'],
    ['run', 'run'],
  ],
  tail: [
    ['preamble', 8],
    ['shard id', 16],
    ['cut seq', 8],
    ['control slot', 8],
    ['run', 'run'],
  ],
  receipt: [
    ['preamble', 8],
    ['workspace id', 32],
    ['incarnation', 16],
    ['shard id', 16],
    ['epoch', 4],
    ['writer key id', 16],
    ['control slot', 8],
    ['slot', 8],
    ['seq', 8],
    ['group hash', 32],
    ['object hash', 32],
    ['shard bytes', 8],
    ['time', 8],
    ['relay key id', 16],
    ['signature', 64],
  ],
  'control-entry': [
    ['preamble', 8],
    ['workspace id', 32],
    ['prev control head', 32],
    ['author key id', 16],
    ['acts length', 4],
    ['acts', 'acts length'],
    ['signature', 64],
  ],
  'control-slot': [
    ['preamble', 8],
    ['workspace id', 32],
    ['slot', 8],
    ['entry length', 4],
    ['entry', 'entry length'],
    ['time', 8],
    ['relay key id', 16],
    ['relay signature', 64],
  ],
  checkpoint: [
    ['preamble', 8],
    ['shard id', 16],
    ['number', 8],
    ['prev statement hash', 32],
    ['epoch', 4],
    ['seq', 8],
    ['group hash', 32],
    ['slot', 8],
    ['slot object hash', 32],
    ['slot time', 8],
    ['schema version', 4],
    ['fold id', 32],
    ['state hash', 32],
    ['time', 8],
    ['control head', 32],
    ['key id', 16],
    ['chunk count', 4],
    ['chunks', '40 × chunk count'],
    ['signature', 64],
  ],
  'attest-message': [
    ['destination', 16],
    ['shard id', 16],
    ['epoch', 4],
    ['first seq', 8],
    ['last seq', 8],
    ['group hash', 32],
  ],
  chunk: [
    ['chunk hash', 32],
    ['stored length', 4],
    ['raw length', 4],
  ],
} as const satisfies Record<string, Layout>;

export type LayoutName = keyof typeof layouts;

/** Cuts bytes by a layout. Parts of varying size but the last take their length from `sizes`; the last takes what is left. */
export function cutBy(
  layout: Layout,
  bytes: Uint8Array,
  sizes: Readonly<Record<string, number>> = {},
): readonly (readonly [field: string, part: Uint8Array])[] {
  const fixed = layout.reduce((sum, [field, size]) => sum + (typeof size === 'number' ? size : (sizes[field] ?? 0)), 0);
  let at = 0;
  const parts = layout.map(([field, size]) => {
    const length = typeof size === 'number' ? size : (sizes[field] ?? bytes.length - fixed);
    const part = bytes.subarray(at, at + length);
    at += length;
    return [field, part] as const;
  });
  if (at !== bytes.length) throw new Error(`${at} of ${bytes.length} bytes are in the table`);
  return parts;
}
