// Port: the device's key and the markers of files that must exist, kept elsewhere than the files (decision 0006).
// In the browser this is IndexedDB; in Node tests, memory that survives simulated kills.

import type { Signer } from '../../kernel/ports.ts';

export interface Vault {
  /** The device's signer, when a key was made before. */
  signer(): Promise<Signer | undefined>;
  /** Makes the device's key; durable before it resolves. Never replaces one. */
  createSigner(): Promise<Signer>;
  /** Names of files that were ready once. */
  markers(): Promise<ReadonlySet<string>>;
  /** Durable before it resolves. */
  mark(file: string): Promise<void>;
}
