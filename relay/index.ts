// The published entry `foldlog/relay`: the relay's core, its ports, and the probe for stores of one's own.
// Ready-made hosts: `foldlog/relay/node` and `foldlog/relay/workers`.

export { FoldlogError } from '../kernel/errors.ts';
export type { Clock, Deflate, Random, Scheduler, Signer, Verifier } from '../kernel/ports.ts';
export { createRelay, type Relay, type RelayPorts, type RelaySettings } from './core.ts';
export {
  type CasOutcome,
  type DeleteOutcome,
  type Etag,
  etag,
  isObjectKey,
  type ListOutcome,
  type ObjectStore,
  type PutCondition,
  type ReadOutcome,
  type Stored,
  type StoredHead,
} from './object-store.ts';
export { probeStore } from './probe.ts';
export type { SettlePorts } from './settle.ts';
export { memoryStore } from './stores/memory.ts';
export { type S3Settings, s3Store } from './stores/s3.ts';
