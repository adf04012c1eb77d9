// UTF-8 is the one thing the ES2023 library leaves out and every runtime of ours has (browser, Node, workerd).
// Declared here, and nowhere else, so that the kernel needs neither DOM nor Node types.

declare class TextEncoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, target: Uint8Array): { readonly written: number };
}

declare class TextDecoder {
  constructor(label: 'utf-8', options: { fatal: boolean; ignoreBOM: boolean });
  decode(bytes: Uint8Array): string;
}
