// Breaks this worker's browser in the way its name says, before the engine is served.
const faults: Readonly<Record<string, () => void>> = {
  'opfs-refuses': () => replaceGetDirectory(() => Promise.reject(new DOMException('not in this window', 'SecurityError'))),
  'opfs-hangs': () => replaceGetDirectory(() => new Promise<never>(() => undefined)),
  'no-ed25519': () => {
    const generate = crypto.subtle.generateKey.bind(crypto.subtle);
    const refuse = (algorithm: unknown, ...rest: unknown[]) =>
      algorithm === 'Ed25519'
        ? Promise.reject(new DOMException('Unrecognized name', 'NotSupportedError'))
        : (generate as (...all: unknown[]) => Promise<CryptoKey>)(algorithm, ...rest);
    Object.defineProperty(crypto.subtle, 'generateKey', { value: refuse });
  },
};

function replaceGetDirectory(getDirectory: () => Promise<never>): void {
  Object.defineProperty(navigator.storage, 'getDirectory', { value: getDirectory });
}

export function applyFault(): void {
  faults[(globalThis as unknown as { readonly name: string }).name]?.();
}
