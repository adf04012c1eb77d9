// Port: the device's key and the markers of files that must exist, kept elsewhere than the files (decision 0006).
// In the browser this is IndexedDB; in Node tests, memory that survives simulated kills.

import type { Signer } from '../../kernel/ports.ts';
import type { Backend } from './storage-pool.ts';

/** Where the files of a store are. `leaving`: they were somewhere else before, and what stayed there is of no more use. */
export interface House {
  readonly at: Backend;
  readonly leaving: Backend | undefined;
}

/** What a marked file holds: so that its loss can be told by name, and what was committed followed. */
export interface MarkedFile {
  /** Hex; absent in a store that is in no workspace yet. */
  readonly workspace: string | undefined;
  /** Absent for the workspace file. */
  readonly shard: { readonly kind: string; readonly name: string; readonly isOwn: boolean } | undefined;
}

export interface Vault {
  /** The device's signer, when a key was made before. */
  signer(): Promise<Signer | undefined>;
  /** Makes the device's key; durable before it resolves. Never replaces one. */
  createSigner(): Promise<Signer>;
  /** Files that were ready once, by name. */
  markers(): Promise<ReadonlyMap<string, MarkedFile>>;
  /** Durable before it resolves. Marked again, it says what it holds now. */
  mark(file: string, holds: MarkedFile): Promise<void>;
  /** Durable before it resolves. Only for a file whose loss was accepted, or that another stands in for. */
  unmark(file: string): Promise<void>;
  /** Undefined before files were kept anywhere. */
  house(): Promise<House | undefined>;
  /** Durable before it resolves. */
  settle(house: House): Promise<void>;
}
