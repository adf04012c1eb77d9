// What each engine, in each way it can be started here, gives the store today: the expectation of engines.test.ts, and in words the table of
// docs/durability.md#browsers. A backend that is new to an engine changes its row here and nothing else.
import type { EngineStatus } from '../../../worker/browser/page.ts';
import { chromiumEngine } from './chromium.ts';
import type { Engine } from './engine.ts';
import { firefoxEngine } from './firefox.ts';
import { webkitEngine } from './webkit.ts';

export type EngineRow = { readonly engine: Engine; readonly verifier: 'web' | 'portable' } & (Kept | Refused);

interface Kept {
  readonly backend: Exclude<EngineStatus['backend'], 'memory'>;
  readonly durability: EngineStatus['durability'];
  /** What `saved` outlives: a reload of the page, or the browser as well, which needs a profile on disk. */
  readonly outlives: 'reload' | 'browser';
}

/** No durable storage: a typed refusal, or memory by consent. */
interface Refused {
  readonly backend: undefined;
  /** What the detector ran into, which is what the verdict names. */
  readonly lacks: string;
}

export const engineTable: readonly EngineRow[] = [
  { engine: chromiumEngine, verifier: 'web', backend: 'opfs-pool', durability: 'durable', outlives: 'browser' },
  { engine: firefoxEngine, verifier: 'web', backend: 'opfs-pool', durability: 'durable', outlives: 'browser' },
  // With an IndexedDB backend: `outlives: 'reload'` for the first two, `'browser'` for the two with data on disk.
  { engine: webkitEngine('as it comes'), verifier: 'portable', backend: undefined, lacks: 'Missing required OPFS APIs' },
  { engine: webkitEngine('file system on, nothing on disk'), verifier: 'portable', backend: undefined, lacks: 'UnknownError' },
  { engine: webkitEngine('file system on, data on disk'), verifier: 'portable', backend: undefined, lacks: 'NotSupportedError' },
  { engine: webkitEngine('data on disk'), verifier: 'portable', backend: undefined, lacks: 'Missing required OPFS APIs' },
];
