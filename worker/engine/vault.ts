// Port: the device's key and the markers of files that must exist, kept elsewhere than the files (decision 0006).
// In the browser this is IndexedDB; in Node tests, memory that survives simulated kills.

import type { Signer } from '../../kernel/ports.ts';
import type { Backend } from './storage-pool.ts';

/** Where the files of a store are. `leaving`: they were somewhere else before, and what stayed there is of no more use. */
export interface House {
  readonly at: Backend;
  readonly leaving: Backend | undefined;
}

export interface Vault {
  /** The device's signer, when a key was made before. */
  signer(): Promise<Signer | undefined>;
  /** Makes the device's key; durable before it resolves. Never replaces one. */
  createSigner(): Promise<Signer>;
  /** Names of files that were ready once. */
  markers(): Promise<ReadonlySet<string>>;
  /** Durable before it resolves. */
  mark(file: string): Promise<void>;
  /** Undefined before files were kept anywhere. */
  house(): Promise<House | undefined>;
  /** Durable before it resolves. */
  settle(house: House): Promise<void>;
}
