// Breaks this worker's browser in the way its name says, before the engine is served.
const refuse = (): Promise<never> => Promise.reject(new DOMException('not in this window', 'SecurityError'));
const hang = (): Promise<never> => new Promise<never>(() => undefined);

const faults: Readonly<Record<string, () => void>> = {
  'opfs-refuses': () => replaceGetDirectory(refuse),
  'opfs-hangs': () => replaceGetDirectory(hang),
  'nothing-keeps': () => {
    replaceGetDirectory(refuse);
    refusePages();
  },
  'no-ed25519': () => {
    const generate = crypto.subtle.generateKey.bind(crypto.subtle);
    const refuseKey = (algorithm: unknown, ...rest: unknown[]) =>
      algorithm === 'Ed25519'
        ? Promise.reject(new DOMException('Unrecognized name', 'NotSupportedError'))
        : (generate as (...all: unknown[]) => Promise<CryptoKey>)(algorithm, ...rest);
    Object.defineProperty(crypto.subtle, 'generateKey', { value: refuseKey });
  },
};

function replaceGetDirectory(getDirectory: () => Promise<never>): void {
  Object.defineProperty(navigator.storage, 'getDirectory', { value: getDirectory });
}

/** The vault opens, files do not. */
function refusePages(): void {
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = function (name, ...rest) {
    if (name.startsWith('foldlog-pages/')) throw new DOMException('not in this window', 'SecurityError');
    return open.call(this, name, ...rest);
  };
}

export function applyFault(): void {
  faults[(globalThis as unknown as { readonly name: string }).name]?.();
}
